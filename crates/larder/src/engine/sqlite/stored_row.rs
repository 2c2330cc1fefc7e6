//! What is stored of an entry, without its value.

use super::queries::revision;
use crate::data::{Facts, Found, Revision};

/// An entry that is stored, expired or not.
pub(super) struct StoredRow {
    pub revision: Revision,
    pub expires_at_ms: Option<i64>,
    pub value_bytes: usize,
}

impl StoredRow {
    pub fn of(found: &Found) -> Self {
        let Facts { revision, expires_at_ms } = found.facts();
        Self { revision, expires_at_ms, value_bytes: found.value().len() }
    }

    /// Reads the columns `octet_length(entry_value), expires_at, revision`, from `first` on.
    pub fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let size: i64 = row.get(first)?;
        let value_bytes =
            usize::try_from(size).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(first, size))?;
        Ok(Self { value_bytes, expires_at_ms: row.get(first + 1)?, revision: revision(row, first + 2)? })
    }
}
