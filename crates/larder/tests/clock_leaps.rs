//! A clock that is set: reads follow it, and nothing is removed for good by a time that was wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::{Duration, SystemTime};

use common::{Rig, events_now, next_event};
use larder::{Clock, EventKind, Quota};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(3600 * 24 * 365);

/// A clock that does not tell how much time has passed.
#[derive(Debug)]
struct Untold(larder::ManualClock);

impl Clock for Untold {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

on_every_engine! {
    fn a_clock_that_leaps_ahead_and_back_loses_nothing(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        store.set_with_ttl("session", "token", "abc", HOUR).unwrap();
        let watcher = store.watch(("session", "*")).unwrap();
        let right = rig.clock.now();
        rig.clock.set(right + YEAR);
        assert!(!store.exists("session", "token").unwrap(), "reads follow the clock");
        assert_eq!(store.purge_expired().unwrap(), 0);
        // For less than ten minutes.
        rig.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(store.purge_expired().unwrap(), 0);
        rig.clock.set(right + Duration::from_secs(9 * 60));
        assert_eq!(store.get("session", "token").unwrap().unwrap(), "abc");
        // From now on it is believed again.
        rig.clock.advance(HOUR);
        let event = next_event(&watcher);
        assert_eq!((event.kind, event.key.as_deref()), (EventKind::Expire, Some("token")));
        assert!(!store.exists("session", "token").unwrap());
    }

    fn after_a_leap_expired_entries_are_removed_once_the_clock_has_passed_evenly(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        store.set_with_ttl("session", "token", "abc", HOUR).unwrap();
        let watcher = store.watch(("session", "*")).unwrap();
        rig.clock.set(rig.clock.now() + YEAR);
        assert_eq!(store.purge_expired().unwrap(), 0);
        assert_eq!(events_now(&watcher), []);
        rig.clock.advance(Duration::from_secs(10 * 60));
        let event = next_event(&watcher);
        assert_eq!((event.kind, event.key.as_deref()), (EventKind::Expire, Some("token")));
    }

    fn quotas_follow_a_clock_that_leaps_and_remove_nothing(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-42").unwrap();
        store.set_quota("tenant-42", Quota { max_keys: Some(2), ..Quota::default() }).unwrap();
        tenant.set_with_ttl("g", "1", "v", HOUR).unwrap();
        tenant.set_with_ttl("g", "2", "v", HOUR).unwrap();
        let right = rig.clock.now();
        rig.clock.set(right + YEAR);
        tenant.set("g", "3", "v").unwrap();
        tenant.batch().set("g", "4", "v").set("g", "3", "w").commit().unwrap();
        assert!(tenant.set("g", "5", "v").is_err());
        assert!(tenant.batch().set("g", "5", "v").set("g", "6", "v").commit().is_err());
        assert_eq!(tenant.usage().unwrap().keys, 2);
        rig.clock.set(right);
        for key in ["1", "2", "3", "4"] {
            assert!(tenant.exists("g", key).unwrap(), "{key}");
        }
        assert!(tenant.set("g", "5", "v").is_err());
    }

    fn a_clock_that_does_not_tell_how_much_time_has_passed_is_believed(rig: &Rig) {
        let clock = rig.clock.clone();
        let store = rig.open_with(|options| options.clock(Untold(clock)));
        store.set_with_ttl("session", "token", "abc", HOUR).unwrap();
        rig.clock.set(rig.clock.now() + YEAR);
        assert_eq!(store.purge_expired().unwrap(), 1);
    }
}
