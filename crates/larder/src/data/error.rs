//! Everything that can go wrong.
//!
//! What the messages say is in `message.rs`, what to do about each error in `advice.rs`, which errors are alike to a
//! program in `kind.rs`, and how the errors of others become larder's in `wrapping.rs`.

mod advice;
mod kind;
mod message;
mod wrapping;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::kind::ErrorKind;
use super::condition::Condition;
use super::parse::ParseError;
use super::quota::Resource;
use super::revision::Revision;

/// What every fallible call of larder returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error, where something below larder gave one.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong.
///
/// [`kind`](Self::kind) says what a program can do about an error, [`is_retryable`](Self::is_retryable) whether to
/// make the same call again. The message says what was attempted and what failed, and
/// [`advice`](Self::advice) what a person can do. [`source`](std::error::Error::source) keeps the cause, which the
/// message does not repeat: print the whole chain, as `anyhow` does, or `{error:#}`, which puts the causes behind the
/// message, each after a colon.
///
/// An error is cheap to clone: a commit that fails gives the same one to every caller whose write was in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store was closed.
    Closed,

    /// An [`AsyncStore`](crate::AsyncStore) was used where there is no Tokio runtime, or none any more.
    #[cfg(feature = "tokio")]
    NoRuntime,

    /// The store was called from inside the closure of its own transaction.
    Nested,

    /// A transaction, or something read from it, was used after its closure had returned.
    TransactionOver,

    /// `on_change` callbacks that write set each other off without end.
    CallbackLoop {
        /// How many callbacks deep the refused write was.
        depth: usize,
    },

    /// Code that the program gave to the store, such as its [`Clock`](crate::Clock), panicked while it ran for a write.
    /// The write did not happen, and the store goes on.
    Panicked {
        /// What panicked.
        what: &'static str,
        /// What the panic said.
        reason: String,
    },

    /// A write to a store that was opened read-only, or whose file may only be read.
    ReadOnly {
        /// Which store.
        location: String,
    },

    /// The write lock did not come free within `timeout`.
    Busy {
        /// Which store.
        location: String,
        /// How long the call waited.
        waited: Duration,
        /// The process that holds the lock, where the system tells.
        holder: Option<u32>,
    },

    /// A file was to be replaced that somebody has open. It is as it was.
    InUse {
        /// Which store.
        location: String,
        /// A process that has it open, where the system tells.
        holder: Option<u32>,
    },

    /// A condition of the write was not met; nothing was written.
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

    /// The write or watch would take a namespace over its quota, or has more steps or bytes than a batch of a scoped store
    /// may have; nothing was written.
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
    InvalidNamespace {
        /// What was given.
        namespace: String,
    },

    /// A time to live of zero.
    InvalidTtl,

    /// A group, key, value or template is larger than the store takes; nothing was written.
    TooLarge {
        /// `group`, `key`, `value` or `template`.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The most that it may have.
        limit: u64,
        /// The option that raises the limit, if one does.
        option: Option<&'static str>,
    },

    /// An increment of an entry that holds no whole number; nothing was written.
    NotANumber {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
    },

    /// An increment would leave the range of 64-bit integers; nothing was written.
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
    Unreadable {
        /// The type that was wanted.
        wanted: &'static str,
        /// Why it is none.
        reason: String,
    },

    /// A value cannot be written as JSON.
    Unwritable {
        /// What the serializer said.
        source: Arc<serde_json::Error>,
    },

    /// A template has a mistake, or did something that it may not.
    Template {
        /// The line of the template, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong with it.
        reason: String,
    },

    /// The change log no longer reaches back to the revision that was asked for.
    Compacted {
        /// The oldest revision from which a watch can still start.
        oldest: Revision,
    },

    /// A watch was to begin after a revision that the store has not reached.
    FutureRevision {
        /// The revision that was given.
        asked: Revision,
        /// The latest of the store.
        latest: Revision,
    },

    /// A cursor's name has other characters than letters, digits, `.`, `_` and `-`, or none, or too many.
    InvalidCursor {
        /// What was given, as far as a name may go.
        name: String,
    },

    /// An event was acknowledged on a cursor that was deleted meanwhile.
    NoCursor {
        /// The cursor.
        name: String,
    },

    /// The store was restored from a backup, or its file was copied, since this cursor was last moved. Events that it
    /// received after the backup was made are not in this store. The cursor says so once and then continues after the
    /// last event that was acknowledged in this file.
    Restored {
        /// The cursor.
        cursor: String,
    },

    /// An event was acknowledged that the cursor has not given.
    NotReceived {
        /// The event's.
        revision: Revision,
    },

    /// A text that is no [`ResumeToken`](crate::ResumeToken).
    InvalidToken {
        /// What was given.
        token: String,
    },

    /// A [`ResumeToken`](crate::ResumeToken) of another store.
    OtherStore {
        /// The identity that the token names.
        named: String,
        /// That of this store.
        this: String,
    },

    /// A location that names no kind of store that this build knows, or a file with a certificate or key
    /// that cannot be used.
    InvalidLocation {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
        /// What to write instead, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// There is no store at the path, and none could be made there.
    NoStore {
        /// The path, or the location in a cluster, that was given.
        path: PathBuf,
        /// What is missing.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// The system does not let this process read, write or create the file.
    Denied {
        /// The path that was given.
        path: PathBuf,
        /// What is not allowed.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// The file has several names (hard links). SQLite keeps the latest writes in a log beside the name that a
    /// file was opened by, so that they would be seen by that name alone, and lost by the other.
    SeveralNames {
        /// The path that was given.
        path: PathBuf,
        /// How many names the file has.
        names: u64,
    },

    /// The file is mounted by itself (a bind mount of a single file), so it has a second name elsewhere. As with
    /// [`SeveralNames`](Self::SeveralNames), each name would get a log of its own.
    MountedFile {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file lies on a file system on which SQLite cannot keep its promises when several machines use the file: one
    /// over a network, or one that a host shares with its guests. The option
    /// [`allow_unsafe_file_system`](crate::Options::allow_unsafe_file_system) opens it nevertheless.
    UnsafeFileSystem {
        /// The path that was given.
        path: PathBuf,
        /// What kind of file system it is, such as `NFS`.
        kind: String,
    },

    /// The program was built with a version of SQLite that can damage a store: the fault is in SQLite's write-ahead
    /// log, and was mended in 3.51.3. The SQLite that larder brings along has been mended.
    UnsafeSqlite {
        /// The version, such as `3.46.1`.
        version: String,
    },

    /// Beside the file lies a write-ahead log (`-wal`) that was written for another file, or for an earlier state of this
    /// one. This happens if a backup is copied over a store that has crashed. Applying the log would damage the file.
    ForeignLog {
        /// The path that was given.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },

    /// The file is no SQLite database.
    NotADatabase {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file is a SQLite database of some other program.
    ForeignDatabase {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file was written by a later larder.
    NewerVersion {
        /// The path that was given.
        path: PathBuf,
        /// The version of the file.
        version: i64,
        /// The latest version that this larder reads.
        supported: i64,
    },

    /// A file could not become a store: one of go-store's, one that was restored from a dump, or one whose texts are UTF-16.
    /// It is as it was.
    Migration {
        /// The path that was given.
        path: PathBuf,
        /// What stood in the way.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// An entry that the target of a copy does not take.
    Uncopied {
        /// The group of the entry.
        group: String,
        /// The key of the entry.
        key: String,
        /// What stands in the way.
        source: Box<Error>,
    },

    /// A copy cannot go on where it stopped: it is not known any more what its source has deleted since.
    CopyTooOld {
        /// The revision of the source up to which the target has followed it.
        left: Revision,
        /// The oldest revision from which the source's change log is still there.
        oldest: Revision,
    },

    /// A group of a namespace was to be copied into a whole store, where its name is that of a group in another
    /// namespace.
    LeavesNamespace {
        /// The group, by the name that it has in its namespace.
        group: String,
        /// The namespace that it would belong to.
        namespace: String,
    },

    /// A store was to follow its own changes.
    FollowsItself,

    /// A backup was to go where there is a file already, or a restore where another process made one meanwhile.
    AlreadyExists {
        /// The path that was given.
        path: PathBuf,
    },

    /// The file of a backup could not be written, and none was left behind. The store itself is well.
    BackupFailed {
        /// The path that was given.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },

    /// A backup was to be put where it may not be. The store is as it was.
    RestoreRefused {
        /// The path that was given for the store.
        path: PathBuf,
        /// What stands in the way.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// The files of a restore could not be written. The store is as it was.
    RestoreFailed {
        /// The path of the store.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },

    /// What is stored makes no sense: the file is damaged.
    Damaged {
        /// Which store.
        location: String,
        /// What was found.
        detail: String,
    },

    /// The disk, or what this process may write on it, is full, or the database of the cluster; nothing was
    /// written.
    Full {
        /// Which store.
        location: String,
        /// How to make room where this store lies, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
        /// What the system said.
        source: Cause,
    },

    /// An earlier commit or checkpoint failed in a way that leaves unknown what is on the disk; nothing was written by
    /// this call.
    WritesStopped {
        /// Which store.
        location: String,
        /// What the failed commit or checkpoint said.
        source: Cause,
    },

    /// The files of the store were deleted, renamed or replaced while it was open. From the first call that notices,
    /// every call fails like this until the store is opened again.
    ///
    /// Nothing was written. A write that was under way meanwhile fails with [`Unknown`](Self::Unknown) instead: it is in
    /// the file that the store had open.
    Replaced {
        /// Which store.
        location: String,
        /// What was found.
        reason: String,
    },

    /// The lock of the file was lost during a write, because this process opened and closed one of the store's files,
    /// and the system then drops every lock that the process has on it. Nothing was written.
    LockLost {
        /// Which store.
        location: String,
    },

    /// The store was opened before this process was forked from the one that opened it. A forked process has neither
    /// the locks nor the threads of its parent.
    ForkedProcess,

    /// No member of the cluster answered in time; what was asked for has not happened.
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

    /// Nobody knows whether a write has happened: the cluster did not say so, or the disk failed when the write was
    /// in the log of the file already.
    ///
    /// In a file, no reader sees the write for now. If the program or the system crashes, or every process closes the
    /// store, before another write was acknowledged, it may be there when the store is opened again.
    ///
    /// If a restore fails with this error, the store is the backup. After a crash it may be the old one again.
    Unknown {
        /// Which store.
        location: String,
        /// How long the call waited for an answer; zero for a file.
        waited: Duration,
        /// How the answer was lost.
        reason: String,
        /// What the system said, for a file.
        source: Option<Cause>,
    },

    /// Other writers were faster again and again; nothing was written.
    Contended {
        /// Which store.
        location: String,
        /// How often it was tried.
        attempts: u32,
        /// How long the call tried.
        waited: Duration,
    },

    /// A batch or transaction needs more than the engine can do at once; nothing was written.
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

    /// A store takes no further history of its own for a prefix; nothing was changed.
    TooManyHistories {
        /// How many it may have.
        limit: u64,
    },

    /// The engine of the store cannot do this; nothing was changed.
    Unsupported {
        /// Which store.
        location: String,
        /// What it cannot do, as in "keep histories of their own for groups".
        what: &'static str,
        /// What to do instead, as [`advice`](Error::advice) gives it.
        advice: &'static str,
    },

    /// The cluster does not know the user, or does not let it do this.
    Unauthorized {
        /// Which store.
        location: String,
        /// What the cluster said.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// Client and cluster do not trust each other's certificates.
    Untrusted {
        /// Which store.
        location: String,
        /// What TLS said.
        reason: String,
        /// What to do, as [`advice`](Error::advice) gives it.
        advice: Cow<'static, str>,
    },

    /// Something answers at an endpoint that is no etcd.
    NotEtcd {
        /// The endpoint.
        endpoint: String,
        /// What it did.
        reason: String,
    },

    /// A member that the location names belongs to another cluster than the others.
    OtherCluster {
        /// Which store.
        location: String,
        /// The endpoint of the member.
        endpoint: String,
    },

    /// There are keys in the cluster that are not larder's where the store would lie.
    ForeignKeys {
        /// What the store's keys would start with.
        prefix: String,
        /// One that is there.
        key: String,
    },

    /// The store would lie inside of another one, or another one inside of it.
    NestedStores {
        /// Which store.
        location: String,
        /// The name of the one that is there.
        other: String,
    },

    /// The moment that a snapshot shows is no longer kept: the cluster was compacted beyond it, or the disk has failed a
    /// read of the snapshot.
    SnapshotLost {
        /// Its revision.
        revision: Revision,
    },

    /// The cluster was restored from a snapshot, so what was committed after the snapshot is gone, and the revisions
    /// after it are given out again for other commits. Reported to whatever keeps a revision from before: watchers,
    /// cursors, and snapshots.
    ClusterRestored {
        /// The store's latest commit when this was noticed.
        latest: Revision,
    },

    /// Reading or writing the store failed.
    Storage {
        /// Which store.
        location: String,
        /// What the engine said.
        source: Cause,
    },

    /// An error of the caller's own, from inside a transaction: see [`Error::other`]. Its message and its source are
    /// those of the error that it holds.
    Other(Cause),

    /// A text cannot be parsed as a value of the wanted type, such as a [`Pattern`](crate::Pattern).
    InvalidText(ParseError),
}
