//! A place in the change log.

use super::revision::Revision;

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
