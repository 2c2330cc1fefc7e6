//! The store at one moment.

use std::ops::Deref;
use std::sync::Arc;

use super::scope::Scope;
use super::shared::Open;
use super::source::Source;
use super::view::View;
use crate::data::{Result, Revision};
use crate::engine::Read;

/// The store as it was at one moment: see [`Store::snapshot`](crate::Store::snapshot).
///
/// Later writes, deletions and purges do not show. An entry whose time comes while the snapshot is held
/// disappears from it.
///
/// While a snapshot of a file is held, SQLite cannot checkpoint the write-ahead log, which grows with every
/// write. A snapshot of a store in memory is a copy of it.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let snapshot = store.snapshot()?;
/// store.set("config", "colour", "green")?;
/// assert_eq!(snapshot.get("config", "colour")?.unwrap(), "blue");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a snapshot shows its moment only while it is held"]
pub struct Snapshot {
    view: View,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Open>, read: Arc<dyn Read>, scope: Scope) -> Self {
        Self { view: View::new(Source::Snapshot(shared, read), scope) }
    }

    /// Returns the revision of the latest commit that the snapshot shows.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// assert_eq!(store.snapshot()?.revision()?, revision);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
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
