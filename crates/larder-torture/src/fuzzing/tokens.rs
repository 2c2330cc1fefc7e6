//! Everything that is parsed from a short text: what is understood is written as it is read.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use larder::{Condition, Consistency, Durability, EventKind, Pattern, ResumeToken, Revision, Store};

/// Parses a text as everything that there is.
///
/// # Panics
/// If what was understood is written as a text that means something else.
pub fn parse_tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    there_and_back::<ResumeToken>(text);
    there_and_back::<Revision>(text);
    there_and_back::<Pattern>(text);
    there_and_back::<Condition>(text);
    there_and_back::<EventKind>(text);
    there_and_back::<Durability>(text);
    there_and_back::<Consistency>(text);
    // A location of a cluster is parsed as well; nothing is opened.
    drop(Store::file_of(text));
}

fn there_and_back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(parsed) = text.parse::<T>() else { return };
    let written = parsed.to_string();
    match written.parse::<T>() {
        Ok(again) => assert_eq!(again, parsed, "{text:?} is written as {written:?}"),
        Err(_) => panic!("{text:?} is written as {written:?}, which is not understood"),
    }
}
