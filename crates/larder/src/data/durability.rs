//! When a write is acknowledged.

use std::fmt;
use std::str::FromStr;

use super::parse::ParseError;

/// When a write is acknowledged: once it is on disk, or once the operating system has it.
///
/// As text, a durability is `full` or `relaxed`:
///
/// ```
/// use larder::{Durability, Store};
///
/// let durability: Durability = "relaxed".parse()?;
/// assert_eq!(durability, Durability::Relaxed);
/// assert_eq!(durability.to_string(), "relaxed");
/// let store = Store::options().durability(durability).in_memory()?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// A write returns once it is on disk. A power cut right after the call loses nothing.
    #[default]
    Full,
    /// A write returns once the operating system has it.
    ///
    /// A crash of the program loses nothing. A power cut may lose the most recent commits, each as a whole
    /// and from the end, and damages nothing.
    Relaxed,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Relaxed => "relaxed",
        })
    }
}

impl FromStr for Durability {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "full" => Ok(Self::Full),
            "relaxed" => Ok(Self::Relaxed),
            _ => Err(ParseError::new("durability", text, "full or relaxed")),
        }
    }
}
