//! The one that the others are held against.

use std::path::Path;

use larder::{Durability, Options, Store};

#[cfg(feature = "etcd")]
use super::Awaited;
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

#[cfg(feature = "etcd")]
impl Larder {
    /// How many entries a commit has while a store on a cluster is being filled, where a request has its
    /// limits.
    const FILL_ON_CLUSTER: usize = 1_000;

    /// A store on a cluster, with a sample in it.
    pub fn on_cluster(location: &str, sample: &Sample, options: &Options) -> Outcome<Self> {
        let larder = Self { store: options.connect(location)? };
        larder.load(sample)?;
        Ok(larder)
    }

    /// Puts a sample into it in batches.
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
impl Awaited for larder::AsyncStore {
    async fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(larder::AsyncView::get(self, GROUP, key.alone()).await?.map(|value| look(value.as_bytes())))
    }

    async fn set(&self, key: Key<'_>, value: Vec<u8>) -> Outcome {
        larder::AsyncStore::set(self, GROUP, key.alone(), value).await?;
        Ok(())
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
