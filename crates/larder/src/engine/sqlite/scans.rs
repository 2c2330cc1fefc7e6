//! Scans: a group, or a page of one.

use std::sync::OnceLock;

use rusqlite::params;

use super::columns::revision;
use super::large_values::Values;
use super::queries::Queries;
use super::schema::{signed, unsigned};
use super::step_limit::corrupt;
use crate::data::{Entries, EntriesBuilder, Facts, Usage};
use crate::engine::{Columns, Scan};

/// In a group of this many keys it pays to find out first whether anything has expired.
const LARGE_GROUP: u64 = 500;

/// How many entries are read before it pays to ask how many there are.
const FEW: usize = 16;

/// Room for so many entries, in bytes. To make it in steps would take longer than to read them.
const FEW_BYTES: usize = 2048;

impl Queries<'_> {
    pub fn scan(&self, scan: &Scan<'_>) -> rusqlite::Result<Entries> {
        let is_whole = scan.limit == usize::MAX && scan.after.is_none() && scan.columns != Columns::Keys;
        let mut large = None;
        let room = (FEW.min(scan.limit), FEW_BYTES);
        let found = self.fill(scan, builder(scan, room), false, |found| {
            if is_whole {
                let tally = self.tally(scan.group)?;
                if tally.keys >= LARGE_GROUP {
                    large = Some(tally);
                    return Ok(false);
                }
                let (keys, bytes) = self.room_for(&tally)?;
                found.make_room(keys, bytes);
            }
            Ok(true)
        })?;
        large.map_or(Ok(found), |tally| self.scan_large(scan, &tally))
    }

    fn scan_large(&self, scan: &Scan<'_>, tally: &Usage) -> rusqlite::Result<Entries> {
        let room = self.room_for(tally)?;
        // If nothing at all has expired, no row needs a check. That must be true at the moment of the rows.
        let fill = || {
            let next = self.next_expiry_ms()?;
            let all_are_live = next.is_none_or(|next| next > self.now_ms());
            self.fill(scan, builder(scan, room), all_are_live, |_| Ok(true))
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

    /// Reads the entries of a scan. After a few it calls `goes_on`, and stops there if that says so.
    fn fill(
        &self,
        scan: &Scan<'_>,
        mut found: EntriesBuilder,
        all_are_live: bool,
        goes_on: impl FnOnce(&mut EntriesBuilder) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<Entries> {
        let mut statement = self.prepare(sql(scan, all_are_live))?;
        let bound = params![scan.group, scan.after.unwrap_or_default(), signed(scan.offset), self.now_ms()];
        let used = statement.parameter_count();
        let mut rows = statement.query(&bound[..used])?;
        let mut values = Values::of(self.connection);
        let mut goes_on = Some(goes_on);
        while found.len() < scan.limit
            && let Some(row) = rows.next()?
        {
            if found.len() == FEW
                && let Some(goes_on) = goes_on.take()
                && !goes_on(&mut found)?
            {
                break;
            }
            let facts = match scan.columns {
                Columns::All => Some(Facts { revision: revision(row, 2)?, expires_at_ms: row.get(3)? }),
                _ => None,
            };
            let key = row.get_ref(0)?.as_str()?;
            if found.last_key().is_some_and(|last| last >= key.as_bytes()) {
                return Err(corrupt("its keys are out of order"));
            }
            match scan.columns {
                Columns::Keys => found.push(key, &[], facts),
                _ => values.read(row, 1, |value| found.push(key, value.unwrap_or_default(), facts))?,
            }
            if found.bytes() >= scan.bytes_max {
                break;
            }
        }
        Ok(found.finish())
    }
}

fn builder(scan: &Scan<'_>, (keys, bytes): (usize, usize)) -> EntriesBuilder {
    let found = EntriesBuilder::with_capacity(keys, bytes);
    if scan.columns == Columns::All { found.with_facts() } else { found }
}

/// The statement of a scan. Each is put together once.
fn sql(scan: &Scan<'_>, all_are_live: bool) -> &'static str {
    static TEXTS: [OnceLock<String>; 24] = [const { OnceLock::new() }; 24];
    let (number, columns) = match scan.columns {
        Columns::Keys => (0, "entry_key"),
        Columns::Values => (1, "entry_key, entry_value"),
        Columns::All => (2, "entry_key, entry_value, revision, expires_at"),
    };
    let (has_after, has_offset) = (scan.after.is_some(), scan.offset > 0);
    let number =
        number * 8 + usize::from(has_after) * 4 + usize::from(has_offset) * 2 + usize::from(all_are_live);
    TEXTS[number].get_or_init(|| {
        let live = if all_are_live { "" } else { "AND (expires_at IS NULL OR expires_at > ?4)" };
        let after = if has_after { ">" } else { ">=" };
        // SQLite counts a limit row by row, so it is cheaper to stop stepping. An offset is only asked for if there is one.
        let offset = if has_offset { "LIMIT -1 OFFSET ?3" } else { "" };
        format!(
            "SELECT {columns} FROM entries
             WHERE group_name = ?1 AND entry_key {after} ?2 {live} ORDER BY entry_key {offset}"
        )
    })
}
