//! Streams that are kept open for readers that come back for more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::Reader;

/// How many are kept at the most. Of a stream that nobody reads up to 2 MiB pile up on this side, of the 5 MiB that
/// a connection has for all that comes: were it more of them, all else on the connection would stand still.
const READERS_MAX: usize = 2;

/// How long one is kept that nobody asks for. Whoever reads on does so at once.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// The readers that nobody uses just now.
#[derive(Default)]
pub(super) struct Pool(Mutex<Readers>);

#[derive(Default)]
struct Readers {
    /// Each with the number of the visit, the oldest first.
    kept: Vec<(u64, Reader)>,
    visits: u64,
}

impl Pool {
    /// A reader that somebody has left who went on to a revision.
    pub fn take(&self, start: i64) -> Option<Reader> {
        let mut readers = self.lock();
        let index = readers.kept.iter().position(|(_, reader)| reader.reaches(start))?;
        Some(readers.kept.remove(index).1)
    }

    /// Keeps a reader for a while.
    pub fn put(self: &Arc<Self>, reader: Reader) {
        let mut readers = self.lock();
        if readers.kept.len() == READERS_MAX {
            readers.kept.remove(0);
        }
        readers.visits += 1;
        let visit = readers.visits;
        readers.kept.push((visit, reader));
        drop(readers);
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(KEPT_FOR).await;
            if let Some(pool) = pool.upgrade() {
                pool.lock().kept.retain(|(kept, _)| *kept != visit);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Readers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
