//! A cohort: what one SQLite transaction commits, batches with perhaps a closure among them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use smallvec::SmallVec;

use super::open_revision::ClosedRevision;
use super::open_transaction::OpenTransaction;
use super::store_file::is_failed_sync;
use super::ticket::Ticket;
use super::writer::{Trouble, Writer};
use crate::data::{Error, Result};
use crate::engine::{Body, Committed, Interest, Outcome, Transact};

/// A list that allocates nothing for a single element, which is all it has where one thread writes.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// What one SQLite transaction commits.
pub(super) struct Cohort<'a, 'b> {
    pub batches_before: Few<Arc<Ticket>>,
    pub closure: Option<&'a mut Body<'b>>,
    pub batches_after: Few<Arc<Ticket>>,
}

impl Cohort<'_, '_> {
    pub fn is_empty(&self) -> bool {
        self.batches_before.is_empty() && self.closure.is_none() && self.batches_after.is_empty()
    }
}

/// The results of a cohort.
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
/// nothing was written.
pub(super) fn run_in(
    slot: &mut Option<Box<Writer>>,
    cohort: Cohort<'_, '_>,
    interest: Interest,
) -> Result<Results> {
    // Out of its slot, so that a closure's transaction can own it for a while.
    let mut writer = slot.take().ok_or(Error::Closed)?;
    let mut results =
        Results { batches: Few::new(), closure: None, panic: None, closed: Few::new(), soonest_ms: None };
    let outcome = match writer.begin(interest) {
        Err(error) => Err(error),
        Ok(()) => {
            let applied;
            (writer, applied) = apply(writer, cohort, &mut results, interest);
            results.soonest_ms = writer.transaction.soonest_ms;
            applied.and_then(|()| writer.commit())
        }
    };
    let result = outcome.map(|()| results).map_err(|error| {
        writer.rollback();
        if is_failed_sync(&error) {
            let location = writer.file.location.clone();
            let stopped = Error::WritesStopped { location, source: Arc::new(error) };
            writer.stopped = Some(stopped.clone());
            return stopped;
        }
        writer.file.failure(error)
    });
    *slot = Some(writer);
    result
}

fn apply(
    mut writer: Box<Writer>,
    cohort: Cohort<'_, '_>,
    results: &mut Results,
    interest: Interest,
) -> (Box<Writer>, rusqlite::Result<()>) {
    let mut applied = apply_batches(&mut writer, cohort.batches_before, results, interest);
    if let (Ok(()), Some(body)) = (&applied, cohort.closure) {
        (writer, applied) = apply_closure(writer, body, results, interest);
    }
    let applied = applied.and_then(|()| apply_batches(&mut writer, cohort.batches_after, results, interest));
    (writer, applied)
}

fn apply_batches(
    writer: &mut Writer,
    tickets: Few<Arc<Ticket>>,
    results: &mut Results,
    interest: Interest,
) -> rusqlite::Result<()> {
    for ticket in tickets {
        let Some(commit) = ticket.take_batch() else { continue };
        let result = match writer.batch(commit) {
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Refused(error)) => Err(error),
            Ok(outcomes) => Ok(outcomes),
        };
        let result = results.close_revision(writer, result, interest);
        results.batches.push((ticket, result));
    }
    Ok(())
}

fn apply_closure(
    mut writer: Box<Writer>,
    body: &mut Body<'_>,
    results: &mut Results,
    interest: Interest,
) -> (Box<Writer>, rusqlite::Result<()>) {
    let savepoint = match writer.savepoint() {
        Ok(savepoint) => savepoint,
        Err(error) => return (writer, Err(error)),
    };
    let transaction = Arc::new(OpenTransaction::new(writer));
    let ran = catch_unwind(AssertUnwindSafe(|| body(&(Arc::clone(&transaction) as Arc<dyn Transact>))));
    let (mut writer, failed) = transaction.finish();
    // A failure inside fails the whole SQLite transaction, even where the closure ignored it.
    if let Some(error) = failed {
        return (writer, Err(error));
    }
    let (result, undone) = match ran {
        Ok(Ok(())) => (Ok(Vec::new()), writer.release()),
        Ok(Err(error)) => (Err(error), writer.roll_back_to(savepoint)),
        Err(panic) => {
            results.panic = Some(panic);
            (Err(Error::Closed), writer.roll_back_to(savepoint))
        }
    };
    results.closure = Some(results.close_revision(&mut writer, result, interest));
    (writer, undone)
}

impl Results {
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
