//! dashmap, a map for many threads: what it can do beside a store is to set and to get.

use dashmap::DashMap;

use super::TimedStore;
use crate::Outcome;
use crate::sample::{Key, Sample};

pub struct Dashmap(DashMap<String, Vec<u8>>);

impl Dashmap {
    pub fn filled(sample: &Sample) -> Outcome<Self> {
        let map = Self(DashMap::new());
        map.fill(sample)?;
        Ok(map)
    }
}

impl TimedStore for Dashmap {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.0.get(key.with_group()).map(|value| look(&value)))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.0.insert(key.with_group().to_owned(), value.to_vec());
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        sample.keys().try_for_each(|key| self.set(key, values.of(key)))
    }
}
