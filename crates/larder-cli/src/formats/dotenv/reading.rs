//! Reading `.env`.
//!
//! A value without quotes is what a shell takes it for. Where a shell would put something else in its
//! place, the file is refused; where it would not take the line for an assignment, but other readers
//! agree on one, the value is taken and the line warned about.

use std::collections::HashMap;

use super::{MARK, is_blank, is_variable};
use crate::formats::{Document, Mistake, Record, binary};

/// What a line is warned about, and what to do about it.
struct Warning {
    reason: &'static str,
    advice: &'static str,
}

const UNQUOTED: Warning = Warning {
    reason: "a shell does not take blanks or any of ;&|<>() for a part of a value without quotes",
    advice: "Put the value in quotes.",
};

const SPACED: Warning =
    Warning { reason: "a shell takes no blanks before and after =", advice: "Leave them out." };

const NAMED: Warning = Warning {
    reason: "a shell takes only letters, digits and _ in a name, and so does `larder export`",
    advice: "Rename the key.",
};

/// What every line of such a file is.
const LINE: &str = "Write KEY=value, or # before a comment.";

pub fn read(text: &str, group: &str) -> Result<Document, Mistake> {
    // A file that has been on Windows has these at the end of its lines, also within quotes.
    let text = text.replace("\r\n", "\n");
    refuse_unfit(&text)?;
    let mut reader = Reader { rest: &text, line: 1, warnings: Vec::new() };
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
    Ok(Document { records, warnings: reader.warnings })
}

/// Some readers end a line at a carriage return, some keep it; and no variable holds a NUL.
fn refuse_unfit(text: &str) -> Result<(), Mistake> {
    for (index, line) in text.split('\n').enumerate() {
        if line.contains('\r') {
            return Err(
                Mistake::at(index + 1, "a carriage return does not end its line").advise("Remove it.")
            );
        }
        if line.contains('\0') {
            return Err(Mistake::at(index + 1, "no variable can hold a NUL").advise("Remove it."));
        }
    }
    Ok(())
}

fn decoded(value: String, line: usize) -> Result<Vec<u8>, Mistake> {
    match value.strip_prefix(MARK) {
        None => Ok(value.into_bytes()),
        Some(base64) => binary::decoded(base64, line, &format!("what follows {MARK}")),
    }
}

/// Goes through a file.
struct Reader<'a> {
    rest: &'a str,
    /// The line that `rest` begins in.
    line: usize,
    /// What a shell would read differently.
    warnings: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// The next key and value, with the line that they begin in.
    fn assignment(&mut self) -> Result<Option<(String, String, usize)>, Mistake> {
        loop {
            self.skip(|character| is_blank(character) || character == '\n');
            match self.rest.chars().next() {
                None => return Ok(None),
                Some('#') => self.skip(|character| character != '\n'),
                Some(_) => break,
            }
        }
        let line = self.line;
        let key = self.name()?;
        if !is_variable(key) {
            self.warn(line, NAMED);
        }
        let blank_before = self.skip_blanks();
        match self.rest.strip_prefix('=') {
            Some(rest) => self.rest = rest,
            None => return Err(Mistake::at(line, format!("{key} is not followed by =")).advise(LINE)),
        }
        let blank_after = self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted(key)?,
            Some('"') => self.double_quoted(key)?,
            _ => self.unquoted(key, blank_after)?,
        };
        if blank_before || blank_after && !value.is_empty() {
            self.warn(line, SPACED);
        }
        Ok(Some((key.to_owned(), value, line)))
    }

    fn name(&mut self) -> Result<&'a str, Mistake> {
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with(is_blank)) {
            self.rest = rest;
            self.skip_blanks();
        }
        let inside = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        let name = self.take(inside);
        if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            let reason = "the line does not begin with the name of a variable";
            return Err(Mistake::at(self.line, reason).advise(LINE));
        }
        Ok(name)
    }

    /// What is in single quotes is what it is.
    fn single_quoted(&mut self, key: &str) -> Result<String, Mistake> {
        let line = self.line;
        self.skip_one();
        let value = self.take(|character| character != '\'').to_owned();
        match self.skip_one() {
            Some(_) => self.end_of_line(key)?,
            None => return Err(without_end(line, "single")),
        }
        Ok(value)
    }

    /// In double quotes, a backslash before what would mean something else takes that meaning away, as
    /// in a shell, and makes \n, \r and \t of letters, as in all other readers. Before anything else it is
    /// a backslash.
    fn double_quoted(&mut self, key: &str) -> Result<String, Mistake> {
        let first_line = self.line;
        let mut value = String::new();
        self.skip_one();
        loop {
            value += self.take(|character| !"\"\\$`".contains(character));
            let line = self.line;
            let escaped = match self.skip_one() {
                None => None,
                Some('"') => break,
                Some('\\') => self.skip_one(),
                Some(expanding) => return Err(expands(line, key, expanding)),
            };
            match escaped {
                None => return Err(without_end(first_line, "double")),
                Some('\n') => {
                    let reason = format!(
                        "the value of {key} has a backslash at the end of a line, which a shell removes with the \
                         line's end and others keep"
                    );
                    return Err(Mistake::at(line, reason).advise("Join the lines."));
                }
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(plain @ ('"' | '\\' | '$' | '`')) => value.push(plain),
                Some(other) => value.extend(['\\', other]),
            }
        }
        self.end_of_line(key)?;
        Ok(value)
    }

    /// Up to the end of the line, or a comment. `#` begins one after a blank alone.
    fn unquoted(&mut self, key: &str, mut blank_before: bool) -> Result<String, Mistake> {
        let line = self.line;
        let text = self.take(|character| character != '\n');
        let mut end = text.len();
        for (offset, character) in text.char_indices() {
            if character == '#' && blank_before {
                end = offset;
                break;
            }
            blank_before = is_blank(character);
        }
        let value = text[..end].trim_matches(is_blank);
        if let Some(expanding) = value.chars().find(|character| "$`".contains(*character)) {
            return Err(expands(line, key, expanding));
        }
        if let Some(special) = value.chars().find(|character| "'\"\\".contains(*character)) {
            let quotes = if special == '\'' { "double" } else { "single" };
            let reason = format!(
                "the value of {key} has a {special} without quotes around it, which a shell removes and others keep"
            );
            return Err(Mistake::at(line, reason).advise(format!("Put the value in {quotes} quotes.")));
        }
        if value.split(':').any(|part| part.starts_with('~')) {
            return Err(expands(line, key, '~'));
        }
        if value.contains(|character| is_blank(character) || ";&|<>()".contains(character)) {
            self.warn(line, UNQUOTED);
        }
        Ok(value.to_owned())
    }

    /// After a quoted value, nothing but a comment may follow.
    fn end_of_line(&mut self, key: &str) -> Result<(), Mistake> {
        let line = self.line;
        let blank_before = self.skip_blanks();
        if blank_before && self.rest.starts_with('#') {
            self.skip(|character| character != '\n');
        }
        match self.rest.chars().next() {
            None | Some('\n') => Ok(()),
            Some(_) => Err(Mistake::at(line, format!("something follows the quoted value of {key}"))
                .advise("Remove it, or put it inside the quotes.")),
        }
    }

    fn warn(&mut self, line: usize, Warning { reason, advice }: Warning) {
        self.warnings.push(Mistake::at(line, reason).advise(advice));
    }

    /// Whether there were any.
    fn skip_blanks(&mut self) -> bool {
        !self.take(is_blank).is_empty()
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

/// A shell, and many other readers, would replace a part of the value.
fn expands(line: usize, key: &str, expanding: char) -> Mistake {
    Mistake::at(
        line,
        format!("the value of {key} has a {expanding} that a shell expands and larder does not"),
    )
    .advise(format!(
        "Write out what it stands for, or put the value in single quotes to keep the {expanding}."
    ))
}

/// A quote of this kind that is not closed.
fn without_end(line: usize, kind: &str) -> Mistake {
    Mistake::at(line, format!("the {kind} quote that begins here has no end"))
        .advise("Close it, or put the value in quotes of the other kind.")
}
