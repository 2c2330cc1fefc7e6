//! The change log of a cluster, read by many, far behind, while members come and go.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod clusters;

use std::time::Duration;

use larder::{Pattern, Store, Watcher};
use larder_cluster::Cluster;

use clusters::{PATIENCE, left_out};

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

fn fill(store: &Store) {
    for chunk in (0..SMALL).collect::<Vec<_>>().chunks(50) {
        let batch = chunk.iter().fold(store.batch(), |batch, n| batch.set("g", n.to_string(), "small"));
        batch.commit().unwrap();
    }
    for n in SMALL..ALL {
        store.set("g", n.to_string(), vec![0; 700 << 10]).unwrap();
    }
}

/// Receives what is left of what was written, after so many.
#[track_caller]
fn receives_all(watcher: &Watcher, after: usize) {
    for n in after..ALL {
        let event = watcher.recv_timeout(PATIENCE).unwrap().unwrap();
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

#[test]
fn whoever_reads_the_log_goes_on_where_their_member_stands_still() {
    if left_out() {
        return;
    }
    let (cluster, member, store) = cluster();
    fill(&store);
    let watcher = store.watch_from(Pattern::all(), 0).unwrap();
    assert_eq!(watcher.recv().unwrap().key.unwrap(), "0");
    cluster.pause(member);
    receives_all(&watcher, 1);
    assert_eq!(store.history("g", "7").unwrap().len(), 1);
}

#[test]
fn whoever_reads_the_log_goes_on_where_their_member_was_restarted() {
    if left_out() {
        return;
    }
    let (cluster, member, store) = cluster();
    fill(&store);
    let watcher = store.watch_from(Pattern::all(), 0).unwrap();
    assert_eq!(watcher.recv().unwrap().key.unwrap(), "0");
    cluster.restart(member);
    receives_all(&watcher, 1);
    assert_eq!(store.history("g", "7").unwrap().len(), 1);
}
