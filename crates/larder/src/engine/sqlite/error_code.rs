//! Which error SQLite has returned.

use rusqlite::ffi;

/// The code of SQLite's error. rusqlite keeps that of a statement that SQLite could not compile elsewhere.
pub(super) fn code_of(error: &rusqlite::Error) -> Option<&ffi::Error> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error),
        other => other.sqlite_error(),
    }
}

/// Whether SQLite has no code for what is wrong: a statement names what is not there, or cannot be computed.
pub(super) fn is_unspecific(error: &rusqlite::Error) -> bool {
    code_of(error).is_some_and(|code| code.extended_code == ffi::SQLITE_ERROR)
}

/// Whether a file, or its log, ends before what was read of it.
pub(super) fn is_of_the_end(error: &rusqlite::Error) -> bool {
    code_of(error).is_some_and(|code| code.extended_code == ffi::SQLITE_IOERR_SHORT_READ)
}
