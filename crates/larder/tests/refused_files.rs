//! Files that cannot be opened: each has its own clear error, and is left unchanged, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::fs;
use std::path::Path;

use larder::{Error, Options, Store};
use outside::{assert_same_files, contents, go_store, names, sqlite};

/// Opens a file for writing, for reading, and without `create`. Each must fail with an error that `expected`
/// accepts and whose message contains `words`, and must leave every file in the folder unchanged.
#[track_caller]
fn assert_refused(path: &Path, words: &str, expected: fn(&Error) -> bool) {
    assert_refused_with(Store::options(), "for writing", path, words, expected);
    assert_refused_with(Store::options().read_only(true), "for reading", path, words, expected);
    assert_refused_with(Store::options().create(false), "without create", path, words, expected);
}

#[track_caller]
fn assert_refused_with(options: Options, how: &str, path: &Path, words: &str, expected: fn(&Error) -> bool) {
    let folder = path.parent().unwrap();
    let before = contents(folder);
    let error = options.open(path).expect_err(how);
    assert!(expected(&error), "{how}: {error:?}");
    let message = error.to_string();
    assert!(message.contains(words), "{how}: {message}");
    assert!(message.contains(path.to_str().unwrap()), "{how}: the message does not name the file: {message}");
    assert_same_files(&before, &contents(folder), how);
}

fn not_a_database(error: &Error) -> bool {
    matches!(error, Error::NotADatabase { .. })
}

fn foreign(error: &Error) -> bool {
    matches!(error, Error::ForeignDatabase { .. })
}

fn damaged(error: &Error) -> bool {
    matches!(error, Error::Damaged { .. })
}

fn not_found(error: &Error) -> bool {
    matches!(error, Error::NoStore { .. })
}

/// A closed, undamaged larder file with 200 entries.
fn sound_store(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("app.db");
    let store = Store::open(&path).unwrap();
    for number in 0..200 {
        store.set("bulk", format!("key-{number:03}"), vec![b'x'; 500]).unwrap();
    }
    store.close().unwrap();
    path
}

#[test]
fn a_file_that_is_not_sqlite_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let mut scrambled = vec![0_u8; 20_000];
    let mut state = 1_u32;
    for byte in &mut scrambled {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let files: [(&str, &[u8]); 6] = [
        ("text", b"colour = blue\n"),
        ("long text", &b"colour = blue\n".repeat(1000)),
        ("one byte", b"S"),
        ("zeros", &[0; 8192]),
        ("scrambled", &scrambled),
        ("half a header", b"SQLite format 3\0\x10\0\x01\x01\0"),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_refused(&path, "is not a SQLite database", not_a_database);
    }
}

#[test]
fn a_database_of_another_program_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let databases = [
        ("other.db", "CREATE TABLE people (name TEXT); INSERT INTO people VALUES ('x')"),
        ("marked.db", "PRAGMA application_id = 12345"),
        ("versioned.db", "PRAGMA user_version = 3"),
        ("view.db", "CREATE VIEW kv AS SELECT 1 AS grp, 2 AS key, 3 AS value"),
        ("almost.db", "CREATE TABLE entries (group_name, entry_key, entry_value)"),
        ("reordered.db", "CREATE TABLE kv (key, grp, value)"),
        ("one-more.db", "CREATE TABLE kv (grp, key, value); CREATE TABLE extra (x)"),
        ("marked-kv.db", "CREATE TABLE kv (grp, key, value); PRAGMA application_id = 7"),
    ];
    for (name, sql) in databases {
        let path = folder.path().join(name);
        sqlite(&path).execute_batch(sql).unwrap();
        assert_refused(&path, "the database of another program", foreign);
    }
}

#[test]
fn another_programs_database_in_wal_mode_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let owner = sqlite(&path);
    owner.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE people (name TEXT)").unwrap();
    owner.execute_batch("INSERT INTO people VALUES ('x')").unwrap();

    // A copy like one that a crash of its owner leaves: with a log that was not checkpointed.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["other.db", "other.db-wal", "other.db-shm"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let before = contents(crashed.path());
    for options in [Store::options(), Store::options().read_only(true)] {
        let error = options.open(crashed.path().join("other.db")).unwrap_err();
        assert!(foreign(&error), "{error:?}");
        let after = contents(crashed.path());
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for name in ["other.db", "other.db-wal"] {
            assert!(before[name] == after[name], "{name} changed");
        }
    }
    let count = |path: &Path| sqlite(path).query_row("SELECT count(*) FROM people", [], |row| row.get(0));
    assert_eq!(count(&crashed.path().join("other.db")), Ok(1));

    drop(owner);
    assert_eq!(names(folder.path()), ["other.db"], "its owner closed it, so it has no log");
    assert_refused(&path, "the database of another program", foreign);
}

#[test]
fn refusing_a_foreign_file_with_a_log_but_no_index_creates_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let owner = sqlite(&folder.path().join("other.db"));
    owner.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE people (name TEXT)").unwrap();
    let restored = tempfile::tempdir().unwrap();
    for name in ["other.db", "other.db-wal"] {
        fs::copy(folder.path().join(name), restored.path().join(name)).unwrap();
    }
    let before = contents(restored.path());
    let error = Store::open(restored.path().join("other.db")).unwrap_err();
    assert!(foreign(&error), "{error:?}");
    assert_same_files(&before, &contents(restored.path()), "to write");
}

#[test]
fn a_file_of_a_later_schema_version_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound_store(folder.path());
    sqlite(&path).pragma_update(None, "user_version", 4).unwrap();
    assert_refused(&path, "schema version 4", |error| {
        matches!(error, Error::NewerVersion { version: 4, supported: 3, .. })
    });
    assert_refused(&path, "versions up to 3", |error| {
        error.advice().unwrap() == "Open it with a newer larder."
    });
}

#[test]
fn a_file_that_is_garbage_after_its_header_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound_store(folder.path());
    let sound = fs::read(&path).unwrap();
    for kept in [100, 4096] {
        let mut bytes = sound.clone();
        bytes[kept..].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        if kept == 100 {
            assert_refused(&path, "is damaged", damaged);
        } else {
            // The tables cannot be read: opening fails, or the first read does.
            let error = Store::open(&path).and_then(|store| store.get("bulk", "key-000")).unwrap_err();
            assert!(damaged(&error), "{error:?}");
            assert!(fs::read(&path).unwrap() == bytes, "the file changed");
        }
    }
}

#[test]
fn a_file_without_its_end_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = sound_store(folder.path());
    let sound = fs::read(&path).unwrap();
    for kept in [sound.len() - 1, sound.len() - 4096, sound.len() / 2, 8192, 4096, 1000, 512, 100] {
        fs::write(&path, &sound[..kept]).unwrap();
        assert_refused(&path, "", |error| damaged(error) || not_a_database(error));
    }
}

#[test]
fn a_damaged_go_store_file_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kv-without-ttl.db", "kv-with-ttl.db", "entries.db"] {
        let path = go_store(name, folder.path());
        let sound = fs::read(&path).unwrap();
        let mut garbage = sound.clone();
        garbage[8192..].fill(0xa5);
        fs::write(&path, &garbage).unwrap();
        assert_refused_with(Store::options(), name, &path, "is damaged", damaged);
        fs::write(&path, &sound[..sound.len() / 2]).unwrap();
        assert_refused_with(Store::options(), name, &path, "is damaged", damaged);
    }
}

#[test]
fn a_missing_folder_is_refused_and_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("app.db");
    for options in [Store::options(), Store::options().read_only(true)] {
        let error = options.open(&path).unwrap_err();
        assert!(not_found(&error), "{error:?}");
        assert!(error.to_string().contains("missing does not exist"), "{error}");
        assert_eq!(error.advice().unwrap(), "Create the folder first.");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_instead_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    fs::create_dir(&path).unwrap();
    for options in [Store::options(), Store::options().read_only(true)] {
        let error = options.open(&path).unwrap_err();
        assert!(not_found(&error), "{error:?}");
        assert!(error.to_string().contains("that is a folder"), "{error}");
        assert_eq!(error.advice().unwrap(), "Name a file in it.");
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_instead_of_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    let error = Store::open(folder.path().join("file").join("app.db")).unwrap_err();
    assert!(not_found(&error), "{error:?}");
    assert!(error.to_string().contains("is a file, not a folder"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_without_write_permission_is_refused() {
    for path in ["/proc/app.db", "/sys/app.db", "/proc/self/app.db"] {
        let error = Store::open(path).unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{path}: {error:?}");
        assert!(error.to_string().contains(path), "{error}");
        assert_eq!(error.advice().unwrap(), "Check the permissions of its folder.");
        assert!(!Path::new(path).exists());
    }
}

#[test]
fn an_impossible_path_is_refused() {
    for path in ["", "a\0b"] {
        let error = Store::open(path).unwrap_err();
        let clear =
            matches!(error, Error::NoStore { .. } | Error::InvalidLocation { .. } | Error::Denied { .. });
        assert!(clear, "{path:?}: {error:?}");
    }
    let long = tempfile::tempdir().unwrap().path().join("x".repeat(5000));
    let error = Store::open(long).unwrap_err();
    assert!(matches!(error, Error::Denied { .. } | Error::NoStore { .. }), "{error:?}");
}

#[test]
fn a_location_with_an_unknown_scheme_is_refused() {
    for location in ["", "sqlite:", "redis://host/0", "etcd://host:2379/app", "a\0b"] {
        if cfg!(feature = "etcd") && location.starts_with("etcd:") {
            continue; // A known scheme.
        }
        let error = Store::connect(location).unwrap_err();
        assert!(matches!(error, Error::InvalidLocation { .. }), "{location:?}: {error:?}");
        assert!(error.to_string().contains(&format!("{location:?}")), "{error}");
    }
}

#[test]
fn a_store_that_loses_a_column_or_a_table_while_it_is_open_is_damaged() {
    for loss in [
        "ALTER TABLE entries RENAME COLUMN entry_value TO other",
        "ALTER TABLE groups DROP COLUMN bytes",
        "ALTER TABLE changes RENAME TO other",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = sound_store(folder.path());
        let store = Store::options().cache_bytes(0).open(&path).unwrap();
        assert!(store.get("bulk", "key-000").unwrap().is_some());
        sqlite(&path).execute_batch(loss).unwrap();
        let calls = store
            .get("bulk", "key-000")
            .and_then(|_| store.count("bulk"))
            .and_then(|_| store.set("bulk", "key-000", "c"));
        let transaction = store.transaction(|tx| {
            tx.get("bulk", "key-000")?;
            tx.count("bulk")?;
            tx.set("bulk", "key-000", "c")
        });
        for error in [calls.unwrap_err(), transaction.unwrap_err()] {
            assert!(damaged(&error), "{loss}: {error:?}");
            assert!(error.to_string().contains("no such "), "{loss}: {error}");
        }
    }
}

#[test]
fn a_store_whose_tables_are_gone_is_damaged() {
    for table in ["entries", "groups", "namespaces", "changes", "store"] {
        let folder = tempfile::tempdir().unwrap();
        let path = sound_store(folder.path());
        sqlite(&path).execute_batch(&format!("DROP TABLE {table}")).unwrap();
        let calls = Store::open(&path).and_then(|store| {
            store.get("bulk", "key-000")?;
            store.count("bulk")?;
            store.namespaces()?;
            store.stats()?;
            store.set("a", "b", "c")
        });
        let error = calls.unwrap_err();
        assert!(damaged(&error), "{table}: {error:?}");
        assert!(error.advice().unwrap().starts_with("Restore a backup"), "{error}");
    }
}
