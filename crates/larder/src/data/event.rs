//! One change of the store.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use super::clock;
use super::facts::Facts;
use super::found::Found;
use super::parse::ParseError;
use super::revision::Revision;
use super::value::Value;

/// One change of the store, as the change log keeps it and as a watcher receives it.
///
/// ```
/// use larder::{EventKind, Store};
///
/// let store = Store::in_memory()?;
/// let watcher = store.watch(("config", "*"))?;
/// store.set("config", "colour", "blue")?;
///
/// let event = watcher.recv()?;
/// assert_eq!(event.kind, EventKind::Set);
/// assert_eq!((event.group.as_str(), event.key.as_deref()), ("config", Some("colour")));
/// assert_eq!(event.value.unwrap(), "blue");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The commit that made the change. All changes of one batch or transaction have the same revision.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// The group that changed.
    pub group: String,
    /// The key that changed; `None` if the whole group was deleted.
    pub key: Option<String>,
    /// The value after the change; `None` if the entry no longer exists.
    pub value: Option<Value>,
    /// When the entry expires, in milliseconds; `None` is never. Of an entry that has expired, when it did.
    pub expires_at: Option<SystemTime>,
    /// When the change was made, in milliseconds, by the clock of the store that made it.
    pub at: SystemTime,
}

/// What happened in an [`Event`].
///
/// As text, a kind is `set`, `delete`, `delete_group` or `expire`:
///
/// ```
/// use larder::EventKind;
///
/// assert_eq!(EventKind::DeleteGroup.to_string(), "delete_group");
/// assert_eq!("expire".parse::<EventKind>()?, EventKind::Expire);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// An entry was given a value or a new expiry.
    Set,
    /// An entry was deleted.
    Delete,
    /// A group was deleted with all its entries.
    DeleteGroup,
    /// An entry expired and was removed.
    Expire,
}

impl EventKind {
    /// Returns the kind's text: `set`, `delete`, `delete_group` or `expire`.
    ///
    /// ```
    /// assert_eq!(larder::EventKind::Set.as_str(), "set");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Delete => "delete",
            Self::DeleteGroup => "delete_group",
            Self::Expire => "expire",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "set" => Ok(Self::Set),
            "delete" => Ok(Self::Delete),
            "delete_group" => Ok(Self::DeleteGroup),
            "expire" => Ok(Self::Expire),
            _ => Err(ParseError::new("event kind", text, "set, delete, delete_group or expire")),
        }
    }
}

impl Event {
    /// Returns the entry that a set stored; `None` for any other change.
    pub(crate) fn found(&self) -> Option<Found> {
        let facts = Facts { revision: self.revision, expires_at_ms: self.expires_at.map(clock::ms) };
        Some(Found::new(&self.group, self.key.as_ref()?, self.value.as_ref()?.as_bytes(), facts))
    }
}
