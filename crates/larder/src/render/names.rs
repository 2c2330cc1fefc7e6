//! The keys of a group as a template sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::Value as Shown;
use minijinja::value::Object;

use super::filling::shown;
use crate::data::Entries;

/// The keys of a group, as names: `server.port` is the name `port` within `server`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// The value of the key that ends here.
    value: Option<Shown>,
    within: BTreeMap<String, Arc<Names>>,
    /// Of all names together: whether there is a key that others begin with.
    has_text_with_parts: bool,
}

impl Names {
    pub fn of(entries: &Entries) -> Arc<Self> {
        let mut root = Self::default();
        let mut has_text_with_parts = false;
        for (key, value) in entries {
            let value = shown(key, &value).unwrap_or_else(Shown::from);
            let mut place = &mut root;
            // A key that is dotted beyond all measure is reached by `get`.
            for part in key.splitn(DEPTH_MAX, '.') {
                has_text_with_parts |= place.is_text();
                // Nobody else has it while it is made, so this never copies.
                place = Arc::make_mut(place.within.entry(part.to_owned()).or_default());
            }
            place.value = Some(value);
            has_text_with_parts |= place.is_text_with_parts();
        }
        root.has_text_with_parts = has_text_with_parts;
        Arc::new(root)
    }

    /// The name of a part.
    pub fn within(&self, part: &str) -> Option<&Arc<Self>> {
        self.within.get(part)
    }

    /// Whether a name begins with this.
    pub fn begin_with(&self, prefix: &str) -> bool {
        self.within.keys().any(|name| name.starts_with(prefix))
    }

    /// Whether there is a key of this name.
    pub fn is_text(&self) -> bool {
        self.value.is_some()
    }

    /// Whether there is a key of this name, and others begin with it.
    pub fn is_text_with_parts(&self) -> bool {
        self.is_text() && !self.within.is_empty()
    }

    /// Of all names together: whether there is a key that others begin with.
    pub fn has_text_with_parts(&self) -> bool {
        self.has_text_with_parts
    }

    /// What the name stands for: the key's value, or else all that begins with it.
    pub fn shown(self: &Arc<Self>) -> Shown {
        self.value.clone().unwrap_or_else(|| Shown::from_dyn_object(Arc::clone(self)))
    }
}

/// How many parts of a dotted key are names of their own.
const DEPTH_MAX: usize = 32;

impl Object for Names {
    fn get_value(self: &Arc<Self>, name: &Shown) -> Option<Shown> {
        match (name.as_str(), &self.value) {
            (Some(name), _) => self.within.get(name).map(Self::shown),
            // `name[0]` is the first character of a text, whether or not it has parts.
            (None, Some(text)) => text.get_item(name).ok(),
            (None, None) => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Values(self.within.keys().map(Shown::from).collect())
    }

    /// A name that has no value of its own is empty, as any that is not there.
    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
