//! What a write requires of an entry.

use super::revision::Revision;

/// What must be so of an entry for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such entry.
    Absent,
    /// There is one, whatever its value.
    Present,
    /// It was last written by this commit.
    Revision(Revision),
}

impl Condition {
    /// Whether the condition holds for an entry last written at `actual`, or for none.
    pub(crate) fn holds(self, actual: Option<Revision>) -> bool {
        match self {
            Self::Absent => actual.is_none(),
            Self::Present => actual.is_some(),
            Self::Revision(wanted) => actual == Some(wanted),
        }
    }
}
