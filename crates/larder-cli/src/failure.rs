//! What makes a command fail, and the exit code that says so.

use std::io;
use std::path::Path;

use larder::Error;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for is not there, or a condition does not hold.
    #[error("{0}")]
    NotFound(String),
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The command was understood and refused.
    #[error("{0}")]
    Refused(String),
    /// The store is no good.
    #[error("{0}")]
    Broken(String),
    /// What the store said.
    #[error("{}", advice(.0))]
    Store(#[from] Error),
    /// The output could not be written.
    #[error("the output could not be written: {0}; see to it that there is room for it")]
    Output(#[from] io::Error),
}

impl Failure {
    /// A file of the user's, other than a store, that could not be read or written.
    pub fn file(path: &Path, what: &str, error: &io::Error) -> Self {
        Self::Refused(format!(
            "{} could not be {what}: {error}; check the path and its permissions",
            path.display()
        ))
    }

    /// The exit code: see the list in `larder --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) | Self::Output(_) => 3,
            Self::Broken(_) => 4,
            Self::Store(error) => code_of(error),
        }
    }

    /// Whether the reader of the output went away.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn code_of(error: &Error) -> u8 {
    match error {
        Error::Conflict { .. } | Error::NoCursor { .. } => 1,
        Error::InvalidLocation { .. } | Error::InvalidToken { .. } | Error::FollowsItself => 2,
        Error::ReadOnly { .. }
        | Error::QuotaExceeded { .. }
        | Error::InvalidNamespace { .. }
        | Error::InvalidTtl
        | Error::TooLarge { .. }
        | Error::NotANumber { .. }
        | Error::Overflow { .. }
        | Error::Unreadable { .. }
        | Error::Unwritable { .. }
        | Error::Template { .. }
        | Error::Compacted { .. }
        | Error::FutureRevision { .. }
        | Error::InvalidCursor { .. }
        | Error::CopyTooOld { .. }
        | Error::OtherStore { .. }
        | Error::BackupFailed { .. }
        | Error::AlreadyExists { .. } => 3,
        Error::Uncopied { source, .. } => code_of(source),
        _ => 4,
    }
}

/// The library's messages say what a program should do. Where a person has to do something else,
/// this says it.
fn advice(error: &Error) -> String {
    match error {
        Error::ReadOnly { location } => {
            format!(
                "the store {location} may only be read; change the permissions of its file to write to it"
            )
        }
        Error::Denied { path, reason } => {
            let reason = reason.replace(", or open it with read_only", "");
            format!("the system does not let this command use {}: {reason}", path.display())
        }
        Error::TooLarge { what, size, limit } => {
            format!("the {what} has {size} bytes and may have {limit}; shorten it or split it up")
        }
        Error::Busy { .. } => error.to_string().replace(", or raise timeout", ""),
        Error::Compacted { oldest } => format!(
            "the change log reaches back to revision {oldest} only; list what is there now, and watch with --since {oldest}"
        ),
        Error::NoCursor { name } => {
            format!("the cursor {name:?} was deleted meanwhile; start again with a new one")
        }
        Error::OtherStore { named, this } => format!(
            "the resume token is of the store {named}, and this is {this}; check --store, or list what is there now and watch from there"
        ),
        Error::Uncopied { group, key, source } => {
            format!("the entry {group:?} {key:?} cannot be copied: {}", advice(source))
        }
        Error::CopyTooOld { left, oldest } => format!(
            "the copy has followed its source up to revision {left}, and the source's change log reaches back to {oldest} only, so nobody knows what was deleted in between; give --exact, which deletes from the target whatever the source does not hold, or empty the target and begin again"
        ),
        Error::WritesStopped { location, .. } => {
            format!("the disk did not confirm a write to the store {location}; check the disk and try again")
        }
        _ => error.to_string(),
    }
}
