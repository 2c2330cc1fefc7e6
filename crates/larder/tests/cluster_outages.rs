//! A cluster that is down as a whole for a while, under every kind of client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::thread;

use clusters::{SHORT, WAIT_MAX, eventually, options, skipped};
use larder::{Consistency, Error, Pattern};
use larder_cluster::Cluster;

#[test]
fn while_all_members_are_down_nothing_stale_is_shown_and_afterwards_everything_continues() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let store = options().connect(&location).unwrap();
    let cached = options().consistency(Consistency::Cached).connect(&location).unwrap();
    let watcher = store.watch(Pattern::group("h")).unwrap();
    let behind = store.watch(Pattern::group("h")).unwrap();
    let cursor = store.cursor_on("consumer", Pattern::group("h")).unwrap();
    let mut written = vec![store.set("h", "k", "before").unwrap()];
    store.set("g", "k", "before").unwrap();
    assert_eq!(cached.get("g", "k").unwrap().unwrap(), "before");
    eventually("the cache is fresh", || cached.cache_age().unwrap());
    let mut received = vec![watcher.recv_timeout(WAIT_MAX).unwrap().unwrap().revision];
    assert!(watcher.try_recv().unwrap().is_none());
    let unacknowledged = cursor.recv_timeout(WAIT_MAX).unwrap().unwrap();

    (0..3).for_each(|member| cluster.kill(member));
    eventually("the cache is too old", || cached.cache_age().unwrap().is_none().then_some(()));
    let is_unreachable = |error: Error| assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let is_not_acknowledged = |error: Error| {
        assert!(matches!(error, Error::Unreachable { .. } | Error::Unknown { .. }), "{error:?}");
    };
    // At once, since each takes the whole timeout.
    thread::scope(|scope| {
        scope.spawn(|| is_unreachable(cached.get("g", "k").unwrap_err()));
        scope.spawn(|| is_unreachable(store.get("g", "k").unwrap_err()));
        scope.spawn(|| is_unreachable(store.count("g").unwrap_err()));
        scope.spawn(|| is_unreachable(store.snapshot().unwrap_err()));
        scope.spawn(|| is_unreachable(options().connect(&location).unwrap_err()));
        scope.spawn(|| is_not_acknowledged(store.set("g", "k", "refused").unwrap_err()));
        scope.spawn(|| is_not_acknowledged(store.increment("g", "n", 1).unwrap_err()));
        scope.spawn(|| is_not_acknowledged(cursor.ack(&unacknowledged).unwrap_err()));
        // A watcher that has to read the log says that it cannot. A live one has nothing to read, and waits.
        scope.spawn(|| is_unreachable(behind.recv_timeout(SHORT).unwrap_err()));
        scope.spawn(|| assert_eq!(watcher.recv_timeout(SHORT).unwrap(), None));
    });

    (0..3).for_each(|member| cluster.restart(member));
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    let other = options().timeout(WAIT_MAX).connect(&location).unwrap();
    written.extend((0..3).map(|n| other.set("h", "k", format!("after {n}")).unwrap()));
    for watcher in [&watcher, &behind] {
        let next = || eventually("an event", || watcher.recv_timeout(SHORT).ok().flatten()).revision;
        while received.len() < written.len() {
            received.push(next());
        }
        assert_eq!(received, written);
        received.clear();
    }
    eventually("the position", || cursor.ack(&unacknowledged).ok());
    for revision in &written[1..] {
        let event = eventually("an event", || cursor.recv_timeout(SHORT).ok().flatten());
        assert_eq!(event.revision, *revision);
    }
    eventually("the cache", || cached.get("h", "k").ok().flatten().filter(|value| *value == "after 2"));
    eventually("the cache is fresh", || cached.cache_age().unwrap());
    assert_eq!((store.health().unwrap().restores, cached.health().unwrap().restores), (0, 0));
    assert_eq!(store.check().unwrap(), []);
}
