//! What an engine is asked to change, and what became of it.

use std::sync::Arc;

use crate::data::{Condition, Event, History, LogPosition, Pattern, Quota, Revision, Value};

/// Conditions and mutations that take effect together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub requirements: Vec<Requirement>,
    pub mutations: Vec<Mutation>,
    pub reply: Reply,
    /// How much it may write, if that is bounded.
    pub room: Option<Room>,
}

/// How many bytes of names and values a batch of one namespace may write.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub namespace: String,
    pub limit: u64,
    /// How many there are so far: at first those that the batch names. What a touch writes again comes on top.
    pub used: u64,
}

impl Commit {
    /// Whether it has a condition on a revision.
    #[cfg(feature = "etcd")]
    pub fn names_a_revision(&self) -> bool {
        self.requirements.iter().any(|requirement| matches!(requirement.condition, Condition::Revision(_)))
    }

    /// Whether it moves a cursor to a position in the log.
    #[cfg(feature = "etcd")]
    pub fn names_a_position(&self) -> bool {
        self.mutations.iter().any(|mutation| {
            let Mutation::MoveCursor { to, .. } = mutation else { return false };
            matches!(to, CursorMove::Begin(Some(_)) | CursorMove::Acknowledge(_) | CursorMove::Seek(_))
        })
    }
}

/// What the caller of a [`Commit`] learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The revision, which may become the condition of a later write: no other commit that changes the
    /// same entries may have it. [`Committed::outcomes`] may be empty.
    #[default]
    Revision,
    /// The outcome of each mutation, and no revision: an engine may give one revision to several such
    /// commits.
    Outcomes,
}

impl From<Mutation> for Commit {
    /// A commit of one mutation, whose caller learns its outcome; of a set, the revision.
    fn from(mutation: Mutation) -> Self {
        let reply = match mutation {
            Mutation::Set { .. } => Reply::Revision,
            _ => Reply::Outcomes,
        };
        Self { reply, mutations: vec![mutation], ..Self::default() }
    }
}

impl From<Requirement> for Commit {
    /// A commit that changes nothing if a condition holds, and fails otherwise.
    fn from(requirement: Requirement) -> Self {
        Self { requirements: vec![requirement], ..Self::default() }
    }
}

impl From<Vec<Mutation>> for Commit {
    /// A commit of several mutations, whose caller learns the revision.
    fn from(mutations: Vec<Mutation>) -> Self {
        Self { mutations, ..Self::default() }
    }
}

/// A condition on one entry, which is checked before anything is written.
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
    /// Gives a live entry a new expiry.
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
    /// Deletes every group whose name starts with this.
    DeletePrefix {
        prefix: String,
    },
    /// Removes expired entries of the groups whose names start with `prefix`, at most `max` of them.
    Purge {
        prefix: String,
        max: usize,
    },
    /// Changes no entry, so it has no revision and no event.
    SetQuota {
        namespace: String,
        quota: Quota,
    },
    /// Changes no entry, so it has no revision and no event.
    MoveCursor {
        name: String,
        to: CursorMove,
        /// What it wants from now on; `None` leaves that as it is.
        pattern: Option<Pattern>,
    },
    /// Writes a note, or with `None` removes it. Changes no entry, so it has no revision and no event.
    SetNote {
        name: String,
        content: Option<String>,
    },
    /// Gives the groups whose names start with this a history of their own, or with `None` takes it away. Changes no
    /// entry, so it has no revision and no event.
    SetHistory {
        prefix: String,
        history: Option<History>,
    },
}

/// A move of a named cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorMove {
    /// Creates it at a position, or after the latest commit where that is `None`. A cursor that exists stays
    /// where it is.
    Begin(Option<LogPosition>),
    /// Moves it forward to a position, if it is not there or beyond already. `Error::NoCursor` where it does not
    /// exist.
    Acknowledge(LogPosition),
    /// Moves it to a position in either direction, and creates it where it does not exist.
    Seek(LogPosition),
    /// Deletes it.
    Forget,
}

impl Mutation {
    /// The entry that it changes, if it changes just one.
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
            | Self::MoveCursor { .. }
            | Self::SetNote { .. }
            | Self::SetHistory { .. } => None,
        }
    }
}

/// What one mutation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The entry was set.
    Set,
    /// The size of the value that has a new expiry, and was written to the log again. `None` where there was no entry.
    Touched(Option<u64>),
    /// The sum that an increment came to.
    Incremented(i64),
    /// Whether there was an entry to delete.
    Deleted(bool),
    /// How many live entries the deleted groups had.
    DeletedGroups(u64),
    Purged(Purged),
    /// The quota was set.
    QuotaSet,
    /// The note was written or removed.
    NoteSet,
    /// Whether a history changed.
    HistorySet(bool),
    /// Where the cursor is now, `None` where it does not exist; and whether that changed.
    Cursor {
        position: Option<LogPosition>,
        changed: bool,
    },
}

impl Outcome {
    /// Whether the mutation changed something.
    pub fn changed(self) -> bool {
        match self {
            Self::Set | Self::Incremented(_) | Self::QuotaSet | Self::NoteSet => true,
            Self::Touched(size) => size.is_some(),
            Self::Deleted(found) | Self::HistorySet(found) => found,
            Self::DeletedGroups(keys) => keys > 0,
            Self::Purged(purged) => purged.entries > 0,
            Self::Cursor { changed, .. } => changed,
        }
    }

    /// How many entries a deletion of groups removed; 0 for any other mutation.
    pub fn deleted(self) -> u64 {
        if let Self::DeletedGroups(keys) = self { keys } else { 0 }
    }

    /// What an increment came to; 0 for any other mutation.
    pub fn sum(self) -> i64 {
        if let Self::Incremented(sum) = self { sum } else { 0 }
    }

    /// What a purge did; nothing for any other mutation.
    pub fn purged(self) -> Purged {
        if let Self::Purged(purged) = self { purged } else { Purged::default() }
    }

    /// Where a cursor is after a move; `None` where it does not exist, and for any other mutation.
    pub fn position(self) -> Option<LogPosition> {
        if let Self::Cursor { position, .. } = self { position } else { None }
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    /// How many expired entries were removed.
    pub entries: u64,
    /// Whether a further purge may find more to do.
    pub more: bool,
}

/// What became of a [`Commit`].
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// The commit's own revision; where it changed nothing, that of the store.
    pub revision: Revision,
    /// What each mutation did, in their order, where the [`Reply`] asks for it.
    pub outcomes: Vec<Outcome>,
    /// What changed, where the sink was interested. Empty where nothing changed.
    pub events: Vec<Arc<Event>>,
}

impl Committed {
    /// What the only mutation did. An engine answers each commit that asks for outcomes with as many as it
    /// has mutations, so the fallback is never used.
    pub fn outcome(&self) -> Outcome {
        debug_assert_eq!(self.outcomes.len(), 1);
        self.outcomes.first().copied().unwrap_or(Outcome::Set)
    }
}
