//! Walking a large group page by page.

use std::fmt;
use std::sync::Arc;

use super::source::Source;
use crate::data::{Entries, Entry, Result};
use crate::engine::{Columns, Scan};

/// How many entries the first page holds at most, and about how many bytes.
const FIRST_PAGE: PageSize = PageSize { entries: 256, bytes: 128 << 10 };

/// How much a later page holds at most. The engine may set a lower bound. Each page is larger than the one before, so that
/// reading only the beginning of a stream costs little.
const PAGE_MAX: PageSize = PageSize { entries: 10_000, bytes: 1 << 20 };

/// How much one page holds at most.
#[derive(Clone, Copy)]
struct PageSize {
    entries: usize,
    bytes: usize,
}

impl PageSize {
    /// The size of the page after one of this size.
    fn next(self) -> Self {
        Self {
            entries: (4 * self.entries).min(PAGE_MAX.entries),
            bytes: (2 * self.bytes).min(PAGE_MAX.bytes),
        }
    }
}

/// Iterates over the entries of a group, as of one moment: see [`View::entries`](crate::View::entries).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let entries: larder::EntryStream = store.entries("config")?;
/// assert_eq!(entries.count(), 1);
/// # Ok::<(), larder::Error>(())
/// ```
pub type EntryStream = GroupStream<Entry>;

/// Iterates over the keys of a group, as of one moment: see [`View::keys`](crate::View::keys).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let keys: larder::KeyStream = store.keys("config")?;
/// assert_eq!(keys.count(), 1);
/// # Ok::<(), larder::Error>(())
/// ```
pub type KeyStream = GroupStream<String>;

/// Iterates over a group, sorted by key, as of one moment. It shares the memory of a group that the cache has as a
/// whole. Of any other it holds one page in memory, and a snapshot if the group has more than one.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let mut keys = store.keys("config")?;
/// assert_eq!(keys.next().transpose()?.as_deref(), Some("colour"));
/// assert!(keys.next().is_none());
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "a stream gives nothing until it is iterated"]
pub struct GroupStream<T> {
    source: Source,
    group: String,
    columns: Columns,
    item: fn(&Entries, usize) -> T,
    page: Entries,
    size: PageSize,
    next: usize,
    /// Whether a page follows this one.
    more: bool,
    /// How many entries were read after the first page, where the stream has made its own snapshot.
    walked: Option<usize>,
}

impl<T> GroupStream<T> {
    /// Walks over the keys after `after`, or over all of them. `item` makes an item of an entry of a page.
    pub(super) fn open(
        source: Source,
        group: String,
        after: Option<&str>,
        columns: Columns,
        item: fn(&Entries, usize) -> T,
    ) -> Result<Self> {
        let mut stream = Self::unread(source, group, columns, item);
        if stream.take_all(after)? {
            return Ok(stream);
        }
        stream.read(after)?;
        // A group that fits in one page is of one moment already. Only a larger one needs a snapshot, and starts
        // over in it, unless reading the page has brought all of the group into memory.
        if stream.more
            && !stream.take_all(after)?
            && let Source::Store(shared) = &stream.source
        {
            let snapshot = shared.engine()?.snapshot().wait()?;
            stream.source = Source::Snapshot(Arc::clone(shared), snapshot);
            stream.walked = Some(0);
            stream.read(after)?;
        }
        Ok(stream)
    }

    /// Walks over all keys of a group that is in memory as a whole. Never blocks.
    #[cfg(feature = "tokio")]
    pub(super) fn open_at_hand(
        source: Source,
        group: String,
        columns: Columns,
        item: fn(&Entries, usize) -> T,
    ) -> Result<Option<Self>> {
        let mut stream = Self::unread(source, group, columns, item);
        Ok(stream.take_all(None)?.then_some(stream))
    }

    fn unread(source: Source, group: String, columns: Columns, item: fn(&Entries, usize) -> T) -> Self {
        let (page, size) = (Entries::default(), FIRST_PAGE);
        Self { source, group, columns, item, page, size, next: 0, more: false, walked: None }
    }

    /// Whether the next item is in memory, or it is known that there is none.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_at_hand(&self) -> bool {
        self.has_next() || !self.more
    }

    pub(crate) fn has_next(&self) -> bool {
        self.next < self.page.len()
    }

    /// Takes all entries after a key at once, if the whole group is in memory. Returns whether it is.
    fn take_all(&mut self, after: Option<&str>) -> Result<bool> {
        let scan = Scan { after, ..Scan::whole(&self.group, self.columns) };
        let Some(all) = self.source.reader()?.try_scan(&scan) else { return Ok(false) };
        self.page = all;
        self.next = 0;
        self.more = false;
        Ok(true)
    }

    fn read(&mut self, after: Option<&str>) -> Result<()> {
        // Not in memory beside the next one.
        self.page = Entries::default();
        let reader = self.source.reader()?;
        self.size.bytes = self.size.bytes.min(reader.page_bytes_max());
        let PageSize { entries: limit, bytes: bytes_max } = self.size;
        let scan = Scan { after, limit, bytes_max, ..Scan::whole(&self.group, self.columns) };
        self.page = reader.scan(&scan).wait()?;
        self.next = 0;
        // A full page, by either measure, may have another behind it; at the end that one is empty.
        self.more = self.page.len() == self.size.entries || self.page.bytes() >= self.size.bytes;
        Ok(())
    }

    /// Tells the engine how much was read, at the end.
    fn note_walk(&mut self) {
        let Some(walked) = &mut self.walked else { return };
        *walked += self.page.len();
        if let (false, Source::Snapshot(shared, _)) = (self.more, &self.source)
            && let Ok(reader) = shared.reader()
        {
            reader.note_walk(&self.group, *walked);
        }
    }
}

impl<T> Iterator for GroupStream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if !self.has_next() && self.more {
            let after = self.page.last_key().map(str::to_owned);
            self.size = self.size.next();
            if let Err(error) = self.read(after.as_deref()) {
                self.more = false;
                self.page = Entries::default();
                self.next = 0;
                return Some(Err(error));
            }
            self.note_walk();
        }
        if !self.has_next() {
            return None;
        }
        self.next += 1;
        Some(Ok((self.item)(&self.page, self.next - 1)))
    }
}

impl<T> fmt::Debug for GroupStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupStream").field("group", &self.group).finish_non_exhaustive()
    }
}
