//! libmdbx: one read transaction per get, one write transaction per set, with its default sync, on the calling
//! thread.

use std::borrow::Cow;
use std::path::Path;

use signet_libmdbx::{Database, DatabaseFlags, Environment, Geometry, WriteFlags};

use super::{MAP_BYTES, Strings, TimedStore, commits};
use crate::Outcome;
use crate::sample::{Key, Sample};

pub struct Mdbx {
    environment: Environment,
    entries: Database,
}

impl Mdbx {
    /// Creates a database in a folder, with a sample. On systems other than Linux this is `None`.
    pub fn filled(folder: &Path, sample: &Sample) -> Outcome<Option<Self>> {
        let map = Geometry { size: Some(..=MAP_BYTES), ..Geometry::default() };
        let environment = Environment::builder().set_geometry(map).open(folder)?;
        let transaction = environment.begin_rw_unsync()?;
        let entries = transaction.create_db(None, DatabaseFlags::empty())?;
        transaction.commit()?;
        let mdbx = Self { environment, entries };
        mdbx.fill(sample)?;
        Ok(Some(mdbx))
    }

    /// Every entry with a prefix.
    pub fn all(&self, prefix: &str) -> Outcome<Strings> {
        let transaction = self.environment.begin_ro_unsync()?;
        let mut cursor = transaction.cursor(self.entries)?;
        let mut entries = cursor.iter_from::<Cow<'_, [u8]>, Cow<'_, [u8]>>(prefix.as_bytes())?;
        let mut found = Vec::new();
        while let Some((key, value)) = entries.borrow_next()? {
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            found.push((String::from_utf8(key.into_owned())?, String::from_utf8(value.into_owned())?));
        }
        Ok(found)
    }
}

impl TimedStore for Mdbx {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let transaction = self.environment.begin_ro_unsync()?;
        let found: Option<Cow<'_, [u8]>> =
            transaction.get(self.entries.dbi(), key.with_group().as_bytes())?;
        Ok(found.map(|value| look(&value)))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        let transaction = self.environment.begin_rw_unsync()?;
        // A put of the value that the key has already would write nothing, and the workloads set such values.
        // Reserved room is always written, as each set is in the other stores.
        let write = |room: &mut [u8]| room.copy_from_slice(value);
        let flags = WriteFlags::empty();
        transaction.with_reservation(self.entries, key.with_group(), value.len(), flags, write)?;
        transaction.commit()?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            let transaction = self.environment.begin_rw_unsync()?;
            for number in numbers {
                let key = sample.key(number);
                transaction.put(self.entries, key.with_group(), values.of(key), WriteFlags::empty())?;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use signet_libmdbx::{Mode, SyncMode};

    use super::*;

    #[test]
    fn each_set_is_written_even_if_the_key_has_that_value_already() -> Outcome {
        let folder = tempfile::tempdir()?;
        let sample = Sample::of(10);
        let mdbx = Mdbx::filled(&folder.path().join("mdbx"), &sample)?.ok_or("there is no libmdbx")?;
        let sync = mdbx.environment.info()?.mode();
        assert!(matches!(sync, Mode::ReadWrite { sync_mode: SyncMode::Durable }), "{sync:?}");
        let mut values = sample.values();
        let writes = || mdbx.environment.info().map(|info| info.page_ops().wops);
        for key in sample.keys() {
            let before = writes()?;
            mdbx.set(key, values.of(key))?;
            assert!(writes()? > before, "nothing was written");
            assert_eq!(mdbx.get(key, |found| sample.is_right(key, found))?, Some(true));
        }
        Ok(())
    }
}
