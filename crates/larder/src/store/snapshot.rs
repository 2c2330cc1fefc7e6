//! The store at one moment.

use std::ops::Deref;
use std::sync::Arc;

use super::scope::Scope;
use super::shared::Open;
use super::source::Source;
use super::view::View;
use crate::data::{Result, Revision};
use crate::engine::Read;

/// The store as it is at one moment, for as long as the snapshot is held: see
/// [`Store::snapshot`](crate::Store::snapshot).
///
/// What expires while it is held is no longer in its answers; what is written, deleted or purged
/// does not show. While a snapshot of a file is held, the file's write-ahead log cannot be folded
/// back and grows with every write. One of a store in memory is a copy.
#[derive(Debug)]
#[must_use = "a snapshot shows its moment only while it is held"]
pub struct Snapshot {
    view: View,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Open>, read: Arc<dyn Read>, scope: Scope) -> Self {
        Self { view: View::new(Source::Snapshot(shared, read), scope) }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn source(&self) -> Source {
        self.view.source().clone()
    }

    /// The latest commit that the snapshot shows.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) once the store is closed.
    pub fn revision(&self) -> Result<Revision> {
        self.view.reader()?.revision().wait()
    }
}

impl Deref for Snapshot {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}
