//! How the columns of a row hold values and revisions.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use super::schema::unsigned;
use crate::data::{Revision, Value};

/// A value as SQLite stores it: TEXT if it is UTF-8, else BLOB; or its number, if it is a large one.
pub(super) struct Stored<'a> {
    pub value: &'a Value,
    pub large: Option<i64>,
}

impl<'a> Stored<'a> {
    /// The value itself.
    pub fn inline(value: &'a Value) -> Self {
        Self { value, large: None }
    }
}

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match (self.large, self.value.as_str()) {
            (Some(number), _) => ValueRef::Integer(number),
            (None, Some(text)) => ValueRef::Text(text.as_bytes()),
            (None, None) => ValueRef::Blob(self.value.as_bytes()),
        }))
    }
}

/// The bytes of a value column, of either type.
pub(super) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a [u8]>> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        other => Err(rusqlite::Error::InvalidColumnType(column, "entry_value".into(), other.data_type())),
    }
}

pub(super) fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    Ok(Revision(unsigned(row.get(column)?)))
}
