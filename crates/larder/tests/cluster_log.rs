//! The change log of a cluster: read by many lagging watchers while members fail.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::time::Duration;

use larder::{Pattern, Revision, Store, Watcher};
use larder_cluster::Cluster;

use clusters::proxy::Proxy;
use clusters::{WAIT_MAX, skipped};

/// The timeout of a call: long enough to give up one member and ask another, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(8);

/// More changes than one read of the log returns, and after them more bytes than a client buffers.
const SMALL: usize = 1000;
const LARGE: usize = 12;
const ALL: usize = SMALL + LARGE;

fn open(location: &str) -> Store {
    Store::options().timeout(TIMEOUT).connect(location).unwrap()
}

/// Writes all of them, and returns the revisions of the commits.
fn fill(store: &Store) -> Vec<Revision> {
    let mut revisions = Vec::new();
    for chunk in (0..SMALL).collect::<Vec<_>>().chunks(50) {
        let batch = chunk.iter().fold(store.batch(), |batch, n| batch.set("g", n.to_string(), "small"));
        revisions.push(batch.commit().unwrap());
    }
    for n in SMALL..ALL {
        revisions.push(store.set("g", n.to_string(), vec![0; 700 << 10]).unwrap());
    }
    revisions
}

/// Receives all that was written, after the first `after` changes.
#[track_caller]
fn receives_all(watcher: &Watcher, after: usize) {
    for n in after..ALL {
        let event = watcher.recv_timeout(WAIT_MAX).unwrap().unwrap();
        assert_eq!(event.key, Some(n.to_string()));
    }
}

/// A cluster, and a store on it that asks a follower first.
fn cluster() -> (Cluster, usize, Store) {
    let cluster = Cluster::start().unwrap();
    let leader = cluster.leader().unwrap();
    let mut endpoints = cluster.endpoints();
    let member = (leader + 1) % endpoints.len();
    endpoints.rotate_left(member);
    let store = open(&format!("etcd://{}/app", endpoints.join(",")));
    (cluster, member, store)
}

/// Checks that a watcher receives the whole log although its member is hurt while it reads.
fn receives_all_after(hurt: impl FnOnce(&Cluster, usize)) {
    if skipped() {
        return;
    }
    let (cluster, member, store) = cluster();
    fill(&store);
    let watcher = store.watch_from(Pattern::all(), 0).unwrap();
    assert_eq!(watcher.recv().unwrap().key.unwrap(), "0");
    hurt(&cluster, member);
    receives_all(&watcher, 1);
    assert_eq!(store.history("g", "7").unwrap().len(), 1);
}

#[test]
fn log_readers_continue_when_their_member_hangs() {
    receives_all_after(Cluster::pause);
}

#[test]
fn log_readers_continue_when_their_member_restarts() {
    receives_all_after(Cluster::restart);
}

#[test]
fn a_lagging_log_reader_does_not_block_the_connection() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    let store = open(&format!("etcd://{}/behind", proxy.address));
    let revisions = fill(&store);
    // Everything must go through the one existing connection, so a blocked connection would be noticed.
    proxy.refuse_new_connections();
    let mut behind = Vec::new();
    // The latest first, so that no watcher can use a stream opened for an earlier one.
    for commits in (0..8_usize).rev() {
        let before = commits.checked_sub(1).map_or(Revision(0), |last| revisions[last]);
        let watcher = store.watch_from(Pattern::all(), before).unwrap();
        let next = 50 * commits;
        assert_eq!(watcher.recv().unwrap().key, Some(next.to_string()));
        behind.push((watcher, next + 1));
        store.set("other", "k", "v").unwrap();
        assert_eq!(store.get("other", "k").unwrap().unwrap(), "v");
    }
    for (watcher, next) in behind {
        receives_all(&watcher, next);
    }
}
