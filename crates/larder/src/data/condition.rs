//! What a write requires of an entry.

use std::fmt;
use std::str::FromStr;

use super::parse::{self, ParseError};
use super::revision::Revision;

/// What must be true of an entry for a write to happen.
///
/// [`Store::set_if`](crate::Store::set_if) and [`Batch::require`](crate::Batch::require) take one. If it
/// does not hold, nothing is written and the call fails with [`Error::Conflict`](crate::Error::Conflict).
///
/// As text, a condition is `absent`, `present` or `revision:` and a number:
///
/// ```
/// use larder::{Condition, Revision};
///
/// let condition: Condition = "revision:42".parse()?;
/// assert_eq!(condition, Condition::Revision(Revision(42)));
/// assert_eq!(condition.to_string(), "revision:42");
/// assert_eq!("absent".parse::<Condition>()?, Condition::Absent);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// The entry does not exist. An expired entry does not exist.
    Absent,
    /// The entry exists, with any value.
    Present,
    /// The entry exists, and this commit was the last to write it.
    Revision(Revision),
}

/// Precedes the number in the text of [`Condition::Revision`].
const REVISION: &str = "revision:";

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Present => f.write_str("present"),
            Self::Revision(revision) => write!(f, "{REVISION}{revision}"),
        }
    }
}

impl FromStr for Condition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let revision = text.strip_prefix(REVISION).and_then(parse::number);
        match (text, revision) {
            ("absent", _) => Ok(Self::Absent),
            ("present", _) => Ok(Self::Present),
            (_, Some(revision)) => Ok(Self::Revision(Revision(revision))),
            _ => Err(ParseError::new("condition", text, "absent, present, or revision:42 with any number")),
        }
    }
}
