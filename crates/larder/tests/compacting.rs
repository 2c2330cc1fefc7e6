//! `Store::compact` makes a file as small as what is in it, beside everybody who uses it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Rig, events_now, verify};
use larder::{AsyncStore, Error, Pattern, Store};
use outside::{Process, child_task, print_line, read_line};

/// How many changes are kept. Values in the change log are no free space.
const CHANGES: u64 = 10;

/// What becomes free, at least, of the two megabytes that go: the last changes still have their values.
const FREED_MIN: u64 = 1_900_000;

fn options() -> larder::Options {
    Store::options().history(CHANGES, 1 << 20)
}

/// Fills a store with a megabyte that stays and two that go.
fn fill(store: &Store) {
    for number in 0..300 {
        let group = ["stays", "goes", "goes too"][number % 3];
        store.set(group, number.to_string(), vec![b'x'; 10_000]).unwrap();
    }
    assert_eq!(store.delete_group("goes").unwrap(), 100);
    assert_eq!(store.delete_group("goes too").unwrap(), 100);
}

/// Every file of a store, added up.
fn bytes_on_disk(path: &Path) -> u64 {
    fs::read_dir(path.parent().unwrap()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

on_every_engine! {
    fn a_compacted_store_is_smaller_and_has_the_same_entries_revisions_and_changes(rig: &Rig) {
        let store = rig.open_with(|options| options.history(CHANGES, 1 << 20));
        fill(&store);
        let cursor = store.cursor("mailer").unwrap();
        store.set("stays", "last", "x").unwrap();
        let (token, watcher) = (store.token().unwrap(), store.watch(Pattern::all()).unwrap());
        let before = (store.stats().unwrap(), store.get_all("stays").unwrap());
        let freed = match store.compact() {
            Err(error) if !rig.promises.answers_locally => {
                assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
                assert!(error.advice().unwrap().contains("etcdctl defrag"), "{error:?}");
                return;
            }
            freed => freed.unwrap(),
        };
        let after = (store.stats().unwrap(), store.get_all("stays").unwrap());
        let left = if rig.promises.keeps_what_is_free { FREED_MIN } else { 0 };
        assert!(before.0.free_bytes >= left, "{:?}", before.0);
        assert!(freed >= before.0.free_bytes, "{freed}");
        assert_eq!(after.0.free_bytes, 0);
        assert_eq!((after.0.revision, &after.0.identity, &after.0.cursors), (before.0.revision, &before.0.identity, &before.0.cursors));
        assert!(before.1 == after.1);
        if rig.promises.is_a_file {
            assert_eq!(after.0.file_bytes, fs::metadata(rig.path()).unwrap().len());
            assert!(after.0.file_bytes < 1_500_000, "{:?}", after.0);
            // The log has one page: an empty one could not be told from any other.
            assert!((1..5000).contains(&after.0.wal_bytes), "{:?}", after.0);
        } else {
            assert_eq!(after.0.file_bytes + freed, before.0.file_bytes);
        }
        assert_eq!(store.set("stays", "next", "x").unwrap(), before.0.revision.next());
        assert_eq!(events_now(&watcher).len(), 1);
        assert_eq!(events_now(&store.watch_from(Pattern::all(), token).unwrap()).len(), 1);
        assert_eq!(cursor.try_recv().unwrap().unwrap().key.as_deref(), Some("last"));
        drop(cursor);
        verify(&rig.reopen(store));
    }

    fn a_store_that_only_reads_compacts_nothing(rig: &Rig) {
        if rig.promises.can_be_opened_again {
            drop(rig.store());
            let store = rig.open_with(|options| options.read_only(true));
            let error = store.compact().unwrap_err();
            assert!(matches!(error, Error::ReadOnly { .. } | Error::Unsupported { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn an_awaited_compaction_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = AsyncStore::open_with(options().history(0, 0), &path).await.unwrap();
    store.set("g", "k", vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(store.delete_group("g").await.unwrap(), 1);
    assert!(store.stats().await.unwrap().free_bytes > 90_000);
    assert!(store.compact().await.unwrap() > 90_000);
    assert_eq!(store.stats().await.unwrap().free_bytes, 0);
}

#[test]
fn another_process_reads_watches_and_writes_on_after_a_compaction() {
    if let Some((path, _)) = child_task() {
        let store = options().open(&path).unwrap();
        let watcher = store.watch(Pattern::group("news")).unwrap();
        assert_eq!(store.get("stays", "0").unwrap().unwrap().len(), 10_000);
        let snapshot = store.snapshot().unwrap();
        print_line("reads");
        // The store was compacted under the snapshot.
        assert_eq!(read_line(), "compacted");
        assert_eq!(snapshot.count("stays").unwrap(), 100);
        drop(snapshot);
        assert_eq!(store.get("stays", "0").unwrap().unwrap().len(), 10_000);
        assert_eq!(watcher.recv_timeout(common::WAIT_MAX).unwrap().unwrap().key.as_deref(), Some("k"));
        print_line(store.set("stays", "0", "short").unwrap());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = options().timeout(Duration::from_millis(50)).open(&path).unwrap();
    fill(&store);
    assert_eq!(store.get("stays", "0").unwrap().unwrap().len(), 10_000, "to be cached");
    let mut process =
        Process::start("another_process_reads_watches_and_writes_on_after_a_compaction", &path, "");
    assert_eq!(process.next_line().unwrap(), "reads");
    let before = fs::metadata(&path).unwrap().len();
    assert!(store.compact().unwrap() >= FREED_MIN);
    assert_eq!(store.stats().unwrap().free_bytes, 0);
    assert!(fs::metadata(&path).unwrap().len() >= before, "what the reader reads was taken away");
    let revision = store.set("news", "k", "v").unwrap();
    process.send_line("compacted");
    assert_eq!(process.next_line().unwrap(), revision.next().to_string());
    process.finish();
    assert_eq!(store.get("stays", "0").unwrap().unwrap(), "short", "the cache is stale");
    store.compact().unwrap();
    assert!(bytes_on_disk(&path) < 1_500_000, "{}", bytes_on_disk(&path));
    verify(&store);
}

#[test]
fn a_compaction_that_others_hold_up_says_who_they_are_and_changes_nothing() {
    if let Some((path, _)) = child_task() {
        let store = options().open(&path).unwrap();
        return store
            .transaction(|tx| {
                tx.set("theirs", "k", "v")?;
                print_line("writes");
                assert_eq!(read_line(), "commit");
                Ok(())
            })
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = options().timeout(Duration::from_millis(50)).open(&path).unwrap();
    fill(&store);
    let free = store.stats().unwrap().free_bytes;
    let me = "a_compaction_that_others_hold_up_says_who_they_are_and_changes_nothing";
    let mut process = Process::start(me, &path, "");
    assert_eq!(process.next_line().unwrap(), "writes");
    let error = store.compact().unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    if cfg!(target_os = "linux") {
        assert!(error.to_string().contains(&process.child.id().to_string()), "{error}");
    }
    assert_eq!(store.stats().unwrap().free_bytes, free);
    process.send_line("commit");
    process.finish();
    assert!(store.compact().unwrap() >= free - 100_000);
    assert_eq!(store.get("theirs", "k").unwrap().unwrap(), "v");
    verify(&store);
}

#[test]
fn threads_that_write_and_read_during_compactions_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = options().open(&path).unwrap();
    fill(&store);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for number in 1..=100 {
                    store.increment("sum", "all", 1).unwrap();
                    store.set("large", thread.to_string(), vec![b'x'; number * 500]).unwrap();
                    assert_eq!(store.get("large", thread.to_string()).unwrap().unwrap().len(), number * 500);
                }
            });
        }
        for _ in 0..5 {
            store.compact().unwrap();
        }
    });
    assert_eq!(store.get("sum", "all").unwrap().unwrap(), "200");
    verify(&store);
}
