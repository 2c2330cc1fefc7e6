//! Very many watchers of one process, and very many keys of one group, on a cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::time::Duration;

use clusters::{WAIT_MAX, options, requests, skipped};
use larder::{AsyncStore, EventKind, Pattern, Store, Watcher};
use larder_cluster::{Cluster, Settings};

const PATIENT: Duration = Duration::from_secs(30);

/// A cluster whose members count the requests of one test alone.
fn cluster() -> Cluster {
    Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap()
}

fn open(cluster: &Cluster) -> Store {
    options().timeout(PATIENT).connect(cluster.location("app")).unwrap()
}

#[test]
fn two_thousand_watchers_share_one_stream_and_each_receives_every_change_in_order() {
    if skipped() {
        return;
    }
    const WATCHERS: usize = 2000;
    const CHANGES: usize = 12;
    let cluster = cluster();
    let writer = open(&cluster);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = options().timeout(PATIENT);
        let store = AsyncStore::connect_with(options, cluster.location("app")).await.unwrap();
        let mut receiving = Vec::new();
        for _ in 0..WATCHERS {
            let mut watcher = store.watch(Pattern::group("g")).await.unwrap();
            receiving.push(async move {
                for change in 0..CHANGES {
                    let event = tokio::time::timeout(WAIT_MAX, watcher.recv()).await.unwrap().unwrap();
                    assert_eq!(event.key, Some(change.to_string()));
                }
            });
        }
        let before = requests(&cluster, "Watch");
        for change in 0..CHANGES {
            writer.set("g", change.to_string(), "v").unwrap();
        }
        let receiving: Vec<_> = receiving.into_iter().map(tokio::spawn).collect();
        for received in receiving {
            received.await.unwrap();
        }
        // Each began behind these changes.
        assert!(requests(&cluster, "Watch") - before < 10);
    });
}

#[test]
fn watchers_that_fall_behind_together_catch_up_from_memory() {
    if skipped() {
        return;
    }
    /// More than a mailbox holds.
    const CHANGES: usize = 1500;
    let cluster = cluster();
    let store = open(&cluster);
    let watchers: Vec<Watcher> = (0..20).map(|_| store.watch(Pattern::all()).unwrap()).collect();
    store.set("g", "first", "v").unwrap();
    for watcher in &watchers {
        assert_eq!(watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().key.unwrap(), "first");
        assert!(watcher.try_recv().unwrap().is_none());
    }
    let before = requests(&cluster, "Watch");
    for change in 0..3 {
        let keys = (0..CHANGES / 3).map(|key| format!("{change}-{key}"));
        keys.fold(store.batch(), |batch, key| batch.set("g", key, "v")).commit().unwrap();
    }
    for watcher in &watchers {
        for number in 0..CHANGES {
            let key = format!("{}-{}", number / (CHANGES / 3), number % (CHANGES / 3));
            assert_eq!(watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().key, Some(key));
        }
    }
    assert!(requests(&cluster, "Watch") - before < 10);
}

#[test]
fn a_large_group_is_read_in_few_requests_and_deleted_in_one_commit() {
    if skipped() {
        return;
    }
    const KEYS: usize = 20_000;
    let cluster = cluster();
    let store = open(&cluster);
    for keys in (0..KEYS).collect::<Vec<_>>().chunks(2000) {
        let batch = keys.iter().fold(store.batch(), |batch, key| batch.set("g", format!("{key:06}"), "v"));
        batch.commit().unwrap();
    }
    let in_requests = |max: u64, read: &dyn Fn() -> usize| {
        let before = requests(&cluster, "Range") + requests(&cluster, "Txn");
        assert_eq!(read(), KEYS);
        let count = requests(&cluster, "Range") + requests(&cluster, "Txn") - before;
        assert!(count <= max, "{count} requests");
    };
    in_requests(3, &|| usize::try_from(store.count("g").unwrap()).unwrap());
    in_requests(6, &|| store.get_all("g").unwrap().len());
    in_requests(20, &|| store.entries("g").unwrap().map(Result::unwrap).count());
    in_requests(20, &|| store.keys("g").unwrap().map(Result::unwrap).count());
    in_requests(20, &|| store.transaction(|tx| Ok(tx.get_all("g")?.len())).unwrap());

    let watcher = store.watch(Pattern::all()).unwrap();
    assert_eq!(store.delete_group("g").unwrap(), KEYS as u64);
    let event = watcher.recv_timeout(WAIT_MAX).unwrap().unwrap();
    assert_eq!((event.kind, event.group.as_str()), (EventKind::DeleteGroup, "g"));
    assert_eq!(store.count("g").unwrap(), 0);
    assert_eq!(store.check().unwrap(), []);
}
