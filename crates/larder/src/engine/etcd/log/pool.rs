//! Streams that are kept open for readers that come back for more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Reader;

/// How many are kept at the most.
const READERS_MAX: usize = 4;

/// The readers that nobody uses just now, the oldest first.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Reader>>);

impl Pool {
    /// A reader that somebody has left who went on to a revision.
    pub fn take(&self, start: i64) -> Option<Reader> {
        let mut readers = self.lock();
        let index = readers.iter().position(|reader| reader.reaches(start))?;
        Some(readers.remove(index))
    }

    /// Keeps a reader.
    pub fn put(&self, reader: Reader) {
        let mut readers = self.lock();
        if readers.len() == READERS_MAX {
            readers.remove(0);
        }
        readers.push(reader);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
