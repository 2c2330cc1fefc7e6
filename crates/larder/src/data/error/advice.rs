//! What a person can do about each error.

use std::borrow::Cow;

use super::Error;

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
            | Self::Full { advice, .. }
            | Self::Unauthorized { advice, .. }
            | Self::Untrusted { advice, .. } => return Some(Cow::Borrowed(advice)),
            Self::Busy { holder: Some(id), .. } if *id != std::process::id() => {
                return Some(format!("Try again, raise `timeout`, or end process {id}.").into());
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
            Self::ReadOnly { .. } => {
                "Open it without `read_only`, as a user who has permission to write to its file."
            }
            Self::Busy { holder: None, .. } => {
                "Try again, raise `timeout`, or end the process that holds the lock."
            }
            Self::Busy { .. } => "Try again, raise `timeout`, or end what this process does with the file.",
            Self::Conflict { .. } => "Read the entry again and retry.",
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
            Self::OtherStore { .. } => "Open that store, or read this one as it is and watch from there.",
            Self::SeveralNames { .. } => "Remove the other names, or open a copy.",
            Self::NotADatabase { .. } | Self::ForeignDatabase { .. } => "Name another file.",
            Self::NewerVersion { .. } => "Open it with a newer larder.",
            Self::CopyTooOld { .. } => {
                "Copy exactly, which deletes from the target whatever the source does not hold, or empty the target \
                 and begin again."
            }
            Self::FollowsItself => "Name another target, or do not follow.",
            Self::AlreadyExists { .. } => "Choose another name, or remove it first.",
            Self::BackupFailed { .. } => "Make room for it, and check that its disk is sound.",
            Self::Damaged { .. } => "Restore a backup, or see what `larder check` finds.",
            Self::WritesStopped { .. } => "Close the store and open it again.",
            Self::Unreachable { .. } => {
                "Check that most of its members run and can be reached, and try again."
            }
            Self::Unknown { .. } => "Read what it was to change before trying again.",
            Self::Contended { .. } => "Try again, or let fewer writers change the same keys at once.",
            Self::TooMuchAtOnce { .. } => "Write it in several smaller ones.",
            Self::NotEtcd { .. } => "Check host and port, and whether it wants TLS (`?ca=FILE`) or has none.",
            Self::ForeignKeys { .. } => "Choose another name.",
            Self::NestedStores { .. } => "Choose a name that does not start with the other's and a slash.",
            Self::SnapshotLost { .. } => "Take another snapshot.",
        };
        Some(Cow::Borrowed(fixed))
    }
}
