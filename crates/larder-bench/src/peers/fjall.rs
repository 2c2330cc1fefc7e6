//! fjall: a set is an insert and a sync of the journal.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Strings, TimedStore, commits};
use crate::Outcome;
use crate::sample::{Key, Sample};

pub struct Fjall {
    database: Database,
    entries: Keyspace,
}

impl Fjall {
    /// Creates a database in a folder, with a sample.
    pub fn filled(folder: &Path, sample: &Sample) -> Outcome<Self> {
        let database = Database::builder(folder).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        let fjall = Self { database, entries };
        fjall.fill(sample)?;
        Ok(fjall)
    }

    /// Every entry with a prefix.
    pub fn all(&self, prefix: &str) -> Outcome<Strings> {
        let mut found = Vec::new();
        for entry in self.entries.prefix(prefix) {
            let (key, value) = entry.into_inner()?;
            found.push((String::from_utf8(key.to_vec())?, String::from_utf8(value.to_vec())?));
        }
        Ok(found)
    }
}

impl TimedStore for Fjall {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.entries.get(key.with_group())?.map(|value| look(&value)))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.entries.insert(key.with_group(), value)?;
        self.database.persist(PersistMode::SyncAll)?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            for number in numbers {
                let key = sample.key(number);
                self.entries.insert(key.with_group(), values.of(key))?;
            }
            self.database.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}
