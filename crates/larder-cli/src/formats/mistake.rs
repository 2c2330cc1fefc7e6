//! What is wrong with a file, and where.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Lines;

/// What is wrong with a file, and where. What to do about it is apart from it, as in every message.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
    /// What a parser or decoder says of it, in its own words.
    pub cause: Option<String>,
    /// In the imperative.
    pub advice: Option<Cow<'static, str>>,
}

impl Mistake {
    pub fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), cause: None, advice: None }
    }

    pub fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What serde_json found wrong with a whole file.
    pub fn json(error: &serde_json::Error) -> Self {
        let reason = match error.classify() {
            Category::Data => "this is not an entry",
            Category::Syntax | Category::Eof | Category::Io => "this is not valid JSON",
        };
        Self::at(error.line().max(1), reason).because(error)
    }

    /// What serde_json found wrong with a part of a file that was to be a `T`.
    ///
    /// It counts lines and columns from where it begins to read. So it reads once more, from the beginning of the file,
    /// with blanks instead of what is before the part.
    pub fn json_part<T: DeserializeOwned>(file: &str, part: &str, found: serde_json::Error) -> Self {
        let before = &file.as_bytes()[..offset(file, part)];
        let mut text: Vec<u8> = before.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
        text.extend_from_slice(part.as_bytes());
        match serde_json::from_slice::<T>(&text) {
            Err(error) => Self::json(&error),
            Ok(_) => Self { line: Lines::of(file).at(before.len()), ..Self::json(&found) },
        }
    }

    /// A text that should be a time.
    pub fn time(line: usize, text: &str, error: humantime::TimestampError) -> Self {
        Self::at(line, format!("{text:?} is not a time"))
            .because(error)
            .advise("Write it in UTC, as in 2030-01-31T12:00:00.000Z.")
    }

    /// Something that was given before, in another line, and may be there only once.
    pub fn again(line: usize, what: &str, first: usize) -> Self {
        Self::at(line, format!("{what} was given in line {first} already")).advise("Leave one out.")
    }
}

/// Where a part of a text begins in it.
pub fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

#[cfg(test)]
mod tests;
