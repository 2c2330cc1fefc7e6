//! A map behind a lock instead of a store: the cost of the loop and of memory alone.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::TimedStore;
use crate::Outcome;
use crate::sample::{Key, Sample};

pub struct BareMap(RwLock<HashMap<String, Vec<u8>>>);

impl BareMap {
    pub fn filled(sample: &Sample) -> Outcome<Self> {
        let map = Self(RwLock::new(HashMap::new()));
        map.fill(sample)?;
        Ok(map)
    }
}

impl TimedStore for BareMap {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.get(key.with_group()).map(|value| look(value)))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(key.with_group().to_owned(), value.to_vec());
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        sample.keys().try_for_each(|key| self.set(key, values.of(key)))
    }
}
