//! What a person can do about each error.

use std::borrow::Cow;

use super::Error;
use crate::data::quota::Resource;

impl Error {
    /// Returns what to do about this error, where that can be said: sentences in the imperative.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let error = store.set_with_ttl("session", "token", "abc", std::time::Duration::ZERO).unwrap_err();
    /// assert_eq!(error.to_string(), "a TTL must be longer than zero");
    /// assert_eq!(error.advice().as_deref(), Some("Delete the entry, or give it at least a millisecond."));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn advice(&self) -> Option<Cow<'_, str>> {
        let fixed = match self {
            Self::InvalidLocation { advice, .. }
            | Self::NoStore { advice, .. }
            | Self::Denied { advice, .. }
            | Self::Migration { advice, .. }
            | Self::RestoreRefused { advice, .. }
            | Self::Full { advice, .. }
            | Self::Unauthorized { advice, .. }
            | Self::Untrusted { advice, .. } => return Some(Cow::Borrowed(advice)),
            Self::Busy { holder: Some(id), .. } if *id != std::process::id() => {
                return Some(format!("Try again, raise `timeout`, or end process {id}.").into());
            }
            Self::InUse { holder: Some(id), .. } if *id != std::process::id() => {
                return Some(format!("Close it there, or end process {id}.").into());
            }
            Self::TooLarge { option: Some(option), .. } => {
                return Some(format!("Shorten it, or raise `{option}`.").into());
            }
            Self::Uncopied { source, .. } => return source.advice(),
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Template { .. }
            | Self::Storage { .. }
            | Self::InvalidText(_)
            | Self::Other(_) => return None,

            Self::Closed => "Open it again.",
            #[cfg(feature = "tokio")]
            Self::NoRuntime => "Call it from inside a Tokio runtime, or use `Store`.",
            Self::Nested => "Use the transaction that the closure is given.",
            Self::TransactionOver => "Use a transaction, and what it gives, inside its closure only.",
            Self::CallbackLoop { .. } => "Do not let a callback write to what it watches.",
            Self::Panicked { .. } => "Correct the code that panicked.",
            Self::ReadOnly { .. } => {
                "Open it without `read_only`, as a user who has permission to write to its file."
            }
            Self::Busy { holder: None, .. } => {
                "Try again, raise `timeout`, or end the process that holds the lock."
            }
            Self::Busy { .. } => "Try again, raise `timeout`, or end what this process does with the file.",
            Self::Conflict { .. } => "Read the entry again and retry.",
            Self::QuotaExceeded { resource: Resource::Watchers, .. } => "Drop some, or raise `watchers_max`.",
            Self::QuotaExceeded { resource: Resource::BatchSteps | Resource::BatchBytes, .. } => {
                "Write it in several smaller ones, or raise `batch_max`."
            }
            Self::QuotaExceeded { resource: Resource::CursorBytes, .. } => "Delete cursors that nobody uses.",
            Self::QuotaExceeded { .. } => "Delete some, or raise the quota.",
            Self::InvalidNamespace { .. } => "Use one or more of the characters a-z, A-Z, 0-9 and -.",
            Self::InvalidTtl => "Delete the entry, or give it at least a millisecond.",
            Self::TooLarge { .. } => "Shorten it.",
            Self::NotANumber { .. } => "Set it to a whole number first.",
            Self::Overflow { .. } => "Add less, or set the entry to another number first.",
            Self::Compacted { .. } => "Read the store as it is and watch from there, or keep more history.",
            Self::FutureRevision { .. } => "Watch from a revision that this store gave out.",
            Self::InvalidCursor { .. } => "Use 1 to 128 of the characters a-z, A-Z, 0-9, . _ and -.",
            Self::NoCursor { .. } => "Open it again to begin anew.",
            Self::NotReceived { .. } => "Acknowledge what it delivered.",
            Self::InvalidToken { .. } => {
                "Use one that a watcher gave, such as 0123456789abcdef0123456789abcdef@42."
            }
            Self::OtherStore { .. } => {
                "Open that store. If this one was restored or copied since, read it as it is (`mirror`) and watch \
                 from there."
            }
            Self::Restored { .. } => {
                "Compare what was made of its events with the store as it is, and call again to continue."
            }
            Self::SeveralNames { .. } => "Remove the other names, or open a copy.",
            Self::MountedFile { .. } => "Mount its folder instead.",
            Self::UnsafeFileSystem { .. } => {
                "Keep the store on a local disk, or use a cluster. If only one machine uses it, set \
                 `allow_unsafe_file_system`."
            }
            Self::UnsafeSqlite { .. } => {
                "Build it with the SQLite that larder brings along, or link SQLite 3.51.3 or later."
            }
            Self::ForeignLog { .. } => {
                "Restore a backup with `larder restore`, which takes care of the log, or move the log away if nothing \
                 in it is needed."
            }
            Self::NotADatabase { .. } | Self::ForeignDatabase { .. } => "Name another file.",
            Self::NewerVersion { .. } => "Open it with a newer larder.",
            Self::CopyTooOld { .. } => {
                "Copy exactly, which deletes from the target whatever the source does not hold, or empty the target \
                 and begin again."
            }
            Self::LeavesNamespace { .. } => "Copy into a scoped store of the target, or rename the group.",
            Self::FollowsItself => "Name another target, or do not follow.",
            Self::AlreadyExists { .. } => "Choose another name, or remove it first.",
            Self::InUse { .. } => "Close it first, in every process.",
            Self::RestoreFailed { .. } => {
                "Make room for a second copy of the store, and check that its disk is sound."
            }
            Self::BackupFailed { .. } => "Make room for it, and check that its disk is sound.",
            Self::Damaged { .. } => "Restore a backup, or see what `larder check` finds.",
            Self::WritesStopped { .. } => "Close the store and open it again.",
            Self::Replaced { .. } => {
                "Close the store, put the right file in its place, and open it again. Replace files of a store only \
                 while nobody has it open."
            }
            Self::LockLost { .. } => "Try again. Do not let this process open the files of a store.",
            Self::ForkedProcess => "Open the store after forking.",
            Self::Unreachable { .. } => {
                "Check that most of its members run and can be reached, and try again."
            }
            Self::Unknown { .. } => "Read what it was to change before trying again.",
            Self::Contended { .. } => "Try again, or let fewer writers change the same keys at once.",
            Self::TooMuchAtOnce { .. } => "Write it in several smaller ones.",
            Self::TooManyHistories { .. } => "Remove one, or set one for a shorter prefix.",
            Self::Unsupported { advice, .. } => advice,
            Self::OtherCluster { .. } => {
                "Stop that member, delete its data, and start it as a part of the cluster (etcdctl member add, \
                 --initial-cluster-state existing), or leave it out of the location."
            }
            Self::NotEtcd { .. } => "Check host and port, and whether it wants TLS (`?ca=FILE`) or has none.",
            Self::ForeignKeys { .. } => "Choose another name.",
            Self::NestedStores { .. } => "Choose a name that does not start with the other's and a slash.",
            Self::ClusterRestored { .. } => "Read the store as it is now, and go on from there.",
            Self::SnapshotLost { .. } => "Take another snapshot.",
        };
        Some(Cow::Borrowed(fixed))
    }
}
