//! The narrow waist between larder's own rules and what keeps the entries.
//!
//! Above it nobody names SQLite or etcd; below it nobody knows of scopes, templates or watchers.
//! `tests/` is this contract as code, run against every engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::entries::Entries;
use crate::found::Found;
use crate::{
    Condition, CursorInfo, Event, GroupInfo, NamespaceInfo, Quota, Result, Revision, Stats, Usage, Value,
};

#[cfg(feature = "etcd")]
pub(crate) mod etcd;
mod shelf;
pub(crate) mod sqlite;

/// What can be read of one moment, or of the moment of each call.
///
/// Every method leaves out what has expired by the clock when it is called, whether or not it is
/// still stored, and never writes. Each call by itself sees one moment; calls on a snapshot or in
/// a transaction all see the same one, the transaction's with its own writes.
pub(crate) trait Read: Send + Sync {
    /// What is stored under one key, if it is live.
    fn get(&self, group: &str, key: &str) -> Answer<Option<Found>>;

    /// The same, where this thread need not wait for anything: from memory, or as an answer that is on its
    /// way. `None` where it would have to.
    #[cfg(feature = "tokio")]
    fn get_unblocked(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>>;

    /// One bounded page of a group, sorted by key.
    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries>;

    /// How much there is in part of the store, at a cost that does not grow with it.
    fn usage(&self, extent: Extent<'_>) -> Answer<Usage>;

    /// The groups whose names start with `prefix`, sorted.
    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>>;

    /// The namespaces that hold something or have a quota, sorted; or only the one named.
    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>>;

    /// The latest commit.
    fn revision(&self) -> Answer<Revision>;
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

    /// The changes that the log still has of one key, oldest first.
    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>>;

    /// When the next stored entry expires, in Unix milliseconds; it may have already.
    fn next_expiry_ms(&self) -> Answer<Option<i64>>;

    /// The named cursors whose names start with `prefix`, sorted.
    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>>;

    /// What tells the store from every other.
    fn identity(&self) -> &Arc<str>;

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
    /// Applies one mutation; a refused one leaves no trace. What it did to how much: see
    /// [`Committed::outcomes`].
    fn apply(&self, mutation: Mutation) -> Result<i64>;

    /// Holds a requirement against the state of the transaction.
    fn require(&self, requirement: &Requirement) -> Result<()>;
}

/// Who is told of commits: the registry of watchers, and the expiry timer.
pub(crate) trait Sink: Send + Sync {
    /// How much of the next commit somebody wants to hear.
    fn interest(&self) -> Interest;

    /// A commit has happened, and none between `previous` and this one. Called in the order of revisions,
    /// each once, by whoever leads the commit, so it must not wait for anybody. Without events, they are in
    /// the change log.
    fn publish(&self, previous: Revision, revision: Revision, events: Option<&[Arc<Event>]>);

    /// Something was committed that expires at `at_ms`, in Unix milliseconds, and nothing with it that does
    /// so sooner. Called as `publish` is.
    fn will_expire(&self, at_ms: i64);

    /// Somebody else has committed, or may have. What it was is in the change log. Called from a thread
    /// of the engine's, beside `publish`.
    fn others_committed(&self);
}

/// See [`Sink::interest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nobody listens; the events need not be made.
    None,
    /// Watchers listen. They can read a commit with very many events from the log instead.
    Some,
    /// Callbacks listen, and must be given every event.
    Every,
}

/// A place in the change log: between two changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogPosition {
    pub revision: Revision,
    /// After this change of the revision, counted from 0; `u64::MAX` is after all of them.
    pub step: u64,
}

impl LogPosition {
    /// The place after all changes of a revision.
    pub fn after(revision: Revision) -> Self {
        Self { revision, step: u64::MAX }
    }
}

/// A change in its place.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Which change of its revision it is, counted from 0.
    pub step: u64,
    pub event: Arc<Event>,
}

/// Some changes from the log, and the place after them. Where the last of them is the last of its
/// revision, that place is [`LogPosition::after`] the revision, which stays good when all up to it is
/// pruned.
#[derive(Debug)]
pub(crate) struct Changes {
    pub logged: Vec<Logged>,
    pub next: LogPosition,
}

/// A page of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub group: &'a str,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// How many entries to leave out at the beginning.
    pub offset: u64,
    /// The most entries to return.
    pub limit: usize,
    /// Once so many bytes are there, the page is full.
    pub bytes_max: usize,
    pub columns: Columns,
}

/// Which parts of entries a [`Scan`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Keys alone: no value is read.
    Keys,
    /// Keys and values.
    Values,
    /// Keys, values, revisions and expiries.
    All,
}

/// A part of the store that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent<'a> {
    Group(&'a str),
    /// The groups whose names start so.
    Prefix(&'a str),
}

/// Conditions and mutations that take effect together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub requirements: Vec<Requirement>,
    pub mutations: Vec<Mutation>,
    /// Whether nobody is told the revision, and can make a condition of it: so that any number of such commits
    /// may have one revision.
    #[cfg_attr(
        not(feature = "etcd"),
        expect(dead_code, reason = "with SQLite each has its own in any case")
    )]
    pub is_told_none: bool,
}

impl From<Mutation> for Commit {
    /// What a call of its own changes. It tells its caller no revision where it counts or touches.
    fn from(mutation: Mutation) -> Self {
        let is_told_none = matches!(mutation, Mutation::Increment { .. } | Mutation::Touch { .. });
        Self { is_told_none, ..vec![mutation].into() }
    }
}

impl From<Vec<Mutation>> for Commit {
    fn from(mutations: Vec<Mutation>) -> Self {
        Self { mutations, ..Self::default() }
    }
}

/// A condition on one entry.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub group: String,
    pub key: String,
    pub condition: Condition,
}

/// One thing to change. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Set {
        group: String,
        key: String,
        value: Value,
        expires_at_ms: Option<i64>,
    },
    /// A new expiry for an entry that is there.
    Touch {
        group: String,
        key: String,
        expires_at_ms: Option<i64>,
    },
    Increment {
        group: String,
        key: String,
        by: i64,
    },
    Delete {
        group: String,
        key: String,
    },
    DeleteGroup {
        group: String,
    },
    /// Every group whose name starts so.
    DeletePrefix {
        prefix: String,
    },
    /// Removes what has expired in the groups that start so, `max` entries at the most.
    Purge {
        prefix: String,
        max: usize,
    },
    /// Not a change of any entry: it has no revision and no event.
    SetQuota {
        namespace: String,
        quota: Quota,
    },
    /// Neither is this.
    MoveCursor {
        name: String,
        to: CursorMove,
    },
}

/// What becomes of a named cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorMove {
    /// It begins at a place, or else after the latest commit, unless it is there already.
    Begin(Option<LogPosition>),
    /// It comes to a place in the change log, unless it is there or beyond; `Error::NoCursor` where it does
    /// not exist.
    Acknowledge(LogPosition),
    /// It comes to a place, wherever it was.
    Seek(LogPosition),
    /// It is no more.
    Forget,
}

impl Mutation {
    /// The one entry that it is about, if it is about one.
    pub fn entry(&self) -> Option<(&str, &str)> {
        match self {
            Self::Set { group, key, .. }
            | Self::Touch { group, key, .. }
            | Self::Increment { group, key, .. }
            | Self::Delete { group, key } => Some((group, key)),
            Self::DeleteGroup { .. }
            | Self::DeletePrefix { .. }
            | Self::Purge { .. }
            | Self::SetQuota { .. }
            | Self::MoveCursor { .. } => None,
        }
    }
}

/// What became of a [`Commit`].
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// The commit's own revision; where it changed nothing, that of the store.
    pub revision: Revision,
    /// For each mutation how many entries it set, deleted or purged; for an increment, the sum.
    pub outcomes: Vec<i64>,
    /// What changed, where the sink was interested. Empty where nothing changed.
    pub events: Vec<Arc<Event>>,
}
