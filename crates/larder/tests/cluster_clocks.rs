//! Clients of one store with different clocks.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::time::Duration;

use larder::{Clock, Consistency, ErrorKind, ManualClock, Options, Quota, Store};
use larder_cluster::Cluster;

use clusters::{WAIT_MAX, eventually, skipped};

#[test]
fn a_client_whose_clock_is_ahead_purges_nothing_that_others_still_see() {
    if skipped() {
        return;
    }
    let location = Cluster::shared().location("clocks");
    let (right, ahead) = (ManualClock::new(), ManualClock::new());
    ahead.advance(Duration::from_secs(2));
    let open = |clock: &ManualClock| {
        let options = Store::options().clock(clock.clone()).expiry_timer(false);
        options.clock_difference_max(Duration::from_secs(3)).connect(&location).unwrap()
    };
    let (store, hasty) = (open(&right), open(&ahead));
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(1)).unwrap();
    assert_eq!(hasty.get("session", "token").unwrap(), None);
    assert_eq!(hasty.purge_expired().unwrap(), 0);
    assert_eq!(store.get("session", "token").unwrap().unwrap(), "abc");

    ahead.advance(Duration::from_millis(1999));
    assert_eq!(hasty.purge_expired().unwrap(), 0);
    ahead.advance(Duration::from_millis(1));
    assert_eq!(hasty.purge_expired().unwrap(), 1);
    // The slower clock has now reached the expiry too.
    right.advance(Duration::from_secs(2));
    assert_eq!(store.get("session", "token").unwrap(), None);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_quota_holds_by_the_clocks_of_all_clients() {
    if skipped() {
        return;
    }
    let location = Cluster::shared().location("quota-by-clocks");
    let (right, ahead) = (ManualClock::new(), ManualClock::new());
    ahead.advance(Duration::from_secs(2));
    let open = |clock: &ManualClock| {
        let options = Store::options().clock(clock.clone()).expiry_timer(false);
        options.clock_difference_max(Duration::from_secs(3)).connect(&location).unwrap()
    };
    let (store, hasty) = (open(&right), open(&ahead));
    store.set_quota("t", Quota { max_groups: Some(1), ..Quota::default() }).unwrap();
    let refused = |store: &Store| {
        let single = store.set("t:b", "k", "v").unwrap_err();
        let batch = store.batch().set("t:b", "k", "v").set("t:b", "l", "v").commit().unwrap_err();
        assert_eq!((single.kind(), batch.kind()), (ErrorKind::Refused, ErrorKind::Refused));
    };
    store.set_with_ttl("t:a", "k", "v", Duration::from_secs(1)).unwrap();
    // For one client it has expired. The other could add to its group, and then there would be two.
    assert_eq!(hasty.count("t:a").unwrap(), 0);
    refused(&hasty);
    assert_eq!(store.count("t:a").unwrap(), 1);

    right.advance(Duration::from_millis(3999));
    ahead.advance(Duration::from_millis(1999));
    refused(&hasty);
    ahead.advance(Duration::from_millis(1));
    hasty.set("t:b", "k", "v").unwrap();
    assert_eq!(store.scoped("t").unwrap().usage().unwrap().groups, 1);
    assert_eq!(store.check().unwrap(), []);
}

const HOUR: Duration = Duration::from_secs(3600);

/// A store whose clock shows another time than the right one: three hours later, or three hours earlier.
fn opened(name: &str, clock: &ManualClock, options: Options) -> Store {
    let options = options.clock(clock.clone()).expiry_timer(false);
    options.connect(Cluster::shared().location(name)).unwrap()
}

#[test]
fn clocks_that_are_hours_off_remove_nothing_early_within_the_difference_that_they_were_told() {
    if skipped() {
        return;
    }
    let right = ManualClock::new();
    let (ahead, behind) = (ManualClock::new(), ManualClock::new());
    ahead.set(right.now() + 3 * HOUR);
    behind.set(right.now() - 3 * HOUR);
    let told = || Store::options().clock_difference_max(6 * HOUR);
    let [store, hasty, late] = [&right, &ahead, &behind].map(|clock| opened("hours-off", clock, told()));
    let stores = [&store, &hasty, &late];
    for (store, key) in stores.iter().zip(["right", "ahead", "behind"]) {
        store.set_with_ttl("session", key, "abc", HOUR).unwrap();
    }
    let pass = |time: Duration| [&right, &ahead, &behind].iter().for_each(|clock| clock.advance(time));
    let seen =
        |store: &Store| ["right", "ahead", "behind"].map(|key| store.get("session", key).unwrap().is_some());
    // Each sees what has not expired by its own clock; nobody sees anything for longer than an hour and the
    // difference of the two clocks.
    let by_the_hour = [
        (0, [[true, true, false], [false, true, false], [true, true, true]]),
        (1, [[false, true, false], [false, false, false], [true, true, false]]),
        (4, [[false, false, false], [false, false, false], [false, true, false]]),
        (7, [[false, false, false], [false, false, false], [false, false, false]]),
    ];
    let mut passed = 0;
    for (hour, expected) in by_the_hour {
        pass((hour - passed) * HOUR);
        passed = hour;
        for store in stores {
            // Removes what has been expired for six hours by the store's own clock: for all others it has expired too.
            store.purge_expired().unwrap();
        }
        assert_eq!(stores.map(seen), expected, "after {hour} hours");
    }
    pass(6 * HOUR);
    store.purge_expired().unwrap();
    assert_eq!((late.count("session").unwrap(), store.check().unwrap()), (0, vec![]));
}

#[test]
fn a_clock_that_is_hours_off_changes_neither_the_age_of_a_cache_nor_the_order_of_events() {
    if skipped() {
        return;
    }
    let (right, ahead) = (ManualClock::new(), ManualClock::new());
    ahead.set(right.now() + 3 * HOUR);
    let store = opened("skewed-feed", &right, Store::options());
    let skewed = opened("skewed-feed", &ahead, Store::options().consistency(Consistency::Cached));
    let cursor = skewed.cursor("consumer").unwrap();
    let fresh = || eventually("the cache is fresh", || skewed.cache_age().unwrap());
    let mut revisions = Vec::new();
    for round in 0..5 {
        revisions.push(store.set("g", "k", "right").unwrap());
        revisions.push(skewed.set("g", "k", round.to_string()).unwrap());
        assert_eq!(skewed.get("g", "k").unwrap().unwrap(), round.to_string());
        fresh();
        // It leaps back and ahead while the cache is in use.
        ahead.set(right.now() + 3 * HOUR * (round % 2));
    }
    for (number, revision) in revisions.into_iter().enumerate() {
        let event = cursor.recv_timeout(WAIT_MAX).unwrap().unwrap();
        assert_eq!(event.revision, revision);
        // The time of a change is that of the clock of whoever made it.
        let is_skewed = event.at > right.now() + HOUR;
        assert_eq!(is_skewed, number % 4 == 1, "{number}");
        cursor.ack(&event).unwrap();
    }
    assert_eq!(cursor.recv_timeout(Duration::ZERO).unwrap(), None);
}
