//! Patterns as text.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::{NamePattern, Pattern};
use crate::data::parse::ParseError;

/// Separates the group from the key.
const SEPARATOR: char = '/';
/// Ends a name that is a prefix.
const PREFIX: char = '*';
/// Precedes a separator, a star or itself where it is part of a name.
const ESCAPE: char = '\\';

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.group)?;
        f.write_char(SEPARATOR)?;
        write_name(f, &self.key)
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &NamePattern) -> fmt::Result {
    for character in name.text().chars() {
        if matches!(character, SEPARATOR | PREFIX | ESCAPE) {
            f.write_char(ESCAPE)?;
        }
        f.write_char(character)?;
    }
    match name {
        NamePattern::Prefix(_) => f.write_char(PREFIX),
        NamePattern::Exact(_) => Ok(()),
    }
}

impl FromStr for Pattern {
    type Err = ParseError;

    /// Parses the text of a pattern, as the documentation of [`Pattern`] describes it.
    ///
    /// # Errors
    /// [`ParseError`] if the text has no `/` or several, a `*` that does not end a name, or a `\` that
    /// precedes none of these three characters.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        read(text).map_err(|expected| ParseError::new("pattern", text, expected))
    }
}

/// Reads a pattern; the error says what is accepted instead.
fn read(text: &str) -> Result<Pattern, &'static str> {
    let mut characters = text.chars();
    let (group, separated) = read_name(&mut characters)?;
    if !separated {
        return Err(r"GROUP/KEY, such as config/colour, or config/* for a whole group");
    }
    match read_name(&mut characters)? {
        (key, false) => Ok(Pattern { group, key }),
        (_, true) => Err(r"one / between group and key; write \/ for a / in a name"),
    }
}

/// Reads a name up to its end, or up to and including a separator; returns whether there was one.
fn read_name(characters: &mut std::str::Chars<'_>) -> Result<(NamePattern, bool), &'static str> {
    let mut name = String::new();
    while let Some(character) = characters.next() {
        match character {
            SEPARATOR => return Ok((NamePattern::Exact(name), true)),
            PREFIX => {
                return match characters.next() {
                    None => Ok((NamePattern::Prefix(name), false)),
                    Some(SEPARATOR) => Ok((NamePattern::Prefix(name), true)),
                    Some(_) => Err(r"a * at the end of a name only; write \* for a * in a name"),
                };
            }
            ESCAPE => match characters.next() {
                Some(escaped @ (SEPARATOR | PREFIX | ESCAPE)) => name.push(escaped),
                _ => return Err(r"a \ before /, * or \ only; write \\ for a \ in a name"),
            },
            _ => name.push(character),
        }
    }
    Ok((NamePattern::Exact(name), false))
}
