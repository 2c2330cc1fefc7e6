//! What a read returns of one entry, one group and one namespace.

use std::time::SystemTime;

use super::clock;
use super::facts::Facts;
use super::found::Found;
use super::quota::{Quota, Usage};
use super::revision::Revision;
use super::value::Value;

/// One key of a group, with all that the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The commit that last wrote the entry.
    pub revision: Revision,
    /// When the entry expires, to the millisecond; `None` is never.
    pub expires_at: Option<SystemTime>,
}

/// Some entries of a group, and where the next ones start: see [`View::page`](crate::View::page).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, sorted by key.
    pub entries: Vec<Entry>,
    /// What to give as `after` for the next page; `None` where this is the last.
    pub next: Option<String>,
}

/// A group and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// The name of the group.
    pub name: String,
    /// How many keys.
    pub keys: u64,
    /// How many bytes its keys and values have.
    pub bytes: u64,
}

/// A namespace, what it holds and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// The name of the namespace.
    pub name: String,
    /// What it holds.
    pub usage: Usage,
    /// What it may hold.
    pub quota: Quota,
}

impl From<Found> for Entry {
    fn from(found: Found) -> Self {
        let Facts { revision, expires_at_ms } = found.facts();
        let key = found.key().to_owned();
        Self { key, value: Value::from(found), revision, expires_at: expires_at_ms.map(clock::time) }
    }
}
