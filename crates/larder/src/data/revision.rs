//! The number of a commit.

use std::fmt;

/// The store-wide number of a commit: it grows with each one and never goes back.
///
/// In a SQLite file the first commit is 1 and each adds exactly 1. `Revision(0)` is the
/// moment before the first commit.
///
/// ```
/// # fn main() -> larder::Result<()> {
/// let store = larder::Store::in_memory()?;
/// let first = store.set("config", "colour", "blue")?;
/// let second = store.set("config", "colour", "green")?;
/// assert_eq!(first.next(), second);
/// assert_eq!(second.to_string(), "2");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision before this one; that of 0 is 0.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}
