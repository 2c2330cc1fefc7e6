//! The beginning of SQLite's WAL index, and how it is read while other processes write it.
//!
//! Section 2.1 of "WAL-mode File Format" in SQLite's documentation has the layout. The header is there twice. A writer
//! writes the second copy first, then the first one, each as plain memory: so a reader may see half a header. It trusts
//! what it read from the first copy once it has read the same from the second, as SQLite's own readers do.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use crate::engine::sqlite::cache::CommitMark;
use crate::engine::sqlite::log_tail::LogEnd;

/// How many locks SQLite has for readers. Those of the first do not look into the log at all.
pub const READ_LOCKS: usize = 5;

/// The bytes of a frame beside its page.
const FRAME_HEADER_BYTES: u64 = 24;

/// The header as SQLite writes it, in the machine's own byte order.
#[derive(Default)]
#[repr(C)]
struct Header {
    version: AtomicU32,
    unused: AtomicU32,
    /// A counter of commits.
    change: AtomicU32,
    flags_and_page_size: AtomicU32,
    /// The number of frames in the log.
    frames: AtomicU32,
    pages: AtomicU32,
    frame_checksum: [AtomicU32; 2],
    /// The first, in big-endian order, grows by one each time the log starts over.
    salts: [AtomicU32; 2],
    /// The checksum of all of the above: no two commits have the same.
    checksum: AtomicU64,
}

/// The beginning of the index.
#[derive(Default)]
#[repr(C)]
pub(super) struct Index {
    header: Header,
    copy: Header,
    /// How many frames are in the file already.
    pub backfilled: AtomicU32,
    /// How far in the log the readers of each lock look.
    pub read_marks: [AtomicU32; READ_LOCKS],
}

/// How many frames the first region of the index knows of.
pub const FRAMES: usize = 4062;

/// The first region of the index.
#[repr(C)]
pub(super) struct Region {
    pub index: Index,
    /// The bytes that are locked, and numbers that larder has no use for.
    unused: [AtomicU32; 4],
    /// The page in each frame.
    pages: [AtomicU32; FRAMES],
    /// A hash table: numbers of frames, counted from one, by their pages.
    slots: [AtomicU16; SLOTS],
}

/// How many places the hash table has.
const SLOTS: usize = 8192;

impl Region {
    /// The last frame with a page, of those up to `last`. Another process may add later frames at the same time. That moves
    /// no frame that is here already.
    #[inline]
    pub fn frame_of(&self, page: u32, last: u32) -> Option<u32> {
        let mut found = None;
        let first = page.wrapping_mul(383) as usize;
        for at in first..first + SLOTS {
            // Relaxed: the frames up to `last` were entered before the word, which the caller has read.
            let frame = self.slots[at % SLOTS].load(Ordering::Relaxed);
            if frame == 0 {
                return found;
            }
            let is_page = |frame: u16| {
                self.pages.get(usize::from(frame) - 1).is_some_and(|of| of.load(Ordering::Relaxed) == page)
            };
            if u32::from(frame) <= last && is_page(frame) {
                found = found.max(Some(u32::from(frame)));
            }
        }
        found
    }
}

impl Index {
    /// The checksum of the header.
    #[inline]
    pub fn word(&self) -> u64 {
        // Acquire: later reads from SQLite or from the cache see at least this commit.
        self.header.checksum.load(Ordering::Acquire)
    }

    /// How many frames the log has.
    #[inline]
    pub fn frames(&self) -> u32 {
        self.header.frames.load(Ordering::Relaxed)
    }

    /// How many bytes a page has, and how many pages the file.
    #[inline]
    pub fn size(&self) -> (u32, u32) {
        (self.header.page_bytes(), self.header.pages.load(Ordering::Relaxed))
    }

    /// How many bytes so many frames have.
    pub fn bytes(&self, frames: u32) -> u64 {
        u64::from(frames) * (u64::from(self.header.page_bytes()) + FRAME_HEADER_BYTES)
    }

    /// The commit that the header tells of; `None` while a process writes it.
    pub fn mark(&self) -> Option<CommitMark> {
        self.read_twice(|header| CommitMark {
            word: header.checksum.load(Ordering::Relaxed),
            change: header.change.load(Ordering::Relaxed),
            frames: header.frames.load(Ordering::Relaxed),
            restarts: u32::from_be(header.salts[0].load(Ordering::Relaxed)),
            last_frame: header
                .frame_checksum
                .each_ref()
                .map(|half| half.load(Ordering::Relaxed))
                .into_iter()
                .fold(0, |whole, half| whole << 32 | u64::from(half)),
        })
    }

    /// Where the log ends; `None` while a process writes the header.
    pub fn end(&self) -> Option<LogEnd> {
        self.read_twice(|header| {
            let [_, big_endian, _, _] = header.flags_and_page_size.load(Ordering::Relaxed).to_ne_bytes();
            let [first, second] =
                header.salts.each_ref().map(|salt| salt.load(Ordering::Relaxed).to_ne_bytes());
            let mut salts = [0; 8];
            salts[..4].copy_from_slice(&first);
            salts[4..].copy_from_slice(&second);
            LogEnd {
                frames: header.frames.load(Ordering::Relaxed),
                page_bytes: header.page_bytes(),
                salts,
                checksum: header.frame_checksum.each_ref().map(|sum| sum.load(Ordering::Relaxed)),
                big_endian: big_endian != 0,
            }
        })
    }

    /// Reads something from both copies of the header; `None` where they differ.
    fn read_twice<T: PartialEq>(&self, read: impl Fn(&Header) -> T) -> Option<T> {
        let first = read(&self.header);
        // Acquire: if anything above is of a commit, the second copy below is of that commit or a later one.
        fence(Ordering::Acquire);
        let second = read(&self.copy);
        // Acquire: as in `word`.
        fence(Ordering::Acquire);
        (first == second).then_some(first)
    }
}

impl Header {
    fn page_bytes(&self) -> u32 {
        let [_, _, low, high] = self.flags_and_page_size.load(Ordering::Relaxed).to_ne_bytes();
        match u16::from_ne_bytes([low, high]) {
            // What 16 bits do not hold.
            1 => 1 << 16,
            size => u32::from(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Writes a header of a commit, its parts in the order that a bit pattern tells. The order in which SQLite's
    /// `memcpy` writes differs between processors.
    fn write(header: &Header, commit: u32, order: u32) {
        let parts: [&dyn Fn(); 4] = [
            &|| header.change.store(commit, Ordering::Relaxed),
            &|| header.frames.store(commit, Ordering::Relaxed),
            &|| header.salts[0].store(commit.to_be(), Ordering::Relaxed),
            &|| header.checksum.store(commit.into(), Ordering::Relaxed),
        ];
        for part in 0..parts.len() {
            parts[part ^ (order as usize & 3)]();
        }
    }

    fn commit(index: &Index, number: u32) {
        write(&index.copy, number, number);
        fence(Ordering::SeqCst);
        write(&index.header, number, number / 4);
        fence(Ordering::SeqCst);
    }

    #[test]
    fn a_header_is_never_read_half_of_one_commit_and_half_of_another() {
        let commits = if cfg!(miri) { 50 } else { 200_000 };
        let (index, is_over) = (Index::default(), AtomicBool::new(false));
        let whole = std::thread::scope(|threads| {
            let reader = threads.spawn(|| {
                let mut whole = 0;
                loop {
                    // Before the look: the last one finds a header that nobody writes any more.
                    let is_over = is_over.load(Ordering::Acquire);
                    if let Some(mark) = index.mark() {
                        let CommitMark { word, change, frames, restarts, .. } = mark;
                        assert_eq!((u64::from(change), change, change), (word, frames, restarts));
                        whole += 1;
                    }
                    if is_over {
                        return whole;
                    }
                }
            });
            (1..=commits).for_each(|number| commit(&index, number));
            is_over.store(true, Ordering::Release);
            reader.join().unwrap()
        });
        assert_eq!(index.mark().map(|mark| mark.change), Some(commits));
        assert!(whole > 0 || cfg!(miri));
    }

    #[test]
    fn a_header_that_is_being_written_is_not_trusted() {
        let index = Index::default();
        commit(&index, 1);
        write(&index.copy, 2, 0);
        assert_eq!((index.mark(), index.end().is_none()), (None, true));
        // The checksum comes first on some processors, last on others.
        index.header.checksum.store(2, Ordering::Relaxed);
        assert_eq!(index.mark(), None);
        write(&index.header, 2, 0);
        assert_eq!(index.mark().map(|mark| (mark.word, mark.change)), Some((2, 2)));
    }
}
