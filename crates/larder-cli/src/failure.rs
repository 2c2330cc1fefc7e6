//! What makes a command fail, what to do about it, and the exit code that says so.

mod advice;

use std::error::Error as _;
use std::io;
use std::path::Path;

use larder::{Error, ErrorKind};

/// Why a command did not do what it was asked. A message says what failed and why; what to do is apart from it.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for is not there, or a condition does not hold.
    NotFound(String),
    /// The command line asks for something that makes no sense.
    Usage(String),
    /// The command was understood and refused.
    Refused(String),
    /// Something does not work as it should.
    Broken(String),
    /// The cluster does not answer, or does not send what it should.
    Unreachable(String),
    /// What the store said.
    Store(Error),
    /// The output could not be written.
    Output(io::Error),
    /// Any of these, and what caused it, the nearest first, each in its own words.
    Caused(Box<Self>, Vec<String>),
    /// Any of these, and what to do about it.
    Advised(Box<Self>, String),
}

impl Failure {
    /// A file of the user's, other than a store, that could not be read or written.
    pub fn file(path: &Path, what: &str, error: &io::Error) -> Self {
        Self::Refused(format!("{} could not be {what}", path.display()))
            .because(error)
            .advise("Check the path and its permissions.")
    }

    /// The same, with an error that caused it, and the causes of that one.
    pub fn because(self, cause: &(dyn std::error::Error + 'static)) -> Self {
        Self::Caused(Box::new(self), chain(Some(cause)))
    }

    /// The same, with what to do about it, in the imperative.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self::Advised(Box::new(self), advice.into())
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Usage(_) => ErrorKind::Misuse,
            Self::Refused(_) | Self::Output(_) => ErrorKind::Refused,
            Self::Broken(_) => ErrorKind::Failed,
            Self::Unreachable(_) => ErrorKind::Unreachable,
            Self::Store(error) => error.kind(),
            Self::Caused(failure, _) | Self::Advised(failure, _) => failure.kind(),
        }
    }

    /// The exit code: see the list in `larder --help`.
    pub fn exit_code(&self) -> u8 {
        code_of(self.kind())
    }

    /// What failed, and why.
    pub fn message(&self) -> String {
        match self {
            Self::NotFound(message)
            | Self::Usage(message)
            | Self::Refused(message)
            | Self::Broken(message)
            | Self::Unreachable(message) => message.clone(),
            Self::Store(error) => error.to_string(),
            Self::Output(_) => "the output could not be written".into(),
            Self::Caused(failure, _) | Self::Advised(failure, _) => failure.message(),
        }
    }

    /// What the message does not say of its causes, the nearest first.
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Store(error) => chain(error.source()),
            Self::Output(error) => chain(Some(error)),
            Self::Caused(_, causes) => causes.clone(),
            Self::Advised(failure, _) => failure.causes(),
            _ => Vec::new(),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Caused(failure, _) => failure.advice(),
            Self::Advised(_, advice) => Some(advice.clone()),
            Self::Store(error) => advice::on(error).map(|advice| advice.into_owned()),
            Self::Output(_) => Some("See to it that there is room for it.".into()),
            _ => None,
        }
    }

    /// Whether the reader of the output went away.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// The messages of an error and of its causes.
fn chain(mut next: Option<&(dyn std::error::Error + 'static)>) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some(error) = next {
        messages.push(error.to_string());
        next = error.source();
    }
    messages
}

fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound | ErrorKind::Conflict => 1,
        ErrorKind::Misuse => 2,
        ErrorKind::Refused | ErrorKind::Denied | ErrorKind::Stale => 3,
        _ => 4,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_exit_code_that_the_page_on_errors_gives() {
        let page = include_str!("../../../docs/errors.md");
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Refused,
            ErrorKind::Denied,
            ErrorKind::Stale,
            ErrorKind::Busy,
            ErrorKind::Unreachable,
            ErrorKind::OutcomeUnknown,
            ErrorKind::NoStore,
            ErrorKind::Damaged,
            ErrorKind::Failed,
            ErrorKind::Closed,
            ErrorKind::Misuse,
            ErrorKind::Other,
        ] {
            let row =
                page.lines().find(|line| line.starts_with(&format!("| `{kind}` |"))).unwrap_or_default();
            let code = row.split(" | ").nth(3).unwrap_or_default();
            assert_eq!(code, code_of(kind).to_string(), "{row}");
        }
    }
}
