//! The one that the others are held against.

use std::path::Path;

use larder::{Durability, Options, Store};

use super::{Contestant, commits};
use crate::Outcome;
use crate::sample::{GROUP, Key, Sample};

pub struct Larder {
    pub store: Store,
}

impl Larder {
    /// A store in a file, with a sample in it, opened the usual way.
    pub fn filled(path: &Path, sample: &Sample) -> Outcome<Self> {
        Self::filled_with(path, sample, &Store::options())
    }

    /// The same, opened with options once it is filled.
    pub fn filled_with(path: &Path, sample: &Sample, options: &Options) -> Outcome<Self> {
        let filling = Self { store: Store::options().durability(Durability::Relaxed).open(path)? };
        filling.fill(sample)?;
        filling.store.close()?;
        Ok(Self { store: options.open(path)? })
    }

    pub fn in_memory(sample: &Sample) -> Outcome<Self> {
        let larder = Self { store: Store::in_memory()? };
        larder.fill(sample)?;
        Ok(larder)
    }
}

impl Contestant for Larder {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.store.get(GROUP, key.alone())?.map(|value| look(value.as_bytes())))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.store.set(GROUP, key.alone(), value)?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            self.store.transaction(|tx| {
                numbers.clone().try_for_each(|number| {
                    let key = sample.key(number);
                    tx.set(GROUP, key.alone(), values.of(key))
                })
            })?;
        }
        Ok(())
    }
}
