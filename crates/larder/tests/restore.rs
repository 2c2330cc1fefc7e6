//! `Store::restore` puts a backup in the place of a store, wholly or not at all; and backups that are verified, that
//! replace older ones, and of which the last few stay.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::path::{Path, PathBuf};

use common::Rig;
use larder::{AsyncStore, Error, Pattern, ResumeToken, Revision, Store};
use outside::{Process, assert_same_files, child_task, contents, go_store, names, print_line, sqlite};

/// A folder with a store of 20 entries, closed, and a backup of when it had ten.
fn furnished() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    let store = Store::open(&path).unwrap();
    fill(&store, 0..10);
    store.backup_to(&backup).unwrap();
    fill(&store, 10..20);
    store.close().unwrap();
    (folder, path, backup)
}

fn fill(store: &Store, keys: std::ops::Range<u32>) {
    for number in keys {
        store.set("orders", number.to_string(), "x").unwrap();
    }
}

fn count(path: &Path) -> u64 {
    let store = Store::options().create(false).open(path).unwrap();
    common::verify(&store);
    store.count_all("").unwrap()
}

/// A restore must fail with an error that `expected` accepts, and leave every file as it is.
#[track_caller]
fn assert_refused(backup: &Path, target: &Path, what: &str, expected: fn(&Error) -> bool) {
    let before = contents(target.parent().unwrap());
    let error = Store::restore(backup, target).run().expect_err(what);
    assert!(expected(&error), "{what}: {error:?}");
    assert!(error.advice().is_some(), "{what}: {error:?}");
    assert_same_files(&before, &contents(target.parent().unwrap()), what);
}

#[test]
fn a_restored_store_is_the_backup_with_an_identity_of_its_own() {
    let (folder, path, backup) = furnished();
    let store = Store::open(&path).unwrap();
    let (token, before) = (store.token().unwrap().to_string(), store.stats().unwrap().identity);
    drop(store.cursor("mailer").unwrap());
    store.backup(&backup).replacing().run().unwrap();
    fill(&store, 20..30);
    store.close().unwrap();
    let kept = fs::read(&backup).unwrap();

    let restored = Store::restore(&backup, &path).run().unwrap();
    assert_eq!((restored.revision, restored.old), (Revision(20), None));
    assert_eq!(names(folder.path()), ["app.db", "backup.db"]);
    assert!(fs::read(&backup).unwrap() == kept, "the backup changed");
    assert_eq!(count(&path), 20);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.stats().unwrap().identity, restored.identity);
    assert_ne!(restored.identity, before);
    assert_ne!(restored.identity, Store::open(&backup).unwrap().stats().unwrap().identity);
    let token = token.parse::<ResumeToken>().unwrap();
    assert!(matches!(store.watch_from(Pattern::all(), token), Err(Error::OtherStore { .. })));
    // Also one that is opened with another pattern, however often, until it is moved.
    for pattern in [Pattern::all(), Pattern::group("orders"), Pattern::all(), Pattern::all()] {
        let cursor = store.cursor_on("mailer", pattern).unwrap();
        assert!(matches!(cursor.try_recv(), Err(Error::Restored { .. })));
    }
    let cursor = store.cursor("mailer").unwrap();
    cursor.seek(0).unwrap();
    assert!(!matches!(store.cursor("mailer").unwrap().try_recv(), Err(Error::Restored { .. })));
    drop(cursor);
    store.close().unwrap();
    // Each restore begins another timeline.
    let again = Store::restore(&backup, &path).run().unwrap();
    assert_ne!(again.identity, restored.identity);
}

#[test]
fn a_restore_is_refused_while_anybody_has_the_store_open() {
    if let Some((path, _)) = child_task() {
        let _store = Store::open(path).unwrap();
        print_line("open");
        outside::read_line();
        return;
    }
    let (_folder, path, backup) = furnished();
    let in_use = |error: &Error| matches!(error, Error::InUse { .. }) && error.is_retryable();
    let store = Store::options().read_only(true).open(&path).unwrap();
    assert_refused(&backup, &path, "by this process, to read", in_use);
    drop(store);

    let mut other = Process::start("a_restore_is_refused_while_anybody_has_the_store_open", &path, "");
    assert_eq!(other.next_line().unwrap(), "open");
    assert_refused(&backup, &path, "by another process", in_use);
    #[cfg(target_os = "linux")]
    {
        let error = Store::restore(&backup, &path).run().unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", other.child.id())), "{error}");
    }
    other.send_line("end");
    other.finish();

    let shell = sqlite(&path);
    shell.query_row("SELECT count(*) FROM entries", [], |_| Ok(())).unwrap();
    assert_refused(&backup, &path, "by a program that uses SQLite", in_use);
    drop(shell);
    Store::restore(&backup, &path).run().unwrap();
    assert_eq!(count(&path), 10);
}

#[test]
fn a_backup_that_is_no_sound_store_is_refused_and_the_store_stays_as_it_is() {
    let (folder, path, backup) = furnished();
    let bad = folder.path().join("bad.db");
    let original = fs::read(&backup).unwrap();

    assert_refused(&bad, &path, "missing", |error| matches!(error, Error::NoStore { .. }));
    assert_refused(folder.path(), &path, "a folder", |error| matches!(error, Error::NoStore { .. }));
    fs::write(&bad, "").unwrap();
    assert_refused(&bad, &path, "empty", |error| matches!(error, Error::NoStore { .. }));
    fs::write(&bad, "This is a letter, and not a database at all.").unwrap();
    assert_refused(&bad, &path, "text", |error| matches!(error, Error::NotADatabase { .. }));
    fs::write(&bad, &original[..original.len() - 4096]).unwrap();
    assert_refused(&bad, &path, "without its end", |error| matches!(error, Error::Damaged { .. }));

    fs::write(&bad, &original).unwrap();
    sqlite(&bad).execute_batch("UPDATE groups SET keys = 7").unwrap();
    assert_refused(&bad, &path, "with a wrong count", |error| {
        matches!(error, Error::Damaged { .. }) && error.to_string().contains("bad.db")
    });
    fs::write(&bad, &original).unwrap();
    sqlite(&bad).execute_batch("PRAGMA user_version = 99").unwrap();
    assert_refused(&bad, &path, "of a later larder", |error| matches!(error, Error::NewerVersion { .. }));
    fs::remove_file(&bad).unwrap();
    sqlite(&bad).execute_batch("CREATE TABLE invoices (number INTEGER)").unwrap();
    assert_refused(&bad, &path, "of another program", |error| matches!(error, Error::ForeignDatabase { .. }));
    fs::remove_file(&bad).unwrap();
    let old = go_store("entries.db", folder.path());
    assert_refused(&old, &path, "of go-store", |error| matches!(error, Error::Migration { .. }));
    assert_eq!(count(&path), 20);
}

#[test]
fn what_is_no_store_is_not_replaced() {
    let (folder, path, backup) = furnished();
    let refused = |error: &Error| matches!(error, Error::RestoreRefused { .. });
    let other = folder.path().join("other");
    fs::write(&other, "This is a letter, and not a database at all.").unwrap();
    assert_refused(&backup, &other, "text", refused);
    fs::remove_file(&other).unwrap();
    sqlite(&other).execute_batch("CREATE TABLE invoices (number INTEGER)").unwrap();
    assert_refused(&backup, &other, "another program's", refused);
    fs::remove_file(&other).unwrap();
    fs::create_dir(&other).unwrap();
    assert_refused(&backup, &other, "a folder", refused);
    assert_refused(&backup, &backup, "itself", refused);
    assert!(refused(&Store::restore(&backup, ":memory:").run().unwrap_err()));
    let nowhere = Store::restore(&backup, folder.path().join("nowhere/app.db")).run();
    assert!(matches!(nowhere, Err(Error::Denied { .. })), "{nowhere:?}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&backup, folder.path().join("link.db")).unwrap();
        assert_refused(&backup, &folder.path().join("link.db"), "itself by a link", refused);
        fs::hard_link(&backup, folder.path().join("hard.db")).unwrap();
        assert_refused(&backup, &folder.path().join("hard.db"), "itself by another name", refused);
    }
    assert_eq!(count(&path), 20);
}

#[test]
fn a_store_that_is_missing_empty_or_damaged_is_restored() {
    let (folder, path, backup) = furnished();
    fs::remove_file(&path).unwrap();
    // The log of the file that was deleted.
    fs::write(folder.path().join("app.db-wal"), vec![7; 9000]).unwrap();
    Store::restore(&backup, &path).run().unwrap();
    assert_eq!(count(&path), 10);
    fs::write(&path, "").unwrap();
    Store::restore(&backup, &path).run().unwrap();
    assert_eq!(count(&path), 10);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(7);
    fs::write(&path, bytes).unwrap();
    let restored = Store::restore(&backup, &path).keep_old().run().unwrap();
    assert_eq!(count(&path), 10);
    assert!(fs::read(restored.old.unwrap()).unwrap()[4096..].iter().all(|byte| *byte == 7));
    assert_eq!(names(folder.path()), ["app.db", "app.db.before-restore", "backup.db"]);
}

/// Copies the files of a store that is open, as a crash leaves them.
fn crash(path: &Path, to: &Path) {
    fs::copy(path, to).unwrap();
    for suffix in ["-wal", "-shm"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        fs::copy(beside(path), beside(to)).unwrap();
    }
}

#[test]
fn the_old_store_is_kept_with_the_writes_of_its_log() {
    let (folder, path, backup) = furnished();
    let crashed = folder.path().join("crashed.db");
    let store = Store::open(&path).unwrap();
    fill(&store, 20..25);
    crash(&path, &crashed);
    store.close().unwrap();
    for number in ["", "-2"] {
        let restored = Store::restore(&backup, &crashed).keep_old().run().unwrap();
        let old = folder.path().join(format!("crashed.db.before-restore{number}"));
        assert_eq!(restored.old.as_deref(), Some(&*old));
        assert_eq!(count(&old), if number.is_empty() { 25 } else { 10 });
        assert_eq!(count(&crashed), 10);
    }
}

#[test]
fn a_backup_that_was_copied_over_a_crashed_store_is_put_right_by_a_restore() {
    let (folder, path, backup) = furnished();
    let crashed = folder.path().join("crashed.db");
    let store = Store::open(&path).unwrap();
    fill(&store, 20..25);
    crash(&path, &crashed);
    store.close().unwrap();
    fs::copy(&backup, &crashed).unwrap();
    assert!(matches!(Store::open(&crashed), Err(Error::ForeignLog { .. })));
    Store::restore(&backup, &crashed).run().unwrap();
    assert_eq!(names(folder.path()), ["app.db", "backup.db", "crashed.db"]);
    assert_eq!(count(&crashed), 10);
}

#[test]
fn a_store_that_is_still_in_use_can_be_the_backup() {
    let (_folder, path, backup) = furnished();
    let store = Store::open(&backup).unwrap();
    fill(&store, 50..55);
    Store::restore(&backup, &path).run().unwrap();
    fill(&store, 55..56);
    assert_eq!(count(&path), 15);
    store.close().unwrap();
    assert_eq!(count(&backup), 16);
}

#[cfg(unix)]
#[test]
fn a_restored_file_keeps_its_permissions_and_a_link_to_it_stays_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, path, backup) = furnished();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path().join("link.db");
    symlink("app.db", &link).unwrap();
    Store::restore(&backup, &link).run().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(count(&path), 10);
    fs::remove_file(&path).unwrap();
    Store::restore(&backup, &link).run().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_backup_of_an_older_larder_is_restored() {
    for name in ["version-1-without-cursors.db", "version-1.db"] {
        let (_folder, path, backup) = furnished();
        fs::write(&backup, fs::read(Path::new("tests/fixtures/versions").join(name)).unwrap()).unwrap();
        let old = fs::read(&backup).unwrap();
        Store::restore(&backup, &path).run().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fs::read(&backup).unwrap() == old, "{name}: the backup changed");
        let store = Store::open(&path).unwrap();
        common::verify(&store);
        assert_ne!(store.stats().unwrap().identity, Store::open(&backup).unwrap().stats().unwrap().identity);
        assert!(store.revision().unwrap() > Revision(0), "{name}");
        drop(store.cursor("new").unwrap());
    }
}

#[tokio::test]
async fn an_awaited_restore_and_backup_do_the_same() {
    let (folder, path, backup) = furnished();
    let store = AsyncStore::open(&path).await.unwrap();
    let refused = AsyncStore::restore(&backup, &path).run().await;
    assert!(matches!(refused, Err(Error::InUse { .. })));
    let made = store.backup(folder.path().join("daily")).keeping(1).run().await.unwrap();
    let next = store.backup(folder.path().join("daily")).keeping(1).run().await.unwrap();
    assert_eq!(next.removed, [made.path]);
    store.backup(&backup).verified().replacing().run().await.unwrap();
    store.close().await.unwrap();
    let restored = AsyncStore::restore(&backup, &path).keep_old().run().await.unwrap();
    assert!(restored.old.is_some());
    assert_eq!(count(&path), 20);
}

on_every_engine! {
    fn a_verified_backup_is_a_sound_store(rig: &Rig) {
        let store = rig.store();
        fill(&store, 0..10);
        let path = rig.folder().join("backup.db");
        store.backup(&path).verified().run().unwrap();
        assert_eq!(count(&path), 10);
        assert!(names(rig.folder()).iter().all(|name| !name.contains("unfinished")));
    }

    fn a_backup_replaces_an_older_one_only_if_it_is_asked_to(rig: &Rig) {
        let store = rig.store();
        fill(&store, 0..10);
        let path = rig.folder().join("backup.db");
        store.backup(&path).replacing().run().unwrap();
        fill(&store, 10..20);
        assert!(matches!(store.backup(&path).verified().run(), Err(Error::AlreadyExists { .. })));
        assert_eq!(count(&path), 10);
        store.backup(&path).replacing().run().unwrap();
        assert_eq!(count(&path), 20);
        assert!(names(rig.folder()).iter().all(|name| !name.contains("unfinished")));
    }

    fn a_rotation_keeps_the_newest_backups(rig: &Rig) {
        let store = rig.store();
        let path = rig.folder().join("daily.db");
        let made: Vec<PathBuf> = (0..5_u32)
            .map(|number| {
                fill(&store, number..number + 1);
                store.backup(&path).keeping(3).run().unwrap().path
            })
            .collect();
        let left: Vec<String> =
            names(rig.folder()).into_iter().filter(|name| name.starts_with("daily")).collect();
        assert_eq!(left, ["daily.000003.db", "daily.000004.db", "daily.000005.db"]);
        for (number, path) in made[2..].iter().enumerate() {
            assert_eq!(count(path), number as u64 + 3);
        }
        // The numbers go on although the newest was removed by hand, as long as one is left.
        fs::remove_file(&made[2]).unwrap();
        assert_eq!(store.backup(&path).keeping(3).run().unwrap().removed, Vec::<PathBuf>::new());
    }
}

#[test]
fn a_backup_replaces_nothing_but_an_older_backup_that_nobody_uses() {
    let (folder, path, backup) = furnished();
    let store = Store::open(&path).unwrap();
    let refused = |target: &Path, what: &str| {
        let before = contents(folder.path());
        let error = store.backup(target).replacing().run().expect_err(what);
        assert!(matches!(error, Error::AlreadyExists { .. } | Error::InUse { .. }), "{what}: {error:?}");
        assert_same_files(&before, &contents(folder.path()), what);
    };
    let file = folder.path().join("file");
    fs::write(&file, "This is a letter, and not a database at all.").unwrap();
    refused(&file, "text");
    fs::write(&file, "").unwrap();
    refused(&file, "an empty file");
    fs::remove_file(&file).unwrap();
    sqlite(&file).execute_batch("CREATE TABLE invoices (number INTEGER)").unwrap();
    refused(&file, "another program's");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&file, "a folder");
    refused(&path, "itself");
    let used = Store::open(&backup).unwrap();
    refused(&backup, "one that is open");
    fill(&used, 0..1);
    crash(&backup, &folder.path().join("crashed.db"));
    drop(used);
    refused(&folder.path().join("crashed.db"), "one with a log");
}

#[test]
fn a_rotation_removes_only_what_it_has_made_and_nobody_uses() {
    let (folder, path, backup) = furnished();
    let store = Store::open(&path).unwrap();
    let (daily, weekly) = (folder.path().join("daily.db"), folder.path().join("weekly.db"));
    // Files that are only called like those of the rotation.
    fs::copy(&backup, folder.path().join("daily.000001.db")).unwrap();
    fs::write(folder.path().join("daily.000002.db"), "notes").unwrap();
    let of_weekly = store.backup(&weekly).keeping(1).run().unwrap().path;
    fs::rename(&of_weekly, folder.path().join("daily.000003.db")).unwrap();
    let used = store.backup(&daily).keeping(1).run().unwrap().path;
    assert_eq!(used, folder.path().join("daily.000004.db"));
    let open = Store::open(&used).unwrap();
    let next = store.backup(&daily).keeping(1).run().unwrap();
    assert_eq!(next.removed, Vec::<PathBuf>::new());
    drop(open);
    let last = store.backup(&daily).keeping(1).run().unwrap();
    assert_eq!(last.removed, [used, next.path]);
    let left: Vec<String> =
        names(folder.path()).into_iter().filter(|name| name.starts_with("daily")).collect();
    assert_eq!(left, ["daily.000001.db", "daily.000002.db", "daily.000003.db", "daily.000006.db"]);
}

#[test]
fn a_damaged_store_gives_no_verified_backup_and_older_ones_stay() {
    let (folder, path, backup) = furnished();
    sqlite(&path).execute_batch("UPDATE groups SET keys = 7").unwrap();
    let store = Store::open(&path).unwrap();
    let daily = folder.path().join("daily.db");
    for refused in [
        store.backup(folder.path().join("new.db")).verified().run(),
        store.backup(&backup).verified().replacing().run(),
        store.backup(&daily).keeping(1).run(),
    ] {
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    }
    assert_eq!(count(&backup), 10);
    assert!(
        names(folder.path())
            .iter()
            .all(|name| !name.contains("new") && !name.contains("daily") && !name.contains("unfinished"))
    );
}
