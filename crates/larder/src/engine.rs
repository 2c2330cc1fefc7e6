//! The contract between larder's own rules and what keeps the entries.
//!
//! Code above it never names SQLite or etcd. Code below it knows nothing of scopes, templates or watchers.
//! The tests in `tests/` are this contract as code; they run on every engine.
//!
//! # Writing an engine
//! An engine is a type that implements [`Engine`], and with it [`Read`]; a type for snapshots that implements
//! [`Read`]; and a type for open transactions that implements [`Transact`]. It opens with [`Settings`] and a
//! [`Sink`], and returns [`Opened`]. The rest of this page says what it must keep.
//!
//! **Names.** A group and a key are any UTF-8 text of at most 64 KiB, also empty, also with NUL. Names are
//! compared and sorted by their bytes. A prefix is literal text; the empty prefix matches every name. A group
//! belongs to a namespace by its name: see [`namespace`](crate::data::namespace). Limits were checked before
//! the engine is called; an engine may refuse more with `Error::TooMuchAtOnce`.
//!
//! **Expiry.** An entry is live while [`is_live`](crate::rules::is_live) says so, by the clock in the settings.
//! An expired entry may still be stored, but no read, condition, count or quota sees it. Only a write of its
//! key or [`Mutation::Purge`] removes it, and each removal logs one `Expire` event.
//!
//! **Rules.** What a mutation does and whether it is allowed is decided by [`rules`](crate::rules): an engine
//! reads what a rule asks for, calls it, and stores what it returns.
//!
//! **Revisions.** The first commit is 1. Each later commit has a greater one; a store in one file adds exactly 1.
//! All changes of a commit share its revision, and each has a step in it, counted from 0 in the order of the
//! mutations. A commit that changes no entry has no revision: it returns the latest, and logs nothing. Quotas,
//! cursors and notes are not entries.
//!
//! **The log.** Each change is logged in its commit. The log is made of histories, of which each may be pruned from
//! its old end; the changes of the latest commit stay, unless they are too old. What a reader may have lost then is
//! decided by [`rules`](crate::rules).
//!
//! **Errors.** `Conflict`, `QuotaExceeded`, `NotANumber`, `Overflow`, `NoCursor`, `TooManyHistories`, `Unsupported` and
//! `TooMuchAtOnce` refuse one commit, which has then changed nothing, and do not affect others. `Busy`, `Full`, `Contended` and
//! `Unreachable` mean that nothing was written and that the call may be repeated. `Unknown` means that a write
//! may have happened, or may be there after a crash. After `WritesStopped` only a new opening helps. `Damaged` names what was found. Every call
//! after [`Engine::close`] fails with `Closed`.

mod answer;
mod changes;
mod clock_hand;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod closed_in_child;
mod commit;
mod dump;
mod duty;
#[cfg(feature = "etcd")]
pub(crate) mod etcd;
mod exchange;
mod fork;
pub(crate) mod memory;
mod new_file;
mod notes;
mod party;
pub(crate) mod planted;
mod read;
pub(crate) mod sabotage;
mod settings;
mod shelf;
mod sink;
pub(crate) mod sqlite;
#[cfg(any(feature = "tokio", feature = "etcd"))]
mod task;
mod turns;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::answer::{Answer, Pending};
pub(crate) use self::changes::{Changes, LogRead, Logged, StoredCursor};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use self::closed_in_child::ClosedInChild;
pub(crate) use self::commit::{
    Commit, Committed, CursorMove, Mutation, Outcome, Purged, Reply, Requirement, Room,
};
pub(crate) use self::dump::{Dump, DumpedCursor, DumpedHistory, WriteFile};
pub(crate) use self::duty::Duty;
pub(crate) use self::fork::{OpenIn, Process};
pub(crate) use self::new_file::{NewFile, unfinished_by_ended_processes};
pub(crate) use self::notes::{FORMER_NOTES, is_former_note};
pub(crate) use self::party::{MUTATION_WEIGHT, Party, Share};
pub(crate) use self::read::{Columns, Extent, Read, Scan};
pub(crate) use self::settings::Settings;
#[cfg(test)]
pub(crate) use self::sink::Unheard;
pub(crate) use self::sink::{Interest, Sink};
#[cfg(any(feature = "tokio", feature = "etcd"))]
pub(crate) use self::task::Task;
pub(crate) use self::turns::{Turn, Turns};
use crate::data::{
    CursorInfo, Error, Event, Finding, Health, HistoryInfo, LogPosition, Pattern, Repair, Repaired, Result,
    Revision, Stats,
};

/// An engine that has opened a store.
pub(crate) struct Opened<E> {
    pub engine: E,
    /// What tells the store from every other: 32 hexadecimal digits, made with the store at random.
    pub identity: Arc<str>,
    /// A commit up to which the store had got when it was opened; 0 where that is not known.
    pub revision: Revision,
}

/// Keeps the entries of a store.
///
/// - **Atomicity.** A [`Commit`] takes effect as a whole or not at all. So does a transaction.
/// - **Isolation.** Commits and transactions are serializable, in the order of their revisions.
/// - **Durability.** An answered write is on the disk, as far as the durability in the settings asks for it.
/// - **Ordering.** The [`Sink`] receives commits in the order of their revisions, each once, and those of this
///   process before their callers are answered.
/// - **Turns.** Where writes wait for each other, the [parties](Party) have their turns, so that the backlog of one does
///   not hold up the others. Those of one party are made in their order.
/// - **Threads.** Every method may be called from any thread at any time.
pub(crate) trait Engine: Read {
    /// Checks the requirements against the state before the commit, applies the mutations in order, and logs
    /// what they changed under one revision.
    ///
    /// A mutation sees what the mutations before it did. The quota of a namespace is held against the usage
    /// after the last mutation: a commit of one mutation and one of several are admitted alike.
    ///
    /// If the answer is dropped before it is there, the commit happens as a whole or not at all.
    fn commit(&self, commit: Commit) -> Answer<Committed>;

    /// Runs a closure that reads and writes, and commits what it wrote. Returns the closure's error, and has
    /// then changed nothing. A panic of the closure continues in the caller, and has changed nothing either.
    ///
    /// An engine may run the closure several times, each time on an unchanged store; the last run counts. A
    /// quota is held against each mutation as it is made. The outcomes are empty. It waits for the turns of `party`.
    fn transact(&self, party: Party, body: &mut Body<'_>) -> Result<Committed>;

    /// A view of one moment, which stays readable while it is held.
    fn snapshot(&self) -> Answer<Arc<dyn Read>>;

    /// Reads the log: the next changes, in order. Empty where there are no later ones.
    ///
    /// # Errors
    /// `Compacted` where the log may lack changes that the reader asks for and was not told of: see
    /// [`rules::readings`](crate::rules). It names the revision up to which they may be missing. A reader that knows
    /// that asks again with `told`, and gets what there is.
    fn changes(&self, wanted: LogRead<'_>) -> Answer<Changes>;

    /// The logged changes of one key, oldest first, and the deletions of its whole group. An engine that finds
    /// them without reading the whole log overrides this.
    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>> {
        Answer::ready(fold_history(self, group, key))
    }

    /// When [`Mutation::Purge`] is due next, in Unix milliseconds, which may be in the past. `None` where
    /// nothing stored expires.
    fn next_expiry_ms(&self) -> Answer<Option<i64>>;

    /// What is remembered of the cursor of this name; `None` where there is none.
    fn cursor(&self, name: &str) -> Answer<Option<StoredCursor>>;

    /// Whether the store was restored from a backup, or its file copied, since the cursor of this name was last moved.
    fn is_untold(&self, _cursor: &str) -> Answer<bool> {
        Answer::ready(Ok(false))
    }

    /// The cursors whose names start with `prefix`, sorted by name.
    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>>;

    /// The notes whose names start with `prefix`, sorted by name, with what each says. Only
    /// [`Mutation::SetNote`] writes them.
    fn notes(&self, prefix: &str) -> Answer<Vec<(String, String)>>;

    /// The histories whose prefixes start with `prefix`, sorted by prefix. Empty where the engine keeps only one that
    /// cannot be set.
    fn histories(&self, prefix: &str) -> Answer<Vec<HistoryInfo>>;

    /// Figures about the store.
    fn stats(&self) -> Answer<Stats>;

    /// Looks for damage, all at one moment. It recounts tallies and checks every index that the engine keeps.
    fn check(&self) -> Answer<Vec<Finding>>;

    /// Corrects what [`check`](Self::check) finds, as far as `repair` [covers](Repair::covers) it. No entry changes.
    fn repair(&self, repair: Repair) -> Answer<Repaired>;

    /// Gives the system back the space that the store does not need, and returns how many bytes that is.
    ///
    /// # Errors
    /// `Unsupported` where that is not for a client of the store to do.
    fn compact(&self) -> Answer<u64>;

    /// Writes a copy of the whole store, of one moment, into a new file. `None` where the engine keeps no file; the
    /// caller copies the entries then.
    fn backup_into(&self, new: &NewFile) -> Option<Answer<()>>;

    /// Gives the store another identity, since what it is stored in was restored from outside, and tells the sinks
    /// of all clients: see [`Sink::restored`]. An engine that is restored by itself has nothing to do.
    fn note_restored(&self) -> Answer<()> {
        Answer::ready(Ok(()))
    }

    /// Turns on or off whether the sink learns of the commits of other processes: see
    /// [`Sink::others_committed`]. Once this returns with `on`, none is missed.
    fn listen(&self, on: bool) -> Result<()>;

    /// How this process stands to what the store is in. It never waits.
    fn health(&self) -> Health {
        Health::default()
    }

    /// How old the result of a single read may be now. Zero where every read sees what was written before it
    /// began. `None` where the age is unknown; reads are then not answered from memory.
    fn cache_age(&self) -> Option<Duration>;

    /// Releases everything. The sink is not called afterwards.
    fn close(&self) -> Result<()>;
}

/// The closure of a transaction.
pub(crate) type Body<'a> = dyn FnMut(&Arc<dyn Transact>) -> Result<()> + 'a;

/// A transaction as its closure sees it. Reads see the writes of the transaction. Once the closure has
/// returned, every call fails with `Error::TransactionOver`.
pub(crate) trait Transact: Read {
    /// Applies one mutation. A refused one changes nothing, and the transaction goes on.
    fn apply(&self, mutation: Mutation) -> Result<Outcome>;

    /// Checks a requirement against the state of the transaction.
    ///
    /// # Errors
    /// `Conflict` where the condition does not hold.
    fn require(&self, requirement: &Requirement) -> Result<()>;
}

/// How many changes of the log are read at once.
const LOG_PAGE: usize = 512;

/// Reads the whole log for the changes of one key.
fn fold_history<E: Engine + ?Sized>(engine: &E, group: &str, key: &str) -> Result<Vec<Event>> {
    let mut found = Vec::new();
    let pattern = Pattern::group(group);
    let mut wanted = LogRead::after(LogPosition::after(Revision(0)), LOG_PAGE, &pattern);
    loop {
        let changes = match engine.changes(wanted).wait() {
            Err(Error::Compacted { oldest }) => {
                wanted.told = LogPosition::after(oldest);
                continue;
            }
            changes => changes?,
        };
        if changes.logged.is_empty() {
            return Ok(found);
        }
        wanted.after = changes.next;
        let events = changes.logged.into_iter().map(|logged| logged.event);
        let of_key =
            events.filter(|event| event.group == group && event.key.as_ref().is_none_or(|name| name == key));
        found.extend(of_key.map(Arc::unwrap_or_clone));
    }
}
