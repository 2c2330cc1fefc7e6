//! The current state first, then its changes.

use std::fmt;
use std::time::{Duration, Instant};

use super::watcher::{Watcher, unless_closed};
use crate::data::{Entry, Error, Event, LogPosition, NamePattern, Pattern, Result, Revision};
use crate::store::{EntryStream, Snapshot, Store};

/// What a [`Mirror`] receives.
///
/// ```
/// # use larder::{Store, Update};
/// # let store = Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let mut mirror = store.mirror(("config", "*"))?;
/// assert!(matches!(mirror.recv()?, Update::Entry(group, _) if group == "config"));
/// assert!(matches!(mirror.recv()?, Update::Current(_)));
/// store.delete("config", "colour")?;
/// assert!(matches!(mirror.recv()?, Update::Change(_)));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// An entry that existed when the mirror was made, after the name of its group.
    Entry(String, Entry),
    /// The end of these entries: together they are the state at this revision. All later updates are changes.
    Current(Revision),
    /// A change.
    Change(Event),
}

impl<S> Store<S> {
    /// Returns a mirror: it receives every entry that matches a pattern, and then every change since exactly that
    /// moment. A program that keeps a copy of a configuration needs one.
    ///
    /// ```
    /// # use larder::{Store, Update};
    /// # let store = Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// let mut copy = std::collections::BTreeMap::new();
    /// let mut mirror = store.mirror(("config", "*"))?;
    /// store.set("config", "size", "10")?;
    /// while let Some(update) = mirror.try_recv()? {
    ///     match update {
    ///         Update::Entry(_, entry) => drop(copy.insert(entry.key, entry.value)),
    ///         Update::Current(revision) => println!("complete as of {revision}"),
    ///         Update::Change(event) => match (event.key, event.value) {
    ///             (Some(key), Some(value)) => drop(copy.insert(key, value)),
    ///             (Some(key), None) => drop(copy.remove(&key)),
    ///             (None, _) => copy.clear(),
    ///         },
    ///     }
    /// }
    /// assert_eq!(copy["colour"], "blue");
    /// assert_eq!(copy["size"], "10");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// The entries come group by group and sorted by key, in constant memory. The mirror holds a snapshot until
    /// all of them were received.
    ///
    /// # Errors
    /// As any read, and [`Error::TooLarge`](crate::Error::TooLarge) for a pattern that no name can match.
    pub fn mirror(&self, pattern: impl Into<Pattern>) -> Result<Mirror> {
        let pattern = pattern.into();
        loop {
            match self.begin_mirror(pattern.clone()) {
                // The cluster was compacted just then. Nobody has seen anything of that snapshot.
                Err(Error::SnapshotLost { .. }) => {}
                begun => return begun,
            }
        }
    }

    fn begin_mirror(&self, pattern: Pattern) -> Result<Mirror> {
        let snapshot = self.snapshot()?;
        let revision = snapshot.revision()?;
        let watcher = self.watcher_after(pattern.clone(), LogPosition::after(revision))?;
        let mut groups = match &pattern.group {
            NamePattern::Exact(group) => vec![group.clone()],
            NamePattern::Prefix(prefix) => {
                snapshot.groups(prefix)?.into_iter().map(|group| group.name).collect()
            }
        };
        groups.reverse();
        let initial = InitialState {
            snapshot,
            key: pattern.key,
            groups,
            current: None,
            as_of: Some(revision),
            failed: None,
        };
        Ok(Mirror { initial: Some(initial), watcher })
    }
}

/// Receives the current state, then its changes: see [`Store::mirror`](crate::Store::mirror).
///
/// As an iterator it yields each update as it comes, and ends when the store is closed.
///
/// ```no_run
/// # let store = larder::Store::in_memory()?;
/// for update in store.mirror(("config", "*"))? {
///     println!("{:?}", update?); // waits for the next update
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "the watch ends when the mirror is dropped"]
pub struct Mirror {
    /// `None` once all of it was received.
    pub(super) initial: Option<InitialState>,
    pub(super) watcher: Watcher,
}

/// The entries that existed when a mirror was made, and then [`Update::Current`].
pub(crate) struct InitialState {
    snapshot: Snapshot,
    key: NamePattern,
    /// The groups that are still to come, the next one last.
    groups: Vec<String>,
    pub(super) current: Option<(String, EntryStream)>,
    /// The snapshot's revision, until it was received.
    as_of: Option<Revision>,
    /// Why an entry could not be read. After that, nothing may say that all of them were.
    failed: Option<Error>,
}

impl Mirror {
    /// Returns the next update; waits for it.
    ///
    /// ```
    /// # use larder::{Store, Update};
    /// # let store = Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// let mut mirror = store.mirror(("config", "*"))?;
    /// let Update::Entry(group, entry) = mirror.recv()? else { panic!("the entry comes first") };
    /// assert_eq!((group.as_str(), entry.key.as_str()), ("config", "colour"));
    /// assert_eq!(mirror.recv()?, Update::Current(revision));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Watcher::recv`](crate::Watcher::recv), and as any read. If one of the entries that exist first cannot be read,
    /// every later call fails like it: make a new mirror.
    pub fn recv(&mut self) -> Result<Update> {
        match self.next_initial() {
            Some(update) => update,
            None => Ok(Update::Change(self.watcher.recv()?)),
        }
    }

    /// Returns the next update if there is one now.
    ///
    /// ```
    /// # use larder::{Store, Update};
    /// # let store = Store::in_memory()?;
    /// let mut mirror = store.mirror(("config", "*"))?;
    /// assert!(matches!(mirror.try_recv()?, Some(Update::Current(_))));
    /// assert!(mirror.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Update>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Returns the next update; waits up to `timeout` for it, and returns `None` if there is none by then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// let mut mirror = store.mirror(("config", "*"))?;
    /// assert!(mirror.recv_timeout(Duration::from_secs(1))?.is_some()); // `Update::Current`
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Update>> {
        let deadline = Instant::now().checked_add(timeout);
        match self.next_initial() {
            Some(update) => update.map(Some),
            None => Ok(self.watcher.next_before(deadline)?.map(Update::Change)),
        }
    }

    /// The next update of the initial state; `None` once it is complete.
    fn next_initial(&mut self) -> Option<Result<Update>> {
        let update = self.initial.as_mut()?.next();
        // Nothing follows the mark, and nobody may ask for more for a long time.
        if matches!(update, None | Some(Ok(Update::Current(_)))) {
            self.initial = None;
        }
        update
    }
}

impl InitialState {
    fn next_entry(&mut self) -> Result<Option<(String, Entry)>> {
        loop {
            if let Some((group, entries)) = &mut self.current {
                if let Some(entry) = entries.next() {
                    let entry = entry?;
                    // They are sorted: the first that does not match ends those that do.
                    if self.key.matches(&entry.key) {
                        return Ok(Some((group.clone(), entry)));
                    }
                }
                self.current = None;
            }
            let Some(group) = self.groups.pop() else { return Ok(None) };
            match &self.key {
                NamePattern::Exact(key) => {
                    if let Some(entry) = self.snapshot.entry(&group, key)? {
                        return Ok(Some((group, entry)));
                    }
                }
                NamePattern::Prefix(prefix) if prefix.is_empty() => {
                    let entries = self.snapshot.entries(&group)?;
                    self.current = Some((group, entries));
                }
                NamePattern::Prefix(prefix) => {
                    let first = self.snapshot.entry(&group, prefix)?;
                    let rest = self.snapshot.entries_after(&group, Some(prefix))?;
                    self.current = Some((group.clone(), rest));
                    if let Some(first) = first {
                        return Ok(Some((group, first)));
                    }
                }
            }
        }
    }
}

impl Iterator for InitialState {
    type Item = Result<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = &self.failed {
            return Some(Err(error.clone()));
        }
        match self.next_entry() {
            Ok(Some((group, entry))) => Some(Ok(Update::Entry(group, entry))),
            Ok(None) => self.as_of.take().map(|revision| Ok(Update::Current(revision))),
            Err(error) => Some(Err(self.failed.insert(error).clone())),
        }
    }
}

impl Iterator for Mirror {
    type Item = Result<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        unless_closed(self.recv())
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("is_current", &self.initial.is_none())
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}
