//! Scans: a group, or a page of one.

use std::cell::Cell;
use std::ops::ControlFlow;

use super::held::Held;
use super::large_values;
use super::queries::{Queries, facts};
use super::scan_shape::Shape;
use super::schema::{signed, unsigned};
use super::step_limit::corrupt;
use crate::data::{Entries, EntriesBuilder, Facts, Usage};
use crate::engine::{Columns, Scan};

/// In a group of this many keys it pays to find out first whether anything has expired.
const LARGE_GROUP: u64 = 500;

/// A page of so many entries may be asked for again soon.
const SHORT: usize = 256;

/// How many entries are read before it pays to ask how many there are.
const FEW: usize = 16;

/// Room for so many entries, in bytes. To make it in steps would take longer than to read them.
const FEW_BYTES: usize = 2048;

impl Queries<'_> {
    pub fn scan(&self, scan: &Scan<'_>) -> rusqlite::Result<Entries> {
        let is_whole = scan.limit == usize::MAX && scan.after.is_none() && scan.columns != Columns::Keys;
        let large = Cell::new(None);
        let room = (FEW.min(scan.limit), FEW_BYTES);
        let found = self.fill(scan, room, false, |found| {
            if is_whole {
                let tally = self.tally(scan.group)?;
                if tally.keys >= LARGE_GROUP {
                    large.set(Some(tally));
                    return Ok(false);
                }
                let (keys, bytes) = self.room_for(&tally)?;
                found.make_room(keys, bytes);
            }
            Ok(true)
        })?;
        large.take().map_or(Ok(found), |tally| self.scan_large(scan, &tally))
    }

    fn scan_large(&self, scan: &Scan<'_>, tally: &Usage) -> rusqlite::Result<Entries> {
        let room = self.room_for(tally)?;
        // If nothing at all has expired, no row needs a check. That must be true at the moment of the rows.
        let fill = || {
            let next = self.next_expiry_ms()?;
            let all_are_live = next.is_none_or(|next| next > self.now_ms());
            self.fill(scan, room, all_are_live, |_| Ok(true))
        };
        if !self.connection.is_autocommit() {
            return fill();
        }
        self.prepare("BEGIN")?.execute([])?;
        let found = fill();
        let ended = self.prepare("COMMIT").and_then(|mut commit| commit.execute([]));
        if ended.is_err() {
            // Nothing was written; the connection must not stay in the transaction.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        ended.and(found)
    }

    /// How many keys and bytes a group may have by its tally, and by the size of the file: a tally can say anything.
    fn room_for(&self, tally: &Usage) -> rusqlite::Result<(usize, usize)> {
        const TRUSTED_BYTES: u64 = 256 << 10;
        const ROW_BYTES_MIN: u64 = 8;
        let mut most = TRUSTED_BYTES;
        if tally.bytes.max(tally.keys.saturating_mul(ROW_BYTES_MIN)) > most {
            let number = |sql| self.prepare(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(unsigned);
            most = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
        }
        let size = |count: u64| usize::try_from(count).unwrap_or_default();
        Ok((size(tally.keys.min(most / ROW_BYTES_MIN)), size(tally.bytes.min(most))))
    }

    /// Reads the entries of a scan. After a few it calls `goes_on`, and stops there if that says so. It may begin anew
    /// after that.
    fn fill(
        &self,
        scan: &Scan<'_>,
        room: (usize, usize),
        all_are_live: bool,
        goes_on: impl Fn(&mut EntriesBuilder) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<Entries> {
        match self.fill_by_walking(scan, room, all_are_live, &goes_on) {
            Some(found) => found,
            None => self.fill_by_statement(scan, room, all_are_live, &goes_on),
        }
    }

    /// `None` where the walker has no answer.
    fn fill_by_walking(
        &self,
        scan: &Scan<'_>,
        room: (usize, usize),
        all_are_live: bool,
        goes_on: impl Fn(&mut EntriesBuilder) -> rusqlite::Result<bool>,
    ) -> Option<rusqlite::Result<Entries>> {
        self.connection.walk(|walker, connection| {
            let mut filling = Filling::begin(scan, room, goes_on);
            let now_ms = if all_are_live { i64::MIN } else { self.now_ms() };
            let mut left_out = scan.offset;
            let mut failed = Ok(());
            let has_values = scan.columns != Columns::Keys;
            // A stream asks for pages after the first, and for many entries at once.
            let is_long = scan.after.is_some() && scan.limit > SHORT;
            walker.scan(connection, (scan.group, scan.after), has_values, is_long, |row| {
                if row.facts.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                    return ControlFlow::Continue(());
                }
                if left_out > 0 {
                    left_out -= 1;
                    return ControlFlow::Continue(());
                }
                match filling.needs_more().and_then(|needs_more| {
                    Ok(needs_more && filling.push(row.key, row.value, Some(row.facts))?)
                }) {
                    Ok(true) => ControlFlow::Continue(()),
                    Ok(false) => ControlFlow::Break(()),
                    Err(error) => {
                        failed = Err(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            Some(failed.map(|()| filling.found.finish()))
        })
    }

    fn fill_by_statement(
        &self,
        scan: &Scan<'_>,
        room: (usize, usize),
        all_are_live: bool,
        goes_on: impl Fn(&mut EntriesBuilder) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<Entries> {
        let shape = Shape::of(scan, all_are_live);
        let mut row = self.connection.scan(shape)?;
        row.text(1, scan.group)?;
        row.text(2, scan.after.unwrap_or_default())?;
        if shape.has_offset() {
            row.number(3, signed(scan.offset))?;
        }
        if !all_are_live {
            row.number(4, self.now_ms())?;
        }
        let mut filling = Filling::begin(scan, room, goes_on);
        while filling.found.len() < scan.limit && row.step()? && filling.needs_more()? {
            let facts = match scan.columns {
                Columns::All => Some(facts(&row, 2)?),
                _ => None,
            };
            let key = row.name(0)?;
            let goes_on = match scan.columns {
                Columns::Keys => filling.push(key, &[], facts)?,
                _ => {
                    let push = |value: &[u8]| filling.push(key, value, facts);
                    large_values::read(self.connection, &row, 1, Held::CollectedValue, push)??
                }
            };
            if !goes_on {
                break;
            }
        }
        Ok(filling.found.finish())
    }
}

/// A scan of which some entries were found.
struct Filling<'s, F> {
    scan: &'s Scan<'s>,
    found: EntriesBuilder,
    /// Asked once, after a few entries.
    goes_on: Option<F>,
}

impl<'s, F: Fn(&mut EntriesBuilder) -> rusqlite::Result<bool>> Filling<'s, F> {
    fn begin(scan: &'s Scan<'s>, (keys, bytes): (usize, usize), goes_on: F) -> Self {
        let found = EntriesBuilder::with_capacity(keys, bytes);
        let found = if scan.columns == Columns::All { found.with_facts() } else { found };
        Self { scan, found, goes_on: Some(goes_on) }
    }

    /// Whether another entry is to be found.
    #[inline]
    fn needs_more(&mut self) -> rusqlite::Result<bool> {
        if self.found.len() >= self.scan.limit {
            return Ok(false);
        }
        if self.found.len() == FEW
            && let Some(goes_on) = self.goes_on.take()
        {
            return goes_on(&mut self.found);
        }
        Ok(true)
    }

    /// Adds an entry, without the columns that are not wanted. Returns whether there is room for more bytes.
    #[inline]
    fn push(&mut self, key: &str, value: &[u8], facts: Option<Facts>) -> rusqlite::Result<bool> {
        if self.found.last_key().is_some_and(|last| last >= key.as_bytes()) {
            return Err(corrupt("its keys are out of order"));
        }
        let value = if self.scan.columns == Columns::Keys { &[] } else { value };
        self.found.push(key, value, facts.filter(|_| self.scan.columns == Columns::All));
        Ok(self.found.bytes() < self.scan.bytes_max)
    }
}
