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
