//! Keeps the virtual tables of a file from running: the one file with `unsafe` for that.
//!
//! A virtual table is a line in the schema that names a module, such as `fts5` or `rtree`, and SQLite runs the module's
//! code for it. Its own check does so for every virtual table of the file, on whatever the file holds for them. larder
//! has no virtual tables, so its connections have no modules: SQLite then passes over such tables.

#![expect(unsafe_code, reason = "rusqlite has no function that drops modules")]

use rusqlite::{Connection, ffi};

/// Drops all modules of a connection. The functions of SQLite's that read as tables, such as `pragma_table_info`, stay.
pub(super) fn drop_modules(connection: &Connection) -> rusqlite::Result<()> {
    // SAFETY: the connection is open, and null is a list without names: no module is kept. A module that a statement uses
    // lives until that is finalized.
    match unsafe { ffi::sqlite3_drop_modules(connection.handle(), std::ptr::null_mut()) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_modules_has_no_virtual_tables_and_keeps_the_functions_that_read_as_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE VIRTUAL TABLE before USING fts5(a); CREATE TABLE plain (a)")
            .unwrap();
        drop_modules(&connection).unwrap();
        for module in ["fts3(a)", "fts4(a)", "fts5(a)", "rtree(id, a, b)", "geopoly", "dbstat"] {
            let created = connection.execute_batch(&format!("CREATE VIRTUAL TABLE after USING {module}"));
            assert!(created.unwrap_err().to_string().contains("no such module"), "{module}");
        }
        let columns = "SELECT count(*) FROM pragma_table_xinfo('plain')";
        assert_eq!(connection.query_row(columns, [], |row| row.get(0)), Ok(1));
        let elements = "SELECT count(*) FROM json_each('[1, 2]')";
        assert_eq!(connection.query_row(elements, [], |row| row.get(0)), Ok(2));
    }
}
