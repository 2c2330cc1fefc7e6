//! The definitions of larder's tables, as SQLite understands them and not as text: so a table that a dump, a tool or an
//! upgrade has written differently is the same table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use rusqlite::{Connection, OptionalExtension};

use super::{own_rules, schema};

/// What SQLite knows of a table, one fact a line.
pub(super) type Definition = BTreeSet<String>;

/// How the fact begins that tells the order of the columns.
const ORDER: &str = "the columns in the order";

/// What version 1 of the schema has, as it was released. It never changes.
const VERSION_1: &str = "
CREATE TABLE store (name TEXT NOT NULL PRIMARY KEY, content ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
    group_name TEXT NOT NULL, entry_key TEXT NOT NULL, entry_value ANY NOT NULL, expires_at INTEGER,
    revision INTEGER NOT NULL, PRIMARY KEY (group_name, entry_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE groups (
    group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE namespaces (
    namespace TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, groups INTEGER NOT NULL, bytes INTEGER NOT NULL,
    max_keys INTEGER, max_groups INTEGER, max_bytes INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE changes (
    sequence INTEGER NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL,
    group_name TEXT NOT NULL, entry_key TEXT, entry_value ANY, expires_at INTEGER, at INTEGER NOT NULL,
    logged_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE cursors (
    cursor_name TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, position INTEGER, moved_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What version 2 adds to it, as it was released.
const VERSION_2: &str = "
ALTER TABLE changes RENAME COLUMN sequence TO change;
ALTER TABLE cursors ADD COLUMN pattern TEXT;
CREATE TABLE histories (
    prefix TEXT NOT NULL PRIMARY KEY, history INTEGER NOT NULL, max_changes INTEGER, max_bytes INTEGER, max_age INTEGER,
    pruned_changes INTEGER NOT NULL, pruned_bytes INTEGER NOT NULL, pruned_revision INTEGER NOT NULL,
    pruned_position INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE notes (note TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// What one of larder's tables is to be.
pub(super) struct Own {
    /// Its definition as text, where larder has written it.
    sql: String,
    pub definition: Definition,
}

/// Larder's tables by name, at a version of the schema.
pub(super) fn expected(version: i64) -> rusqlite::Result<&'static BTreeMap<String, Own>> {
    static FIRST: OnceLock<BTreeMap<String, Own>> = OnceLock::new();
    static SECOND: OnceLock<BTreeMap<String, Own>> = OnceLock::new();
    static LATEST: OnceLock<BTreeMap<String, Own>> = OnceLock::new();
    let tables = match version {
        1 => &FIRST,
        2 => &SECOND,
        _ => &LATEST,
    };
    match tables.get() {
        Some(known) => Ok(known),
        None => model(version).map(|model| tables.get_or_init(|| model)),
    }
}

fn model(version: i64) -> rusqlite::Result<BTreeMap<String, Own>> {
    let model = Connection::open_in_memory()?;
    match version {
        1 => model.execute_batch(VERSION_1)?,
        2 => {
            model.execute_batch(VERSION_1)?;
            model.execute_batch(VERSION_2)?;
        }
        _ => schema::create(&model, 0)?,
    }
    let own = |name: String| {
        let sql = sql(&model, &name)?.unwrap_or_default();
        Ok((name.clone(), Own { definition: defined_by(&sql, &name)?, sql }))
    };
    let is_table = |name: &String| !schema::VIEW_NAMES.contains(&name.as_str());
    schema::tables(&model)?.into_iter().filter(is_table).map(own).collect()
}

/// Larder's tables by name, at the version that a store has.
pub(super) fn expected_in(connection: &Connection) -> rusqlite::Result<&'static BTreeMap<String, Own>> {
    expected(schema::version(connection)?)
}

/// What is wrong with the tables of a store, in words.
pub(super) fn fault(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let version = schema::version(connection)?;
    if !(1..=schema::VERSION).contains(&version) {
        return Ok(Some(format!("there is no version {version} of its tables")));
    }
    for (name, own) in expected(version)? {
        let found = definition(connection, name, own)?;
        let fault = match difference(&own.definition, &found) {
            _ if found.is_empty() => (!is_optional(name, version)).then(|| "it is missing".to_owned()),
            difference => difference,
        };
        if let Some(fault) = fault {
            return Ok(Some(format!("the table {name:?} is not larder's: {fault}")));
        }
    }
    Ok(None)
}

/// Whether a store of a version may lack a table: it is added when the store is next opened to write.
pub(super) fn is_optional(table: &str, version: i64) -> bool {
    table == "cursors" && version < schema::WITH_HISTORIES
}

/// The version of the schema that a database has by its tables alone, if all of larder's are there as larder made them,
/// and the store has an identity.
pub(super) fn recognise(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    for version in (1..=schema::VERSION).rev() {
        let mut is_complete = true;
        for (name, own) in expected(version)? {
            let found = definition(connection, name, own)?;
            is_complete &= found == own.definition || found.is_empty() && is_optional(name, version);
        }
        if is_complete {
            let identity = schema::identity(connection);
            let is_identity =
                |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            return Ok(identity.is_ok_and(|identity| is_identity(&identity)).then_some(version));
        }
    }
    Ok(None)
}

/// What a table is, of which `own` is expected; nothing where there is none.
pub(super) fn definition(connection: &Connection, table: &str, own: &Own) -> rusqlite::Result<Definition> {
    match sql(connection, table)? {
        None => Ok(Definition::new()),
        Some(sql) if sql == own.sql => Ok(own.definition.clone()),
        Some(sql) => defined_by(&sql, table),
    }
}

/// How a database defines what has the name of a table. SQLite makes of this text what it knows of the table; what the
/// schema says beside it can say anything.
fn sql(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT coalesce(sql, '') FROM sqlite_schema
             WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')",
        )?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// What a definition makes of a table. It is tried in a database of its own: the one that it is from may define views
/// and virtual tables that take for ever to look at, and SQLite looks at all when it is asked for one.
fn defined_by(sql: &str, table: &str) -> rusqlite::Result<Definition> {
    const CREATES: &str = "create table";
    let unlike = |what: &str| Ok(Definition::from([what.to_owned()]));
    if !sql.get(..CREATES.len()).is_some_and(|start| start.eq_ignore_ascii_case(CREATES)) {
        return unlike("another object with the name of a table");
    }
    let apart = Connection::open_in_memory()?;
    own_rules::keep_to_own_rules(&apart)?;
    // One statement and no more.
    if apart.execute(sql, []).is_err() {
        return unlike("a definition that makes no table");
    }
    facts(&apart, table)
}

fn facts(connection: &Connection, table: &str) -> rusqlite::Result<Definition> {
    let mut facts = Definition::new();
    for query in [
        "SELECT 'the column ' || name || ' of type ' || type || (CASE WHEN \"notnull\" THEN ' not null' ELSE '' END)
                || coalesce(' default ' || dflt_value, '') || (CASE WHEN pk THEN ' in the key at ' || pk ELSE '' END)
                || (CASE WHEN hidden THEN ' that is generated' ELSE '' END)
         FROM pragma_table_xinfo(?1)",
        // Some statements name no columns.
        &format!("SELECT '{ORDER} ' || group_concat(name, ', ' ORDER BY cid) FROM pragma_table_xinfo(?1)
         HAVING count(*) > 0"),
        "SELECT 'a strict table' FROM pragma_table_list(?1) WHERE strict AND schema = 'main'
         UNION ALL SELECT 'a table without rowid' FROM pragma_table_list(?1) WHERE wr AND schema = 'main'
         UNION ALL SELECT 'a ' || type FROM pragma_table_list(?1) WHERE schema = 'main'",
        "SELECT 'a key on ' || info.name || ' sorted by ' || info.coll || (CASE WHEN info.desc THEN ' downwards' ELSE '' END)
         FROM pragma_index_list(?1) AS list, pragma_index_xinfo(list.name) AS info
         WHERE list.origin <> 'c' AND info.key",
        "SELECT 'a reference to ' || \"table\" FROM pragma_foreign_key_list(?1)",
        // No pragma tells of conditions.
        "SELECT 'a condition' FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND sql LIKE '%check%(%'",
    ] {
        let mut statement = connection.prepare(query)?;
        let found = statement.query_map([table], |row| row.get::<_, String>(0))?;
        for fact in found {
            facts.insert(fact?);
        }
    }
    Ok(facts)
}

/// The first fact that two definitions do not share, in words. The order of the columns is the last: another column
/// changes it, too.
pub(super) fn difference(expected: &Definition, found: &Definition) -> Option<String> {
    let lacks = expected.difference(found).map(|fact| (fact, "lacks"));
    let has = found.difference(expected).map(|fact| (fact, "has"));
    let first = lacks.chain(has).min_by_key(|(fact, _)| fact.starts_with(ORDER));
    first.map(|(fact, verb)| format!("it {verb} {fact}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_store_has_the_tables_of_its_version_and_is_recognised_by_them() {
        let store = Connection::open_in_memory().unwrap();
        assert_eq!(recognise(&store).unwrap(), None);
        schema::create(&store, 0).unwrap();
        assert_eq!(recognise(&store).unwrap(), Some(schema::VERSION));
        for (name, own) in expected(schema::VERSION).unwrap() {
            let found = facts(&store, name).unwrap();
            assert_eq!(difference(&own.definition, &found), None, "{name}");
        }
        store.execute("UPDATE store SET content = 'nobody' WHERE name = 'identity'", []).unwrap();
        assert_eq!(recognise(&store).unwrap(), None);
    }

    #[test]
    fn a_table_written_differently_is_the_same_and_one_that_differs_is_not() {
        let store = Connection::open_in_memory().unwrap();
        let own = |sql: &str| {
            store.execute_batch(&format!("DROP TABLE IF EXISTS groups; {sql}")).unwrap();
            let own = &expected(1).unwrap()["groups"];
            definition(&store, "groups", own).unwrap() == own.definition
        };
        assert!(own(
            "create table \"groups\"([group_name] TEXT NOT NULL, keys INTEGER not null, bytes INTEGER NOT NULL, \
                     PRIMARY KEY(group_name)) without rowid, strict"
        ));
        for differing in [
            "(keys INTEGER NOT NULL, bytes INTEGER NOT NULL, group_name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, keys INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL UNIQUE, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL CHECK (keys > 0), bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL REFERENCES other, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "(group_name TEXT NOT NULL PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL AS (keys)) STRICT, WITHOUT ROWID",
        ] {
            assert!(!own(&format!("CREATE TABLE groups {differing}")), "{differing}");
        }
    }
}
