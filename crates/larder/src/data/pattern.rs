//! Which events a watcher receives.

use super::event::Event;

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
