//! A transaction in progress, as its closure sees it.

use std::sync::Mutex;

use super::error_code::code_of;
use super::queries::{Queries, ReadThrough};
use super::writer::{Trouble, Writer};
use crate::data::{Error, Result, locked};
use crate::engine::{Answer, Mutation, Outcome, Process, Requirement, Transact};

/// Lets a closure read and write through the leader's connection.
pub(super) struct OpenTransaction {
    /// One thread runs the closure, but it may share the transaction with threads of its own.
    inner: Mutex<Inner>,
    process: Process,
}

struct Inner {
    /// `None` once the closure has returned.
    writer: Option<Box<Writer>>,
    /// How SQLite failed, once it has: then nothing more is possible.
    failed: Option<(rusqlite::Error, Error)>,
}

impl OpenTransaction {
    pub fn new(writer: Box<Writer>) -> Self {
        let inner = Inner { writer: Some(writer), failed: None };
        Self { inner: Mutex::new(inner), process: Process::current() }
    }

    /// Takes the writer back, with the failure of SQLite's that happened, if one did.
    #[expect(clippy::expect_used, reason = "there is no other way to go on, and no way to get here")]
    pub fn finish(&self) -> (Box<Writer>, Option<rusqlite::Error>) {
        let mut inner = locked(&self.inner);
        let writer =
            inner.writer.take().expect("a transaction is finished once, and nothing else takes its writer");
        (writer, inner.failed.take().map(|(failure, _)| failure))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Writer) -> Result<T, Trouble>) -> Result<T> {
        // Before the lock: the closure may have forked while another of its threads held it.
        if !self.process.is_current() {
            return Err(Error::ForkedProcess);
        }
        let mut inner = locked(&self.inner);
        let Inner { writer, failed } = &mut *inner;
        if let Some((_, error)) = failed {
            return Err(error.clone());
        }
        let writer = writer.as_mut().ok_or(Error::TransactionOver)?;
        writer.tick()?;
        act(writer).map_err(|trouble| note(failed, writer, trouble))
    }
}

/// The error of a step that went wrong. If SQLite failed, that is noted.
fn note(failed: &mut Option<(rusqlite::Error, Error)>, writer: &Writer, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Refused(error) => error,
        Trouble::Failed(failure) => {
            let error = writer.file.failure(duplicate(&failure));
            *failed = Some((failure, error.clone()));
            error
        }
    }
}

/// SQLite's errors cannot be cloned; code and message can.
fn duplicate(error: &rusqlite::Error) -> rusqlite::Error {
    match code_of(error) {
        Some(code) => rusqlite::Error::SqliteFailure(*code, Some(error.to_string())),
        None => rusqlite::Error::ToSqlConversionFailure(error.to_string().into()),
    }
}

impl ReadThrough for OpenTransaction {
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T> {
        self.with(|writer| Ok(query(&writer.queries()?)?)).into()
    }
}

impl Transact for OpenTransaction {
    fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        self.with(|writer| writer.apply(mutation))
    }

    fn require(&self, requirement: &Requirement) -> Result<()> {
        self.with(|writer| writer.require(requirement))
    }
}
