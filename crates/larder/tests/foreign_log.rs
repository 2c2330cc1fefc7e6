//! A write-ahead log that belongs to another file, or to another time of this one, is never applied to a file. One that
//! is the file's own always is. `LARDER_CRASH_ROUNDS=50` tries that longer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::fs;
use std::path::{Path, PathBuf};

use larder::{Durability, Error, Store};
use outside::{assert_same_files, contents, sqlite};

/// Copies a file and its log as they lie there: what a crash would leave.
fn crash(path: &Path, folder: &Path) -> PathBuf {
    fs::create_dir(folder).unwrap();
    let copy = folder.join("app.db");
    fs::copy(path, &copy).unwrap();
    let log = beside(path, "-wal");
    if log.exists() {
        fs::copy(log, beside(&copy, "-wal")).unwrap();
    }
    copy
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn fill(store: &Store, keys: std::ops::Range<u32>) {
    for number in keys {
        store.set(format!("g{}", number % 7), number.to_string(), vec![b'x'; 300]).unwrap();
    }
}

#[track_caller]
fn assert_refused(path: &Path, what: &str) {
    let before = contents(path.parent().unwrap());
    for options in [Store::options(), Store::options().read_only(true), Store::options().create(false)] {
        let refused = options.open(path).expect_err(what);
        assert!(matches!(refused, Error::ForeignLog { .. }), "{what}: {refused:?}");
        assert!(refused.to_string().contains("app.db-wal"), "{what}: {refused}");
        assert!(refused.advice().unwrap().contains("larder restore"), "{what}");
        assert_same_files(&before, &contents(path.parent().unwrap()), what);
    }
}

/// A store whose log is not empty, a backup of it, and a copy from before the log.
fn crashed(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (path, backup, earlier) =
        (folder.join("live.db"), folder.join("backup.db"), folder.join("earlier.db"));
    let store = Store::open(&path).unwrap();
    fill(&store, 0..300);
    store.close().unwrap();
    fs::copy(&path, &earlier).unwrap();
    Store::open(&path).unwrap().set("g", "k", "a log of its own").unwrap();
    let store = Store::open(&path).unwrap();
    fill(&store, 300..320);
    store.backup_to(&backup).unwrap();
    fill(&store, 320..900);
    let copy = crash(&path, &folder.join("crash"));
    drop(store);
    (copy, backup, earlier)
}

#[test]
fn a_backup_beside_the_log_of_the_store_that_crashed_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup, earlier) = crashed(folder.path());
    let original = fs::read(&path).unwrap();
    for (what, file) in [("a backup", &backup), ("an earlier copy", &earlier)] {
        fs::copy(file, &path).unwrap();
        assert_refused(&path, what);
        // As a process that was killed leaves it.
        fs::write(beside(&path, "-shm"), vec![0; 32 << 10]).unwrap();
        assert_refused(&path, what);
        fs::remove_file(beside(&path, "-shm")).unwrap();
    }
    // Put back, the file has every write.
    fs::write(&path, original).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.count_all("").unwrap(), 901);
    common::verify(&store);
    store.close().unwrap();
    // Without the log, the backup is a store.
    fs::copy(&backup, &path).unwrap();
    assert_eq!(Store::open(&path).unwrap().count_all("").unwrap(), 321);
}

#[test]
fn the_log_of_another_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, ..) = crashed(folder.path());
    let other = folder.path().join("other.db");
    let store = Store::open(&other).unwrap();
    fill(&store, 0..50);
    store.close().unwrap();
    fs::copy(&other, &path).unwrap();
    assert_refused(&path, "another store's file");
}

#[test]
fn a_backup_beside_a_log_that_another_process_uses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = Store::open(&path).unwrap();
    fill(&store, 0..100);
    store.backup_to(folder.path().join("backup.db")).unwrap();
    fill(&store, 100..200);
    fs::rename(folder.path().join("backup.db"), &path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert!(matches!(refused, Error::ForeignLog { .. }), "{refused:?}");
}

/// Whoever examines a file has it alone for a moment. Another who opens it at that moment must examine it too.
#[test]
fn of_many_that_open_a_file_with_a_foreign_log_at_once_each_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup, _) = crashed(folder.path());
    fs::copy(&backup, &path).unwrap();
    let log = fs::read(beside(&path, "-wal")).unwrap();
    for _ in 0..20 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let refused = Store::open(&path).expect_err("a foreign log");
                    assert!(matches!(refused, Error::ForeignLog { .. }), "{refused:?}");
                });
            }
        });
    }
    assert!(fs::read(beside(&path, "-wal")).unwrap() == log);
    assert!(fs::read(&backup).unwrap() == fs::read(&path).unwrap());
}

/// What a program or an operator does to a store between two crashes.
const STEPS: [&str; 12] = [
    "set",
    "set",
    "delete",
    "cursor",
    "quota",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(FULL)",
    "PRAGMA wal_checkpoint(RESTART)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "VACUUM",
    "CREATE INDEX IF NOT EXISTS another ON entries (revision); DROP INDEX another",
    "reopen",
];

#[test]
fn a_store_that_crashed_at_any_moment_opens_with_its_own_log() {
    let rounds = std::env::var("LARDER_CRASH_ROUNDS").map_or(2, |rounds| rounds.parse::<u32>().unwrap());
    // Nothing here is about power cuts.
    let open_at = |path: &Path| Store::options().durability(Durability::Relaxed).open(path);
    let mut seed = 7_u64;
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let mut store = Some(open_at(&path).unwrap());
        // A reader that holds a snapshot keeps a part of the log from being copied back.
        let mut snapshot = None;
        for step in 0..40_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let what = STEPS[(seed >> 33) as usize % STEPS.len()];
            let open = store.as_ref().unwrap();
            match what {
                "set" => fill(open, step * 10..step * 10 + 10),
                "delete" => drop(open.delete_group("g1").unwrap()),
                "cursor" => open.cursor("c").unwrap().seek(0).unwrap(),
                "quota" => open.set_quota("t", larder::Quota::default()).unwrap(),
                "reopen" => {
                    snapshot = None;
                    store.take().unwrap().close().unwrap();
                    store = Some(open_at(&path).unwrap());
                }
                // Fails as busy while the snapshot is held, which is fine.
                sql => drop(sqlite(&path).execute_batch(sql)),
            }
            if step % 5 == 0 {
                snapshot = (step % 10 == 0).then(|| store.as_ref().unwrap().snapshot().unwrap());
            }
            let expected = store.as_ref().unwrap().count_all("").unwrap();
            let copy = crash(&path, &folder.path().join(format!("crash-{step}")));
            let crashed = open_at(&copy).unwrap_or_else(|error| panic!("{round} {step} {what}: {error}"));
            assert_eq!(crashed.count_all("").unwrap(), expected, "{round} {step} {what}");
            if step % 8 == 0 {
                common::verify(&crashed);
            }
            // It crashes again, with a log that it has begun over.
            fill(&crashed, 5000..5003);
            let again = crash(&copy, &folder.path().join(format!("again-{step}")));
            assert_eq!(
                Store::open(&again).unwrap().count_all("").unwrap(),
                expected + 3,
                "{round} {step} {what}"
            );
            drop(crashed);
        }
        drop(snapshot);
    }
}

#[test]
fn a_crash_before_the_first_checkpoint_or_in_a_migration_leaves_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let store = Store::open(&path).unwrap();
    let fresh = crash(&path, &folder.path().join("fresh"));
    assert_eq!(Store::open(&fresh).unwrap().count_all("").unwrap(), 0);
    fill(&store, 0..5);
    let written = crash(&path, &folder.path().join("written"));
    assert_eq!(Store::open(&written).unwrap().count_all("").unwrap(), 5);

    // go-store's files are in WAL mode already, so that the migration is in the log.
    let old = outside::go_store("entries.db", folder.path());
    sqlite(&old).execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let migrated = Store::open(&old).unwrap();
    let count = migrated.count_all("").unwrap();
    let first = crash(&old, &folder.path().join("migrated"));
    assert_eq!(Store::open(&first).unwrap().count_all("").unwrap(), count);
    fill(&migrated, 0..3);
    let second = crash(&old, &folder.path().join("migrated-and-written"));
    assert_eq!(Store::open(&second).unwrap().count_all("").unwrap(), count + 3);
}

#[test]
fn a_log_of_an_older_larder_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = Store::open(&path).unwrap();
    fill(&store, 0..5);
    store.close().unwrap();
    // An older larder knows no links, and leaves those that it finds.
    let older = sqlite(&path);
    older.execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE other (x); DROP TABLE other").unwrap();
    let with_link = crash(&path, &folder.path().join("with-link"));
    older.execute_batch("DELETE FROM store WHERE name IN ('log_link', 'file_birth')").unwrap();
    older.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); CREATE TABLE other (x); DROP TABLE other").unwrap();
    let without = crash(&path, &folder.path().join("without"));
    for copy in [with_link, without] {
        let store = Store::open(&copy).unwrap();
        fill(&store, 5..8);
        let again = crash(&copy, &copy.parent().unwrap().join("again"));
        assert_eq!(Store::open(&again).unwrap().count_all("").unwrap(), 8);
    }
}
