//! Reads entries straight from the pages of a file.
//!
//! SQLite takes about two microseconds to run a statement that finds one entry, of which the search in the tree is a fifth.
//! While a connection keeps a read transaction open, the pages of its moment cannot change: nobody overwrites a page that a
//! reader still needs. So the walker reads them through the handle that SQLite has open, and searches by itself.
//! `docs/architecture.md` says why the pages are those of the moment.
//!
//! The walker answers, or it does not. Whatever it does not understand, damage above all, is left to SQLite, which says
//! what is wrong. It follows no more pages than the file has.

mod page;
mod pages;
mod record;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use self::pages::{Pages, Part, Source};
pub(super) use self::walk::Row;
use self::walk::{Start, Walk};
use super::kept_reads::Moment;
use super::log_tail;
use super::raw_file::RawFile;
use super::wal_index::WalIndex;
use super::{own_tables, schema};

/// How many pages a call may look at in the smallest file, too. A page may be looked at several times, for a long name.
const PAGES_FREE: u32 = 1024;

/// How many pages are kept of those that a scan reads first.
const PAGES_KEPT: u32 = 8;

/// What a page 1 begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A moment that a connection keeps, as far as the walker needs it.
pub(super) struct Base {
    index: Arc<WalIndex>,
    /// The last frame of the log that belongs to it; `None` where the file has everything.
    last_frame: Option<u32>,
}

impl Base {
    /// `None` where the log is too long: the index that is mapped knows only of its beginning.
    pub fn of(moment: Moment, index: Arc<WalIndex>) -> Option<Self> {
        let last_frame = moment.last_frame();
        let is_known = last_frame.is_none_or(WalIndex::knows);
        is_known.then_some(Self { index, last_frame })
    }
}

/// Reads the pages of the moment that its connection keeps.
#[derive(Default)]
pub(super) struct Walker {
    base: Option<Base>,
    /// Whether what follows is that of `base`.
    is_ready: bool,
    size: Size,
    roots: Option<Roots>,
    pages: Pages,
    /// How many more pages the current call may look at.
    left: u32,
    /// A record that does not lie in one page.
    whole: Vec<u8>,
}

/// How large the file is.
#[derive(Clone, Copy, Default)]
struct Size {
    page_bytes: u32,
    pages: u32,
}

impl Size {
    /// The index says it, once anybody has written to the log.
    fn of(connection: &Connection, index: &WalIndex) -> rusqlite::Result<Self> {
        let (page_bytes, pages) = index.size();
        if page_bytes > 0 && pages > 0 {
            return Ok(Self { page_bytes, pages });
        }
        let number = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
        Ok(Self { page_bytes: number("PRAGMA page_size")?, pages: number("PRAGMA page_count")? })
    }
}

/// Where the trees begin.
#[derive(Clone, Copy)]
struct Roots {
    /// At which version of the definitions.
    definitions: u32,
    /// `None` where a table is not as larder makes it.
    entries: Option<u32>,
    large_values: Option<u32>,
    reserved: usize,
}

/// The pages of a base, through a connection.
struct Live<'c> {
    database: RawFile<'c>,
    log: Option<RawFile<'c>>,
    base: Base,
    page_bytes: u32,
}

impl Source for Live<'_> {
    fn read(&self, number: u32, into: &mut [u8]) -> bool {
        let page_bytes = u64::from(self.page_bytes);
        let frame = self.base.last_frame.and_then(|last| self.base.index.frame_of(number, last));
        match (frame, &self.log) {
            (Some(frame), Some(log)) => log.read(into, log_tail::offset_of_page(frame, self.page_bytes)),
            (Some(_), None) => false,
            (None, _) => number
                .checked_sub(1)
                .is_some_and(|before| self.database.read(into, u64::from(before) * page_bytes)),
        }
    }
}

impl Walker {
    /// Reads at a moment from now on, until [`end`](Self::end).
    pub fn begin(&mut self, base: Base) {
        *self = Self { base: Some(base), is_ready: false, left: 0, ..std::mem::take(self) };
    }

    pub fn end(&mut self) {
        self.base = None;
    }

    /// Whether it reads at a moment.
    #[inline]
    pub fn has_moment(&self) -> bool {
        self.base.is_some()
    }

    /// The entry of a key, as `found` makes it. `None` where SQLite has to say.
    pub fn get<T>(
        &mut self,
        connection: &Connection,
        group: &str,
        key: &str,
        found: impl FnOnce(Row<'_>) -> T,
    ) -> Option<Option<T>> {
        let live = self.live(connection)?;
        let mut walk =
            Walk { walker: self, source: &live, has_values: true, keeps: u32::MAX, large_bytes: 0 };
        let answer = walk.get(group, key, found)?;
        self.base = Some(live.base);
        Some(answer)
    }

    /// Visits the entries of a group in order: from its first one on, or after a key. `None` where SQLite has to say; some
    /// were visited then. Large values are empty where `has_values` is not set. Pages of a long scan are not kept.
    pub fn scan(
        &mut self,
        connection: &Connection,
        (group, after): (&str, Option<&str>),
        has_values: bool,
        is_long: bool,
        mut visit: impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Option<()> {
        let live = self.live(connection)?;
        let root = self.roots?.entries?;
        let keeps = if is_long { 0 } else { PAGES_KEPT };
        let mut walk = Walk { walker: self, source: &live, has_values, keeps, large_bytes: 0 };
        let _ = walk.scan(root, 0, &mut Some(Start { group, after }), group, &mut visit)?;
        self.base = Some(live.base);
        Some(())
    }

    /// The source of pages, once it is known where the trees are. This takes the base away. A call that has an answer puts
    /// it back; after one without, the rest of the moment is left to SQLite.
    fn live<'c>(&mut self, connection: &'c Connection) -> Option<Live<'c>> {
        let base = self.base.take()?;
        let log = if base.last_frame.is_some() { Some(RawFile::of_log(connection)?) } else { None };
        let database = RawFile::of(connection)?;
        if !self.is_ready {
            self.size = Size::of(connection, &base.index).ok()?;
        }
        let live = Live { database, log, base, page_bytes: self.size.page_bytes };
        if !self.is_ready {
            self.prepare(connection, &live)?;
            self.is_ready = true;
        }
        self.left = self.size.pages.max(PAGES_FREE);
        Some(live)
    }

    /// Reads the first page, and asks SQLite for the trees where their definitions have changed.
    fn prepare(&mut self, connection: &Connection, live: &Live<'_>) -> Option<()> {
        let page_bytes = usize::try_from(live.page_bytes).ok().filter(|bytes| *bytes >= 512)?;
        self.pages.begin_moment(page_bytes);
        let first = self.pages.lend(live, Part::Entries, 1, false)?;
        let header = first.bytes.get(..100)?;
        let number = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 1 << 16,
            size => u32::from(size),
        };
        const UTF_8: u32 = 1;
        if !header.starts_with(MAGIC) || size != live.page_bytes || number(56)? != UTF_8 {
            return None;
        }
        let (definitions, reserved) = (number(40)?, usize::from(header[20]));
        if self.roots.is_none_or(|roots| roots.definitions != definitions || roots.reserved != reserved) {
            self.roots = Some(Roots::find(connection, definitions, reserved).ok()?);
        }
        self.roots?.entries.map(drop)
    }
}

impl Roots {
    fn find(connection: &Connection, definitions: u32, reserved: usize) -> rusqlite::Result<Self> {
        let root = |name: &str| {
            connection
                .prepare_cached(
                    "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
                )?
                .query_row([name], |row| row.get(0))
                .optional()
        };
        let is_own = own_tables::fault(connection)?.is_none();
        let entries = if is_own { root("entries")? } else { None };
        let has_large = schema::version(connection)? >= schema::WITH_LARGE_VALUES;
        let large_values = if has_large { root("large_values")? } else { None };
        Ok(Self { definitions, entries, large_values, reserved })
    }
}
