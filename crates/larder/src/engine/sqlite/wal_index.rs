//! Reads SQLite's WAL index, with `unsafe`.
//!
//! The WAL index is memory that all connections of all processes share. [`layout`] says what is in it and how it is
//! read; this maps it. `docs/unsafe.md` argues why that is sound.

#![expect(unsafe_code, reason = "SQLite hands out the address of its shared memory, and no more")]

mod layout;

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

pub(super) use self::layout::READ_LOCKS;
use self::layout::{Index, Region};
use super::cache::CommitMark;
use super::guard::GuardedConnection;
use super::log_tail::LogEnd;
use super::raw_file::RawFile;
use super::store_file::StoreFile;
use crate::data::locked;

/// The size of the regions in which SQLite maps the index, in bytes.
const REGION_BYTES: c_int = 32 << 10;

const _: () = assert!(size_of::<Region>() == REGION_BYTES as usize);

/// The first region of a file's WAL index, mapped while this is alive.
pub(super) struct WalIndex {
    region: NonNull<Region>,
    /// Keeps the index mapped: SQLite unmaps it with the last connection of the process, and the file cannot
    /// leave WAL mode while there is one.
    connection: Mutex<GuardedConnection>,
}

// SAFETY: `region` points to memory that any thread and any process may read and write at any time,
// and that stays mapped until `connection` is dropped. It is only used as atomics.
unsafe impl Send for WalIndex {}
// SAFETY: as above.
unsafe impl Sync for WalIndex {}

impl WalIndex {
    /// Finds the index through a connection that is used for nothing else. `None` for a file that is not in WAL
    /// mode, or a VFS without shared memory.
    pub fn open(connection: GuardedConnection, file: &StoreFile) -> rusqlite::Result<Option<Self>> {
        // The index is mapped by the first read.
        file.wait_for_lock(|| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))?;
        let index = RawFile::of(&connection).and_then(|file| file.map_index(REGION_BYTES));
        Ok(index.map(|region| Self { region: region.cast(), connection: Mutex::new(connection) }))
    }

    /// The checksum of the header: no two commits have the same.
    #[inline]
    pub fn word(&self) -> u64 {
        self.index().word()
    }

    /// The header; `None` while a process writes it.
    pub fn mark(&self) -> Option<CommitMark> {
        self.index().mark()
    }

    /// How many frames the log has.
    #[inline]
    pub fn frames(&self) -> u32 {
        self.index().frames()
    }

    /// Whether the file itself has everything that is in the log, safely on its disk. While this thread keeps others from
    /// committing, that stays true.
    pub fn is_copied_back(&self) -> bool {
        self.frames() == self.copied_back()
    }

    /// How many frames are in the file itself, safely on its disk.
    #[inline]
    pub fn copied_back(&self) -> u32 {
        // Acquire: later reads of the file see them.
        self.index().backfilled.load(Ordering::Acquire)
    }

    /// How many bytes so many frames have.
    pub fn bytes(&self, frames: u32) -> u64 {
        self.index().bytes(frames)
    }

    /// How many frames are not copied back yet.
    pub fn left(&self) -> u32 {
        self.frames().saturating_sub(self.index().backfilled.load(Ordering::Relaxed))
    }

    /// Up to which frame the readers of each lock look. It means something only where the lock is taken.
    pub fn read_marks(&self) -> [u32; READ_LOCKS] {
        self.index().read_marks.each_ref().map(|mark| mark.load(Ordering::Relaxed))
    }

    /// Where the log ends; `None` while a process writes the header.
    pub fn end(&self) -> Option<LogEnd> {
        self.index().end()
    }

    /// Makes the next checkpoint, by whatever process, copy the whole log once more.
    ///
    /// This is what SQLite itself does when it recovers the log, and safe at any time: a frame that is copied twice
    /// leaves the same page.
    pub fn forget_copied(&self) -> bool {
        let connection = locked(&self.connection);
        let forget = || self.index().backfilled.store(0, Ordering::SeqCst);
        RawFile::of(&connection).is_some_and(|file| file.without_checkpoints(forget))
    }

    /// How many bytes a page has, and how many pages the file has by the header.
    #[inline]
    pub fn size(&self) -> (u32, u32) {
        self.index().size()
    }

    /// Whether the first region knows of a frame.
    pub fn knows(frame: u32) -> bool {
        frame as usize <= layout::FRAMES
    }

    /// The last frame with a page, of those up to `last`, which the first region [`knows`](Self::knows).
    #[inline]
    pub fn frame_of(&self, page: u32, last: u32) -> Option<u32> {
        self.region().frame_of(page, last)
    }

    #[inline]
    fn index(&self) -> &Index {
        &self.region().index
    }

    #[inline]
    fn region(&self) -> &Region {
        // SAFETY: `region` is mapped while `self` is alive. Any bytes are a valid `Region`, which is as large as what is
        // mapped. Writes of another process are like those of another thread: to the processor there is no difference.
        // SQLite aligns the index to a page.
        unsafe { self.region.as_ref() }
    }
}
