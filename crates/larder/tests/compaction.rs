//! Compacting a cluster affects only reads of the past.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use larder::{Error, Pattern, Store};
use larder_cluster::Cluster;

/// A compaction concerns the whole cluster, so these tests run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A store in the cluster that the tests of this file share; `None`, with a note, if etcd is not installed.
fn store(name: &str) -> Option<(MutexGuard<'static, ()>, Store)> {
    if !larder_cluster::etcd_is_installed() {
        eprintln!("skipped: etcd is not installed");
        return None;
    }
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Some((turn, Store::connect(Cluster::shared().location(name)).unwrap()))
}

/// Compacts the cluster up to a new revision, so that every earlier one is gone.
fn compact_up_to_now() {
    Cluster::shared().put(b"another", b"key").unwrap();
    Cluster::shared().compact();
}

#[test]
fn a_transaction_whose_snapshot_is_compacted_runs_again_on_a_newer_one() {
    let Some((_turn, store)) = store("transaction") else { return };
    store.set("numbers", "one", "1").unwrap();
    store.set("numbers", "two", "2").unwrap();
    let mut attempts = 0;
    let sum = store.transaction(|transaction| {
        attempts += 1;
        let one: i64 = transaction.get("numbers", "one")?.unwrap().parse()?;
        if attempts == 1 {
            compact_up_to_now();
        }
        let two: i64 = transaction.get("numbers", "two")?.unwrap().parse()?;
        transaction.set("numbers", "sum", (one + two).to_string())?;
        Ok(one + two)
    });
    assert_eq!((sum.unwrap(), attempts), (3, 2));
    assert_eq!(store.get("numbers", "sum").unwrap().unwrap(), "3");
}

#[test]
fn a_compacted_snapshot_is_reported_lost_and_a_new_one_can_be_taken() {
    let Some((_turn, store)) = store("snapshot") else { return };
    store.set("numbers", "one", "1").unwrap();
    let snapshot = store.snapshot().unwrap();
    compact_up_to_now();
    assert!(matches!(snapshot.get("numbers", "one"), Err(Error::SnapshotLost { .. })));
    assert_eq!(store.snapshot().unwrap().get("numbers", "one").unwrap().unwrap(), "1");
}

#[test]
fn a_mirror_that_could_not_read_an_entry_never_says_that_it_is_current() {
    let Some((_turn, store)) = store("mirror") else { return };
    for group in ["a", "b", "c"] {
        store.set(group, "k", "v").unwrap();
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut mirror = store.mirror(Pattern::all()).unwrap();
    let awaited = store.clone().into_async();
    let mut awaited_mirror = runtime.block_on(awaited.mirror(Pattern::all())).unwrap();
    compact_up_to_now();
    for _ in 0..10 {
        assert!(matches!(mirror.recv(), Err(Error::SnapshotLost { .. })));
        assert!(matches!(runtime.block_on(awaited_mirror.recv()), Err(Error::SnapshotLost { .. })));
    }
}

#[test]
fn a_mirror_can_be_made_while_the_cluster_is_compacted_again_and_again() {
    let Some((_turn, store)) = store("mirrors") else { return };
    for group in ["a", "b", "c"] {
        store.set(group, "k", "v").unwrap();
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                compact_up_to_now();
            }
        });
        let failed = (0..20).find_map(|_| store.mirror(Pattern::all()).err());
        is_over.store(true, Ordering::Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}
