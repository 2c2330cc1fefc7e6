use std::time::SystemTime;

use crate::{Revision, Value};

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

/// Which events a watcher wants.
///
/// Patterns are literal: a `*`, `%` or `_` in a name stands for itself. Only the short form, a
/// pair of `&str`, reads `"*"` as all.
///
/// ```
/// use larder::Pattern;
/// assert_eq!(Pattern::from(("config", "*")), Pattern::group("config"));
/// assert_eq!(Pattern::from(("config", "colour")), Pattern::key("config", "colour"));
/// assert_eq!(Pattern::from(("*", "*")), Pattern::all());
/// assert_ne!(Pattern::from(("config", "*")), Pattern::key("config", "*"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub(crate) group: NamePattern,
    pub(crate) key: NamePattern,
}

/// Which names a pattern wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NamePattern {
    /// Every name that starts so; "" is all.
    Prefix(String),
    Exact(String),
}

impl NamePattern {
    fn all() -> Self {
        Self::Prefix(String::new())
    }

    /// A name, or, as "*", all of them.
    fn short(name: &str) -> Self {
        if name == "*" { Self::all() } else { Self::Exact(name.to_owned()) }
    }

    /// The name, or the prefix.
    pub fn text(&self) -> &str {
        match self {
            Self::Prefix(text) | Self::Exact(text) => text,
        }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Exact(exact) => name == exact,
        }
    }
}

impl Pattern {
    /// Every event.
    pub fn all() -> Self {
        Self::group_prefix("")
    }

    /// The events of one group.
    pub fn group(group: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::all() }
    }

    /// The events of one key, and those that delete its whole group.
    pub fn key(group: impl Into<String>, key: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::Exact(key.into()) }
    }

    /// The events of every key of a group that starts with `prefix`, and those that delete the group.
    pub fn key_prefix(group: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::Prefix(prefix.into()) }
    }

    /// The events of every group whose name starts with `prefix`.
    pub fn group_prefix(prefix: impl Into<String>) -> Self {
        Self { group: NamePattern::Prefix(prefix.into()), key: NamePattern::all() }
    }

    /// Whether an event is one that is wanted.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        // A deleted group takes every key with it that could be wanted.
        self.group.matches(&event.group) && event.key.as_ref().is_none_or(|key| self.key.matches(key))
    }
}

impl From<(&str, &str)> for Pattern {
    fn from((group, key): (&str, &str)) -> Self {
        Self { group: NamePattern::short(group), key: NamePattern::short(key) }
    }
}

impl From<&Pattern> for Pattern {
    fn from(pattern: &Pattern) -> Self {
        pattern.clone()
    }
}
