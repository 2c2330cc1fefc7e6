//! Brings the file of an earlier version up to date.

use rusqlite::Connection;

use super::schema::{self, VERSION, WITH_HISTORIES, WITH_LARGE_VALUES};
use super::{log_parts, notes};

/// Brings a store of an earlier version to this one, in the caller's transaction.
pub(super) fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let version = schema::version(connection)?;
    if version < WITH_HISTORIES {
        connection.execute_batch("ALTER TABLE changes RENAME COLUMN sequence TO change")?;
        schema::add_version_2(connection)?;
        notes::move_former(connection)?;
    }
    if version < WITH_LARGE_VALUES {
        schema::add_version_3(connection)?;
    }
    if version < WITH_HISTORIES {
        log_parts::of_version_1(connection)?.store(connection)?;
    }
    if version < VERSION {
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(())
}
