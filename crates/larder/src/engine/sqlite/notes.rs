//! Notes that larder keeps for itself.

use rusqlite::{Connection, params};

use super::columns::bytes;
use super::queries::End;
use super::schema;
use super::writer::{Done, Writer};
use crate::engine::{FORMER_NOTES, Outcome, is_former_note};

/// The notes whose names start with `prefix`, sorted by name.
pub(super) fn list(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<(String, String)>> {
    if schema::version(connection)? < schema::WITH_HISTORIES {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare_cached("SELECT note, content FROM notes WHERE note >= ?1 AND note < ?2 ORDER BY note")?;
    statement.query_map(params![prefix, End::of(prefix)], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

impl Writer {
    pub(super) fn set_note(&mut self, name: &str, content: Option<&str>) -> Done<Outcome> {
        match content {
            Some(content) => self
                .prepare("INSERT INTO notes VALUES (?1, ?2) ON CONFLICT (note) DO UPDATE SET content = ?2")?
                .execute([name, content])?,
            None => self.prepare("DELETE FROM notes WHERE note = ?1")?.execute([name])?,
        };
        self.transaction.is_unlogged = true;
        Ok(Outcome::NoteSet)
    }
}

/// Moves the notes of a store of version 1 out of the group that held them, in the caller's transaction. The group
/// goes, if all that it holds are notes.
pub(super) fn move_former(connection: &Connection) -> rusqlite::Result<()> {
    let mut found = connection
        .prepare("SELECT entry_key, entry_value, expires_at FROM entries WHERE group_name = ?1")?
        .query_map([FORMER_NOTES], |row| {
            let text = |column| bytes(row, column).map(|bytes| bytes.unwrap_or_default().to_vec());
            Ok((text(0)?, text(1)?, row.get::<_, Option<i64>>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let all = found.len();
    found.retain(|(name, content, expires_at)| {
        std::str::from_utf8(name).is_ok_and(|name| is_former_note(name, content, *expires_at))
    });
    for (name, content, _) in &found {
        let (name, content) = (String::from_utf8_lossy(name), String::from_utf8_lossy(content));
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?1, ?2)", params![name, content])?;
    }
    if !found.is_empty() && found.len() == all {
        connection.execute("DELETE FROM entries WHERE group_name = ?1", [FORMER_NOTES])?;
        connection.execute("DELETE FROM groups WHERE group_name = ?1", [FORMER_NOTES])?;
    }
    Ok(())
}
