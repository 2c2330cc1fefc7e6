//! Why a rendering failed, and on which line.

use std::fmt::{self, Display, Write};

use crate::data::Error;

/// The longest reason, in bytes. A template chooses the names in it.
const REASON_BYTES_MAX: usize = 400;

/// A failed step of a rendering. It is one pointer, because nearly every function here may fail.
#[derive(Debug)]
pub(super) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    line: Option<usize>,
    reason: String,
    /// What failed below the template, such as a read of the store.
    cause: Option<Error>,
}

pub(super) type Outcome<T> = Result<T, Fault>;

impl Fault {
    pub fn new(reason: impl Display) -> Self {
        let mut short = Short(String::new());
        // It fails where the reason is too long.
        if write!(short, "{reason}").is_err() {
            short.0.push('…');
        }
        Self(Box::new(Parts { line: None, reason: short.0, cause: None }))
    }

    /// What the template does cannot be done.
    pub fn invalid(detail: impl Display) -> Self {
        Self::new(format_args!("invalid operation: {detail}"))
    }

    pub fn syntax(detail: impl Display) -> Self {
        Self::new(format_args!("syntax error: {detail}"))
    }

    /// A strict rendering met a name that is not there.
    pub fn undefined() -> Self {
        Self::new("undefined value")
    }

    /// Adds the line, unless a step within has done so already.
    pub fn at(mut self, line: usize) -> Self {
        self.0.line.get_or_insert(line);
        self
    }

    pub fn into_error(self) -> Error {
        let Parts { line, reason, cause } = *self.0;
        cause.unwrap_or(Error::Template { line, reason })
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(Box::new(Parts { line: None, reason: String::new(), cause: Some(error) }))
    }
}

/// A text that takes no more than the longest reason.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = REASON_BYTES_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        Err(fmt::Error)
    }
}
