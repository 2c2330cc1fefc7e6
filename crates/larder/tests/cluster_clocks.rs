//! Clients of one store with different clocks.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::time::Duration;

use larder::{ManualClock, Store};
use larder_cluster::Cluster;

use clusters::skipped;

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
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
