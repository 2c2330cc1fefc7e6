//! Which errors are alike to a program.

use std::fmt;

use super::Error;

/// What a program can do about an [`Error`].
///
/// A program that acts on errors matches these few kinds; [`Error`] has the details. `docs/errors.md` lists which
/// errors are of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the call names is not in the store. Create it, or do without.
    NotFound,
    /// A condition of a write was not met, and nothing was written. Read again and decide anew.
    Conflict,
    /// The store does not take what it was given: a name, a size, a quota, a template. Change that, or
    /// report it to the caller who gave it.
    Refused,
    /// This process may not do that: the store is read-only, or the system or the cluster does not let it in. Change
    /// permissions or credentials.
    Denied,
    /// A revision, resume token, snapshot or interrupted copy does not fit the store any more. Begin again from the
    /// store as it is now.
    Stale,
    /// Other writers hold the store up, and nothing was written. Make the same call again.
    Busy,
    /// No member of the cluster has answered, and nothing has happened. Make the same call again.
    Unreachable,
    /// Nobody knows whether the write has happened. Read what it was to change, unless it may happen twice.
    OutcomeUnknown,
    /// There is no store at the location that this larder can open. Name another location, or create one.
    NoStore,
    /// What is stored makes no sense. Restore a backup.
    Damaged,
    /// The disk, the system or the cluster has failed, or is full. Tell its operator.
    Failed,
    /// The store was closed. Stop using it, or open it again.
    Closed,
    /// The program or its configuration is wrong, whatever the store holds. Correct it.
    Misuse,
    /// An error of the caller's own, from inside a transaction.
    Other,
}

impl ErrorKind {
    /// Returns the kind's name in snake case, such as `outcome_unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::NoStore => "no_store",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Misuse => "misuse",
            Self::Other => "other",
        }
    }

    /// Returns whether the same call may succeed a little later: see [`Error::is_retryable`].
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Unreachable)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Error {
    /// Returns what a program can do about this error.
    ///
    /// ```
    /// use larder::{Condition, ErrorKind, Store};
    ///
    /// let store = Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// store.set("config", "colour", "green")?;
    /// let error = store.set_if("config", "colour", Condition::Revision(revision), "red").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Conflict);
    /// assert_eq!(error.advice().as_deref(), Some("Read the entry again and retry."));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoCursor { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::QuotaExceeded { .. }
            | Self::InvalidNamespace { .. }
            | Self::InvalidTtl
            | Self::LeavesNamespace { .. }
            | Self::TooLarge { .. }
            | Self::TooMuchAtOnce { .. }
            | Self::TooManyHistories { .. }
            | Self::Unsupported { .. }
            | Self::NotANumber { .. }
            | Self::Overflow { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Template { .. }
            | Self::InvalidCursor { .. }
            | Self::InvalidToken { .. }
            | Self::InvalidText(_)
            | Self::AlreadyExists { .. }
            | Self::RestoreRefused { .. } => ErrorKind::Refused,
            Self::ReadOnly { .. }
            | Self::Denied { .. }
            | Self::Unauthorized { .. }
            | Self::Untrusted { .. } => ErrorKind::Denied,
            Self::Compacted { .. }
            | Self::FutureRevision { .. }
            | Self::OtherStore { .. }
            | Self::Restored { .. }
            | Self::SnapshotLost { .. }
            | Self::ClusterRestored { .. }
            | Self::CopyTooOld { .. } => ErrorKind::Stale,
            Self::Busy { .. } | Self::InUse { .. } | Self::Contended { .. } | Self::LockLost { .. } => {
                ErrorKind::Busy
            }
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::Unknown { .. } => ErrorKind::OutcomeUnknown,
            Self::NoStore { .. }
            | Self::SeveralNames { .. }
            | Self::MountedFile { .. }
            | Self::UnsafeFileSystem { .. }
            | Self::NotADatabase { .. }
            | Self::ForeignDatabase { .. }
            | Self::NewerVersion { .. }
            | Self::Migration { .. }
            | Self::NotEtcd { .. }
            | Self::OtherCluster { .. }
            | Self::ForeignKeys { .. }
            | Self::NestedStores { .. } => ErrorKind::NoStore,
            Self::Damaged { .. } | Self::ForeignLog { .. } => ErrorKind::Damaged,
            Self::BackupFailed { .. }
            | Self::RestoreFailed { .. }
            | Self::Full { .. }
            | Self::WritesStopped { .. }
            | Self::Replaced { .. }
            | Self::Storage { .. } => ErrorKind::Failed,
            Self::Closed => ErrorKind::Closed,
            #[cfg(feature = "tokio")]
            Self::NoRuntime => ErrorKind::Misuse,
            Self::Nested
            | Self::ForkedProcess
            | Self::UnsafeSqlite { .. }
            | Self::TransactionOver
            | Self::CallbackLoop { .. }
            | Self::Panicked { .. }
            | Self::NotReceived { .. }
            | Self::InvalidLocation { .. }
            | Self::FollowsItself => ErrorKind::Misuse,
            Self::Uncopied { source, .. } => source.kind(),
            Self::Other(_) => ErrorKind::Other,
        }
    }

    /// Returns whether the same call, made again as it is, may succeed a little later. If so, it has had no effect.
    ///
    /// A write whose outcome is unknown is not retryable in this sense: it may have happened, or still will. To
    /// make it again is safe where that it happens twice does no harm.
    ///
    /// ```
    /// use std::time::Duration;
    /// use larder::Store;
    ///
    /// /// Waits while the store is busy or out of reach, for about a second.
    /// fn patiently<T>(mut call: impl FnMut() -> larder::Result<T>) -> larder::Result<T> {
    ///     for pause_ms in [10, 100, 1000] {
    ///         match call() {
    ///             Err(error) if error.is_retryable() => std::thread::sleep(Duration::from_millis(pause_ms)),
    ///             done => return done,
    ///         }
    ///     }
    ///     call()
    /// }
    ///
    /// let store = Store::in_memory()?;
    /// patiently(|| store.set("config", "colour", "blue"))?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
