//! Stores that will be damaged, and what was written to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use larder::{Durability, Options, Quota, Store};

use super::hash;
use crate::random::Random;

/// What a store is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Its last writes are in the log only, as a crash leaves them.
    Log,
    Checkpointed,
    Tenants,
    /// The change log has everything that was ever written.
    History,
    /// Values of many pages, and a change log without values.
    LargeValues,
}

impl Shape {
    pub const ALL: [Self; 5] =
        [Self::Log, Self::Checkpointed, Self::Tenants, Self::History, Self::LargeValues];

    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Checkpointed => "checkpointed",
            Self::Tenants => "tenants",
            Self::History => "history",
            Self::LargeValues => "large-values",
        }
    }

    fn options(self) -> Options {
        let options = Store::options().durability(Durability::Relaxed);
        match self {
            Self::Log | Self::Checkpointed | Self::Tenants => options.history(40, 1 << 20),
            Self::History => options.history(100_000, 64 << 20),
            Self::LargeValues => options.history(0, 0),
        }
    }
}

/// The content of a store: for each group and key a hash of the value.
pub type Content = BTreeMap<(String, String), u64>;

/// The bytes of a store, and what is in it.
pub struct Sample {
    pub database: Vec<u8>,
    pub log: Vec<u8>,
    pub index: Vec<u8>,
    /// A log that the store had before.
    pub stale_log: Vec<u8>,
    /// What the store held after each commit since the last checkpoint, and how long the log was then. The first is what
    /// is in the database itself.
    pub moments: Vec<(u64, Content)>,
    /// All that was ever written to each key.
    pub ever: BTreeMap<(String, String), BTreeSet<u64>>,
}

impl Sample {
    /// What was acknowledged.
    pub fn last(&self) -> &Content {
        static NOTHING: Content = Content::new();
        self.moments.last().map_or(&NOTHING, |(_, content)| content)
    }

    /// Makes a store in an empty folder, and takes its files.
    pub fn make(shape: Shape, random: &mut Random, folder: &Path) -> io::Result<Self> {
        Self::try_make(shape, random, folder).map_err(io::Error::other)
    }

    fn try_make(
        shape: Shape,
        random: &mut Random,
        folder: &Path,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let path = folder.join("store.db");
        let log = folder.join("store.db-wal");
        let mut sample = Self {
            database: Vec::new(),
            log: Vec::new(),
            index: Vec::new(),
            stale_log: Vec::new(),
            moments: vec![(0, Content::new())],
            ever: BTreeMap::new(),
        };
        let store = shape.options().open(&path)?;
        if shape == Shape::Tenants {
            for tenant in 0..12 {
                store.set_quota(
                    format!("tenant-{tenant}"),
                    Quota { max_keys: Some(10_000), ..Quota::default() },
                )?;
            }
        }
        for _ in 0..60 {
            sample.write(shape, random, &store, &log)?;
        }
        sample.stale_log = fs::read(&log)?;
        store.close()?;
        let store = shape.options().open(&path)?;
        let commits = if shape == Shape::LargeValues { 10 } else { 60 };
        for _ in 0..commits {
            sample.write(shape, random, &store, &log)?;
        }
        if shape != Shape::Log {
            store.close()?;
            let last = sample.moments.pop();
            sample.moments = last.into_iter().collect();
        } else {
            // What was written before the store was opened again is in the database.
            sample.moments.drain(..60);
            sample.moments.iter_mut().take(1).for_each(|(length, _)| *length = 0);
        }
        sample.database = fs::read(&path)?;
        sample.log = fs::read(&log).unwrap_or_default();
        sample.index = fs::read(folder.join("store.db-shm")).unwrap_or_default();
        Ok(sample)
    }

    /// Makes a commit of one to five changes.
    fn write(
        &mut self,
        shape: Shape,
        random: &mut Random,
        store: &Store,
        log: &Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut content = self.last().clone();
        let mut batch = store.batch();
        for _ in 0..=random.below(5) {
            let group = match shape {
                Shape::Tenants => format!("tenant-{}:group-{}", random.below(12), random.below(3)),
                _ => format!("group-{}", random.below(9)),
            };
            let key = format!("key-{}", random.below(40));
            let name = (group.clone(), key.clone());
            if random.one_in(6) && content.contains_key(&name) {
                content.remove(&name);
                batch = batch.delete(group, key);
                continue;
            }
            let value = value(shape, random);
            self.ever.entry(name.clone()).or_default().insert(hash(&value));
            content.insert(name, hash(&value));
            batch = batch.set(group, key, value);
        }
        batch.commit()?;
        self.moments.push((fs::metadata(log)?.len(), content));
        Ok(())
    }
}

fn value(shape: Shape, random: &mut Random) -> Vec<u8> {
    let most = match shape {
        Shape::LargeValues => 120_000,
        _ if random.one_in(20) => 9_000,
        _ => 60,
    };
    let length = random.below(most);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        bytes.extend(random.next().to_le_bytes());
    }
    // A part of the values is text.
    if random.one_in(2) { bytes.iter().map(|byte| b'a' + byte % 26).collect() } else { bytes }
}
