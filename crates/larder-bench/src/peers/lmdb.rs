//! LMDB through heed: one read transaction per get, one write transaction per set, with its default sync.

use std::path::Path;

use heed::types::{Bytes, Str};
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};

use super::{MAP_BYTES, Strings, TimedStore, commits};
use crate::Outcome;
use crate::sample::{Key, Sample};

pub struct Lmdb {
    env: Env,
    entries: Database<'static, Str, Bytes>,
}

impl Lmdb {
    /// Creates a database in a folder, with a sample.
    #[expect(unsafe_code, reason = "heed has no other way to map a file into memory")]
    pub fn filled(folder: &Path, sample: &Sample) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        // SAFETY: this process just made the folder, and no other process maps or changes the file while it
        // is open.
        let env = unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).open(folder)? };
        let entries = env
            .create_databases_and_commit(env.write_txn()?, |opener, transaction| {
                let entries = opener.create_database::<Str, Bytes>(transaction, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(entries))
            })?
            .unwrap_commit();
        let lmdb = Self { env, entries };
        lmdb.fill(sample)?;
        Ok(lmdb)
    }

    /// Every entry with a prefix.
    pub fn all(&self, prefix: &str) -> Outcome<Strings> {
        let transaction = self.env.read_txn()?;
        let mut found = Vec::new();
        for entry in self.entries.prefix_iter(&transaction, prefix)? {
            let (key, value) = entry?;
            found.push((key.to_owned(), String::from_utf8(value.to_vec())?));
        }
        Ok(found)
    }
}

impl TimedStore for Lmdb {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let transaction = self.env.read_txn()?;
        Ok(self.entries.get(&transaction, key.with_group())?.map(look))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        let mut transaction = self.env.write_txn()?;
        self.entries.put(&mut transaction, key.with_group(), value)?;
        transaction.commit()?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            let mut transaction = self.env.write_txn()?;
            for number in numbers {
                let key = sample.key(number);
                self.entries.put(&mut transaction, key.with_group(), values.of(key))?;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}
