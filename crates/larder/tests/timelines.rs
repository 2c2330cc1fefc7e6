//! A copy of a file is a store of its own: no token or cursor of one timeline resumes at a wrong place in the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::thread;

use common::Rig;
use larder::{AsyncStore, Error, Event, Pattern, ResumeToken, Store};
use outside::sqlite;

fn identity(path: &Path) -> String {
    Store::options().read_only(true).open(path).unwrap().stats().unwrap().identity
}

fn key(event: &Event) -> &str {
    event.key.as_deref().unwrap()
}

fn fill(store: &Store, keys: std::ops::Range<u32>, value: &str) {
    for number in keys {
        store.set("orders", number.to_string(), value).unwrap();
    }
}

#[track_caller]
fn assert_other_store(store: &Store, token: &str) {
    let token: ResumeToken = token.parse().unwrap();
    let refused = store.watch_from(Pattern::all(), token).unwrap_err();
    assert!(matches!(refused, Error::OtherStore { .. }), "{refused}");
    assert!(refused.advice().unwrap().contains("restored or copied"), "{refused:?}");
}

on_every_engine! {
    fn a_backup_is_a_store_of_its_own(rig: &Rig) {
        let store = rig.store();
        fill(&store, 0..3, "x");
        let path = rig.folder().join("backup.db");
        store.backup_to(&path).unwrap();
        let backup = Store::open(&path).unwrap();
        assert_ne!(backup.stats().unwrap().identity, store.stats().unwrap().identity);
        assert_other_store(&backup, &store.token().unwrap().to_string());
        assert_other_store(&store, &backup.token().unwrap().to_string());
        drop(backup);
        let another = rig.folder().join("another.db");
        store.backup_to(&another).unwrap();
        assert_ne!(identity(&path), identity(&another), "two backups");
        common::verify(&Store::open(&another).unwrap());
    }
}

#[test]
fn a_token_from_before_a_restore_by_hand_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    let store = Store::open(&path).unwrap();
    fill(&store, 0..10, "kept");
    store.backup_to(&backup).unwrap();
    fill(&store, 10..20, "lost");
    let token = store.token().unwrap().to_string();
    store.close().unwrap();
    for way in ["moved", "copied over", "copied"] {
        match way {
            "moved" => fs::rename(&backup, &path).unwrap(),
            "copied over" => {
                fs::copy(&backup, &path).unwrap();
            }
            _ => {
                fs::remove_file(&path).unwrap();
                fs::copy(&backup, &path).unwrap();
            }
        }
        let store = Store::open(&path).unwrap();
        fill(&store, 10..40, "new");
        assert_other_store(&store, &token);
        store.backup_to(folder.path().join("next.db")).unwrap();
        store.close().unwrap();
        fs::rename(folder.path().join("next.db"), &backup).unwrap();
    }
}

/// Windows does not tell copies apart: see docs/platforms.md.
#[cfg(unix)]
#[test]
fn a_file_that_was_copied_gets_an_identity_of_its_own_when_it_is_first_opened_to_write() {
    type Copy = fn(&Path, &Path);
    let ways: [(&str, Copy); 3] = [
        ("by hand", |from, to| {
            fs::copy(from, to).unwrap();
        }),
        ("by SQLite's backup", |from, to| {
            sqlite(from).backup("main", to, None::<fn(rusqlite::backup::Progress)>).unwrap();
        }),
        ("by VACUUM INTO", |from, to| {
            sqlite(from).execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
        }),
    ];
    for (way, copy_file) in ways {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
        let store = Store::open(&path).unwrap();
        fill(&store, 0..10, "x");
        let token = store.token().unwrap().to_string();
        let own = store.stats().unwrap().identity;
        store.close().unwrap();
        copy_file(&path, &copy);

        // Nothing was written to the copy yet, so its revisions are those of the original.
        assert_eq!(identity(&copy), own, "{way}");
        // Several at once agree on one identity.
        let opened: Vec<Store> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| Store::open(&copy).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for store in &opened {
            assert_other_store(store, &token);
            assert_eq!(store.stats().unwrap().identity, identity(&copy), "{way}");
        }
        let copied = identity(&copy);
        drop(opened);
        assert_eq!(Store::open(&copy).unwrap().stats().unwrap().identity, copied, "{way}: opened again");
        let original = Store::open(&path).unwrap();
        assert_eq!(original.stats().unwrap().identity, own, "{way}: the original");
        let _watcher = original.watch_from(Pattern::all(), token.parse::<ResumeToken>().unwrap()).unwrap();
        common::verify(&Store::open(&copy).unwrap());
    }
}

#[test]
fn a_file_that_was_moved_or_vacuumed_keeps_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("app.db"), folder.path().join("moved.db"));
    let store = Store::open(&path).unwrap();
    fill(&store, 0..10, "x");
    let (own, token) = (store.stats().unwrap().identity, store.token().unwrap());
    store.close().unwrap();
    fs::rename(&path, &moved).unwrap();
    sqlite(&moved).execute_batch("VACUUM").unwrap();
    let store = Store::open(&moved).unwrap();
    assert_eq!(store.stats().unwrap().identity, own);
    fill(&store, 10..11, "x");
    let watcher = store.watch_from(Pattern::all(), token).unwrap();
    assert_eq!(key(&watcher.recv().unwrap()), "10");
}

#[cfg(unix)]
#[test]
fn a_file_of_an_older_larder_keeps_its_identity_and_later_copies_of_it_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    let store = Store::open(&path).unwrap();
    fill(&store, 0..10, "x");
    let own = store.stats().unwrap().identity;
    store.close().unwrap();
    sqlite(&path).execute_batch("DELETE FROM store WHERE name IN ('file_birth', 'log_link')").unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.stats().unwrap().identity, own);
    store.close().unwrap();
    fs::copy(&path, &copy).unwrap();
    assert_ne!(Store::open(&copy).unwrap().stats().unwrap().identity, own);
    assert_eq!(identity(&path), own);
}

#[test]
fn a_cursor_of_a_restored_store_says_so_until_it_is_moved_and_continues_after_its_last_acknowledged_event() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    let store = Store::open(&path).unwrap();
    let tenant = store.scoped("tenant").unwrap();
    let (mailer, _idle, _own) =
        (store.cursor("mailer").unwrap(), store.cursor("idle").unwrap(), tenant.cursor("mailer").unwrap());
    fill(&store, 0..10, "kept");
    for _ in 0..4 {
        mailer.ack(&mailer.recv().unwrap()).unwrap();
    }
    store.backup_to(&backup).unwrap();
    fill(&store, 10..20, "lost");
    // The original goes on as if nothing had happened.
    assert_eq!(key(&mailer.recv().unwrap()), "4");
    assert!(store.cursor("mailer").unwrap().try_recv().unwrap().is_some());
    drop((mailer, _idle, _own, tenant));
    store.close().unwrap();
    fs::rename(&backup, &path).unwrap();

    let is_told = |error: Error, name: &str| match &error {
        Error::Restored { cursor } => assert_eq!(cursor, name),
        _ => panic!("{error}"),
    };
    let store = Store::open(&path).unwrap();
    // A consumer that ends before it acknowledges anything is told again.
    for _ in 0..2 {
        let mailer = store.cursor("mailer").unwrap();
        is_told(mailer.recv().unwrap_err(), "mailer");
        assert_eq!(key(&mailer.recv().unwrap()), "4");
        assert_eq!(key(&mailer.recv().unwrap()), "5");
    }
    let mailer = store.cursor("mailer").unwrap();
    is_told(mailer.try_recv().unwrap_err(), "mailer");
    let event = mailer.recv().unwrap();
    mailer.ack(&event).unwrap();
    drop(mailer);
    assert_eq!(key(&store.cursor("mailer").unwrap().recv().unwrap()), "5");

    // Each cursor is told for itself, also in a namespace.
    let tenant = store.scoped("tenant").unwrap();
    is_told(tenant.cursor("mailer").unwrap().recv().unwrap_err(), "mailer");
    // Whoever moves it knows.
    let idle = store.cursor("idle").unwrap();
    idle.seek(8).unwrap();
    assert_eq!(key(&idle.recv().unwrap()), "8");
    drop(idle);
    assert_eq!(key(&store.cursor("idle").unwrap().recv().unwrap()), "8");
    assert!(tenant.delete_cursor("mailer").unwrap());
    assert!(tenant.cursor("mailer").unwrap().try_recv().unwrap().is_none());
    common::verify(&store);
}

#[tokio::test]
async fn an_awaited_cursor_says_that_its_store_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    let store = AsyncStore::open(&path).await.unwrap();
    drop(store.cursor("mailer").await.unwrap());
    store.set("orders", "1", "a book").await.unwrap();
    store.backup_to(&backup).await.unwrap();
    let restored = AsyncStore::open(&backup).await.unwrap();
    let mut mailer = restored.cursor("mailer").await.unwrap();
    assert!(matches!(mailer.recv().await, Err(Error::Restored { cursor }) if cursor == "mailer"));
    let event = mailer.recv().await.unwrap();
    assert_eq!(key(&event), "1");
    mailer.ack(&event).await.unwrap();
    let mut mailer = restored.cursor("mailer").await.unwrap();
    assert!(mailer.try_recv().await.unwrap().is_none());
}
