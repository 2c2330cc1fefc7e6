//! How fresh a read of a cluster is.

use std::fmt;
use std::str::FromStr;

use super::parse::ParseError;

/// How fresh the reads of a store on an etcd cluster are.
///
/// A store in a SQLite file ignores this setting: its reads are always linearizable.
///
/// As text, a consistency is `linearizable` or `cached`:
///
/// ```
/// use larder::{Consistency, Store};
///
/// let consistency: Consistency = "cached".parse()?;
/// assert_eq!(consistency, Consistency::Cached);
/// assert_eq!(consistency.to_string(), "cached");
/// let options = Store::options().consistency(consistency);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// A read sees every write that any client finished before the read began. Each read asks the cluster.
    #[default]
    Linearizable,
    /// `get`, `entry` and `exists` may answer from this process's memory.
    ///
    /// They see every write of this process, and the writes of others with a delay that
    /// [`Store::cache_age`](crate::Store::cache_age) reports and
    /// [`Options::cache_age_max`](crate::Options::cache_age_max) bounds. When the delay is unknown or exceeds
    /// that bound, they ask the cluster. All other reads, and the conditions of writes, always ask the cluster.
    Cached,
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linearizable => "linearizable",
            Self::Cached => "cached",
        })
    }
}

impl FromStr for Consistency {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "linearizable" => Ok(Self::Linearizable),
            "cached" => Ok(Self::Cached),
            _ => Err(ParseError::new("consistency", text, "linearizable or cached")),
        }
    }
}
