//! The number of a commit.

use std::fmt;
use std::str::FromStr;

use super::parse::{self, ParseError};

/// The number of a commit. It is the same for the whole store, and each commit has a higher one than the
/// commit before.
///
/// In a SQLite file the first commit is 1 and each commit adds exactly 1. On an etcd cluster the numbers
/// may have gaps. `Revision(0)` is the state before the first commit.
///
/// As text, a revision is its number in decimal digits:
///
/// ```
/// use larder::Revision;
///
/// let store = larder::Store::in_memory()?;
/// let first = store.set("config", "colour", "blue")?;
/// let second = store.set("config", "colour", "green")?;
/// assert_eq!(first.next(), second);
/// assert_eq!(second.to_string(), "2");
/// assert_eq!("2".parse::<Revision>()?, second);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Revision(pub u64);

impl Revision {
    /// Returns this revision plus 1, or `u64::MAX` if it is that already.
    ///
    /// ```
    /// assert_eq!(larder::Revision(41).next(), larder::Revision(42));
    /// ```
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns this revision minus 1, or 0 if it is that already.
    ///
    /// ```
    /// use larder::Revision;
    /// assert_eq!(Revision(42).previous(), Revision(41));
    /// assert_eq!(Revision(0).previous(), Revision(0));
    /// ```
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

impl FromStr for Revision {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = parse::number(text).ok_or_else(|| {
            ParseError::new("revision", text, "a whole number from 0 to 18446744073709551615, such as 42")
        })?;
        Ok(Self(number))
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
