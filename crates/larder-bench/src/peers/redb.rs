//! redb: one read transaction per get, one write transaction per set, with its default durability.

use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Strings, TimedStore, commits};
use crate::Outcome;
use crate::sample::{Key, Sample};

const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

pub struct Redb {
    database: Database,
}

impl Redb {
    pub fn filled(path: &Path, sample: &Sample) -> Outcome<Self> {
        let redb = Self { database: Database::create(path)? };
        redb.fill(sample)?;
        Ok(redb)
    }

    /// Every entry with a prefix.
    pub fn all(&self, prefix: &str) -> Outcome<Strings> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        let mut found = Vec::new();
        for entry in table.range(prefix..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_owned(), String::from_utf8(value.value().to_vec())?));
        }
        Ok(found)
    }
}

impl TimedStore for Redb {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        Ok(table.get(key.with_group())?.map(|value| look(value.value())))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ENTRIES)?.insert(key.with_group(), value)?;
        transaction.commit()?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(ENTRIES)?;
                for number in numbers {
                    let key = sample.key(number);
                    table.insert(key.with_group(), values.of(key))?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }
}
