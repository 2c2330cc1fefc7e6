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
    pub(crate) group: GroupPattern,
    /// `None` is any key.
    pub(crate) key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GroupPattern {
    /// Every group that starts so; "" is all.
    Prefix(String),
    Exact(String),
}

impl Pattern {
    /// Every event.
    pub fn all() -> Self {
        Self::group_prefix("")
    }

    /// The events of one group.
    pub fn group(group: impl Into<String>) -> Self {
        Self { group: GroupPattern::Exact(group.into()), key: None }
    }

    /// The events of one key, and those that delete its whole group.
    pub fn key(group: impl Into<String>, key: impl Into<String>) -> Self {
        Self { group: GroupPattern::Exact(group.into()), key: Some(key.into()) }
    }

    /// The events of every group whose name starts with `prefix`.
    pub fn group_prefix(prefix: impl Into<String>) -> Self {
        Self { group: GroupPattern::Prefix(prefix.into()), key: None }
    }

    /// Whether an event is one that is wanted.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        let group = match &self.group {
            GroupPattern::Prefix(prefix) => event.group.starts_with(prefix.as_str()),
            GroupPattern::Exact(group) => event.group == *group,
        };
        group
            && match (&self.key, &event.key) {
                (Some(wanted), Some(key)) => wanted == key,
                // Every key, or a deleted group, which takes the wanted key with it.
                _ => true,
            }
    }
}

impl From<(&str, &str)> for Pattern {
    fn from((group, key): (&str, &str)) -> Self {
        Self {
            group: if group == "*" {
                GroupPattern::Prefix(String::new())
            } else {
                GroupPattern::Exact(group.to_owned())
            },
            key: (key != "*").then(|| key.to_owned()),
        }
    }
}

impl From<&Pattern> for Pattern {
    fn from(pattern: &Pattern) -> Self {
        pattern.clone()
    }
}
