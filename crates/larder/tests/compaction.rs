//! Compacting a cluster affects only reads of the past.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use larder::{Error, Store};
use larder_cluster::Cluster;

/// A store in the cluster that the tests of this file share; `None`, with a note, if etcd is not installed.
fn store(name: &str) -> Option<Store> {
    if !larder_cluster::etcd_is_installed() {
        eprintln!("skipped: etcd is not installed");
        return None;
    }
    Some(Store::connect(&Cluster::shared().location(name)).unwrap())
}

/// Compacts the cluster up to a new revision, so that every earlier one is gone.
fn compact_up_to_now() {
    Cluster::shared().put(b"another", b"key").unwrap();
    Cluster::shared().compact();
}

#[test]
fn a_transaction_whose_snapshot_is_compacted_runs_again_on_a_newer_one() {
    let Some(store) = store("transaction") else { return };
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
    let Some(store) = store("snapshot") else { return };
    store.set("numbers", "one", "1").unwrap();
    let snapshot = store.snapshot().unwrap();
    compact_up_to_now();
    assert!(matches!(snapshot.get("numbers", "one"), Err(Error::SnapshotLost { .. })));
    assert_eq!(store.snapshot().unwrap().get("numbers", "one").unwrap().unwrap(), "1");
}
