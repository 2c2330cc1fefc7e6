//! Files that somebody made to do harm.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use larder::{Quota, Store};

/// What must come of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It cannot be opened.
    Refused,
    /// It can be opened, and answers or fails.
    Opened,
    /// It is of no consequence: everything succeeds.
    Harmless,
}
use Expected::{Harmless, Opened, Refused};

/// A store with an example of everything, closed.
pub fn sound_store(folder: &Path) -> PathBuf {
    let path = folder.join("store.db");
    let store = Store::options().expiry_timer(false).open(&path).unwrap();
    store.set("config", "colour", "blue").unwrap();
    store.set("binary", "bytes", vec![0xff, 0]).unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600)).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    store.set_quota("tenant-42", Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    // All expired, so the index of expiries has branches, too.
    for number in 0..200 {
        store.set_until("session", format!("{number}{}", "-".repeat(60)), "gone", Some(UNIX_EPOCH)).unwrap();
    }
    for number in 0..40 {
        store.set("bulk", format!("key-{number}"), vec![b'x'; 700]).unwrap();
    }
    store.set("bulk", "large", vec![b'y'; 20_000]).unwrap();
    store.close().unwrap();
    path
}

/// An expression whose value takes for ever.
const ENDLESS: &str =
    "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n)";

/// A table's definition in the schema, replaced by another.
fn redefined(table: &str, definition: &str) -> String {
    format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = '{}' WHERE name = '{table}'; PRAGMA schema_version = 4711",
        definition.replace('\'', "''")
    )
}

/// A view in the place of a table.
fn view(table: &str, query: &str) -> String {
    format!(
        "DROP TABLE {table}; CREATE VIEW {table} AS {query}; PRAGMA writable_schema = ON; PRAGMA schema_version = 4711"
    )
}

/// A query that takes for ever to prepare: each step names the one before twice.
fn doubling() -> String {
    let mut query = String::from("WITH c0 AS (SELECT 1 AS one)");
    for step in 1..40 {
        query += &format!(", c{step} AS (SELECT 1 AS one FROM c{0} AS a, c{0} AS b)", step - 1);
    }
    query + " SELECT one AS group_name, one AS name, one AS content FROM c39"
}

/// A full-text index of another program.
const FULL_TEXT: &str =
    "CREATE VIRTUAL TABLE theirs USING fts5(a); INSERT INTO theirs VALUES ('some words'), ('other words')";

/// A tree of SQLite's R-tree module, 40 levels deep. All 51 branches of a node lead to the same next one.
fn endless_space() -> String {
    "CREATE VIRTUAL TABLE theirs USING rtree(id, a, b); DELETE FROM theirs_node;
     WITH RECURSIVE level (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM level WHERE number < 41)
     INSERT INTO theirs_node SELECT number, unhex(
         printf('%04x0033', CASE number WHEN 1 THEN 40 ELSE 0 END)
         || replace(hex(zeroblob(51)), '00', printf('%016x0000000000000000', number + 1))) FROM level"
        .into()
}

/// Files that are made by SQL.
pub fn made_by_sql() -> Vec<(&'static str, String, Expected)> {
    let entries = "CREATE TABLE entries (group_name TEXT NOT NULL, entry_key TEXT NOT NULL, entry_value ANY NOT NULL, \
                   expires_at INTEGER, revision INTEGER NOT NULL";
    let end = "PRIMARY KEY (group_name, entry_key)) STRICT, WITHOUT ROWID";
    vec![
        (
            "a trigger that copies to another tenant",
            "CREATE TRIGGER steal AFTER INSERT ON entries BEGIN INSERT OR REPLACE INTO entries
             VALUES ('other:group', new.entry_key, new.entry_value, NULL, 1); END"
                .into(),
            Opened,
        ),
        (
            "a trigger that never ends",
            format!("CREATE TRIGGER theirs BEFORE INSERT ON changes BEGIN SELECT {ENDLESS}; END"),
            Opened,
        ),
        ("a view for the table of groups", view("groups", &format!("SELECT {ENDLESS} AS group_name, 1 AS keys, 1 AS bytes")), Refused),
        ("a view for the table of the store", view("store", &format!("SELECT 'identity' AS name, {ENDLESS} AS content")), Refused),
        ("a view for the change log", view("changes", &format!("SELECT {ENDLESS} AS change, 1 AS revision, 0 AS position")), Refused),
        ("a view for the histories", view("histories", &format!("SELECT '' AS prefix, {ENDLESS} AS history")), Refused),
        ("a view for the entries", view("entries", &format!("SELECT '' AS group_name, {ENDLESS} AS entry_key")), Refused),
        ("a view that cannot be prepared", view("store", &doubling()), Refused),
        ("a view beside the tables that cannot be prepared", format!("CREATE VIEW theirs AS {}", doubling()), Opened),
        ("a view with the name of a table in capitals", view("groups", "SELECT 1 AS a").replace("VIEW groups", "VIEW GROUPS"), Refused),
        (
            "a view in the row of a table",
            redefined("groups", &format!("CREATE VIEW groups AS SELECT {ENDLESS} AS group_name, 1 AS keys, 1 AS bytes")),
            Refused,
        ),
        (
            "a view in the row of another table",
            format!(
                "CREATE TABLE theirs (a); DROP TABLE cursors; {}",
                redefined("theirs", &format!("CREATE VIEW cursors AS SELECT {ENDLESS} AS cursor_name"))
            ),
            Refused,
        ),
        ("a virtual table for a table", "DROP TABLE groups; CREATE VIRTUAL TABLE groups USING fts5(group_name, keys, bytes)".into(), Refused),
        (
            "a generated column",
            "DROP TABLE cursors; CREATE TABLE cursors (cursor_name TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, \
                     position INTEGER, moved_at INTEGER NOT NULL, pattern TEXT AS (printf('%.*c', 900000000, 'x')))
                     STRICT, WITHOUT ROWID".into(),
            Refused,
        ),
        (
            "a generated column of the entries",
            redefined("entries", &format!("{entries}, more TEXT AS (hex(zeroblob(400000000))), {end}")),
            Refused,
        ),
        ("a condition", redefined("entries", &format!("{entries} CHECK (length(hex(zeroblob(400000000))) > 0), {end}")), Refused),
        ("a default that is huge", redefined("entries", &format!("{entries} DEFAULT (zeroblob(900000000)), {end}")), Refused),
        ("a table without strict types", redefined("entries", &format!("{entries}, PRIMARY KEY (group_name, entry_key)) WITHOUT ROWID")), Refused),
        ("another collation", redefined("entries", &format!("{}, {end}", entries.replace("entry_key TEXT", "entry_key TEXT COLLATE NOCASE"))), Refused),
        ("columns in another order", redefined("groups", "CREATE TABLE groups (group_name TEXT NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL, keys INTEGER NOT NULL) STRICT, WITHOUT ROWID"), Refused),
        ("a missing table", "DROP TABLE namespaces".into(), Refused),
        ("a missing index", "DROP INDEX entries_by_expiry".into(), Opened),
        ("an index that computes much", "CREATE INDEX theirs ON entries (hex(zeroblob(100000000 * (entry_key = 'tint'))))".into(), Refused),
        ("two tables in one tree", "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'entries') WHERE name = 'groups'".into(), Opened),
        ("a table in the tree of the schema", "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'groups'".into(), Opened),
        ("a table without a tree", "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 0 WHERE name = 'groups'".into(), Opened),
        ("a table beyond the end", "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2147483647 WHERE name = 'groups'".into(), Opened),
        ("a giant tally of bytes", "UPDATE groups SET bytes = 1000000000000000, keys = 1000".into(), Opened),
        ("a giant tally of keys", "UPDATE groups SET keys = 9223372036854775807".into(), Opened),
        ("tallies below zero", "UPDATE groups SET keys = -9223372036854775808, bytes = -1; UPDATE namespaces SET keys = -1, bytes = -9223372036854775808".into(), Opened),
        ("a giant namespace", "UPDATE namespaces SET keys = 9223372036854775807, groups = 9223372036854775807, bytes = 9223372036854775807".into(), Opened),
        ("tallies whose sum overflows", "INSERT INTO groups VALUES ('tenant-42:a', 9223372036854775807, 9223372036854775807), ('tenant-42:b', 9223372036854775807, 9223372036854775807)".into(), Opened),
        ("a log at the last revision", "UPDATE changes SET revision = 9223372036854775807 WHERE change = (SELECT max(change) FROM changes)".into(), Opened),
        ("a log with the last number", "UPDATE changes SET change = 9223372036854775807 WHERE change = (SELECT max(change) FROM changes)".into(), Opened),
        ("a log with numbers below zero", "UPDATE changes SET change = -change, revision = -revision, position = -1".into(), Opened),
        ("a log with giant totals", "UPDATE changes SET logged_bytes = 9223372036854775807".into(), Opened),
        ("a history of giant numbers", "UPDATE histories SET history = 9223372036854775807, pruned_changes = 9223372036854775807, pruned_bytes = 9223372036854775807, pruned_revision = 9223372036854775807, max_changes = 9223372036854775807, max_bytes = 9223372036854775807, max_age = 9223372036854775807".into(), Opened),
        ("a history of numbers below zero", "UPDATE histories SET history = -1, pruned_changes = -1, pruned_bytes = -9223372036854775808, pruned_revision = -1, pruned_step = -1, max_changes = -1, max_bytes = -1, max_age = -1".into(), Opened),
        ("no history", "DELETE FROM histories".into(), Opened),
        ("a thousand histories of one number", "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO histories SELECT 'p' || i, 0, 1, 1, 1, 0, 0, 0, NULL FROM n".into(), Opened),
        ("cursors in the future", "INSERT INTO cursors VALUES ('mailer', 9223372036854775807, 9223372036854775807, 9223372036854775807, '['), ('x', -1, -1, -1, char(0))".into(), Opened),
        ("times at the ends of time", "UPDATE entries SET expires_at = 9223372036854775807; UPDATE changes SET at = -9223372036854775808, expires_at = 9223372036854775807".into(), Opened),
        ("names that are no text", "INSERT INTO entries VALUES (CAST(x'ff00fe' AS TEXT), CAST(x'c3' AS TEXT), CAST(x'ff' AS TEXT), 5, 1); INSERT INTO groups VALUES (CAST(x'ff00fe' AS TEXT), 1, 5); UPDATE changes SET group_name = CAST(x'ff' AS TEXT), entry_key = CAST(x'80' AS TEXT)".into(), Opened),
        ("values of other types", "UPDATE entries SET entry_value = 5; UPDATE changes SET entry_value = 1.5; UPDATE store SET content = 7 WHERE name <> 'identity'".into(), Opened),
        ("one large value for ten thousand entries", "INSERT INTO large_values VALUES (1000, zeroblob(1000000)); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO entries SELECT 'bulk', 'copy ' || i, 1000, NULL, 1 FROM n; UPDATE changes SET entry_value = 1000 WHERE kind = 'set'".into(), Opened),
        ("large values that are missing", "DELETE FROM large_values".into(), Opened),
        ("large values that are numbers", "UPDATE large_values SET content = large_value".into(), Opened),
        ("a large value with the last number", "INSERT INTO large_values VALUES (9223372036854775807, 'x'); UPDATE entries SET entry_value = -9223372036854775808 WHERE group_name = 'bulk'".into(), Opened),
        ("views that take for ever", format!("DROP VIEW readable_entries; CREATE VIEW readable_entries AS SELECT {ENDLESS}"), Harmless),
        ("an identity that is a number", "UPDATE store SET content = 5 WHERE name = 'identity'".into(), Opened),
        ("an identity that is bytes", "UPDATE store SET content = x'ff00' WHERE name = 'identity'".into(), Opened),
        ("no identity", "DELETE FROM store WHERE name = 'identity'".into(), Refused),
        ("a link that is bytes", "UPDATE store SET content = zeroblob(1000) WHERE name = 'log_link'; UPDATE store SET content = x'' WHERE name = 'file_birth'".into(), Opened),
        ("untold cursors without end", "INSERT OR REPLACE INTO store VALUES ('untold_cursors', replace(hex(zeroblob(500000)), '00', 'a' || char(10)))".into(), Opened),
        ("a version below zero", "PRAGMA user_version = -1".into(), Refused),
        ("version zero", "PRAGMA user_version = 0".into(), Refused),
        ("statistics that lie", "ANALYZE; UPDATE sqlite_stat1 SET stat = '9223372036854775807 1 1 unordered sz=1'".into(), Opened),
        ("tables of another program", "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1); CREATE VIEW their_view AS SELECT * FROM theirs; CREATE TRIGGER their_trigger AFTER INSERT ON theirs BEGIN DELETE FROM theirs; END".into(), Harmless),
        ("a full-text index whose directory lies", format!("{FULL_TEXT}; UPDATE theirs_data SET block = x'00000000ffffffff7fffffff7fffffff7fffffff7fffffff7f' WHERE id = 10"), Harmless),
        ("a full-text index of nonsense", format!("{FULL_TEXT}; UPDATE theirs_data SET block = x'0004ffff' || replace(hex(zeroblob(500)), '00', char(127)) WHERE id > 10"), Harmless),
        ("a full-text index with giant counts", format!("{FULL_TEXT}; UPDATE theirs_data SET block = x'ffffffffffffffff7fffffffffffffffff7f' WHERE id = 1; UPDATE theirs_docsize SET sz = x'ffffffffffffffff7f'"), Harmless),
        ("an older full-text index of nonsense", "CREATE VIRTUAL TABLE theirs USING fts4(a); INSERT INTO theirs VALUES ('some words'), ('other words'); UPDATE theirs_segdir SET root = x'ffffffff7fffffffff7f', leaves_end_block = 9223372036854775807".into(), Harmless),
        ("a spatial index with endless branches", endless_space(), Harmless),
        ("a spatial index of nonsense", "CREATE VIRTUAL TABLE theirs USING rtree(id, a, b); INSERT INTO theirs VALUES (1, 2, 3); UPDATE theirs_node SET data = CAST(replace(hex(zeroblob(410)), '00', char(127)) AS BLOB)".into(), Harmless),
        ("a column that is called like a rowid", "CREATE TABLE theirs (rowid, oid, _rowid_)".into(), Harmless),
    ]
}

pub type Change = fn(&mut Vec<u8>);

/// Where a page of a file begins, from 1.
fn page(file: &[u8], number: usize) -> usize {
    (number - 1) * page_size(file)
}

fn page_size(file: &[u8]) -> usize {
    match u16::from_be_bytes([file[16], file[17]]) {
        1 => 65536,
        size => size.into(),
    }
}

/// Makes every pointer of every page inside a tree lead to one page.
fn with_children(file: &mut [u8], is_chosen: fn(u8) -> bool, child: fn(usize) -> u32) {
    let size = page_size(file);
    for number in 1..=file.len() / size {
        let start = page(file, number);
        let header = start + if number == 1 { 100 } else { 0 };
        let kind = file[header];
        if !matches!(kind, 2 | 5) || !is_chosen(kind) {
            continue;
        }
        let target = child(number).to_be_bytes();
        let cells = u16::from_be_bytes([file[header + 3], file[header + 4]]).into();
        for cell in 0..cells {
            let at: usize = header + 12 + 2 * cell;
            let place = start + usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
            file[place..place + 4].copy_from_slice(&target);
        }
        file[header + 8..header + 12].copy_from_slice(&target);
    }
}

/// Where the cells of a page inside a tree lead, and what they lead to.
fn lead_to(file: &mut [u8], number: usize, child: u32) {
    let start = page(file, number);
    let cells: usize = u16::from_be_bytes([file[start + 3], file[start + 4]]).into();
    for cell in 0..cells {
        let at = start + 12 + 2 * cell;
        let place = start + usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
        file[place..place + 4].copy_from_slice(&child.to_be_bytes());
    }
    file[start + 8..start + 12].copy_from_slice(&child.to_be_bytes());
}

/// Puts further pages below each page inside a tree of a kind. Each branch of each of them leads to the next one, so the
/// tree has more leaves than anybody can visit.
fn with_endless_branches(file: &mut Vec<u8>, kind: u8) {
    const LEVELS: usize = 14;
    let size = page_size(file);
    let inner: Vec<usize> =
        (2..=file.len() / size).filter(|number| file[page(file, *number)] == kind).collect();
    assert!(!inner.is_empty());
    for root in inner {
        let start = page(file, root);
        let leaf = file[start + 8..start + 12].try_into().map(u32::from_be_bytes).unwrap();
        for level in 0..LEVELS {
            let below = file.len() / size + 1;
            let above = if level == 0 { root } else { below - 1 };
            file.extend_from_within(start..start + size);
            lead_to(file, above, below as u32);
        }
        let last = file.len() / size;
        lead_to(file, last, leaf);
    }
    let pages = (file.len() / size) as u32;
    file[28..32].copy_from_slice(&pages.to_be_bytes());
}

/// Files whose bytes are changed.
pub fn made_by_bytes() -> Vec<(&'static str, Change, Expected)> {
    vec![
        ("trees that contain themselves", |file| with_children(file, |_| true, |own| own as u32), Opened),
        ("trees whose branches lead to the schema", |file| with_children(file, |_| true, |_| 1), Opened),
        (
            "trees whose branches lead beyond the end",
            |file| with_children(file, |_| true, |_| u32::MAX),
            Opened,
        ),
        ("trees whose branches lead nowhere", |file| with_children(file, |_| true, |_| 0), Opened),
        ("tables with endless branches", |file| with_endless_branches(file, 5), Opened),
        ("sorted tables with endless branches", |file| with_endless_branches(file, 2), Opened),
        ("pages of 512 bytes", |file| file[16..18].copy_from_slice(&[2, 0]), Opened),
        ("pages of 64 KiB", |file| file[16..18].copy_from_slice(&[0, 1]), Opened),
        ("pages of no size", |file| file[16..18].copy_from_slice(&[0, 0]), Refused),
        ("a reserve of 255 bytes", |file| file[20] = 255, Opened),
        (
            "a version of the file format that is not known",
            |file| file[18..20].copy_from_slice(&[9, 9]),
            Opened,
        ),
        ("a rollback journal instead of a log", |file| file[18..20].copy_from_slice(&[1, 1]), Opened),
        ("a file that says it has 2^32 pages", |file| file[28..32].copy_from_slice(&[0xff; 4]), Opened),
        ("a file that says it has no pages", |file| file[28..32].copy_from_slice(&[0; 4]), Opened),
        (
            "a list of free pages that leads to the schema",
            |file| {
                file[32..36].copy_from_slice(&[0, 0, 0, 1]);
                file[36..40].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
            },
            Opened,
        ),
        ("UTF-16", |file| file[56..60].copy_from_slice(&[0, 0, 0, 2]), Opened),
        ("a schema of a later format", |file| file[44..48].copy_from_slice(&[0, 0, 0, 9]), Opened),
        ("an automatic vacuum that never was", |file| file[52..56].copy_from_slice(&[0, 0, 0, 9]), Opened),
        ("only its first page", |file| file.truncate(4096), Refused),
        ("only its header", |file| file.truncate(100), Refused),
        ("a schema of zeros", |file| file[100..4096].fill(0), Refused),
        (
            "the first page again and again",
            |file| {
                let first = file[..4096].to_vec();
                for number in 2..=file.len() / 4096 {
                    file[(number - 1) * 4096..number * 4096].copy_from_slice(&first);
                }
            },
            Opened,
        ),
    ]
}
