//! What an engine is asked to change, and what became of it.

use std::sync::Arc;

use crate::data::{Condition, Event, LogPosition, Quota, Revision, Value};

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
