//! A position in the change log.

use super::revision::Revision;

/// A position in the change log, between two changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogPosition {
    pub revision: Revision,
    /// The position follows this change of the commit, counted from 0. `u64::MAX` follows all of them.
    pub step: u64,
}

impl LogPosition {
    /// After everything that there will ever be.
    pub const MAX: Self = Self { revision: Revision(u64::MAX), step: u64::MAX };

    /// Returns the position after all changes of a commit.
    pub fn after(revision: Revision) -> Self {
        Self { revision, step: u64::MAX }
    }
}
