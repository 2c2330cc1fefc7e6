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
}

impl Names {
    pub fn of(entries: &Entries) -> Arc<Self> {
        let mut root = Self::default();
        for (key, value) in entries {
            let value = shown(key, &value).unwrap_or_else(Shown::from);
            let mut place = &mut root;
            // A key that is dotted beyond all measure is reached by `get`.
            for part in key.splitn(DEPTH_MAX, '.') {
                // Nobody else has it while it is made, so this never copies.
                place = Arc::make_mut(place.within.entry(part.to_owned()).or_default());
            }
            place.value = Some(value);
        }
        Arc::new(root)
    }
}

/// How many parts of a dotted key are names of their own.
const DEPTH_MAX: usize = 32;

impl Object for Names {
    fn get_value(self: &Arc<Self>, name: &Shown) -> Option<Shown> {
        let found = self.within.get(name.as_str()?)?;
        // A name that has others within it is an object that shows itself as its value.
        Some(match &found.value {
            Some(value) if found.within.is_empty() => value.clone(),
            _ => Shown::from_dyn_object(Arc::clone(found)),
        })
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Values(self.within.keys().map(Shown::from).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => fmt::Display::fmt(value, f),
            // The parts of a name, where the name itself has no value: empty, as any absent name.
            None => Ok(()),
        }
    }
}
