//! moka, a cache in memory: what it can do beside a store is to set and to get.

use std::sync::Arc;

use moka::sync::Cache;

use super::TimedStore;
use crate::Outcome;
use crate::sample::{Key, Sample};

/// A cache without a bound, so that it forgets nothing.
pub struct Moka(Cache<String, Arc<[u8]>>);

impl Moka {
    pub fn filled(sample: &Sample) -> Outcome<Self> {
        let cache = Self(Cache::builder().build());
        cache.fill(sample)?;
        Ok(cache)
    }
}

impl TimedStore for Moka {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.0.get(key.with_group()).map(|value| look(&value)))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.0.insert(key.with_group().to_owned(), value.into());
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        sample.keys().try_for_each(|key| self.set(key, values.of(key)))
    }
}
