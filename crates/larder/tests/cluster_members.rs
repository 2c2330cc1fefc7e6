//! Members of a cluster that are replaced, move to another address, or are started wrongly, under connected clients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::time::Duration;

use clusters::{WAIT_MAX, eventually, options, puts_of_app, skipped};
use larder::{Consistency, Error, Pattern, Store, Watcher};
use larder_cluster::{Cluster, Settings};

/// The timeout of calls that must succeed although a leader is elected meanwhile.
const PATIENT: Duration = Duration::from_secs(20);

/// A cluster that lets a member go without waiting for five seconds of health first.
fn cluster() -> Cluster {
    let extra_args = vec!["--strict-reconfig-check=false".into()];
    Cluster::start_with(&Settings { extra_args, ..Settings::default() }).unwrap()
}

/// The number of the member that a client asks.
fn asked(cluster: &Cluster, store: &Store) -> usize {
    let member = store.health().unwrap().member.unwrap();
    cluster.endpoints().iter().position(|endpoint| member.ends_with(endpoint)).unwrap()
}

fn is(store: &Store, value: &str) -> bool {
    store.get("g", "k").unwrap().is_some_and(|found| found == value)
}

#[track_caller]
fn assert_next(watcher: &Watcher, value: &str) {
    assert_eq!(watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().value.unwrap(), value);
}

/// Whether the process with this number has any keys, whichever cluster it belongs to.
fn has_keys(cluster: &Cluster, member: usize) -> bool {
    let everything = r#"{"key":"AA==","range_end":"AA==","count_only":true}"#;
    cluster.call_member(member, "/v3/kv/range", everything).unwrap().contains("\"count\"")
}

#[test]
fn a_member_that_was_started_as_a_cluster_of_its_own_is_believed_by_nobody() {
    if skipped() {
        return;
    }
    let mut cluster = cluster();
    let location = cluster.location("app");
    let store = options().timeout(PATIENT).connect(&location).unwrap();
    let cached = options().consistency(Consistency::Cached).connect(&location).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    store.set("g", "k", "before").unwrap();
    assert_next(&watcher, "before");
    assert!(is(&cached, "before"));

    let replaced = asked(&cluster, &store);
    let mut endpoints = cluster.endpoints();
    cluster.kill(replaced);
    let stranger = cluster.start_a_stranger_at(replaced).unwrap();
    for round in 0..20 {
        let value = round.to_string();
        store.set("g", "k", value.as_str()).unwrap();
        assert!(is(&store, &value));
        assert_next(&watcher, &value);
        // At most a second older, but not absent.
        assert!(cached.get("g", "k").unwrap().is_some());
    }
    assert_ne!(asked(&cluster, &store), replaced);
    assert_eq!((store.health().unwrap().restores, cached.health().unwrap().restores), (0, 0));

    // A client that asks the stranger first finds the store at the others, and creates none.
    endpoints.swap(0, replaced);
    let fresh = options().timeout(PATIENT).connect(format!("etcd://{}/app", endpoints.join(","))).unwrap();
    assert!(is(&fresh, "19"));
    fresh.set("g", "k", "last").unwrap();
    assert_next(&watcher, "last");
    options().connect(format!("etcd://{}/new", endpoints.join(","))).unwrap();
    assert!(!has_keys(&cluster, stranger));
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_location_whose_members_belong_to_as_many_clusters_is_refused() {
    if skipped() {
        return;
    }
    let cluster = || Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let clusters = [cluster(), cluster()];
    let endpoints: Vec<_> = clusters.iter().flat_map(Cluster::endpoints).collect();
    let error = options().connect(format!("etcd://{}/app", endpoints.join(","))).unwrap_err();
    assert!(
        matches!(&error, Error::OtherCluster { endpoint, .. } if endpoint.contains("127.0.0.1")),
        "{error:?}"
    );
    assert!(!clusters.iter().any(|cluster| has_keys(cluster, 0)));
}

#[test]
fn another_cluster_at_all_addresses_counts_as_restored_once_the_store_is_in_it() {
    if skipped() {
        return;
    }
    let mut cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let store = options().connect(cluster.location("app")).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    store.set("g", "k", "before").unwrap();
    assert_next(&watcher, "before");
    let puts = puts_of_app(&cluster);
    cluster.kill(0);
    let other = cluster.start_a_stranger_at(0).unwrap();
    for refused in [store.get("g", "k").map(drop), store.set("g", "k", "lost").map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::OtherCluster { .. } | Error::Unreachable { .. }), "{error:?}");
    }
    assert_eq!(store.health().unwrap().restores, 0);
    for put in puts {
        cluster.call_member(other, "/v3/kv/put", &put).unwrap();
    }
    assert!(eventually("an answer", || store.get("g", "k").ok()).is_some_and(|found| found == "before"));
    let told = watcher.recv_timeout(WAIT_MAX).unwrap_err();
    assert!(matches!(told, Error::ClusterRestored { .. }), "{told:?}");
    eventually("a write", || store.set("g", "k", "after").ok());
    assert_next(&watcher, "after");
}

#[test]
fn a_client_works_while_a_member_is_replaced_at_another_address_and_its_location_names_the_old_one() {
    if skipped() {
        return;
    }
    let mut cluster = cluster();
    let location = cluster.location("app");
    let store = options().timeout(PATIENT).connect(&location).unwrap();
    let cached = options().consistency(Consistency::Cached).connect(&location).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    let cursor = store.cursor("consumer").unwrap();
    let leaving = asked(&cluster, &store);
    let mut written = 0;
    let mut write = |times: usize| {
        for _ in 0..times {
            written += 1;
            assert_eq!(store.increment("g", "k", 1).unwrap(), written);
        }
    };
    write(5);
    cluster.remove(leaving).unwrap();
    write(5);
    let new = cluster.add().unwrap();
    write(5);
    cluster.kill(leaving);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    write(5);
    // Two of the members that the location names are gone; the third one and the new one are a quorum.
    cluster.kill((leaving + 1) % 3);
    write(5);
    assert_eq!(cluster.endpoints().len(), new + 1);
    let mut heard: Vec<i64> = Vec::new();
    while heard.last() != Some(&25) {
        let event = cursor.recv_timeout(WAIT_MAX).unwrap().unwrap();
        cursor.ack(&event).unwrap();
        assert_eq!(watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().revision, event.revision);
        heard.push(event.value.unwrap().as_str().unwrap().parse().unwrap());
    }
    assert!(heard.iter().copied().eq(1..=25));
    eventually("the cache", || is(&cached, "25").then_some(()));
    assert_eq!(store.health().unwrap().restores, 0);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_member_that_lost_its_disk_is_replaced_at_its_address_without_a_client_noticing() {
    if skipped() {
        return;
    }
    let cluster = cluster();
    let store = options().timeout(PATIENT).connect(cluster.location("app")).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    store.set("g", "k", "before").unwrap();
    let member = asked(&cluster, &store);
    cluster.remove_member(member).unwrap();
    store.set("g", "k", "meanwhile").unwrap();
    cluster.add_member(member).unwrap();
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    // Only the new member and one other are left: it has everything.
    cluster.kill((member + 1) % 3);
    let alone =
        options().timeout(PATIENT).connect(format!("etcd://{}/app", cluster.endpoints()[member])).unwrap();
    assert!(is(&alone, "meanwhile"));
    alone.set("g", "k", "after").unwrap();
    for value in ["before", "meanwhile", "after"] {
        assert_next(&watcher, value);
    }
    assert_eq!((store.health().unwrap().restores, alone.health().unwrap().restores), (0, 0));
}
