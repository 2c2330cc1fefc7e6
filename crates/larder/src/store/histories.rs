//! How much of the change log is kept, by the groups of the changes.

use super::handle::Store;
use super::request::Request;
use crate::data::{History, HistoryInfo, Result};

impl Store {
    /// Gives all groups whose names start with `prefix` a history of their own: how much of the change log is kept for
    /// them. Every process keeps to it, from now on and after a restart.
    ///
    /// Without that, all groups share one history, which [`Options::history`](crate::Options::history) limits, so that
    /// groups which change often push out the changes of those which change rarely. The changes of a group count
    /// towards the history with the longest prefix that its name starts with, and no history shortens another. The
    /// empty prefix is for all groups that have no longer one. For a namespace, the prefix is its name and a colon. A
    /// scoped store cannot set histories: a tenant could make the file as large as it likes.
    ///
    /// Changes that are in the log already move to the new history, in one commit, which takes longer the more they
    /// are. A history is not an entry: setting it makes no revision and no event.
    ///
    /// ```
    /// # use larder::{History, Store};
    /// # let store = Store::in_memory()?;
    /// store.set_history("session:", History { changes: 1000, ..History::default() })?;
    /// let first = store.set("orders", "1", "a book")?;
    /// for number in 0..5000 {
    ///     store.set("session:7", "page", number.to_string())?;
    /// }
    /// let orders = store.watch_from(("orders", "*"), first.previous())?;
    /// assert_eq!(orders.recv()?.key.as_deref(), Some("1"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// ```compile_fail,E0599
    /// # use larder::{History, Store};
    /// # let store = Store::in_memory()?;
    /// store.scoped("tenant-42")?.set_history("", History { bytes: 1 << 50, ..History::default() })?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # What [`History::NONE`] means
    /// Changes of such groups cannot be read later; only the names of the last 1,024 are kept, for the caches of other
    /// processes. A live watcher of the process that writes receives them. Any watcher, mirror or cursor whose pattern
    /// may select such a group gets [`Error::Compacted`](crate::Error::Compacted) once, instead of what it missed,
    /// whenever it has to read the log: when it lags by more than 1,024 events, when it resumes, or when another
    /// process has changed such a group. If other processes watch these groups, give them a short history instead.
    ///
    /// # Errors
    /// As any write: see [`Store`]. [`Error::TooManyHistories`](crate::Error::TooManyHistories) beyond 256 of them. On a
    /// cluster, [`Error::Unsupported`](crate::Error::Unsupported): etcd has one history of all keys.
    pub fn set_history(&self, prefix: impl AsRef<str>, history: History) -> Result<()> {
        self.write(Request::set_history(self.scope(), prefix, Some(history))).map(drop)
    }

    /// Removes the history of a prefix, and returns whether there was one. The changes that it holds move to the
    /// history that its groups belong to then. For the empty prefix of the whole store, the limits of
    /// [`Options::history`](crate::Options::history) apply again.
    ///
    /// ```
    /// # use larder::{History, Store};
    /// # let store = Store::in_memory()?;
    /// store.set_history("session:", History::NONE)?;
    /// assert!(store.remove_history("session:")?);
    /// assert!(!store.remove_history("session:")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`set_history`](Self::set_history).
    pub fn remove_history(&self, prefix: impl AsRef<str>) -> Result<bool> {
        self.write(Request::set_history(self.scope(), prefix, None))
    }
}

impl<S> Store<S> {
    /// Returns the histories, sorted by prefix, with how much each holds. The first one of a whole store has the empty
    /// prefix. A cluster has none.
    ///
    /// ```
    /// # use larder::{History, Store};
    /// # let store = Store::in_memory()?;
    /// store.set_history("session:", History::NONE)?;
    /// let prefixes: Vec<_> = store.histories()?.into_iter().map(|history| history.prefix).collect();
    /// assert_eq!(prefixes, ["", "session:"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn histories(&self) -> Result<Vec<HistoryInfo>> {
        let mut histories = self.shared().engine()?.histories(self.scope().prefix()).wait()?;
        for history in &mut histories {
            history.prefix = self.scope().strip(std::mem::take(&mut history.prefix));
        }
        Ok(histories)
    }
}
