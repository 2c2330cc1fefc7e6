//! Walking a large group page by page.

use std::fmt;
use std::sync::Arc;

use super::source::Source;
use crate::data::{Entries, Entry, Result};
use crate::engine::{Columns, Scan};

/// How many entries are read at once, and about how many bytes of them.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 128 << 10;

/// Walks a group page by page, all of one moment.
pub(crate) struct Stream {
    source: Source,
    group: String,
    columns: Columns,
    page: Entries,
    next: usize,
    /// Whether a page follows this one.
    more: bool,
}

impl Stream {
    /// Over the keys after `after`, or all of them.
    pub fn open(source: Source, group: String, after: Option<&str>, columns: Columns) -> Result<Self> {
        let mut stream = Self { source, group, columns, page: Entries::default(), next: 0, more: false };
        stream.read(after)?;
        // A group that fits in one page is of one moment already. Only a larger one needs a snapshot,
        // and starts over in it.
        if let (true, Source::Store(shared)) = (stream.more, &stream.source) {
            let snapshot = shared.engine()?.snapshot().wait()?;
            stream.source = Source::Snapshot(Arc::clone(shared), snapshot);
            stream.read(after)?;
        }
        Ok(stream)
    }

    /// Goes to the next entry: the page that it is on, and its place there.
    fn advance(&mut self) -> Option<Result<usize>> {
        if self.next == self.page.len() && self.more {
            let after = self.page.last_key().map(str::to_owned);
            if let Err(error) = self.read(after.as_deref()) {
                self.more = false;
                self.page = Entries::default();
                self.next = 0;
                return Some(Err(error));
            }
        }
        (self.next < self.page.len()).then(|| {
            self.next += 1;
            Ok(self.next - 1)
        })
    }

    fn read(&mut self, after: Option<&str>) -> Result<()> {
        let scan = Scan {
            group: &self.group,
            after,
            offset: 0,
            limit: PAGE_ENTRIES,
            bytes_max: PAGE_BYTES,
            columns: self.columns,
        };
        self.page = self.source.reader()?.scan(&scan).wait()?;
        self.next = 0;
        // A full page, by either measure, may have another behind it; at the end that one is empty.
        self.more = self.page.len() == PAGE_ENTRIES || self.page.bytes() >= PAGE_BYTES;
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("group", &self.group).finish_non_exhaustive()
    }
}

/// The entries of a group: see [`View::entries`](crate::View::entries).
#[derive(Debug)]
#[must_use = "a stream gives nothing until it is iterated"]
pub struct EntryStream(pub(crate) Stream);

impl Iterator for EntryStream {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.advance()?.map(|index| self.0.page.entry(index)))
    }
}

/// The keys of a group: see [`View::keys`](crate::View::keys).
#[derive(Debug)]
#[must_use = "a stream gives nothing until it is iterated"]
pub struct KeyStream(pub(crate) Stream);

impl Iterator for KeyStream {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.advance()?.map(|index| self.0.page.key(index).to_owned()))
    }
}

/// An iterator that knows whether its next item is in memory.
#[cfg(feature = "tokio")]
pub(crate) trait AtHand {
    /// Whether the next item is there without waiting for anything.
    fn is_at_hand(&self) -> bool;
}

#[cfg(feature = "tokio")]
impl AtHand for EntryStream {
    fn is_at_hand(&self) -> bool {
        self.0.next < self.0.page.len()
    }
}

#[cfg(feature = "tokio")]
impl AtHand for KeyStream {
    fn is_at_hand(&self) -> bool {
        self.0.next < self.0.page.len()
    }
}
