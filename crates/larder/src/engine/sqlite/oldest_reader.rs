//! Which reader keeps the log from being reused.
//!
//! Each reader holds a shared lock on one of five bytes of the WAL index, and the index says up to which frame the
//! readers of that lock look. What follows that frame cannot be copied back before they end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::lock_holder;
use super::reader_pool::ReaderPool;
use super::wal_index::{READ_LOCKS, WalIndex};
use crate::data::{OldestReader, locked};

/// Finds the reader of a file that keeps most of the log.
pub(super) struct OldestReaders {
    path: PathBuf,
    pool: Arc<ReaderPool>,
    /// Which readers of other processes there were at the last look, and since when.
    seen: Mutex<Vec<(Reader, Instant)>>,
}

/// A reader as others see it. None that begins later has the same mark: the log is longer by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reader {
    process: u32,
    lock: usize,
    mark: u32,
    pinned: u32,
}

impl Reader {
    fn is(&self, other: &Self) -> bool {
        (self.process, self.lock, self.mark) == (other.process, other.lock, other.mark)
    }
}

impl OldestReaders {
    pub fn new(path: PathBuf, pool: Arc<ReaderPool>) -> Self {
        Self { path, pool, seen: Mutex::default() }
    }

    /// The reader that keeps most; `None` where none keeps anything.
    pub fn find(&self, index: &WalIndex) -> Option<OldestReader> {
        // What nobody uses right now is no reader that anybody could look for.
        self.pool.end_kept();
        let (now, own) = (Instant::now(), self.pool.oldest());
        let readers = match lock_holder::readers(&self.path) {
            Some(holders) => pinning(index, &holders),
            // The system does not tell. Of this process it is known all the same.
            None => {
                let reader = Reader { process: std::process::id(), lock: 0, mark: 0, pinned: index.left() };
                own.map(|_| reader).filter(|reader| reader.pinned > 0).into_iter().collect()
            }
        };
        let mut seen = locked(&self.seen);
        let since =
            |reader: &Reader| seen.iter().find(|(before, _)| before.is(reader)).map_or(now, |(_, at)| *at);
        let readers: Vec<(Reader, Instant)> =
            readers.into_iter().map(|reader| (reader, since(&reader))).collect();
        seen.clone_from(&readers);
        let (reader, seen_at) = *readers.iter().max_by_key(|(reader, _)| reader.pinned)?;
        let began = own.filter(|_| reader.process == std::process::id()).unwrap_or(seen_at);
        Some(OldestReader {
            process: Some(reader.process).filter(|process| *process > 0),
            age: now.saturating_duration_since(began),
            log_bytes: index.bytes(reader.pinned),
        })
    }

    pub fn pool(&self) -> &ReaderPool {
        &self.pool
    }
}

/// The readers that keep a part of the log, by the locks that processes hold.
fn pinning(index: &WalIndex, holders: &[(usize, u32)]) -> Vec<Reader> {
    let (frames, marks) = (index.frames(), index.read_marks());
    let reader = |&(lock, process): &(usize, u32)| {
        // Readers of the first lock do not look into the log; they keep what is not copied yet from being copied.
        let (mark, pinned) = match lock {
            0 => (0, index.left()),
            _ => {
                let mark = *marks.get(lock)?;
                (mark, frames.saturating_sub(mark))
            }
        };
        (pinned > 0).then_some(Reader { process, lock, mark, pinned })
    };
    holders.iter().filter(|(lock, _)| *lock < READ_LOCKS).filter_map(reader).collect()
}
