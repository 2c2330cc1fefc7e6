//! What is known of an entry beside its key and value.

use super::revision::Revision;

/// What an entry has beside its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub revision: Revision,
    /// Unix milliseconds.
    pub expires_at_ms: Option<i64>,
}
