//! One change of the store.

use std::time::SystemTime;

use super::clock;
use super::facts::Facts;
use super::found::Found;
use super::revision::Revision;
use super::value::Value;

/// One change of the store, as the change log keeps it and as a watcher receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit that made the change. The changes of one batch share it.
    pub revision: Revision,
    /// What was done.
    pub kind: EventKind,
    /// The group that it was done to.
    pub group: String,
    /// The key that it was done to; `None` where it was the whole group.
    pub key: Option<String>,
    /// The value after the change; `None` where there is none any more.
    pub value: Option<Value>,
    /// When the entry now expires; `None` is never.
    pub expires_at: Option<SystemTime>,
    /// When the change was made, by the clock of the store that made it.
    pub at: SystemTime,
}

/// What an [`Event`] says was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// An entry got a value, or a new expiry.
    Set,
    /// An entry was deleted.
    Delete,
    /// A group was deleted, with all its entries.
    DeleteGroup,
    /// An entry reached its expiry and was removed.
    Expire,
}

impl EventKind {
    /// The kind as JSON and the change log name it: `set`, `delete`, `delete_group`, `expire`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Delete => "delete",
            Self::DeleteGroup => "delete_group",
            Self::Expire => "expire",
        }
    }

    /// The kind of a name that [`as_str`](Self::as_str) gives.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Set, Self::Delete, Self::DeleteGroup, Self::Expire]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl Event {
    /// The entry that a set has stored; `None` for any other change.
    pub(crate) fn found(&self) -> Option<Found> {
        let facts = Facts { revision: self.revision, expires_at_ms: self.expires_at.map(clock::ms) };
        Some(Found::new(&self.group, self.key.as_ref()?, self.value.as_ref()?.as_bytes(), facts))
    }
}
