//! Which events a watcher receives.

mod syntax;

use super::event::Event;
use super::namespace::prefix_of;

/// Selects events by group and key.
///
/// A group or key is selected either by its exact name or by a prefix. The constructors take names
/// literally: a `*`, `%` or `_` is part of the name.
///
/// ```
/// use larder::{Pattern, Store};
///
/// let store = Store::in_memory()?;
/// let watcher = store.watch(Pattern::key_prefix("config", "mail."))?;
/// store.set("config", "colour", "blue")?;
/// store.set("config", "mail.host", "smtp.example.com")?;
/// assert_eq!(watcher.recv()?.key.as_deref(), Some("mail.host"));
/// # Ok::<(), larder::Error>(())
/// ```
///
/// # Short form
/// Wherever a pattern is expected, a pair of `&str` will do. In such a pair, and only there, `"*"` selects
/// all names:
///
/// ```
/// use larder::Pattern;
///
/// assert_eq!(Pattern::from(("config", "*")), Pattern::group("config"));
/// assert_eq!(Pattern::from(("config", "colour")), Pattern::key("config", "colour"));
/// assert_eq!(Pattern::from(("*", "*")), Pattern::all());
/// assert_ne!(Pattern::from(("config", "*")), Pattern::key("config", "*"));
/// ```
///
/// # As text
/// The text of a pattern is `GROUP/KEY`. A name that ends in `*` is a prefix. Where a `/`, `*` or `\` is part
/// of a name, a `\` precedes it. Every other character stands for itself, and names may be empty.
///
/// | text | selects |
/// |---|---|
/// | `*/*` | everything: [`Pattern::all`] |
/// | `config/*` | one group: [`Pattern::group`] |
/// | `config/colour` | one key: [`Pattern::key`] |
/// | `config/mail.*` | the keys of one group that start with `mail.`: [`Pattern::key_prefix`] |
/// | `app-*/*` | the groups that start with `app-`: [`Pattern::group_prefix`] |
/// | `*/colour` | one key in every group |
/// | `paths\/a/\*` | the key `*` of the group `paths/a` |
///
/// No two texts mean the same pattern, and each text that is accepted is what
/// [`to_string`](ToString::to_string) returns for its pattern.
///
/// ```
/// use larder::Pattern;
///
/// let pattern: Pattern = "config/mail.*".parse()?;
/// assert_eq!(pattern, Pattern::key_prefix("config", "mail."));
/// assert_eq!(Pattern::key("paths/a", "*").to_string(), r"paths\/a/\*");
/// assert!("config".parse::<Pattern>().is_err());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub(crate) group: NamePattern,
    pub(crate) key: NamePattern,
}

/// Selects names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NamePattern {
    /// Every name that starts with this. The empty prefix selects all.
    Prefix(String),
    Exact(String),
}

impl NamePattern {
    fn all() -> Self {
        Self::Prefix(String::new())
    }

    /// Returns the pattern of a name in the short form, where `*` is all names.
    fn short(name: &str) -> Self {
        if name == "*" { Self::all() } else { Self::Exact(name.to_owned()) }
    }

    /// Returns the name or the prefix.
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
    /// Returns the pattern that selects every event.
    ///
    /// ```
    /// assert_eq!(larder::Pattern::all().to_string(), "*/*");
    /// ```
    pub fn all() -> Self {
        Self::group_prefix("")
    }

    /// Returns the pattern that selects the events of one group.
    ///
    /// ```
    /// assert_eq!(larder::Pattern::group("config").to_string(), "config/*");
    /// ```
    pub fn group(group: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::all() }
    }

    /// Returns the pattern that selects the events of one key, including those that delete its whole group.
    ///
    /// ```
    /// assert_eq!(larder::Pattern::key("config", "colour").to_string(), "config/colour");
    /// ```
    pub fn key(group: impl Into<String>, key: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::Exact(key.into()) }
    }

    /// Returns the pattern that selects the events of a group's keys that start with `prefix`, including those
    /// that delete the whole group.
    ///
    /// ```
    /// assert_eq!(larder::Pattern::key_prefix("config", "mail.").to_string(), "config/mail.*");
    /// ```
    pub fn key_prefix(group: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { group: NamePattern::Exact(group.into()), key: NamePattern::Prefix(prefix.into()) }
    }

    /// Returns the pattern that selects the events of every group whose name starts with `prefix`.
    ///
    /// ```
    /// assert_eq!(larder::Pattern::group_prefix("app-").to_string(), "app-*/*");
    /// ```
    pub fn group_prefix(prefix: impl Into<String>) -> Self {
        Self { group: NamePattern::Prefix(prefix.into()), key: NamePattern::all() }
    }

    /// Returns the pattern that selects the events of a namespace, or every event without one.
    pub(crate) fn of_namespace(namespace: Option<&str>) -> Self {
        Self::group_prefix(namespace.map(prefix_of).unwrap_or_default())
    }

    /// Returns whether the pattern selects an event.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        // The deletion of a group concerns every key of it.
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
