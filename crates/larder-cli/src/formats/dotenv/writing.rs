//! Writing `.env`: each value in a form that its readers agree on.

use std::io::Write;

use larder::Entry;

use super::{MARK, is_variable};
use crate::failure::Failure;
use crate::formats::{Notes, binary};
use crate::notice::Notice;
use crate::text::{counted, listed};

/// Refuses a key that some readers would not take for a variable.
pub fn check_name(key: &str) -> Result<(), Failure> {
    if is_variable(key) {
        return Ok(());
    }
    Err(Failure::Refused(format!("the key {key:?} is no name of a variable, so a .env file cannot hold it"))
        .advise("Export NDJSON instead, which takes every key."))
}

/// Writes a document, entry by entry.
pub struct EnvWriter<'a> {
    out: &'a mut dyn Write,
    quoted: Vec<String>,
    encoded: Vec<String>,
    /// How many entries had an expiry, which has no place in the document.
    expiring: u64,
}

impl<'a> EnvWriter<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, quoted: Vec::new(), encoded: Vec::new(), expiring: 0 }
    }

    pub fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        let key = &entry.key;
        check_name(key)?;
        let written = match form(entry.value.as_bytes()) {
            Form::Plain(text) => text.to_owned(),
            Form::Quoted(text, quote) => {
                self.quoted.push(key.clone());
                format!("{quote}{text}{quote}")
            }
            Form::Encoded(bytes) => {
                self.encoded.push(key.clone());
                format!("{MARK}{}", binary::encoded(bytes))
            }
        };
        self.expiring += u64::from(entry.expires_at.is_some());
        Ok(writeln!(self.out, "{key}={written}")?)
    }

    pub fn finish(self) -> Notes {
        let mut notes = Notes::default();
        if !self.encoded.is_empty() {
            let names = listed(&self.encoded);
            let message = format!(
                "readers of .env files disagree on some values, or they are not text; written as {MARK}…, which \
                 programs other than larder have to decode: {names}"
            );
            notes.warnings.push(Notice::warning(message));
        }
        if self.expiring > 0 {
            let entries = counted(self.expiring, "entry");
            let message = format!("{entries} would expire, which a .env file cannot say");
            notes.warnings.push(Notice::warning(message).advise("Export NDJSON to keep that."));
        }
        if !self.quoted.is_empty() {
            let names = listed(&self.quoted);
            notes.remarks.push(format!(
                "docker run --env-file and kubectl take quotes for a part of the value; quoted are: {names}"
            ));
        }
        notes
    }
}

/// How a value is written.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    /// As it is: every reader agrees.
    Plain(&'a str),
    /// Between these quotes: every reader agrees that knows quotes.
    Quoted(&'a str, char),
    /// In base64: whatever else is written, some reader would take for something else.
    Encoded(&'a [u8]),
}

fn form(bytes: &[u8]) -> Form<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.starts_with(MARK) || text.contains(is_unfit) => Form::Encoded(bytes),
        Ok(text) if is_plain(text) => Form::Plain(text),
        Ok(text) if !text.contains(['"', '\\', '$', '`']) => Form::Quoted(text, '"'),
        Ok(text) if is_literal_in_single_quotes(text) => Form::Quoted(text, '\''),
        _ => Form::Encoded(bytes),
    }
}

/// Whether a character has no place in a `.env` file. Some readers turn a carriage return into a line
/// feed, and the other control characters are nothing to trust an editor with.
fn is_unfit(character: char) -> bool {
    character.is_control() && !"\n\t".contains(character)
}

/// Whether no reader sees more in a text than its characters.
fn is_plain(text: &str) -> bool {
    let inside = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '_' | '-' | '.' | ',' | ':' | '/' | '@' | '%' | '+' | '=' | '^' | '!' | '?' | '*' => true,
        '[' | ']' | '{' | '}' | '~' => true,
        // Some readers trim this one from the ends, as white space.
        '\u{feff}' => false,
        _ => !character.is_ascii() && !character.is_whitespace(),
    };
    // A shell replaces these by the path of a home folder or of a command.
    let expands = |part: &str| part.starts_with(['~', '=']);
    text.chars().all(inside) && !text.split(':').any(expands)
}

/// python-dotenv expands `${…}` in single quotes too, and takes a backslash before another for an
/// escape; godotenv and Compose take one before the closing quote for one.
fn is_literal_in_single_quotes(text: &str) -> bool {
    !text.contains('\'') && !text.contains("${") && !text.contains("\\\\") && !text.ends_with('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_written(value: &str, expected: &str) {
        let written = match form(value.as_bytes()) {
            Form::Plain(text) => text.to_owned(),
            Form::Quoted(text, quote) => format!("{quote}{text}{quote}"),
            Form::Encoded(_) => "encoded".into(),
        };
        assert_eq!(written, expected, "{value:?}");
    }

    #[test]
    fn a_value_stays_without_quotes_where_every_reader_takes_it_as_it_is() {
        for value in [
            "",
            "8080",
            "true",
            "smtp.example.com",
            "postgres://user:p%40ss@host:5432/app?sslmode=require",
            "2026-01-31T12:00:00+01:00",
            "YWJj+/==",
            "*.example.com",
            "a~b",
            "[1,2]",
            "{}",
            "grün",
            "日本",
            "\u{1f600}",
        ] {
            assert_written(value, value);
        }
    }

    #[test]
    fn a_value_is_quoted_where_a_reader_would_see_more_in_it() {
        for (value, expected) in [
            ("two words", "\"two words\""),
            (" ", "\" \""),
            ("tab\t", "\"tab\t\""),
            ("one\ntwo", "\"one\ntwo\""),
            ("#ff0000", "\"#ff0000\""),
            ("a#b", "\"a#b\""),
            ("a&b;c|d", "\"a&b;c|d\""),
            ("(x)", "\"(x)\""),
            ("it's", "\"it's\""),
            ("~/app", "\"~/app\""),
            ("/bin:~/bin", "\"/bin:~/bin\""),
            ("=ls", "\"=ls\""),
            ("\u{a0}", "\"\u{a0}\""),
            ("\u{feff}", "\"\u{feff}\""),
            ("\u{2028}", "\"\u{2028}\""),
            ("{\"a\": 1}", "'{\"a\": 1}'"),
            ("$2y$10$abc", "'$2y$10$abc'"),
            ("`id`", "'`id`'"),
            ("C:\\dir", "'C:\\dir'"),
            ("\\n", "'\\n'"),
        ] {
            assert_written(value, expected);
        }
    }

    #[test]
    fn a_value_is_encoded_where_readers_disagree_whatever_is_written() {
        for value in [
            "C:\\dir\\",
            "\\\\server\\share",
            "it's $5",
            "it's \"quoted\"",
            "it's `x`",
            "it's C:\\dir",
            "${HOME}",
            "a\rb",
            "a\r\nb",
            "\0",
            "\u{1b}[0m",
            "\u{85}",
            "larder-base64:",
        ] {
            assert_written(value, "encoded");
        }
        assert_eq!(form(b"\xff"), Form::Encoded(b"\xff"));
    }
}
