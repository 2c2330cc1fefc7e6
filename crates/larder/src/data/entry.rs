//! Entries, groups and namespaces, as reads return them.

use std::time::SystemTime;

use super::clock;
use super::facts::Facts;
use super::found::Found;
use super::quota::{Quota, Usage};
use super::revision::Revision;
use super::value::Value;

/// One key of a group, with everything that the store knows about it.
///
/// ```
/// use std::time::Duration;
/// use larder::{Revision, Store};
///
/// let store = Store::in_memory()?;
/// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
/// let entry = store.entry("session", "token")?.unwrap();
/// assert_eq!((entry.key.as_str(), &entry.value), ("token", &"abc".into()));
/// assert_eq!(entry.revision, Revision(1));
/// assert!(entry.expires_at.is_some());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The key, without its group.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The commit that last wrote the entry.
    pub revision: Revision,
    /// When the entry expires, in milliseconds; `None` is never.
    pub expires_at: Option<SystemTime>,
}

/// Some entries of a group, and where the next page starts: see [`View::page`](crate::View::page).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.batch().set("mail", "host", "smtp.example.com").set("mail", "port", "587").commit()?;
/// let first = store.page("mail", None, 1)?;
/// assert_eq!(first.entries[0].key, "host");
/// let second = store.page("mail", first.next.as_deref(), 1)?;
/// assert_eq!(second.entries[0].key, "port");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Page {
    /// The entries, sorted by key.
    pub entries: Vec<Entry>,
    /// The `after` argument for the next page; `None` if this page is the last.
    pub next: Option<String>,
}

/// A group and its size: see [`View::groups`](crate::View::groups).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let group = &store.groups("")?[0];
/// assert_eq!((group.name.as_str(), group.keys, group.bytes), ("config", 1, 10));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupInfo {
    /// The name of the group.
    pub name: String,
    /// The number of live keys.
    pub keys: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
}

/// A namespace, its size and its limits: see [`Store::namespaces`](crate::Store::namespaces).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.scoped("tenant-42")?.set("preferences", "locale", "en-GB")?;
/// let namespace = &store.namespaces()?[0];
/// assert_eq!((namespace.name.as_str(), namespace.usage.keys), ("tenant-42", 1));
/// assert_eq!(namespace.quota.max_keys, None);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NamespaceInfo {
    /// The name of the namespace.
    pub name: String,
    /// What the namespace holds.
    pub usage: Usage,
    /// What the namespace may hold.
    pub quota: Quota,
}

impl From<Found> for Entry {
    fn from(found: Found) -> Self {
        let Facts { revision, expires_at_ms } = found.facts();
        let key = found.key().to_owned();
        Self { key, value: Value::from(found), revision, expires_at: expires_at_ms.map(clock::time) }
    }
}
