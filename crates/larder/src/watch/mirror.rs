//! What is there first, then what changes.

use std::fmt;
use std::time::{Duration, Instant};

use super::watcher::Watcher;
use crate::data::{Entry, Event, LogPosition, NamePattern, Pattern, Result, Revision};
#[cfg(feature = "tokio")]
use crate::store::AtHand;
use crate::store::{EntryStream, Snapshot, Store};

/// What a [`Mirror`] receives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// An entry that was there when the mirror was made: its group, and itself.
    Entry(String, Entry),
    /// That was all that was there, as of this revision. What follows are the changes since.
    Current(Revision),
    /// A change.
    Change(Event),
}

impl<S> Store<S> {
    /// Everything that matches a pattern, and then every change to it since exactly that moment: what
    /// a program needs that keeps a copy of a configuration.
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
    /// The entries come group by group and sorted, in constant memory. As long as they have not all been
    /// received, the mirror holds a snapshot.
    ///
    /// # Errors
    /// As any read.
    pub fn mirror(&self, pattern: impl Into<Pattern>) -> Result<Mirror> {
        let pattern = pattern.into();
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
        let present = Present { snapshot, key: pattern.key, groups, current: None, mark: Some(revision) };
        Ok(Mirror { present: Some(present), watcher })
    }
}

/// Receives what there is, then what changes: see
/// [`Store::mirror`](crate::Store::mirror).
///
/// As an iterator it yields each update as it comes, and ends when the store is closed.
#[must_use = "the watch ends when the mirror is dropped"]
pub struct Mirror {
    /// What there was, until all of it was received.
    present: Option<Present>,
    watcher: Watcher,
}

/// What there was, and the mark behind it.
pub(crate) struct Present {
    snapshot: Snapshot,
    key: NamePattern,
    /// The groups that are still to come, the next one last.
    groups: Vec<String>,
    current: Option<(String, EntryStream)>,
    /// Until it was given.
    mark: Option<Revision>,
}

impl Mirror {
    /// The next update, waiting for it.
    ///
    /// # Errors
    /// As [`Watcher::recv`](crate::Watcher::recv), and as any read.
    pub fn recv(&mut self) -> Result<Update> {
        match self.next_present() {
            Some(update) => update,
            None => Ok(Update::Change(self.watcher.recv()?)),
        }
    }

    /// The next update if there is one now.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Update>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next update, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Update>> {
        let deadline = Instant::now().checked_add(timeout);
        match self.next_present() {
            Some(update) => update.map(Some),
            None => Ok(self.watcher.next_before(deadline)?.map(Update::Change)),
        }
    }

    /// The next of what there was, and the mark behind it; `None` once that was given.
    fn next_present(&mut self) -> Option<Result<Update>> {
        let update = self.present.as_mut()?.next();
        if update.is_none() {
            self.present = None;
        }
        update
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Option<Present>, Watcher) {
        (self.present, self.watcher)
    }
}

impl Present {
    fn next_entry(&mut self) -> Result<Option<(String, Entry)>> {
        loop {
            if let Some((group, stream)) = &mut self.current {
                if let Some(entry) = stream.next() {
                    let entry = entry?;
                    // They are sorted: the first that is not wanted ends those that are.
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
                    let stream = self.snapshot.entries(&group)?;
                    self.current = Some((group, stream));
                }
                NamePattern::Prefix(prefix) => {
                    let first = self.snapshot.entry(&group, prefix)?;
                    let rest = self.snapshot.entries_after(&group, prefix)?;
                    self.current = Some((group.clone(), rest));
                    if let Some(first) = first {
                        return Ok(Some((group, first)));
                    }
                }
            }
        }
    }
}

impl Iterator for Present {
    type Item = Result<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_entry() {
            Ok(Some((group, entry))) => Some(Ok(Update::Entry(group, entry))),
            Ok(None) => self.mark.take().map(|revision| Ok(Update::Current(revision))),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(feature = "tokio")]
impl AtHand for Present {
    fn is_at_hand(&self) -> bool {
        self.current.as_ref().is_some_and(|(_, stream)| stream.is_at_hand())
    }
}

impl Iterator for Mirror {
    type Item = Result<Update>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(crate::data::Error::Closed) => None,
            received => Some(received),
        }
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("is_current", &self.present.is_none())
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}
