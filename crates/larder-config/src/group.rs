use std::fmt;

use config::{ConfigError, Map, Source, Value, ValueKind};
use larder::View;

/// A group as a source of configuration, for
/// [`ConfigBuilder::add_source`](config::ConfigBuilder::add_source).
///
/// - A dot in a key begins a table within: `server.port` is the `port` of the table `server`.
/// - A value is text, which becomes the number, bool or enum that the type asks for, as a value from the
///   environment does. One that is a JSON array or object is read as such, so that lists have a form
///   (it is also the one in which larder's command line imports them); see [`text_only`](Self::text_only).
/// - All of the group is read at one moment. A group that does not exist is an empty source.
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
/// Building a configuration from it fails with [`ConfigError::Message`] where a value is not UTF-8 or
/// where two keys contradict each other, as `server` and `server.port` do unless `server` is a JSON
/// object; and with [`ConfigError::Foreign`], which holds the [`larder::Error`], where the store cannot
/// be read.
#[derive(Clone)]
pub struct Group {
    view: View,
    name: String,
    text_only: bool,
}

impl Group {
    /// The group of this name, of a store, a scoped store or a snapshot. It keeps the store open, as a
    /// clone of it does.
    pub fn new(view: &View, name: impl Into<String>) -> Self {
        Self { view: view.clone(), name: name.into(), text_only: false }
    }

    /// Takes JSON arrays and objects as the text that they are, for a group whose values are to be
    /// strings even where they are JSON.
    #[must_use]
    pub fn text_only(mut self) -> Self {
        self.text_only = true;
        self
    }

    fn read(&self, text: &str) -> ValueKind {
        // Nothing else of JSON: a number or a bool that stays text fits a string as well as itself.
        if !self.text_only
            && text.trim_start().starts_with(['[', '{'])
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            return value.kind;
        }
        ValueKind::String(text.to_owned())
    }

    fn mistake(&self, key: &str, reason: &str) -> ConfigError {
        ConfigError::Message(format!("the value of {key:?} in the group {:?} {reason}", self.name))
    }
}

/// Puts a value where its key says; or says which part of the key has a value already.
fn place<'a>(
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
        // Sorted, so that a key comes before those that lie within its table.
        for (key, value) in &entries {
            let text = value.as_str().ok_or_else(|| self.mistake(key, "is not UTF-8; set it to text"))?;
            let value = Value::new(Some(&origin), self.read(text));
            place(&mut root, key, value, &origin).map_err(|taken| {
                let reason =
                    format!("contradicts the value that {taken:?} has already; delete one of the two");
                self.mistake(key, &reason)
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
