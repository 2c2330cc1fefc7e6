//! Migration: opening a go-store file of any schema makes it a larder file without losing anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use larder::{Clock, Error, ManualClock, Revision, Store, Usage};
use outside::{Process, assert_same_files, child_task, contents, go_store, print_line, sqlite};

const FILES: [&str; 3] = ["kv-without-ttl.db", "kv-with-ttl.db", "entries.db"];

type Groups = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// The live entries that the fixtures' page says they hold.
fn expected(file: &str) -> Groups {
    let mut groups = Groups::new();
    let mut put = |group: &str, key: &str, value: &[u8]| {
        groups.entry(group.to_owned()).or_default().insert(key.to_owned(), value.to_vec());
    };
    for (group, key, value) in [
        ("config", "colour", "blue"),
        ("config", "language", "en-GB"),
        ("config", "empty", ""),
        ("mail", "host", "smtp.example.com"),
        ("mail", "port", "587"),
        ("", "empty-group", "x"),
        ("unicode", "ключ", "значение"),
        ("unicode", "鍵", "値"),
        ("unicode", "مفتاح", "قيمة"),
        ("binary", "nul", "a\0b\0c"),
        ("tenant_%", "wild^card", "100%"),
        ("tenantX1", "k", "not the one above"),
        ("tenant-42:preferences", "locale", "en-GB"),
        ("tenant-42:default", "theme", "dark"),
        ("tenant-99:default", "theme", "light"),
    ] {
        put(group, key, value.as_bytes());
    }
    put("binary", "not-utf8", &[0xff, 0xfe, 0x00, 0x80]);
    put("long", &"k".repeat(10_000), b"ten thousand characters");
    for number in 0..1000 {
        put("bulk", &format!("key-{number:04}"), format!("value {number}").as_bytes());
    }
    if file != "kv-without-ttl.db" {
        put("session", "alive", "until the year 2126".as_bytes());
    }
    groups
}

fn everything(store: &Store) -> Groups {
    let entries = |group: &str| {
        let entries = store.entries(group).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.key, entry.value.as_bytes().to_vec())).collect()
    };
    let groups = store.groups("").unwrap().into_iter();
    groups.map(|group| (group.name.clone(), entries(&group.name))).collect()
}

/// A clock that shows a time between the expiries of the two sessions.
fn clock() -> ManualClock {
    ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
}

fn open(path: &Path) -> Store {
    Store::options().clock(clock()).expiry_timer(false).open(path).unwrap()
}

#[test]
fn migration_keeps_every_entry_of_every_schema() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store(file, folder.path());
        let store = open(&path);
        assert_eq!(everything(&store), expected(file), "{file}");
        assert_eq!(store.get("binary", "not-utf8").unwrap().unwrap().as_str(), None);
        common::verify(&store);
        // And again after reopening it, as a larder file.
        store.close().unwrap();
        assert_eq!(outside::names(folder.path()), [file]);
        let store = open(&path);
        assert_eq!(everything(&store), expected(file), "{file}, reopened");
        assert_eq!(Store::options().read_only(true).open(&path).unwrap().count("bulk").unwrap(), 1000);
    }
}

#[test]
fn migration_keeps_expiries_to_the_millisecond() {
    for file in ["kv-with-ttl.db", "entries.db"] {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store(file, folder.path());
        let table = if file == "entries.db" { "entries" } else { "kv" };
        let key = if file == "entries.db" { "entry_key" } else { "key" };
        let expires_at_ms: i64 = sqlite(&path)
            .query_row(&format!("SELECT expires_at FROM {table} WHERE {key} = 'alive'"), [], |row| row.get(0))
            .unwrap();
        let expires_at = UNIX_EPOCH + Duration::from_millis(expires_at_ms.unsigned_abs());

        let clock = clock();
        let store = Store::options().clock(clock.clone()).expiry_timer(false).open(&path).unwrap();
        assert_eq!(store.entry("session", "alive").unwrap().unwrap().expires_at, Some(expires_at));
        assert_eq!(store.entry("config", "colour").unwrap().unwrap().expires_at, None);
        assert!(!store.exists("session", "expired").unwrap(), "{file}");
        assert_eq!(store.count("session").unwrap(), 1);
        let left = expires_at.duration_since(clock.now()).unwrap();
        clock.advance(left - Duration::from_millis(1));
        assert!(store.exists("session", "alive").unwrap());
        clock.advance(Duration::from_millis(1));
        assert!(!store.group_exists("session").unwrap());
        assert_eq!(store.purge_expired().unwrap(), 2, "{file}: the expired entries were dropped");
        common::verify(&store);
    }
}

#[test]
fn migration_keeps_entries_that_the_clock_says_are_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    let store = Store::options().clock(ManualClock::at(UNIX_EPOCH)).expiry_timer(false).open(&path).unwrap();
    assert_eq!(store.get("session", "expired").unwrap().unwrap(), "gone");
    assert_eq!(store.count("session").unwrap(), 2);
    common::verify(&store);
}

#[test]
fn tallies_are_exact_right_after_migration() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&go_store(file, folder.path()));
        let keys: usize = expected(file).values().map(BTreeMap::len).sum();
        assert_eq!(store.count_all("").unwrap(), keys as u64);
        assert_eq!(store.count("bulk").unwrap(), 1000);
        assert_eq!(store.count_all("tenant_").unwrap(), 1, "a prefix was taken as a pattern");
        let names: Vec<String> = store.namespaces().unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["tenant-42", "tenant-99"]);
        let usage = store.scoped("tenant-42").unwrap().usage().unwrap();
        assert_eq!(usage, Usage { keys: 2, groups: 2, bytes: 6 + 5 + 5 + 4 });
    }
}

#[test]
fn the_change_log_begins_after_the_migration() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&go_store("entries.db", folder.path()));
    assert_eq!(store.revision().unwrap(), Revision(1));
    assert_eq!(store.entry("config", "colour").unwrap().unwrap().revision, Revision(1));
    assert_eq!(store.history("config", "colour").unwrap(), []);
    assert!(matches!(store.watch_from(("*", "*"), 0), Err(Error::Compacted { oldest: Revision(1) })));
    let watcher = store.watch_from(("*", "*"), 1).unwrap();
    assert_eq!(store.set("config", "colour", "green").unwrap(), Revision(2));
    assert_eq!(watcher.recv().unwrap().revision, Revision(2));
    common::verify(&store);
}

#[test]
fn a_go_store_file_without_entries_becomes_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    sqlite(&path).execute_batch("DELETE FROM entries").unwrap();
    let store = open(&path);
    assert_eq!(store.count_all("").unwrap(), 0);
    store.set("a", "b", "c").unwrap();
    common::verify(&store);
}

#[test]
fn migration_includes_entries_that_are_only_in_the_write_ahead_log() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let owner = sqlite(&go_store(file, folder.path()));
        let table = if file == "entries.db" { "entries" } else { "kv" };
        let nulls = if file == "kv-without-ttl.db" { "" } else { ", NULL" };
        owner.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
        owner
            .execute_batch(&format!("INSERT INTO {table} VALUES ('logged', 'hot', 'in the log'{nulls})"))
            .unwrap();
        // As a crash of its owner leaves it, and as a copy without the log's index.
        for names in [vec!["", "-wal", "-shm"], vec!["", "-wal"]] {
            let crashed = tempfile::tempdir().unwrap();
            for suffix in names {
                let name = format!("{file}{suffix}");
                fs::copy(folder.path().join(&name), crashed.path().join(&name)).unwrap();
            }
            let store = open(&crashed.path().join(file));
            let mut all = expected(file);
            all.entry("logged".into()).or_default().insert("hot".into(), b"in the log".to_vec());
            assert_eq!(everything(&store), all, "{file}");
            common::verify(&store);
            store.close().unwrap();
            assert_eq!(outside::names(crashed.path()), [file]);
        }
    }
}

/// Adds to a file of go-store's last schema the table of an earlier one, as an interrupted migration
/// leaves it, with these rows.
fn add_kv(path: &Path, with_ttl: bool, rows: &[(&str, &str, &str, Option<i64>)]) {
    let connection = sqlite(path);
    let ttl = if with_ttl { ", expires_at INTEGER" } else { "" };
    connection
        .execute_batch(&format!(
            "CREATE TABLE kv (grp TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL{ttl}, PRIMARY KEY (grp, key))"
        ))
        .unwrap();
    for (group, key, value, expires_at) in rows {
        if with_ttl {
            connection.execute("INSERT INTO kv VALUES (?1, ?2, ?3, ?4)", (group, key, value, expires_at))
        } else {
            connection.execute("INSERT INTO kv VALUES (?1, ?2, ?3)", (group, key, value))
        }
        .unwrap();
    }
}

#[test]
fn of_an_interrupted_migration_the_new_rows_win_and_the_missing_ones_come_from_the_old_table() {
    for with_ttl in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store("entries.db", folder.path());
        add_kv(
            &path,
            with_ttl,
            &[
                ("config", "colour", "of the old table", None),
                ("config", "only-old", "kept", None),
                ("tenant-42:default", "only-old", "kept", None),
                ("only-old", "k", "v", None),
            ],
        );
        let mut all = expected("entries.db");
        all.entry("config".into()).or_default().insert("only-old".into(), b"kept".to_vec());
        all.entry("tenant-42:default".into()).or_default().insert("only-old".into(), b"kept".to_vec());
        all.entry("only-old".into()).or_default().insert("k".into(), b"v".to_vec());

        let store = open(&path);
        assert_eq!(everything(&store), all, "kv with a TTL: {with_ttl}");
        assert_eq!(store.revision().unwrap(), Revision(1));
        let usage = store.scoped("tenant-42").unwrap().usage().unwrap();
        assert_eq!(usage, Usage { keys: 3, groups: 2, bytes: 6 + 5 + 5 + 4 + 8 + 4 });
        common::verify(&store);
        store.close().unwrap();
        let tables: i64 = sqlite(&path)
            .query_row("SELECT count(*) FROM sqlite_master WHERE name LIKE '%kv%'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0, "the old table is gone");
        assert_eq!(everything(&open(&path)), all, "opened again");
    }
}

#[test]
fn of_an_interrupted_migration_the_new_row_wins_whatever_the_expiries_say() {
    // By the clock of these tests, the first has passed and the second has not.
    let (past, future) = (Some(1_700_000_000_000), Some(1_900_000_000_000));
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    sqlite(&path)
        .execute_batch(
            "DELETE FROM entries;
             INSERT INTO entries VALUES ('g', 'expired', 'new', 1700000000000), ('g', 'lasting', 'new', NULL),
                                        ('g', 'expiring', 'new', 1900000000000)",
        )
        .unwrap();
    add_kv(
        &path,
        true,
        &[
            ("g", "expired", "old", None),
            ("g", "lasting", "old", past),
            ("g", "expiring", "old", None),
            ("g", "old-expired", "old", past),
            ("g", "old-expiring", "old", future),
        ],
    );
    let store = open(&path);
    let found = |key: &str| {
        store.entry("g", key).unwrap().map(|entry| {
            let ms = |at: std::time::SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
            (entry.value.as_str().unwrap().to_owned(), entry.expires_at.map(ms))
        })
    };
    assert_eq!(found("expired"), None, "the new row has expired, and the old one stays away");
    assert_eq!(found("lasting"), Some(("new".into(), None)));
    assert_eq!(found("expiring"), Some(("new".into(), future)));
    assert_eq!(found("old-expired"), None);
    assert_eq!(found("old-expiring"), Some(("old".into(), future)));
    assert_eq!(store.purge_expired().unwrap(), 2);
    assert_eq!(store.count("g").unwrap(), 3);
    common::verify(&store);
}

#[test]
fn of_an_interrupted_migration_either_table_may_be_empty() {
    for with_ttl in [false, true] {
        for (entries, kv) in [(true, true), (true, false), (false, true), (false, false)] {
            let folder = tempfile::tempdir().unwrap();
            let path = go_store("entries.db", folder.path());
            if !entries {
                sqlite(&path).execute_batch("DELETE FROM entries").unwrap();
            }
            let rows = [("only-old", "k", "v", None)];
            add_kv(&path, with_ttl, if kv { &rows } else { &[] });
            let mut all = if entries { expected("entries.db") } else { Groups::new() };
            if kv {
                all.entry("only-old".into()).or_default().insert("k".into(), b"v".to_vec());
            }
            let store = open(&path);
            assert_eq!(everything(&store), all, "entries: {entries}, kv: {kv}, TTL: {with_ttl}");
            common::verify(&store);
        }
    }
}

#[test]
fn of_an_interrupted_migration_a_name_stored_as_a_blob_is_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    add_kv(&path, true, &[("g", "text", "old", None)]);
    sqlite(&path)
        .execute_batch(
            "DELETE FROM entries;
             INSERT INTO entries VALUES (CAST('g' AS BLOB), CAST('text' AS BLOB), 'new', NULL),
                                        ('g', 'blob', 'new', NULL);
             INSERT INTO kv VALUES ('g', CAST('blob' AS BLOB), 'old', NULL)",
        )
        .unwrap();
    let store = open(&path);
    assert_eq!(store.count("g").unwrap(), 2);
    assert_eq!(store.get("g", "text").unwrap().unwrap(), "new");
    assert_eq!(store.get("g", "blob").unwrap().unwrap(), "new");
}

#[test]
fn of_an_interrupted_migration_what_cannot_be_kept_leaves_the_file_as_it_was() {
    let rows = [
        ("CAST(x'ff61' AS TEXT), 'key', 'v', NULL", "row 2 of kv has a group that is not UTF-8"),
        ("'g', 'key', 'v', 'soon'", "row 2 of kv has an expiry that is no whole number"),
    ];
    for (row, words) in rows {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store("entries.db", folder.path());
        add_kv(&path, true, &[("g", "k", "v", None)]);
        sqlite(&path).execute_batch(&format!("INSERT INTO kv VALUES ({row})")).unwrap();
        assert_not_migrated(&path, words);
    }
    // A row that the new table has is not looked at.
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    add_kv(&path, true, &[]);
    sqlite(&path).execute_batch("INSERT INTO kv VALUES ('config', 'colour', 'old', 'soon')").unwrap();
    assert_eq!(everything(&open(&path)), expected("entries.db"));
}

#[test]
fn another_table_beside_those_of_go_store_makes_a_file_foreign() {
    for table in ["CREATE TABLE kv (grp TEXT, key TEXT, other TEXT)", "CREATE TABLE extra (a)"] {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store("entries.db", folder.path());
        sqlite(&path).execute_batch(table).unwrap();
        let before = contents(folder.path());
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::ForeignDatabase { .. }), "{error:?}");
        assert_same_files(&before, &contents(folder.path()), table);
    }
}

#[test]
fn a_file_that_cannot_be_migrated_is_left_unchanged() {
    for (row, words) in [
        ("CAST(x'ff61' AS TEXT), 'key', 'v', NULL", "a group that is not UTF-8"),
        ("'group', CAST(x'6bc3' AS TEXT), 'v', NULL", "a key that is not UTF-8"),
        ("x'ff', x'ff', x'ff', 1", "a group that is not UTF-8"),
    ] {
        for (file, table) in [("kv-with-ttl.db", "kv"), ("entries.db", "entries")] {
            let folder = tempfile::tempdir().unwrap();
            let path = go_store(file, folder.path());
            sqlite(&path).execute_batch(&format!("INSERT INTO {table} VALUES ({row})")).unwrap();
            assert_not_migrated(&path, words);
        }
    }
}

#[test]
fn a_go_store_file_with_a_bad_expiry_or_a_duplicate_key_is_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    sqlite(&path).execute_batch("UPDATE entries SET expires_at = 'soon' WHERE entry_key = 'nul'").unwrap();
    assert_not_migrated(&path, "an expiry that is no whole number");

    let path = folder.path().join("twice.db");
    sqlite(&path)
        .execute_batch(
            "CREATE TABLE kv (grp TEXT, key TEXT, value TEXT);
             INSERT INTO kv VALUES ('g', 'k', '1'), ('g', 'k', '2')",
        )
        .unwrap();
    assert_not_migrated(&path, "the same group and key");
}

#[track_caller]
fn assert_not_migrated(path: &Path, words: &str) {
    let folder = path.parent().unwrap();
    let before = contents(folder);
    let error = Store::open(path).unwrap_err();
    assert!(matches!(error, Error::Migration { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(words) && message.contains("was left as it is"), "{message}");
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert_same_files(&before, &contents(folder), words);
}

#[test]
fn a_read_only_open_does_not_migrate_a_go_store_file() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store(file, folder.path());
        let before = contents(folder.path());
        let error = Store::options().read_only(true).open(&path).unwrap_err();
        assert!(matches!(error, Error::Migration { .. }), "{error:?}");
        assert!(error.to_string().contains("when it is opened to write"), "{error}");
        assert_same_files(&before, &contents(folder.path()), file);
    }
}

#[test]
fn migration_waits_for_a_locked_go_store_file_and_then_says_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    let before = fs::read(&path).unwrap();
    let owner = sqlite(&path);
    owner.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Store::options().timeout(Duration::from_millis(20)).open(&path).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == before);
    owner.execute_batch("ROLLBACK").unwrap();
    assert_eq!(everything(&open(&path)), expected("entries.db"));
}

#[test]
fn threads_that_migrate_one_file_at_once_all_find_every_entry() {
    for file in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = go_store(file, folder.path());
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| assert_eq!(everything(&open(&path)), expected(file), "{file}"));
            }
        });
        let store = open(&path);
        assert_eq!(store.revision().unwrap(), Revision(1), "it was migrated more than once");
        common::verify(&store);
    }
}

#[test]
fn processes_that_migrate_one_file_at_once_all_find_every_entry() {
    if let Some((path, words)) = child_task() {
        print_line("ready");
        outside::read_line();
        let store = open(&path);
        let mut found = everything(&store);
        // Leaves out what the other processes have already added.
        found.remove("migrated");
        assert!(found == expected("entries.db"));
        return print_line(store.set("migrated", words[0].as_str(), "yes").unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = go_store("entries.db", folder.path());
    let me = "processes_that_migrate_one_file_at_once_all_find_every_entry";
    let mut processes: Vec<Process> = (0..4).map(|n| Process::start(me, &path, &n.to_string())).collect();
    for process in &mut processes {
        assert_eq!(process.next_line().unwrap(), "ready");
    }
    processes.iter_mut().for_each(|process| process.send_line("go"));
    let mut revisions: Vec<String> =
        processes.iter_mut().map(|process| process.next_line().unwrap()).collect();
    revisions.sort();
    assert_eq!(revisions, ["2", "3", "4", "5"]);
    processes.into_iter().for_each(Process::finish);
    let store = open(&path);
    assert_eq!(store.count("migrated").unwrap(), 4);
    common::verify(&store);
}
