//! What a copy says of itself.

use std::fmt;

use crate::data::Revision;

/// How many differences are told one by one.
const DIFFERENCES_MAX: usize = 100;

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It looks at every entry of the source, and writes those that the target lacks.
    Copying,
    /// It applies what changes in the source.
    Following,
    /// The target holds what the source held at [`Progress::revision`]. Now everything is read once more, as it
    /// was at this moment on both sides, and compared.
    Verifying,
    /// A store cannot be reached, or takes no writes; it is tried again.
    Waiting,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// How many entries of the source were looked at in this stage.
    pub entries: u64,
    /// How many there are.
    pub entries_total: u64,
    /// How many entries were set or deleted in the target so far.
    pub written: u64,
    /// How many changes of the source were applied so far.
    pub applied: u64,
    /// The revision of the source up to which the target has followed it.
    pub revision: Revision,
    /// The latest revision of the source that is known.
    pub latest: Revision,
    /// What keeps it from going on, while it waits.
    pub trouble: Option<String>,
}

/// What a copy came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "the target may differ from the source: see `is_exact`"]
pub struct Copied {
    /// The revision of the source whose entries the target holds.
    pub revision: Revision,
    /// How many entries of the source were compared in the end.
    pub entries: u64,
    /// How many entries were set or deleted in the target.
    pub written: u64,
    /// How many changes of the source were applied while it was followed.
    pub applied: u64,
    /// How many entries the target holds that the source does not.
    pub beside: u64,
    /// How many differences there are that should not be: zero, unless somebody else writes to the target.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Copied {
    /// Whether everything that the source held is in the target, as it was.
    pub fn is_exact(&self) -> bool {
        self.differing == 0
    }
}

/// Something that is not the same in source and target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// The target lacks an entry.
    Missing {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// An entry has another value in the target.
    Value {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// An entry expires at another time in the target, or in one of both only.
    Expiry {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// The target has an entry that the source does not have, though the copy was to be exact.
    Extra {
        /// Its group.
        group: String,
        /// Its key.
        key: String,
    },
    /// A namespace may hold something else in the target.
    Quota {
        /// The namespace.
        namespace: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { group, key } => write!(f, "the target lacks the entry {group:?} {key:?}"),
            Self::Value { group, key } => write!(f, "the entry {group:?} {key:?} has another value"),
            Self::Expiry { group, key } => write!(f, "the entry {group:?} {key:?} expires at another time"),
            Self::Extra { group, key } => write!(f, "the source has no entry {group:?} {key:?}"),
            Self::Quota { namespace } => write!(f, "the namespace {namespace:?} has another quota"),
        }
    }
}

/// What was found to differ.
#[derive(Default)]
pub(super) struct Findings {
    pub differing: u64,
    pub differences: Vec<Difference>,
    pub beside: u64,
}

impl Findings {
    pub fn push(&mut self, difference: Difference) {
        self.differing += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}
