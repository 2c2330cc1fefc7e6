//! The change log of a cluster, read by many, far behind, while members come and go.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod clusters;

use std::time::Duration;

use larder::{Pattern, Revision, Store, Watcher};
use larder_cluster::Cluster;

use clusters::proxy::Proxy;
use clusters::{WAIT_MAX, left_out};

/// How long a call may take: so long that one member is given up, and another one has answered, even where much
/// else runs.
const TIMEOUT: Duration = Duration::from_secs(8);

/// More changes than are read from the log at once, and behind them more bytes than a client takes in unread.
const SMALL: usize = 1000;
const LARGE: usize = 12;
const ALL: usize = SMALL + LARGE;

fn open(location: &str) -> Store {
    Store::options().busy_timeout(TIMEOUT).connect(location).unwrap()
}

/// Writes them; the revisions of the commits.
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

/// Receives what is left of what was written, after so many.
#[track_caller]
fn receives_all(watcher: &Watcher, after: usize) {
    for n in after..ALL {
        let event = watcher.recv_timeout(WAIT_MAX).unwrap().unwrap();
        assert_eq!(event.key, Some(n.to_string()));
    }
}

/// A cluster, and a store on it that first asks a member which does not lead.
fn cluster() -> (Cluster, usize, Store) {
    let cluster = Cluster::start().unwrap();
    let leader = cluster.leader().unwrap();
    let mut endpoints = cluster.endpoints();
    let member = (leader + 1) % endpoints.len();
    endpoints.rotate_left(member);
    let store = open(&format!("etcd://{}/app", endpoints.join(",")));
    (cluster, member, store)
}

/// Whoever reads the log, and reads on after something was done to the member that it came from, has all of it.
fn reads_on_after(hurt: impl FnOnce(&Cluster, usize)) {
    if left_out() {
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
    reads_on_after(Cluster::pause);
}

#[test]
fn log_readers_continue_when_their_member_restarts() {
    reads_on_after(Cluster::restart);
}

#[test]
fn a_lagging_log_reader_does_not_block_the_connection() {
    if left_out() {
        return;
    }
    let cluster = Cluster::shared();
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    let store = open(&format!("etcd://{}/behind", proxy.address));
    let revisions = fill(&store);
    // All has to go through the one connection that there is: what stands still on it is not to be had elsewhere.
    proxy.let_nobody_in();
    let mut behind = Vec::new();
    // The later ones first: a stream that was opened for one is none that the next could use.
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
