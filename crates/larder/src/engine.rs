//! The narrow waist between larder's own rules and what keeps the entries.
//!
//! Above it nobody names SQLite or etcd; below it nobody knows of scopes, templates or watchers.
//! `tests/` is this contract as code, run against every engine.

mod answer;
mod changes;
mod commit;
#[cfg(feature = "etcd")]
pub(crate) mod etcd;
#[cfg(feature = "etcd")]
mod locked;
mod read;
mod settings;
mod shelf;
mod sink;
pub(crate) mod sqlite;
#[cfg(any(feature = "tokio", feature = "etcd"))]
mod task;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::answer::{Answer, Pending};
pub(crate) use self::changes::{Changes, Logged};
pub(crate) use self::commit::{Commit, Committed, CursorMove, Mutation, Outcome, Purged, Reply, Requirement};
pub(crate) use self::read::{Columns, Extent, Read, Scan};
pub(crate) use self::settings::Settings;
#[cfg(test)]
pub(crate) use self::sink::Unheard;
pub(crate) use self::sink::{Interest, Sink};
#[cfg(any(feature = "tokio", feature = "etcd"))]
pub(crate) use self::task::Task;
use crate::data::{CursorInfo, Error, Event, LogPosition, Result, Revision, Stats};

/// An engine that has opened a store.
pub(crate) struct Opened<E> {
    pub engine: E,
    /// What tells the store from every other: 32 hexadecimal digits, made with the store at random.
    pub identity: Arc<str>,
}

/// Keeps the entries.
///
/// - **Atomicity.** A [`Commit`] takes effect whole or not at all, and so does a transaction.
/// - **Isolation.** Commits and transactions are serializable, in the order of their revisions.
/// - **Durability.** What was answered is on disk, as far as the store's durability says so.
/// - **Ordering.** The [`Sink`] hears of commits in the order of their revisions, each once.
/// - **Errors.** `Conflict`, `QuotaExceeded`, `NotANumber` and `Overflow` refuse one commit and
///   leave others be. `Busy` and `Full` say that nothing was written and that it may be tried
///   again. After `WritesStopped` only opening anew helps.
pub(crate) trait Engine: Read {
    /// Holds the requirements against the store, applies the mutations in order, and logs what
    /// they changed under one revision.
    fn commit(&self, commit: Commit) -> Answer<Committed>;

    /// Runs a closure that reads and writes, and commits what it wrote; or, where it fails, leaves
    /// no trace of it. An engine may run it more than once, each time from a clean slate.
    fn transact(&self, body: &mut Body<'_>) -> Result<Committed>;

    /// Everything as it is at one moment, for as long as it is held.
    fn snapshot(&self) -> Answer<Arc<dyn Read>>;

    /// Changes from the log, in order: those after `after`, at most `max` of them; none where there
    /// are no later ones. `Error::Compacted` where the log has not all of them any more.
    fn changes(&self, after: LogPosition, max: usize) -> Answer<Changes>;

    /// The changes that the log still has of one key, oldest first, with those that deleted its whole group.
    /// An engine that can find them without reading the whole log does.
    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>> {
        Answer::ready(fold_history(self, group, key))
    }

    /// When the next stored entry expires, in Unix milliseconds; it may have already.
    fn next_expiry_ms(&self) -> Answer<Option<i64>>;

    /// Where the cursor of this name is; `None` where there is no such cursor.
    fn cursor(&self, name: &str) -> Answer<Option<LogPosition>>;

    /// The named cursors whose names start with `prefix`, sorted by name.
    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>>;

    /// Figures about the store.
    fn stats(&self) -> Answer<Stats>;

    /// Looks for damage: a line for each thing found.
    fn check(&self) -> Answer<Vec<String>>;

    /// Writes a copy of the whole store, of one moment, to a file that does not exist yet; `None` where the
    /// engine keeps no file that could be copied as it is.
    fn backup_to(&self, path: &Path) -> Option<Answer<()>>;

    /// Whether the sink is to hear at once of what others commit, who have the store open beside this
    /// one: see [`Sink::others_committed`]. From when this returns none goes unheard.
    fn listen(&self, on: bool) -> Result<()>;

    /// How old what a read shows may be now; `None` where nothing can be said, and nothing is shown that is not
    /// asked for anew.
    fn cache_age(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    /// Lets go of the store: nothing is called afterwards.
    fn close(&self) -> Result<()>;
}

/// What a transaction does.
pub(crate) type Body<'a> = dyn FnMut(&Arc<dyn Transact>) -> Result<()> + 'a;

/// A transaction, as its closure sees it: it reads its own writes. Once the closure has returned,
/// every call is `Error::TransactionOver`.
pub(crate) trait Transact: Read {
    /// Applies one mutation; a refused one leaves no trace.
    fn apply(&self, mutation: Mutation) -> Result<Outcome>;

    /// Holds a requirement against the state of the transaction.
    fn require(&self, requirement: &Requirement) -> Result<()>;
}

/// How many changes of the log are read at once.
const LOG_PAGE: usize = 512;

/// Reads the whole log for the changes of one key.
fn fold_history<E: Engine + ?Sized>(engine: &E, group: &str, key: &str) -> Result<Vec<Event>> {
    let mut found = Vec::new();
    let mut after = LogPosition::after(Revision(0));
    loop {
        let changes = match engine.changes(after, LOG_PAGE).wait() {
            Err(Error::Compacted { oldest }) => {
                after = LogPosition::after(oldest);
                continue;
            }
            changes => changes?,
        };
        if changes.logged.is_empty() {
            return Ok(found);
        }
        after = changes.next;
        let events = changes.logged.into_iter().map(|logged| logged.event);
        let of_key =
            events.filter(|event| event.group == group && event.key.as_ref().is_none_or(|name| name == key));
        found.extend(of_key.map(Arc::unwrap_or_clone));
    }
}
