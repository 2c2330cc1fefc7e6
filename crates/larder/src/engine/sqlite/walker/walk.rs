//! The search in the trees: for one entry, for a group, for a large value.
//!
//! `None` is always that SQLite has to say.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::Walker;
use super::page::{Page, Payload, Tree};
use super::pages::{Lent, Part, Source};
use super::record::{Column, Columns};
use crate::data::{Facts, Revision};

/// How many bytes of large values one scan takes from the walker. Beyond that SQLite counts.
const LARGE_BYTES_MAX: usize = 8 << 20;

/// Deeper than any tree that SQLite makes.
const DEPTH_MAX: usize = 20;

/// An entry as it is stored.
pub(in crate::engine::sqlite) struct Row<'r> {
    pub key: &'r str,
    pub value: &'r [u8],
    pub facts: Facts,
}

/// Where a scan begins.
pub(super) struct Start<'a> {
    pub group: &'a str,
    pub after: Option<&'a str>,
}

impl Start<'_> {
    /// How a cell with these names compares with the place.
    fn compare(&self, group: &[u8], key: &[u8]) -> Ordering {
        // None is equal: the place is before the first key, or right after one.
        let of_key = || match self.after {
            Some(after) if key <= after.as_bytes() => Ordering::Less,
            _ => Ordering::Greater,
        };
        group.cmp(self.group.as_bytes()).then_with(of_key)
    }
}

/// One call of the walker.
pub(super) struct Walk<'w, S> {
    pub walker: &'w mut Walker,
    pub source: &'w S,
    /// Whether large values are wanted.
    pub has_values: bool,
    /// How many of the pages that are read now are kept. Of a long scan that is few: it would drive out all others.
    pub keeps: u32,
    /// How many bytes of large values were read.
    pub large_bytes: usize,
}

impl<S: Source> Walk<'_, S> {
    fn lend(&mut self, part: Part, number: u32) -> Option<Lent> {
        self.walker.left = self.walker.left.checked_sub(1)?;
        let keeps = self.keeps > 0;
        self.keeps = self.keeps.saturating_sub(1);
        self.walker.pages.lend(self.source, part, number, keeps)
    }

    fn reserved(&self) -> usize {
        self.walker.roots.map_or(0, |roots| roots.reserved)
    }

    /// The entry of a key, as `found` makes it.
    pub fn get<T>(&mut self, group: &str, key: &str, found: impl FnOnce(Row<'_>) -> T) -> Option<Option<T>> {
        let mut number = self.walker.roots?.entries?;
        for _ in 0..DEPTH_MAX {
            let lent = self.lend(Part::Entries, number)?;
            let page = Page::of(&lent.bytes, self.reserved(), Tree::Index)?;
            let (at, is_it) = page.search(|at| {
                self.with_names(page.record(at)?, |names| {
                    names.0.cmp(group.as_bytes()).then_with(|| names.1.cmp(key.as_bytes()))
                })
            })?;
            let next = match (is_it, page.is_leaf()) {
                (true, _) => {
                    let record = page.record(at)?;
                    let answer = self.with_row(record, |_, row| found(row))?;
                    let is_leaf = page.is_leaf();
                    self.walker.pages.give_back(lent, is_leaf);
                    return Some(Some(answer));
                }
                (false, true) => None,
                (false, false) => Some(page.child(at)?),
            };
            self.walker.pages.give_back(lent, next.is_none());
            match next {
                Some(child) => number = child,
                None => return Some(None),
            }
        }
        None
    }

    /// Visits what lies below a page, from the start on, while it is of the group and `visit` goes on.
    pub fn scan(
        &mut self,
        number: u32,
        depth: usize,
        start: &mut Option<Start<'_>>,
        group: &str,
        visit: &mut impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        if depth == DEPTH_MAX {
            return None;
        }
        let lent = self.lend(Part::Entries, number)?;
        let page = Page::of(&lent.bytes, self.reserved(), Tree::Index)?;
        let first = match start {
            Some(start) => {
                page.search(|at| self.with_names(page.record(at)?, |(group, key)| start.compare(group, key)))?
                    .0
            }
            None => 0,
        };
        let is_leaf = page.is_leaf();
        if is_leaf {
            *start = None;
        }
        let mut flow = ControlFlow::Continue(());
        for at in first..=page.cells() {
            if !is_leaf {
                flow = self.scan(page.child(at)?, depth + 1, start, group, visit)?;
            }
            if flow.is_break() || at == page.cells() {
                break;
            }
            flow = self.with_row(page.record(at)?, |found, row| {
                if found == group.as_bytes() { visit(row) } else { ControlFlow::Break(()) }
            })?;
            if flow.is_break() {
                break;
            }
        }
        self.walker.pages.give_back(lent, is_leaf);
        Some(flow)
    }

    /// Hands over the group and the key of a record.
    #[inline]
    fn with_names<T>(&mut self, record: Payload<'_>, take: impl FnOnce((&[u8], &[u8])) -> T) -> Option<T> {
        fn names(record: &[u8]) -> Option<(&[u8], &[u8])> {
            let mut columns = Columns::of(record)?;
            Some((columns.text()?, columns.text()?))
        }
        match names(record.here) {
            Some(names) => Some(take(names)),
            None => self.with_record(record, |_, whole| names(whole).map(take)),
        }
    }

    /// Hands over the group and the rest of an entry.
    fn with_row<T>(&mut self, record: Payload<'_>, take: impl FnOnce(&[u8], Row<'_>) -> T) -> Option<T> {
        self.with_record(record, |walk, record| walk.row(record, take))
    }

    fn row<T>(&mut self, record: &[u8], take: impl FnOnce(&[u8], Row<'_>) -> T) -> Option<T> {
        let mut columns = Columns::of(record)?;
        let group = columns.text()?;
        let key = std::str::from_utf8(columns.text()?).ok()?;
        let value = columns.next()?;
        let expires_at_ms = columns.integer_or_null()?;
        let revision = Revision(u64::try_from(columns.integer()?).ok()?);
        let facts = Facts { revision, expires_at_ms };
        match value {
            Column::Text(value) | Column::Blob(value) => Some(take(group, Row { key, value, facts })),
            Column::Integer(_) if !self.has_values => Some(take(group, Row { key, value: &[], facts })),
            Column::Integer(number) => self.large(number, |value| take(group, Row { key, value, facts })),
            Column::Null => None,
        }
    }

    /// Hands over a large value. What this looks at is bounded by the depth of trees and by the bytes of the values.
    fn large<T>(&mut self, large_value: i64, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let left = std::mem::replace(&mut self.walker.left, u32::MAX);
        let found = self.find_large(large_value, take);
        self.walker.left = left;
        found
    }

    fn find_large<T>(&mut self, large_value: i64, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut number = self.walker.roots?.large_values?;
        for _ in 0..DEPTH_MAX {
            let lent = self.lend(Part::LargeValues, number)?;
            let page = Page::of(&lent.bytes, self.reserved(), Tree::Table)?;
            let (at, is_it) = page.search_rowid(large_value)?;
            if page.is_leaf() {
                let record = is_it.then(|| page.row(at))??;
                self.large_bytes =
                    self.large_bytes.checked_add(record.length).filter(|all| *all <= LARGE_BYTES_MAX)?;
                let answer = self.with_content(record, take)?;
                self.walker.pages.give_back(lent, true);
                return Some(answer);
            }
            number = page.child(at)?;
            self.walker.pages.give_back(lent, false);
        }
        None
    }

    /// Hands over the second column of a record. The first is the number, which the record leaves out.
    fn with_content<T>(&mut self, record: Payload<'_>, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.with_record(record, |_, record| {
            let mut columns = Columns::of(record)?;
            match (columns.next()?, columns.next()?) {
                (Column::Null, Column::Text(content) | Column::Blob(content)) => Some(take(content)),
                _ => None,
            }
        })
    }

    /// Hands over all of a record, wherever it lies.
    #[inline]
    fn with_record<T>(
        &mut self,
        record: Payload<'_>,
        read: impl FnOnce(&mut Self, &[u8]) -> Option<T>,
    ) -> Option<T> {
        if record.rest.is_none() {
            return read(self, record.here);
        }
        let whole = self.whole(record)?;
        let answer = read(self, &whole);
        self.walker.whole = whole;
        answer
    }

    /// Puts a record together whose rest lies in other pages: each begins with the number of the next.
    fn whole(&mut self, record: Payload<'_>) -> Option<Vec<u8>> {
        let mut whole = std::mem::take(&mut self.walker.whole);
        whole.clear();
        whole.extend_from_slice(record.here);
        let mut next = record.rest;
        while whole.len() < record.length {
            let lent = self.lend(Part::LargeValues, next.filter(|next| *next > 0)?)?;
            let usable = lent.bytes.len().checked_sub(self.reserved())?;
            let (number, content) = lent.bytes.get(..usable)?.split_at_checked(4)?;
            let wanted = (record.length - whole.len()).min(content.len());
            whole.extend_from_slice(&content[..wanted]);
            next = Some(u32::from_be_bytes(number.try_into().ok()?));
            self.walker.pages.give_back(lent, true);
        }
        Some(whole)
    }
}
