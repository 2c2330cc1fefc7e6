//! A group as a source of the `config` crate.

use std::fmt;

use config::{ConfigError, Map, Source, Value, ValueKind};
use larder::View;

/// A group as a source of configuration, for
/// [`ConfigBuilder::add_source`](config::ConfigBuilder::add_source).
///
/// - A dot in a key opens a table: `server.port` is the `port` of the table `server`. A key may open up to 64.
/// - A value is text, and becomes the number, bool or enum that the type requires, like a value from the
///   environment. A JSON array or object is parsed, unless [`text_only`](Self::text_only) is set. The command
///   line imports lists in the same form.
/// - The whole group is read from one snapshot. A group that does not exist is an empty source.
///
/// ```
/// use config::Config;
/// use larder::Store;
/// use larder_config::Group;
///
/// let store = Store::in_memory()?;
/// store.set("web", "server.port", "8080")?;
/// store.set("web", "backends", r#"["10.0.0.1", "10.0.0.2"]"#)?;
///
/// let config = Config::builder().add_source(Group::new(&store, "web")).build()?;
/// assert_eq!(config.get::<u16>("server.port")?, 8080);
/// assert_eq!(config.get::<Vec<String>>("backends")?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Building a configuration fails with [`ConfigError::Message`] if a value is not UTF-8, or if two keys
/// contradict each other, like `server` and `server.port` unless `server` is a JSON object, or if a key opens more than
/// 64 tables or names a part of a list, like `hosts[0]`. It fails with
/// [`ConfigError::Foreign`], which contains the [`larder::Error`], if the store cannot be read.
#[derive(Clone)]
pub struct Group {
    view: View,
    name: String,
    text_only: bool,
}

impl Group {
    /// Creates a source from a group of a store, a scoped store or a snapshot. It keeps the store open, like
    /// a clone.
    pub fn new(view: &View, name: impl Into<String>) -> Self {
        Self { view: view.clone(), name: name.into(), text_only: false }
    }

    /// Keeps JSON arrays and objects as text, for a group whose values are all strings.
    #[must_use]
    pub fn text_only(mut self) -> Self {
        self.text_only = true;
        self
    }

    fn read(&self, text: &str) -> ValueKind {
        // Numbers and bools stay text, which converts to a string as well as to a number or bool.
        if !self.text_only
            && text.trim_start().starts_with(['[', '{'])
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            return value.kind;
        }
        ValueKind::String(text.to_owned())
    }

    fn invalid(&self, key: &str, reason: &str) -> ConfigError {
        let shown = match key.char_indices().nth(KEY_SHOWN_MAX) {
            Some((end, _)) => format!("{}…", &key[..end]),
            None => key.to_owned(),
        };
        ConfigError::Message(format!("the value of {shown:?} in the group {:?} {reason}", self.name))
    }
}

/// How many tables a key may open: a configuration is read, and dropped, by recursion.
const TABLES_MAX: usize = 64;

/// How much of a key a message shows.
const KEY_SHOWN_MAX: usize = 100;

/// Whether the `config` crate would read a name as the index of a list, as in `a[7]`, and make that list: one of a billion
/// elements for `a[1000000000]`.
fn is_index(name: &str) -> bool {
    let is_number = |text: &str| {
        let digits = text.trim_matches(' ');
        let digits = digits.strip_prefix('-').unwrap_or(digits);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    name.strip_suffix(']').and_then(|name| name.rsplit_once('[')).is_some_and(|(_, index)| is_number(index))
}

/// Inserts a value at its key's position. Fails with the part of the key that already has a value.
fn insert<'a>(
    root: &mut Map<String, Value>,
    key: &'a str,
    value: Value,
    origin: &String,
) -> Result<(), &'a str> {
    let mut table = root;
    let mut start = 0;
    while let Some(dot) = key[start..].find('.').map(|dot| start + dot) {
        let inner = table
            .entry(key[start..dot].to_owned())
            .or_insert_with(|| Value::new(Some(origin), Map::<String, Value>::new()));
        let ValueKind::Table(inner) = &mut inner.kind else { return Err(&key[..dot]) };
        table = inner;
        start = dot + 1;
    }
    match table.insert(key[start..].to_owned(), value) {
        Some(_) => Err(key),
        None => Ok(()),
    }
}

impl Source for Group {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let origin = format!("the group {:?}", self.name);
        let mut root = Map::new();
        let entries = self.view.get_all(&self.name).map_err(|error| ConfigError::Foreign(error.into()))?;
        // Sorted, so that a key comes before the keys in its table.
        for (key, value) in &entries {
            let text = value.as_str().ok_or_else(|| self.invalid(key, "is not UTF-8; set it to text"))?;
            let value = Value::new(Some(&origin), self.read(text));
            if is_index(key.split_once('.').map_or(key, |(name, _)| name)) {
                return Err(
                    self.invalid(key, "cannot be a part of a list; set the whole list as a JSON array")
                );
            }
            if key.matches('.').count() > TABLES_MAX {
                let reason = format!("opens more than {TABLES_MAX} tables; use fewer dots in its key");
                return Err(self.invalid(key, &reason));
            }
            insert(&mut root, key, value, &origin).map_err(|taken| {
                let reason = format!("contradicts the value of {taken:?}; delete one of the two");
                self.invalid(key, &reason)
            })?;
        }
        Ok(root)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}
