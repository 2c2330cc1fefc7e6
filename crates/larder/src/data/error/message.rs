//! What the message of each error says: what was attempted, what failed, on what and why. It is one line, without a
//! period, and without what [`source`](std::error::Error::source) says.

use std::fmt;
use std::time::Duration;

use super::Error;
use crate::data::condition::Condition;
use crate::data::quota::Resource;
use crate::data::revision::Revision;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_message(f)?;
        if f.alternate() {
            let mut cause = std::error::Error::source(self);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl Error {
    fn write_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the store is closed"),
            #[cfg(feature = "tokio")]
            Self::NoRuntime => f.write_str("an AsyncStore was used outside of a Tokio runtime"),
            Self::Nested => f.write_str("the store was called from inside its own transaction"),
            Self::TransactionOver => f.write_str("the transaction is over"),
            Self::CallbackLoop { depth } => {
                write!(f, "change callbacks have set each other off {depth} times in a row")
            }
            Self::Panicked { what, reason } => write!(f, "{what} panicked: {reason}"),
            Self::ReadOnly { location } => write!(f, "the store {location} may only be read"),
            Self::Busy { location, waited, holder } => write!(
                f,
                "{} has held the lock of the store {location} for more than {waited:?}",
                who(holder)
            ),
            Self::InUse { location, holder } => write!(f, "{} has the store {location} open", who(holder)),
            Self::Conflict { group, key, expected, actual } => {
                write!(f, "the entry {group:?} {key:?} {}", mismatch(expected, actual))
            }
            Self::QuotaExceeded {
                namespace,
                resource: resource @ (Resource::BatchSteps | Resource::BatchBytes),
                limit,
                wanted,
            } => write!(
                f,
                "quota exceeded: namespace {namespace:?} may write {limit} {resource} and this one would have {wanted}"
            ),
            Self::QuotaExceeded { namespace, resource, limit, wanted } => write!(
                f,
                "quota exceeded: namespace {namespace:?} may hold {limit} {resource} and this \
                 {} would make it {wanted}",
                if *resource == Resource::Watchers { "watch" } else { "write" }
            ),
            Self::InvalidNamespace { namespace } => write!(f, "{namespace:?} cannot be a namespace"),
            Self::InvalidTtl => f.write_str("a TTL must be longer than zero"),
            Self::TooLarge { what, size, limit, .. } => {
                write!(f, "the {what} has {size} bytes and may have {limit}")
            }
            Self::NotANumber { group, key } => write!(
                f,
                "the entry {group:?} {key:?} holds no whole number from -2^63 to 2^63-1, so it \
                 cannot be incremented"
            ),
            Self::Overflow { group, key, from, by } => write!(
                f,
                "incrementing the entry {group:?} {key:?} from {from} by {by} leaves the range of \
                 a 64-bit integer"
            ),
            Self::Unreadable { wanted, reason } => {
                write!(f, "the value cannot be read as {wanted}: {reason}")
            }
            Self::Unwritable { .. } => f.write_str("the value cannot be written as JSON"),
            Self::Template { line, reason } => write!(f, "the template fails{}: {reason}", at_line(line)),
            Self::Compacted { oldest } => write!(f, "the change log reaches back to revision {oldest} only"),
            Self::FutureRevision { asked, latest } => {
                write!(f, "revision {asked} is in the future: the store is at {latest}")
            }
            Self::InvalidCursor { name } => write!(f, "{name:?} cannot be a cursor's name"),
            Self::NoCursor { name } => write!(f, "the cursor {name:?} was deleted meanwhile"),
            Self::NotReceived { revision } => {
                write!(f, "this cursor has not delivered the event of revision {revision}")
            }
            Self::InvalidToken { token } => write!(f, "{token:?} is no resume token"),
            Self::OtherStore { named, this } => {
                write!(
                    f,
                    "the resume token is of the store {named}, and this is {this}: another store, or the same one \
                     restored or copied since"
                )
            }
            Self::Restored { cursor } => write!(
                f,
                "the store was restored or copied after the cursor {cursor:?} was last moved, so it may lack events \
                 that the cursor has delivered"
            ),
            Self::InvalidLocation { location, reason, .. } => write!(f, "cannot open {location:?}: {reason}"),
            Self::NoStore { path, reason, .. } => {
                write!(f, "there is no store at {}: {reason}", path.display())
            }
            Self::Denied { path, reason, .. } => {
                write!(f, "the system does not let this process use {}: {reason}", path.display())
            }
            Self::SeveralNames { path, names } => write!(
                f,
                "{} is one of {names} names of the same file (hard links), and each would keep its own latest \
                 writes",
                path.display()
            ),
            Self::MountedFile { path } => write!(
                f,
                "{} is mounted by itself, so it has another name elsewhere, and each would keep its own latest writes",
                path.display()
            ),
            Self::UnsafeFileSystem { path, kind } => write!(
                f,
                "{} lies on a file system of the kind {kind}, which does not share locks and memory as SQLite needs \
                 it, so the store could be damaged",
                path.display()
            ),
            Self::UnsafeSqlite { version } => {
                write!(
                    f,
                    "this program uses SQLite {version}, which can damage a store that has several users"
                )
            }
            Self::ForeignLog { path, log } => write!(
                f,
                "{} is the write-ahead log of another file, or of an earlier state of {}, and both were left as they \
                 are",
                log.display(),
                path.display()
            ),
            Self::NotADatabase { path } => write!(
                f,
                "{} is not a SQLite database, so it is no larder store, and was left as it is",
                path.display()
            ),
            Self::ForeignDatabase { path } => write!(
                f,
                "{} is the database of another program, not a store of larder or go-store, and \
                 was left as it is",
                path.display()
            ),
            Self::NewerVersion { path, version, supported } => write!(
                f,
                "{} has schema version {version}, this larder reads versions up to {supported}, \
                 and it was left as it is",
                path.display()
            ),
            Self::Migration { path, reason, .. } => {
                write!(f, "the file {} was left as it is: {reason}", path.display())
            }
            Self::Uncopied { group, key, .. } => write!(f, "the entry {group:?} {key:?} cannot be copied"),
            Self::CopyTooOld { left, oldest } => write!(
                f,
                "the copy has followed its source up to revision {left}, and the source's change \
                 log reaches back to {oldest} only, so nobody knows what was deleted in between"
            ),
            Self::LeavesNamespace { group, namespace } => {
                write!(
                    f,
                    "the group {group:?} would belong to the namespace {namespace:?} in the target of the copy"
                )
            }
            Self::FollowsItself => f.write_str(
                "the store cannot be copied into itself and follow what changes there: every copy \
                 is a change",
            ),
            Self::AlreadyExists { path } => write!(f, "{} exists and was left as it is", path.display()),
            Self::BackupFailed { path, .. } => {
                write!(f, "the backup {} could not be written", path.display())
            }
            Self::RestoreRefused { path, reason, .. } => {
                write!(f, "the store {} was not restored: {reason}", path.display())
            }
            Self::RestoreFailed { path, .. } => {
                write!(f, "the store {} could not be restored", path.display())
            }
            Self::Damaged { location, detail } => write!(f, "the store {location} is damaged: {detail}"),
            Self::Full { location, .. } => {
                write!(f, "there is no room to write to the store {location}, so nothing was written")
            }
            Self::WritesStopped { location, .. } => {
                write!(f, "the store {location} takes no more writes since its disk failed to confirm one")
            }
            Self::Replaced { location, reason } => {
                write!(f, "the store {location} was taken away while it was open: {reason}")
            }
            Self::LockLost { location } => write!(
                f,
                "the lock of the store {location} was lost during a write, because this process has closed one of \
                 its files, so nothing was written"
            ),
            Self::ForkedProcess => f.write_str("the store was opened before this process was forked"),
            Self::Unreachable { endpoints, waited, reason, .. } => write!(
                f,
                "no member of the cluster has answered within {waited:?} (tried {endpoints}): \
                 {reason}"
            ),
            Self::Unknown { location, waited: Duration::ZERO, reason, .. } => {
                write!(f, "it is unknown whether the write to the store {location} has happened: {reason}")
            }
            Self::Unknown { location, waited, reason, .. } => write!(
                f,
                "it is unknown whether the write to the store {location} has happened, or still \
                 will: its answer was lost ({reason}) and the cluster could not be asked within \
                 {waited:?}"
            ),
            Self::Contended { location, attempts, waited } => write!(
                f,
                "other writers to the store {location} were faster {attempts} times in \
                 {waited:?}, so nothing was written"
            ),
            Self::TooMuchAtOnce { location, what, wanted, limit } => {
                write!(f, "the write needs {wanted} {what} at once, and the store {location} takes {limit}")
            }
            Self::TooManyHistories { limit } => write!(f, "the store has {limit} histories already"),
            Self::Unsupported { location, what, .. } => write!(f, "the store {location} cannot {what}"),
            Self::Unauthorized { location, reason, .. } => {
                write!(f, "the cluster does not let this client use the store {location}: {reason}")
            }
            Self::Untrusted { location, reason, .. } => write!(
                f,
                "there is no trust between this client and the cluster of the store {location}: \
                 {reason}"
            ),
            Self::NotEtcd { endpoint, reason } => {
                write!(f, "{endpoint} is not the client port of an etcd member: {reason}")
            }
            Self::OtherCluster { location, endpoint } => write!(
                f,
                "{endpoint} belongs to another cluster than the other members of the store {location}"
            ),
            Self::ForeignKeys { prefix, key } => write!(
                f,
                "the keys of the cluster under {prefix:?} are not those of a larder store \
                 ({key:?} is one), and were left as they are"
            ),
            Self::NestedStores { location, other } => write!(
                f,
                "the store {location} and the store {other:?} of the same cluster cannot lie \
                 within one another, so nothing was written"
            ),
            Self::SnapshotLost { revision } => {
                write!(f, "the moment of the snapshot, revision {revision}, is no longer kept")
            }
            Self::ClusterRestored { latest } => {
                write!(f, "the cluster was restored from a snapshot, and the store is at revision {latest}")
            }
            Self::Storage { location, .. } => write!(f, "reading or writing the store {location} failed"),
            Self::Other(cause) => write!(f, "{cause}"),
            Self::InvalidText(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unwritable { source } => Some(&**source),
            Self::Uncopied { source, .. } => Some(&**source),
            Self::BackupFailed { source, .. }
            | Self::RestoreFailed { source, .. }
            | Self::Full { source, .. }
            | Self::WritesStopped { source, .. }
            | Self::Storage { source, .. } => Some(&**source),
            Self::Unknown { source, .. } => source.as_ref().map(|source| &**source as _),
            Self::Other(cause) => cause.source(),
            _ => None,
        }
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
