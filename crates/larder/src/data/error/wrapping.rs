//! Makes the errors of others larder's.

use std::sync::Arc;

use super::Error;
use crate::data::parse::ParseError;

impl Error {
    /// Wraps an error of the caller's own, so that a transaction can fail with it and roll back.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let store = Store::in_memory()?;
    /// let refused = store.transaction(|tx| {
    ///     tx.set("accounts", "alice", "-1")?;
    ///     Err::<(), _>(Error::other("a balance may not be negative"))
    /// });
    /// assert_eq!(refused.unwrap_err().to_string(), "a balance may not be negative");
    /// assert!(!store.group_exists("accounts")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(Arc::from(error.into()))
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::InvalidText(error)
    }
}
