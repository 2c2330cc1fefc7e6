//! Everything that can go wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::parse::ParseError;
use super::quota::Resource;
use super::revision::Revision;

/// What every fallible call of larder returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error, where something below larder gave one.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong. The message says what was asked, what went wrong and what to
/// do; [`source`](std::error::Error::source) keeps the cause.
///
/// An error is cheap to clone: a commit that fails gives the same one to every caller whose
/// write was in it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store was closed.
    #[error("the store is closed; open it again")]
    Closed,

    /// An [`AsyncStore`](crate::AsyncStore) was used where there is no Tokio runtime, or none any more.
    #[cfg(feature = "tokio")]
    #[error(
        "there is no Tokio runtime here for an AsyncStore to use; call it from inside of one, or use Store"
    )]
    NoRuntime,

    /// The store was called from inside the closure of its own transaction.
    #[error(
        "the store was called from inside its own transaction; use the transaction that the closure is given"
    )]
    Nested,

    /// A transaction, or something read from it, was used after its closure had returned.
    #[error("the transaction is over; use what belongs to it inside its closure only")]
    TransactionOver,

    /// `on_change` callbacks that write set each other off without end.
    #[error(
        "change callbacks have set each other off {depth} times in a row; let a callback not write what it listens to"
    )]
    CallbackLoop {
        /// How many callbacks deep the refused write was.
        depth: usize,
    },

    /// A write to a store that was opened read-only.
    #[error("the store {location} was opened read-only; open it without read_only to write")]
    ReadOnly {
        /// Which store.
        location: String,
    },

    /// The write lock did not come free within `timeout`.
    #[error(
        "{} has held the lock of the store {location} for more than {waited:?}; end it (or see what it does) and try again, or raise timeout",
        who(holder)
    )]
    Busy {
        /// Which store.
        location: String,
        /// How long the call waited.
        waited: Duration,
        /// The process that holds the lock, where the system tells.
        holder: Option<u32>,
    },

    /// A condition of the write was not met; nothing was written.
    #[error("the entry {group:?} {key:?} {}; read it again and decide anew", mismatch(expected, actual))]
    Conflict {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
        /// What the write required.
        expected: Condition,
        /// The entry's revision, or `None` where there is no such entry.
        actual: Option<Revision>,
    },

    /// The write would take a namespace over its quota; nothing was written.
    #[error(
        "quota exceeded: namespace {namespace:?} may hold {limit} {resource} and this write would make it {wanted}; delete some or raise the quota"
    )]
    QuotaExceeded {
        /// The namespace whose quota it is.
        namespace: String,
        /// What there would be too much of.
        resource: Resource,
        /// How much the namespace may hold.
        limit: u64,
        /// How much it would hold after the write.
        wanted: u64,
    },

    /// A namespace has other characters than letters, digits and hyphens, or none.
    #[error("{namespace:?} cannot be a namespace; use one or more of the characters a-z, A-Z, 0-9 and -")]
    InvalidNamespace {
        /// What was given.
        namespace: String,
    },

    /// A time to live of zero.
    #[error("a TTL must be longer than zero; delete the entry, or give it at least a millisecond")]
    InvalidTtl,

    /// A group, key, value or template is larger than the store takes; nothing was written.
    #[error("the {what} has {size} bytes and may have {limit}; shorten it{}", hint(what, *limit))]
    TooLarge {
        /// `group`, `key`, `value` or `template`.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The most that it may have.
        limit: u64,
    },

    /// An increment of an entry that holds no whole number; nothing was written.
    #[error(
        "the entry {group:?} {key:?} holds no whole number from -2^63 to 2^63-1, so it cannot be incremented; set it to one first"
    )]
    NotANumber {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
    },

    /// An increment would leave the range of 64-bit integers; nothing was written.
    #[error(
        "incrementing the entry {group:?} {key:?} from {from} by {by} leaves the range of a 64-bit integer"
    )]
    Overflow {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
        /// The number that the entry holds.
        from: i64,
        /// What was to be added.
        by: i64,
    },

    /// A value is not what the caller wants to read it as.
    #[error("the value cannot be read as {wanted}: {reason}")]
    Unreadable {
        /// The type that was wanted.
        wanted: &'static str,
        /// Why it is none.
        reason: String,
    },

    /// A value cannot be written as JSON.
    #[error("the value cannot be written as JSON: {source}")]
    Unwritable {
        /// What the serializer said.
        source: Arc<serde_json::Error>,
    },

    /// A template has a mistake, or did something that it may not.
    #[error("the template fails{}: {reason}", at_line(line))]
    Template {
        /// The line of the template, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },

    /// The change log no longer reaches back to the revision that was asked for.
    #[error(
        "the change log reaches back to revision {oldest} only; read the store as it is and watch from there, or keep more history"
    )]
    Compacted {
        /// The oldest revision from which a watch can still start.
        oldest: Revision,
    },

    /// A watch was to begin after a revision that the store has not reached.
    #[error(
        "revision {asked} is in the future: the store is at {latest}; watch from a revision that this store gave out"
    )]
    FutureRevision {
        /// The revision that was given.
        asked: Revision,
        /// The latest of the store.
        latest: Revision,
    },

    /// A cursor's name has other characters than letters, digits, `.`, `_` and `-`, or none, or too many.
    #[error("{name:?} cannot be a cursor's name; use 1 to 128 of the characters a-z, A-Z, 0-9, . _ and -")]
    InvalidCursor {
        /// What was given, as far as a name may go.
        name: String,
    },

    /// An event was acknowledged on a cursor that was deleted meanwhile.
    #[error("there is no cursor {name:?} any more; open it again to begin anew")]
    NoCursor {
        /// The cursor.
        name: String,
    },

    /// An event was acknowledged that the cursor has not given.
    #[error("this cursor has not delivered the event of revision {revision}; acknowledge what it delivered")]
    NotReceived {
        /// The event's.
        revision: Revision,
    },

    /// A text that is no [`ResumeToken`](crate::ResumeToken).
    #[error("{token:?} is no resume token; it looks like 0123456789abcdef0123456789abcdef@42")]
    InvalidToken {
        /// What was given.
        token: String,
    },

    /// A [`ResumeToken`](crate::ResumeToken) of another store.
    #[error(
        "the resume token is of the store {named}, and this is {this}; open that one, or read this one as it is and watch from there"
    )]
    OtherStore {
        /// The identity that the token names.
        named: String,
        /// That of this store.
        this: String,
    },

    /// A location that names no kind of store that this build knows, or a file with a certificate or key
    /// that cannot be used.
    #[error("cannot open {location:?}: {reason}")]
    InvalidLocation {
        /// What was given.
        location: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },

    /// There is no store at the path, and none could be made there.
    #[error("there is no store at {}: {reason}", path.display())]
    NotFound {
        /// The path that was given.
        path: PathBuf,
        /// What is missing, and what to do.
        reason: String,
    },

    /// The file or its folder may not be read or written.
    #[error("the system does not let this process use {}: {reason}", path.display())]
    Denied {
        /// The path that was given.
        path: PathBuf,
        /// What is not allowed, and what to do.
        reason: String,
    },

    /// The file has several names (hard links). SQLite keeps the latest writes in a log beside the name that a
    /// file was opened by, so that they would be seen by that name alone, and lost by the other.
    #[error("{} is one of {names} names of the same file (hard links), and each would keep its own latest writes; remove the others, or open a copy", path.display())]
    SeveralNames {
        /// The path that was given.
        path: PathBuf,
        /// How many names the file has.
        names: u64,
    },

    /// The file is no SQLite database.
    #[error("{} is not a SQLite database, so it is no larder store; it was left as it is", path.display())]
    NotADatabase {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file is a SQLite database of some other program.
    #[error("{} is the database of another program, not a store of larder or go-store; it was left as it is", path.display())]
    ForeignDatabase {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file was written by a later larder.
    #[error("{} has schema version {version} and this larder reads versions up to {supported}; it was left as it is, open it with a newer larder", path.display())]
    NewerVersion {
        /// The path that was given.
        path: PathBuf,
        /// The version of the file.
        version: i64,
        /// The latest version that this larder reads.
        supported: i64,
    },

    /// A go-store file could not become a larder file; it is as it was.
    #[error("the go-store file {} was left as it is: {reason}", path.display())]
    Migration {
        /// The path that was given.
        path: PathBuf,
        /// What stood in the way, and what to do.
        reason: String,
    },

    /// An entry that the target of a copy does not take.
    #[error("the entry {group:?} {key:?} cannot be copied: {source}")]
    Uncopied {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
        /// What stands in the way.
        source: Box<Error>,
    },

    /// A copy cannot go on where it stopped: it is not known any more what its source has deleted since.
    #[error(
        "the copy has followed its source up to revision {left}, and the source's change log reaches back to {oldest} only, so nobody knows what was deleted in between; copy exactly, which deletes from the target whatever the source does not hold, or empty the target and begin again"
    )]
    CopyTooOld {
        /// The revision of the source up to which the target has followed it.
        left: Revision,
        /// The oldest revision from which the source's change log is still there.
        oldest: Revision,
    },

    /// A store was to follow its own changes.
    #[error(
        "the store cannot be copied into itself and follow what changes there: every copy is a change; name another target, or do not follow"
    )]
    FollowsItself,

    /// A backup was to go where there is a file already.
    #[error("{} exists and was left as it is; choose another name or remove it first", path.display())]
    AlreadyExists {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file of a backup could not be written, and none was left behind. The store itself is well.
    #[error("the backup {} could not be written: {source}; see to it that there is room for it and the disk is sound", path.display())]
    BackupFailed {
        /// The path that was given.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },

    /// What is stored makes no sense: the file is damaged.
    #[error("the store {location} is damaged: {detail}; restore a backup, or see what `larder check` finds")]
    Damaged {
        /// Which store.
        location: String,
        /// What was found.
        detail: String,
    },

    /// The disk, or what this process may write on it, is full, or the database of the cluster; nothing was
    /// written.
    #[error(
        "there is no room to write to the store {location}; nothing was written, {} and try again",
        how_to_make_room(location)
    )]
    Full {
        /// Which store.
        location: String,
        /// What the system said.
        source: Cause,
    },

    /// An earlier commit failed in a way that leaves unknown what is on the disk.
    #[error(
        "the store {location} takes no more writes since its disk failed to confirm one ({source}); close it and open it again"
    )]
    WritesStopped {
        /// Which store.
        location: String,
        /// What the failed commit said.
        source: Cause,
    },

    /// No member of the cluster answered in time; what was asked for has not happened.
    #[error(
        "no member of the cluster has answered within {waited:?} (tried {endpoints}): {reason}; see whether most of its members run and can be reached, and try again"
    )]
    Unreachable {
        /// Which store.
        location: String,
        /// The endpoints that were tried.
        endpoints: String,
        /// How long the call waited.
        waited: Duration,
        /// What the last of them said.
        reason: String,
    },

    /// The cluster did not say whether a write has happened.
    #[error(
        "it is unknown whether the write to the store {location} has happened, or still will: its answer was lost ({reason}) and the cluster could not be asked within {waited:?}; read what it was to change before trying again"
    )]
    Unknown {
        /// Which store.
        location: String,
        /// How long the call waited.
        waited: Duration,
        /// How the answer was lost.
        reason: String,
    },

    /// Other writers were faster again and again; nothing was written.
    #[error(
        "other writers to the store {location} were faster {attempts} times in {waited:?}; nothing was written, try again, or let fewer write the same keys at once"
    )]
    Contended {
        /// Which store.
        location: String,
        /// How often it was tried.
        attempts: u32,
        /// How long the call tried.
        waited: Duration,
    },

    /// A batch or transaction needs more than the engine can do at once; nothing was written.
    #[error(
        "the write needs {wanted} {what} at once, and the store {location} takes {limit}; write it in several smaller ones"
    )]
    TooMuchAtOnce {
        /// Which store.
        location: String,
        /// `operations`, `conditions` or `bytes`.
        what: &'static str,
        /// How many it needs.
        wanted: u64,
        /// How many it may have.
        limit: u64,
    },

    /// The cluster does not know the user, or does not let it do this.
    #[error("the cluster does not let this client use the store {location}: {reason}")]
    Unauthorized {
        /// Which store.
        location: String,
        /// What the cluster said, and what to do.
        reason: String,
    },

    /// Client and cluster do not trust each other's certificates.
    #[error("there is no trust between this client and the cluster of the store {location}: {reason}")]
    Untrusted {
        /// Which store.
        location: String,
        /// What TLS said, and what to do.
        reason: String,
    },

    /// Something answers at an endpoint that is no etcd.
    #[error(
        "{endpoint} is not the client port of an etcd member: {reason}; check host and port, and whether it wants TLS (?ca=FILE) or has none"
    )]
    NotEtcd {
        /// The endpoint.
        endpoint: String,
        /// What it did.
        reason: String,
    },

    /// There are keys in the cluster that are not larder's where the store would lie.
    #[error(
        "the keys of the cluster under {prefix:?} are not those of a larder store ({key:?} is one); they were left as they are, choose another name"
    )]
    ForeignKeys {
        /// What the store's keys would start with.
        prefix: String,
        /// One that is there.
        key: String,
    },

    /// The store would lie inside of another one, or another one inside of it.
    #[error(
        "the store {location} and the store {other:?} of the same cluster cannot lie within one another; nothing was written, choose a name that does not start with the other's and a slash"
    )]
    NestedStores {
        /// Which store.
        location: String,
        /// The name of the one that is there.
        other: String,
    },

    /// The moment that a snapshot shows is no longer kept by the cluster.
    #[error("the cluster has forgotten the moment of the snapshot, revision {revision}; take another one")]
    SnapshotLost {
        /// Its revision.
        revision: Revision,
    },

    /// Reading or writing the store failed.
    #[error("the store {location} failed: {source}")]
    Storage {
        /// Which store.
        location: String,
        /// What the engine said.
        source: Cause,
    },

    /// An error of the caller's own, from inside a transaction: see [`Error::other`].
    #[error("{0}")]
    Other(#[source] Cause),

    /// A text cannot be parsed as a value of the wanted type, such as a [`Pattern`](crate::Pattern).
    #[error(transparent)]
    InvalidText(#[from] ParseError),
}

impl Error {
    /// Wraps an error of the caller's own, so that a transaction can fail with it and roll back.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let store = Store::in_memory()?;
    /// let refused = store.transaction(|tx| {
    ///     tx.set("accounts", "alice", "-1")?;
    ///     Err::<(), _>(Error::other("a balance may not be negative"))
    /// });
    /// assert_eq!(refused.unwrap_err().to_string(), "a balance may not be negative");
    /// assert!(!store.group_exists("accounts")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(Arc::from(error.into()))
    }
}

fn who(holder: &Option<u32>) -> String {
    match holder {
        Some(id) if *id == std::process::id() => "another part of this process".into(),
        Some(id) => format!("process {id}"),
        None => "another process".into(),
    }
}

fn mismatch(expected: &Condition, actual: &Option<Revision>) -> String {
    let found = match actual {
        Some(revision) => format!("is there, at revision {revision}"),
        None => "is not there".into(),
    };
    match expected {
        Condition::Absent => format!("should not exist, but {found}"),
        Condition::Present => format!("should exist, but {found}"),
        Condition::Revision(wanted) => format!("should be at revision {wanted}, but {found}"),
    }
}

fn at_line(line: &Option<usize>) -> String {
    line.map(|line| format!(" at line {line}")).unwrap_or_default()
}

fn how_to_make_room(location: &str) -> &'static str {
    if location.starts_with("etcd:") {
        "compact the history of the cluster, defragment each member, perhaps raise --quota-backend-bytes, disarm the alarm (etcdctl compact, defrag, alarm disarm)"
    } else {
        "free some"
    }
}

fn hint(what: &str, limit: u64) -> &'static str {
    match (what, limit) {
        ("value", CLUSTER_VALUE_BYTES_MAX) => {
            ", or raise max_value_bytes (but a store on a cluster takes no more than 1 MiB)"
        }
        ("value", _) => ", or raise max_value_bytes",
        _ => "",
    }
}

/// The most that a store on a cluster takes.
const CLUSTER_VALUE_BYTES_MAX: u64 = 1 << 20;
