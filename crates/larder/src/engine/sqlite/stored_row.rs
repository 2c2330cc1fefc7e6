//! What is stored of an entry, without its value.

use super::columns::revision;
use super::large_values::INLINE_MAX;
use crate::data::{Facts, Found, Revision};

/// The columns of `entries` that tell of it, in SQL.
macro_rules! stored_row {
    () => {
        concat!(
            $crate::engine::sqlite::large_values::size!(),
            ", expires_at, revision, ",
            $crate::engine::sqlite::large_values::number!()
        )
    };
}

pub(super) use stored_row;

/// An entry that is stored, expired or not.
pub(super) struct StoredRow {
    pub revision: Revision,
    pub expires_at_ms: Option<i64>,
    pub value_bytes: usize,
    /// The number of its value, if that is a large one.
    pub large: Option<i64>,
}

impl StoredRow {
    /// What a cached entry tells. Not of a larger one, whose value may have a number.
    pub fn of(found: &Found) -> Option<Self> {
        let Facts { revision, expires_at_ms } = found.facts();
        let value_bytes = found.value().len();
        (value_bytes <= INLINE_MAX).then_some(Self { revision, expires_at_ms, value_bytes, large: None })
    }

    /// Reads the columns of [`stored_row!`], from `first` on.
    pub fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let size: i64 = row.get(first)?;
        let value_bytes =
            usize::try_from(size).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(first, size))?;
        Ok(Self {
            value_bytes,
            expires_at_ms: row.get(first + 1)?,
            revision: revision(row, first + 2)?,
            large: row.get(first + 3)?,
        })
    }
}
