//! The revision and expiry of an entry.

use super::revision::Revision;

/// What an entry has apart from its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub revision: Revision,
    /// Unix milliseconds; `None` is never.
    pub expires_at_ms: Option<i64>,
}
