//! `.env`: `KEY="value"` lines, which shells and the dotenv packages of most languages read.
//!
//! They do not agree on what a backslash in double quotes means, and all agree that single quotes
//! mean what is between them. So a value with anything special in it is put in single quotes, and
//! only one that cannot be (it has a single quote itself, or a carriage return) in double quotes with
//! escapes. What neither a shell nor an editor can be trusted with, that is control characters and
//! bytes that are not UTF-8, is written as `larder-base64:` and base64; so is a text that happens to
//! begin with that, and what begins with it is therefore never anything else.

use std::collections::HashMap;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use larder::Entry;

use super::{Mistake, Record};
use crate::failure::Failure;

/// What a value in base64 begins with.
const MARK: &str = "larder-base64:";

pub fn write(out: &mut dyn Write, entry: &Entry) -> Result<(), Failure> {
    let key = &entry.key;
    if !is_variable(key) {
        return Err(Failure::Refused(format!(
            "the key {key:?} is no name of a variable, so it has no place in a .env file"
        ))
        .advise("Export NDJSON instead, which takes every key."));
    }
    Ok(writeln!(out, "{key}={}", value(entry.value.as_bytes()))?)
}

/// Whether a shell takes a name for a variable's.
fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// A value in its quotes.
fn value(bytes: &[u8]) -> String {
    let unfit = |character: char| character.is_control() && !"\n\t\r".contains(character);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(MARK) && !text.contains(unfit) => text,
        _ => return format!("\"{MARK}{}\"", BASE64.encode(bytes)),
    };
    if !text.contains(['"', '\\', '$', '`', '\r']) {
        format!("\"{text}\"")
    } else if !text.contains(['\'', '\r']) {
        format!("'{text}'")
    } else {
        let mut quoted = String::from("\"");
        for character in text.chars() {
            match character {
                '"' | '\\' | '$' | '`' => quoted.extend(['\\', character]),
                '\r' => quoted.push_str("\\r"),
                _ => quoted.push(character),
            }
        }
        quoted + "\""
    }
}

pub fn read(text: &str, group: &str) -> Result<Vec<Record>, Mistake> {
    // A file that has been on Windows has these at the end of its lines, also within quotes.
    let text = text.replace("\r\n", "\n");
    let mut reader = Reader { rest: &text, line: 1 };
    let mut records: Vec<Record> = Vec::new();
    let mut places = HashMap::new();
    while let Some((key, value, line)) = reader.assignment()? {
        let value = decoded(value, line)?;
        let record = Record { group: group.to_owned(), key: key.clone(), value, expires_at: None, line };
        // A shell that reads the file assigns one after the other: the last counts.
        let place = *places.entry(key).or_insert(records.len());
        match records.get_mut(place) {
            Some(earlier) => *earlier = record,
            None => records.push(record),
        }
    }
    Ok(records)
}

fn decoded(value: String, line: usize) -> Result<Vec<u8>, Mistake> {
    match value.strip_prefix(MARK) {
        None => Ok(value.into_bytes()),
        Some(base64) => BASE64
            .decode(base64)
            .map_err(|error| Mistake::at(line, format!("what follows {MARK} is no base64: {error}"))),
    }
}

/// Goes through a file.
struct Reader<'a> {
    rest: &'a str,
    /// The line that `rest` begins in.
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next key and value, with the line that they begin in.
    fn assignment(&mut self) -> Result<Option<(String, String, usize)>, Mistake> {
        loop {
            self.skip(char::is_whitespace);
            match self.rest.chars().next() {
                None => return Ok(None),
                Some('#') => self.skip(|character| character != '\n'),
                Some(_) => break,
            }
        }
        let line = self.line;
        let key = self.key()?;
        self.skip(is_blank);
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            _ => return Ok(Some((key, self.unquoted(), line))),
        };
        self.end_of_line(&key)?;
        Ok(Some((key, value, line)))
    }

    fn key(&mut self) -> Result<String, Mistake> {
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with(is_blank)) {
            self.rest = rest;
            self.skip(is_blank);
        }
        let inside = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        let key = self.take(inside);
        if !key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return Err(Mistake::at(self.line, "the line does not begin with the name of a variable"));
        }
        self.skip(is_blank);
        match self.rest.strip_prefix('=') {
            Some(rest) => self.rest = rest,
            None => return Err(Mistake::at(self.line, format!("{key} is not followed by ="))),
        }
        Ok(key.to_owned())
    }

    /// What is in single quotes is what it is.
    fn single_quoted(&mut self) -> Result<String, Mistake> {
        let line = self.line;
        self.skip_one();
        let value = self.take(|character| character != '\'').to_owned();
        match self.skip_one() {
            Some(_) => Ok(value),
            None => Err(Mistake::at(line, "the single quote that begins here has no end")),
        }
    }

    /// In double quotes, a backslash before what would mean something else takes that meaning away,
    /// and makes \n, \r and \t of letters. Before anything else it is a backslash.
    fn double_quoted(&mut self) -> Result<String, Mistake> {
        let line = self.line;
        let mut value = String::new();
        self.skip_one();
        loop {
            value += self.take(|character| character != '"' && character != '\\');
            let escaped = match self.skip_one() {
                None => None,
                Some('"') => return Ok(value),
                Some(_) => self.skip_one(),
            };
            match escaped {
                None => return Err(Mistake::at(line, "the double quote that begins here has no end")),
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(plain @ ('"' | '\'' | '\\' | '$' | '`')) => value.push(plain),
                Some(other) => value.extend(['\\', other]),
            }
        }
    }

    /// Up to the end of the line, or a comment.
    fn unquoted(&mut self) -> String {
        let line = self.take(|character| character != '\n');
        let mut end = line.len();
        let mut blank_before = true;
        for (offset, character) in line.char_indices() {
            if character == '#' && blank_before {
                end = offset;
                break;
            }
            blank_before = is_blank(character);
        }
        line[..end].trim().to_owned()
    }

    /// After a quoted value, nothing but a comment may follow.
    fn end_of_line(&mut self, key: &str) -> Result<(), Mistake> {
        self.skip(is_blank);
        if self.rest.starts_with('#') {
            self.skip(|character| character != '\n');
        }
        match self.rest.chars().next() {
            None | Some('\n') => Ok(()),
            Some(_) => Err(Mistake::at(self.line, format!("something follows the quoted value of {key}"))),
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.take(unwanted);
    }

    fn skip_one(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        self.line += usize::from(character == '\n');
        Some(character)
    }
}

/// White space within a line.
fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}
