//! A cohort: what one SQLite transaction commits, batches with perhaps a closure among them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::intake::{Few, Intake, Joined};
use super::open_revision::ClosedRevision;
use super::open_transaction::OpenTransaction;
use super::raw_file::system_error;
use super::store_file::is_failed_sync;
use super::system_limits::refused_write;
use super::ticket::Ticket;
use super::writer::{Trouble, Uncommitted, Writer};
use super::writer_slot::Lease;
use crate::data::{Error, Result, caught};
use crate::engine::{Body, Committed, Interest, Outcome, Transact};

/// The results of a cohort.
#[derive(Default)]
pub(super) struct Results {
    pub batches: Few<(Arc<Ticket>, Result<Committed>)>,
    pub closure: Option<Result<Committed>>,
    /// A closure's panic, which continues in its own caller.
    pub panic: Option<Box<dyn Any + Send>>,
    pub closed: Few<ClosedRevision>,
    /// The soonest expiry that was set, in Unix milliseconds.
    pub soonest_ms: Option<i64>,
}

/// Runs a cohort in one SQLite transaction. An error is the result of every batch in it, and
/// nothing was written, unless the error says that this is unknown.
pub(super) fn run_in(lease: &mut Lease<'_>, intake: &mut Intake<'_, '_, '_>) -> Result<Results> {
    if let Some(stopped) = lease.writer.as_ref().and_then(|writer| writer.stopped.clone()) {
        return Err(stopped);
    }
    let mut results = Results::default();
    let outcome = caught("the thread that commits", || commit(lease, intake, &mut results));
    if lease.slot.is_forked() {
        results.closure = Some(Err(Error::ForkedProcess));
        return Ok(results);
    }
    let Some(writer) = &mut lease.writer else { return Err(Error::Closed) };
    let outcome = outcome.inspect_err(|_| writer.rollback())?;
    outcome.map(|()| results).map_err(|failed| failure_of(writer, failed))
}

/// Rolls back a failed commit, and returns what it means to the callers whose writes were in it.
pub(super) fn failure_of(writer: &mut Writer, failed: Uncommitted) -> Error {
    let system = system_error(&writer.connection);
    writer.rollback();
    let (error, may_be_there) = match failed {
        Uncommitted::Failed { error, may_be_there } => (error, may_be_there),
        Uncommitted::Stopped(error) => return error,
    };
    let stops = is_failed_sync(&error);
    if !stops && !may_be_there {
        let is_of_files = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        let refused = system.filter(|_| is_of_files);
        let refused = refused.and_then(|system| refused_write(&writer.file.location, system));
        return refused.unwrap_or_else(|| writer.file.failure(error));
    }
    let (location, source) = (writer.file.location.clone(), Arc::new(error));
    let stopped =
        Error::WritesStopped { location: location.clone(), source: Arc::<rusqlite::Error>::clone(&source) };
    if stops {
        writer.stopped = Some(stopped.clone());
    }
    if !may_be_there {
        return stopped;
    }
    let reason = "the disk failed when the write was in the log already".into();
    Error::Unknown { location, waited: Duration::ZERO, reason, source: Some(source) }
}

fn commit(
    lease: &mut Lease<'_>,
    intake: &mut Intake<'_, '_, '_>,
    results: &mut Results,
) -> Result<(), Uncommitted> {
    let interest = intake.interest;
    lease.writer()?.begin(interest)?;
    // What arrives while the transaction is open may join it.
    while let Some(joined) = intake.next() {
        match joined {
            Joined::Batch(ticket) => {
                let (logged, closed) = (lease.writer()?.transaction.logged_bytes, results.closed.len());
                apply_batch(lease, Arc::clone(&ticket), results, interest)?;
                let logged = lease.writer()?.transaction.logged_bytes - logged;
                let closed = results.closed.get(closed).and_then(|closed| closed.events.as_deref());
                intake.weigh(ticket.share, logged, closed.unwrap_or_default());
            }
            Joined::Closure(body) => apply_closure(lease, body, results, interest)?,
        }
    }
    let writer = lease.writer()?;
    results.soonest_ms = writer.transaction.soonest_ms;
    writer.commit()?;
    writer.divide_log();
    Ok(())
}

fn apply_batch(
    lease: &mut Lease<'_>,
    ticket: Arc<Ticket>,
    results: &mut Results,
    interest: Interest,
) -> rusqlite::Result<()> {
    let writer = lease.writer()?;
    let Some(commit) = ticket.take_batch() else { return Ok(()) };
    let result = match writer.batch(commit) {
        Err(Trouble::Failed(error)) => return Err(error),
        Err(Trouble::Refused(error)) => Err(error),
        Ok(outcomes) => Ok(outcomes),
    };
    let result = results.close_revision(writer, result, interest);
    results.batches.push((ticket, result));
    Ok(())
}

fn apply_closure(
    lease: &mut Lease<'_>,
    body: &mut Body<'_>,
    results: &mut Results,
    interest: Interest,
) -> rusqlite::Result<()> {
    lease.writer()?.transaction.has_closure = true;
    let savepoint = lease.writer()?.savepoint()?;
    let Some(writer) = lease.writer.take() else { return Ok(()) };
    let transaction = Arc::new(OpenTransaction::new(writer));
    let ran = catch_unwind(AssertUnwindSafe(|| body(&(Arc::clone(&transaction) as Arc<dyn Transact>))));
    if lease.slot.is_forked() {
        // Another thread of the parent may have been inside SQLite, which has locks of its own. So nothing is rolled
        // back here, and the connection is never closed.
        std::mem::forget(transaction);
        results.panic = ran.err();
        return Err(rusqlite::Error::InvalidQuery);
    }
    let (writer, failed) = transaction.finish();
    let writer = &mut **lease.writer.insert(writer);
    // A failure inside fails the whole SQLite transaction, even where the closure ignored it.
    if let Some(error) = failed {
        return Err(error);
    }
    let (result, undone) = match ran {
        Ok(Ok(())) => (Ok(Vec::new()), writer.release()),
        Ok(Err(error)) => (Err(error), writer.roll_back_to(savepoint)),
        Err(panic) => {
            results.panic = Some(panic);
            (Err(Error::Closed), writer.roll_back_to(savepoint))
        }
    };
    results.closure = Some(results.close_revision(writer, result, interest));
    undone
}

impl Results {
    /// The results of a cohort that failed as a whole.
    pub fn failed(intake: Intake<'_, '_, '_>, error: &Error) -> Self {
        let (batches, has_closure) = intake.into_taken();
        Self {
            closure: has_closure.then(|| Err(error.clone())),
            batches: batches.into_iter().map(|ticket| (ticket, Err(error.clone()))).collect(),
            ..Self::default()
        }
    }

    /// Closes the revision of what was just applied, and completes its result.
    fn close_revision(
        &mut self,
        writer: &mut Writer,
        result: Result<Vec<Outcome>>,
        interest: Interest,
    ) -> Result<Committed> {
        let closed = writer.close_revision();
        let events = match (&closed, interest) {
            (Some(ClosedRevision { events: Some(events), .. }), Interest::Every) => events.clone(),
            _ => Vec::new(),
        };
        self.closed.extend(closed);
        result.map(|outcomes| Committed { revision: writer.last_revision(), outcomes, events })
    }
}
