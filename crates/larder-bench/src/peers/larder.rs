//! larder itself.

use std::path::Path;

use larder::{Durability, Options, Store};

#[cfg(feature = "etcd")]
use super::AsyncTimedStore;
use super::{TimedStore, commits};
use crate::Outcome;
use crate::sample::{GROUP, Key, Sample};

pub struct Larder {
    pub store: Store,
}

impl Larder {
    /// A store in a file with a sample, opened with the default options.
    pub fn filled(path: &Path, sample: &Sample) -> Outcome<Self> {
        Self::filled_with(path, sample, &Store::options())
    }

    /// A store in a file with a sample, reopened with options.
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

#[cfg(feature = "etcd")]
impl Larder {
    /// How many entries a commit has while a store on a cluster is filled: a request to etcd is limited.
    const FILL_ON_CLUSTER: usize = 1_000;

    /// A store on a cluster with a sample.
    pub fn on_cluster(location: &str, sample: &Sample, options: &Options) -> Outcome<Self> {
        let larder = Self { store: options.connect(location)? };
        larder.load(sample)?;
        Ok(larder)
    }

    /// Writes a sample in batches.
    pub fn load(&self, sample: &Sample) -> Outcome {
        let (keys, mut values): (Vec<_>, _) = (sample.keys().collect(), sample.values());
        for some in keys.chunks(Self::FILL_ON_CLUSTER) {
            let batch = some.iter().fold(self.store.batch(), |batch, key| {
                batch.set(GROUP, key.alone(), values.of(*key).to_vec())
            });
            batch.commit()?;
        }
        Ok(())
    }
}

#[cfg(feature = "etcd")]
impl AsyncTimedStore for larder::AsyncStore {
    async fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(larder::AsyncView::get(self, GROUP, key.alone()).await?.map(|value| look(value.as_bytes())))
    }

    async fn set(&self, key: Key<'_>, value: Vec<u8>) -> Outcome {
        larder::AsyncStore::set(self, GROUP, key.alone(), value).await?;
        Ok(())
    }
}

impl TimedStore for Larder {
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

/// The same store, whose values are read where they are.
pub struct LarderInPlace<'a>(pub &'a Larder);

impl TimedStore for LarderInPlace<'_> {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.0.store.get_with(GROUP, key.alone(), look)?)
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.0.set(key, value)
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        self.0.fill(sample)
    }
}
