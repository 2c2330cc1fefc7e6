//! The statements that read a group, or a page of one.

use std::sync::OnceLock;

use crate::engine::{Columns, Scan};

/// Which statement reads a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape(u8);

impl Shape {
    /// How many there are.
    pub const COUNT: usize = 24;
    const HAS_AFTER: u8 = 4;
    const HAS_OFFSET: u8 = 2;
    const ALL_ARE_LIVE: u8 = 1;

    pub fn of(scan: &Scan<'_>, all_are_live: bool) -> Self {
        let columns = match scan.columns {
            Columns::Keys => 0,
            Columns::Values => 8,
            Columns::All => 16,
        };
        let when = |holds, bit| if holds { bit } else { 0 };
        Self(
            columns
                | when(scan.after.is_some(), Self::HAS_AFTER)
                | when(scan.offset > 0, Self::HAS_OFFSET)
                | when(all_are_live, Self::ALL_ARE_LIVE),
        )
    }

    /// Less than [`COUNT`](Self::COUNT).
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    pub fn has_offset(self) -> bool {
        self.0 & Self::HAS_OFFSET != 0
    }

    /// Its text. Each is put together once.
    pub fn sql(self) -> &'static str {
        static TEXTS: [OnceLock<String>; Shape::COUNT] = [const { OnceLock::new() }; Shape::COUNT];
        TEXTS[self.number()].get_or_init(|| {
            let columns = match self.0 / 8 {
                0 => "entry_key",
                1 => "entry_key, entry_value",
                _ => "entry_key, entry_value, revision, expires_at",
            };
            let all_are_live = self.0 & Self::ALL_ARE_LIVE != 0;
            let live = if all_are_live { "" } else { "AND (expires_at IS NULL OR expires_at > ?4)" };
            let after = if self.0 & Self::HAS_AFTER != 0 { ">" } else { ">=" };
            // SQLite counts a limit row by row, so it is cheaper to stop stepping. An offset is only asked for if there is one.
            let offset = if self.has_offset() { "LIMIT -1 OFFSET ?3" } else { "" };
            format!(
                "SELECT {columns} FROM entries
                 WHERE group_name = ?1 AND entry_key {after} ?2 {live} ORDER BY entry_key {offset}"
            )
        })
    }
}
