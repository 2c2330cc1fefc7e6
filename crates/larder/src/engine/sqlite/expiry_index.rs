//! The index of expiries: the one index that larder adds to its tables. It is derived from the entries, so a file
//! whose index another tool has dropped or changed loses nothing: reads do without it, and the next write rebuilds it.

use rusqlite::{Connection, OptionalExtension};

use super::error_code::is_unspecific;

pub(super) const NAME: &str = "entries_by_expiry";

/// What a query says to use the index and nothing else.
pub(super) const HINT: &str = "INDEXED BY entries_by_expiry";

const DEFINITION: &str =
    "CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL";

/// Returns what is wrong with the definition of the index.
pub(super) fn fault(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found = connection
        .prepare_cached("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?1")?
        .query_row([NAME], |row| row.get::<_, Option<String>>(0))
        .optional()?;
    Ok(match found {
        None => Some(format!("the index {NAME} is missing")),
        Some(sql) if plain(sql.as_deref().unwrap_or_default()) == plain(DEFINITION) => None,
        Some(_) => Some(format!("the index {NAME} has another definition")),
    })
}

/// Drops the index if it is there, and makes it anew. Reads all entries.
pub(super) fn rebuild(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP INDEX IF EXISTS {NAME}; {DEFINITION}"))
}

/// Whether a query failed because the index is missing, or has a definition that the query cannot use. SQLite has no
/// code of its own for either.
pub(super) fn is_why(error: &rusqlite::Error, connection: &Connection) -> bool {
    is_unspecific(error) && matches!(fault(connection), Ok(Some(_)))
}

/// A definition without what SQLite ignores: space, case, and the quotes around names.
fn plain(sql: &str) -> String {
    let is_noise = |symbol: &char| symbol.is_whitespace() || "\"`[];".contains(*symbol);
    sql.chars().filter(|symbol| !is_noise(symbol)).flat_map(char::to_lowercase).collect()
}
