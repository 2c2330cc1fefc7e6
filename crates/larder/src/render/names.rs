//! The keys of a group as a template sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::{Fault, Outcome};
use crate::data::{Entries, Value};

/// The keys of a group, as names: `server.port` is the name `port` within `server`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// The value of the key that ends here.
    text: Option<Leaf>,
    within: BTreeMap<String, Arc<Names>>,
}

#[derive(Clone, Debug)]
enum Leaf {
    Text(Arc<str>),
    /// The value of this key is not UTF-8. That matters only to a template that uses it.
    NotText(String),
}

impl Names {
    pub fn of(entries: &Entries) -> Arc<Self> {
        let mut root = Self::default();
        for (key, value) in entries {
            let mut place = &mut root;
            // A key that is dotted beyond all measure is reached by `get`.
            for part in key.splitn(DEPTH_MAX, '.') {
                // Nobody else has it while it is made, so this never copies.
                place = Arc::make_mut(place.within.entry(part.to_owned()).or_default());
            }
            place.text = Some(match value.as_str() {
                Some(text) => Leaf::Text(text.into()),
                None => Leaf::NotText(key.to_owned()),
            });
        }
        Arc::new(root)
    }

    /// The name of a part.
    pub fn within(&self, part: &str) -> Option<&Arc<Self>> {
        self.within.get(part)
    }

    /// The names of all parts.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.within.keys().map(String::as_str)
    }

    /// The value of the key of this name, if there is one.
    pub fn text(&self) -> Outcome<Option<Arc<str>>> {
        match &self.text {
            None => Ok(None),
            Some(Leaf::Text(text)) => Ok(Some(Arc::clone(text))),
            Some(Leaf::NotText(key)) => Err(not_text(key)),
        }
    }
}

/// How many parts of a dotted key are names of their own.
const DEPTH_MAX: usize = 32;

/// The text of a value that `get` has read.
pub(super) fn text_of<'a>(key: &str, value: &'a Value) -> Outcome<&'a str> {
    value.as_str().ok_or_else(|| not_text(key))
}

fn not_text(key: &str) -> Fault {
    Fault::new(format_args!("the value of {key:?} is not UTF-8, so a template cannot use it"))
}
