//! When one namespace gets a history of its own, out of one that several share.

use crate::data::History;
use crate::data::namespace::namespace_of;

/// A namespace may use one part in so many of a history that it shares.
pub(crate) const SHARE: u64 = 4;

/// After what part of its bounds a history is looked at again.
pub(crate) const LOOK_EVERY: u64 = 16;

/// How many changes are looked at each time, equally far apart.
pub(crate) const SAMPLES: u64 = 32;

/// A history of fewer changes, or of fewer bytes, is not worth dividing.
const CHANGES_MIN: u64 = 4096;
const BYTES_MIN: u64 = 256 << 10;

/// How many namespaces get a history in this way. It bounds how large the log becomes, and leaves histories to set.
pub(crate) const DIVIDED_MAX: usize = 32;

/// A namespace that is to get a history of its own.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    pub prefix: String,
    pub bounds: History,
}

/// Whether the history of a prefix may be divided at all; one that keeps nothing may not.
pub(crate) fn may_be_divided(prefix: &str, keeps_nothing: bool, bounds: &History) -> bool {
    let is_large = bounds.changes >= CHANGES_MIN && bounds.bytes >= BYTES_MIN;
    namespace_of(prefix).is_none() && !keeps_nothing && is_large
}
