//! One checkpoint.
//!
//! It copies as much as it can beside the writers, and syncs that. Then it takes the writer for the rest, which is
//! short, and waits for the readers that still need the log: once there are none, the next commit starts the log over.
//!
//! Overlapping readers would keep the log from ever starting over. If it has become long, new readers of this store
//! are held back for a moment. Readers of other processes cannot be held back. But while nobody writes and everything
//! is copied, new readers do not use the log. So the writer is held for longer, the longer the log is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::engine::sqlite::guard::GuardedConnection;
use crate::engine::sqlite::log_length::frames_to_copy;
use crate::engine::sqlite::oldest_reader::OldestReaders;
use crate::engine::sqlite::own_rules;
use crate::engine::sqlite::raw_file::RawFile;
use crate::engine::sqlite::store_file::StoreFile;
use crate::engine::sqlite::wal_index::WalIndex;
use crate::engine::sqlite::writer_slot::WriterSlot;

/// How often to copy beside the writers, at most; each time there is less.
const PASSES: usize = 4;

/// So few frames are copied while the writer waits.
const FRAMES_FOR_LAST_STEP: u32 = 200;

/// For how long new readers are held back: so long for each so many frames, and at most. Those that read have to end
/// meanwhile.
const READERS_HELD: Duration = Duration::from_millis(100);
const READERS_HELD_MAX: Duration = Duration::from_secs(1);

/// How long the writer is held for readers of other processes: so long for each so many frames, and at most.
const WRITER_HELD: Duration = Duration::from_millis(5);
const WRITER_HELD_MAX: Duration = Duration::from_millis(250);

/// How long to pause between two looks at readers of other processes.
const PAUSE: Duration = Duration::from_micros(200);

pub(super) enum Progress {
    /// The whole log is in the file, and the next commit starts it over.
    Done,
    /// Somebody still needs the log, or checkpoints it.
    Held {
        /// For how long new readers were held back in vain.
        readers_held: Duration,
    },
    Closed,
}

pub(in crate::engine::sqlite) enum Mode {
    /// Copies what no reader stands in the way of, beside writers.
    Passive,
    /// Copies everything, and makes the next commit start the log over, if nobody stands in the way.
    Restart,
}

/// What a checkpoint did.
#[derive(Clone, Copy, Default)]
pub(in crate::engine::sqlite) struct Copied {
    /// Whether somebody stood in the way.
    pub busy: bool,
    frames: u32,
    copied: u32,
}

impl Copied {
    fn left(&self) -> u32 {
        self.frames.saturating_sub(self.copied)
    }
}

/// Checkpoints through a connection. It waits for nobody.
pub(in crate::engine::sqlite) fn copy(connection: &Connection, mode: Mode) -> rusqlite::Result<Copied> {
    let sql = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
    };
    connection.prepare_cached(sql)?.query_row([], |row| {
        // SQLite returns -1 for what it does not know.
        let frames = |column| row.get(column).map(|count: i64| u32::try_from(count).unwrap_or_default());
        Ok(Copied { busy: row.get::<_, i64>(0)? != 0, frames: frames(1)?, copied: frames(2)? })
    })
}

/// What a checkpoint needs.
pub(in crate::engine::sqlite) struct Parts {
    pub path: PathBuf,
    pub file: StoreFile,
    pub index: Arc<WalIndex>,
    pub readers: Arc<OldestReaders>,
    pub writer: Arc<WriterSlot>,
}

/// Checkpoints of one file.
pub(super) struct Round<'a> {
    parts: &'a Parts,
    connection: GuardedConnection,
}

impl<'a> Round<'a> {
    pub fn open(parts: &'a Parts) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = parts.file.open_guarded(|| own_rules::open(&parts.path, flags))?;
        Ok(Self { parts, connection })
    }

    pub fn run(&self) -> rusqlite::Result<Progress> {
        self.copy_beside_writers()?;
        self.parts.readers.pool().end_kept();
        let progress = self.finish(Duration::ZERO)?;
        let frames = self.parts.index.frames();
        let frames_to_hold_readers = 2 * frames_to_copy();
        if !matches!(progress, Progress::Held { .. }) || frames < frames_to_hold_readers {
            return Ok(progress);
        }
        let times = frames / frames_to_hold_readers;
        let readers_held = READERS_HELD.saturating_mul(times).min(READERS_HELD_MAX);
        let gate = self.parts.readers.pool().hold(readers_held);
        if !gate.is_empty {
            return Ok(Progress::Held { readers_held });
        }
        self.copy_beside_writers()?;
        self.finish(WRITER_HELD.saturating_mul(times).min(WRITER_HELD_MAX))
    }

    fn copy_beside_writers(&self) -> rusqlite::Result<()> {
        let mut before = u32::MAX;
        for _ in 0..PASSES {
            let done = copy(&self.connection, Mode::Passive)?;
            let left = done.left();
            if done.busy || left <= FRAMES_FOR_LAST_STEP || left >= before {
                break;
            }
            before = left;
        }
        // SQLite syncs the file only once the whole log is copied. The last step would have to.
        RawFile::of(&self.connection).map_or(Ok(()), |file| file.sync())
    }

    /// Copies the rest while nobody writes, and waits for readers.
    fn finish(&self, wait: Duration) -> rusqlite::Result<Progress> {
        let Ok(_writer) = self.parts.writer.lease() else { return Ok(Progress::Closed) };
        let begun = Instant::now();
        loop {
            if !copy(&self.connection, Mode::Restart)?.busy {
                return Ok(Progress::Done);
            }
            if begun.elapsed() >= wait {
                return Ok(Progress::Held { readers_held: Duration::ZERO });
            }
            std::thread::sleep(PAUSE);
        }
    }
}
