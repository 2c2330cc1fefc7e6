//! What the change log tells a cache.

use crate::data::Revision;

/// How many commits a store has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The last commit in the change log.
    pub revision: Revision,
    /// How many of larder's commits are not in the log, because they changed no entry.
    pub unlogged: u64,
}

/// The changes after a revision, for a cache.
#[derive(Debug)]
pub enum News {
    /// The keys that changed, or whole groups where the key is `None`, up to `latest`.
    Changed { latest: Commits, keys: Vec<(String, Option<String>)> },
    /// The log does not reach back so far, or there are too many.
    Unknown { latest: Commits },
}
