//! Expiry: exact to the millisecond for every read, whether or not expired entries were removed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Rig, events_now, eventually, ms, next_event};
use larder::{Clock, Condition, Error, Event, EventKind, Pattern, Revision, Store, View, WallClock};

/// Checks every read of groups "g" and "t:g", whose keys "a" and "c" stay and whose key "b" expires.
fn assert_reads(view: &View, there: bool) {
    for group in ["g", "t:g"] {
        let expected: &[&str] = if there { &["a", "b", "c"] } else { &["a", "c"] };
        assert_eq!(view.get(group, "b").unwrap().is_some(), there);
        assert_eq!(view.entry(group, "b").unwrap().is_some(), there);
        assert_eq!(view.exists(group, "b").unwrap(), there);
        assert_eq!(view.fields(group, "b").unwrap().is_some(), there);
        assert_eq!(view.split(group, "b", ",").unwrap().is_some(), there);
        assert_eq!(view.get_all(group).unwrap().keys().collect::<Vec<_>>(), expected);
        assert_eq!(view.keys(group).unwrap().map(Result::unwrap).collect::<Vec<_>>(), expected);
        let entries: Vec<_> = view.entries(group).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(view.page(group, None, 10).unwrap().entries, entries);
        // Pages and offsets skip expired entries.
        let second = view.page(group, Some("a"), 1).unwrap();
        assert_eq!((second.entries[0].key.as_str(), second.next.is_some()), (expected[1], there));
        assert_eq!(view.get_page(group, 1, 1).unwrap()[0].key, expected[1]);
        assert_eq!(view.get_page(group, 2, 1).unwrap().len(), usize::from(there));
        assert_eq!(view.count(group).unwrap(), expected.len() as u64);
        let listed = view.groups(group).unwrap();
        assert_eq!((listed[0].keys, listed[0].bytes), (expected.len() as u64, expected.len() as u64 * 2));
        // Group "only" has only an expiring entry.
        let alone = group.replace('g', "only");
        assert_eq!(view.group_exists(&alone).unwrap(), there);
        assert_eq!(view.groups(&alone).unwrap().len(), usize::from(there));
        assert_eq!(view.count(&alone).unwrap(), u64::from(there));
    }
    assert_eq!(view.count_all("").unwrap(), if there { 8 } else { 4 });
    assert_eq!(view.count_all("t:").unwrap(), if there { 4 } else { 2 });
    assert_eq!(view.groups("").unwrap().len(), if there { 4 } else { 2 });
}

/// Writes the entries that [`assert_reads`] checks; key "b" expires after 1,000 ms.
fn fill(store: &Store) {
    for prefix in ["", "t:"] {
        for key in ["a", "c"] {
            store.set(format!("{prefix}g"), key, "v").unwrap();
        }
        store.set_with_ttl(format!("{prefix}g"), "b", "v", ms(1000)).unwrap();
        store.set_with_ttl(format!("{prefix}only"), "b", "v", ms(1000)).unwrap();
    }
}

/// A way to write an entry.
type Write = fn(&Store);

/// A way to delete a group, which returns how many entries it had.
type Delete = fn(&Store) -> larder::Result<u64>;

fn brief(events: &[Event]) -> Vec<(EventKind, &str)> {
    events.iter().map(|event| (event.kind, event.key.as_deref().unwrap_or("-"))).collect()
}

/// A clock in milliseconds since the epoch, set by the test.
#[derive(Clone, Debug, Default)]
struct TickingClock(Arc<AtomicU64>);

impl Clock for TickingClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + ms(self.0.load(Ordering::SeqCst))
    }
}

on_every_engine! {
    fn a_time_at_the_edge_of_its_range_means_the_same_to_every_call(rig: &Rig) {
        let store = rig.store();
        let last = UNIX_EPOCH + ms(253_402_300_799_999);
        let ns = Duration::from_nanos;
        let beyond = [last + ns(1), last + ms(1), UNIX_EPOCH + ms(i64::MAX as u64), UNIX_EPOCH + Duration::from_secs(9_000_000_000_000_000)];
        let past = [UNIX_EPOCH, UNIX_EPOCH - ns(1), UNIX_EPOCH - ms(1), UNIX_EPOCH - Duration::from_secs(9_000_000_000_000_000), rig.clock.now()];
        let live = [(rig.clock.now() + ns(1), Some(rig.clock.now() + ms(1))), (last, Some(last))].into_iter().chain(beyond.map(|at| (at, None)));
        for (expires_at, stored) in live {
            let watcher = store.watch(Pattern::all()).unwrap();
            store.set_until("g", "k", "v", Some(expires_at)).unwrap();
            let entry = store.entry("g", "k").unwrap().unwrap();
            assert_eq!(entry.expires_at, stored, "{expires_at:?}");
            assert_eq!(next_event(&watcher).expires_at, stored);
            assert_eq!(store.history("g", "k").unwrap().last().unwrap().expires_at, stored);
            assert_eq!(store.entries("g").unwrap().map(Result::unwrap).collect::<Vec<_>>(), std::slice::from_ref(&entry));
            assert_eq!(store.snapshot().unwrap().entry("g", "k").unwrap(), Some(entry.clone()));
            assert_eq!(rig.second_handle(&store).entry("g", "k").unwrap(), Some(entry));
            assert_eq!((store.count("g").unwrap(), store.exists("g", "k").unwrap()), (1, true));
            assert_eq!(store.purge_expired().unwrap(), 0);
        }
        for expires_at in past {
            store.set_until("g", "k", "v", Some(expires_at)).unwrap();
            assert_eq!(store.entry("g", "k").unwrap(), None, "{expires_at:?}");
            assert_eq!((store.count("g").unwrap(), store.exists("g", "k").unwrap()), (0, false));
            assert_eq!(store.entries("g").unwrap().count(), 0);
            assert_eq!(store.purge_expired().unwrap(), 1);
        }
        store.set_with_ttl("g", "k", "v", Duration::MAX).unwrap();
        assert_eq!(store.entry("g", "k").unwrap().unwrap().expires_at, None);
        assert!(store.touch("g", "k", Duration::MAX).unwrap());
        assert_eq!(store.entry("g", "k").unwrap().unwrap().expires_at, None);
    }

    fn no_read_returns_an_expired_entry_whether_or_not_it_was_purged(rig: &Rig) {
        let store = rig.store();
        fill(&store);
        assert_reads(&store, true);
        rig.advance_ms(999);
        assert_reads(&store, true);
        rig.advance_ms(1);
        assert_reads(&store, false);
        assert_eq!(store.scoped("t").unwrap().usage().unwrap().keys, 2);
        assert_eq!(store.namespaces().unwrap()[0].usage.groups, 1);
        let snapshot = store.snapshot().unwrap();
        assert_reads(&snapshot, false);
        store
            .transaction(|tx| {
                assert_reads(tx, false);
                Ok(())
            })
            .unwrap();
        assert_eq!(store.purge_expired().unwrap(), 4);
        assert_reads(&store, false);
        assert_reads(&rig.reopen(store), false);
    }

    fn reads_never_write(rig: &Rig) {
        let store = rig.store();
        fill(&store);
        let before = store.revision().unwrap();
        let start = rig.clock.now();
        rig.advance_ms(1000);
        assert_reads(&store, false);
        store.check().unwrap();
        store.stats().unwrap();
        assert_eq!(store.revision().unwrap(), before);
        // The expired entries are still stored: with an earlier clock they are visible again.
        rig.clock.set(start);
        assert_reads(&store, true);
    }

    fn purge_removes_expired_entries_for_good_and_nothing_else(rig: &Rig) {
        let store = rig.store();
        fill(&store);
        store.set_with_ttl("g", "later", "v", ms(1001)).unwrap();
        assert_eq!(store.purge_expired().unwrap(), 0);
        let start = rig.clock.now();
        rig.advance_ms(1000);
        assert_eq!(store.purge_expired().unwrap(), 4);
        assert_eq!(store.purge_expired().unwrap(), 0);
        assert!(store.exists("g", "later").unwrap());
        rig.clock.set(start);
        assert_eq!(store.count_all("").unwrap(), 5);
        assert!(!store.exists("g", "b").unwrap());
    }

    fn purge_sends_one_event_per_entry_in_order_of_expiry(rig: &Rig) {
        let store = rig.store();
        for (key, ttl) in [("third", 30), ("first", 10), ("second", 20), ("stays", 31)] {
            store.set_with_ttl("g", key, "v", ms(ttl)).unwrap();
        }
        let expires_at = store.entry("g", "first").unwrap().unwrap().expires_at;
        rig.advance_ms(30);
        let before = store.revision().unwrap();
        let watcher = store.watch(("g", "*")).unwrap();
        assert_eq!(store.purge_expired().unwrap(), 3);
        let events = events_now(&watcher);
        let expired = |key| (EventKind::Expire, key);
        assert_eq!(brief(&events), [expired("first"), expired("second"), expired("third")]);
        assert!(events.iter().all(|event| event.revision == rig.after(before) && event.value.is_none()));
        assert_eq!((events[0].expires_at, events[0].at), (expires_at, rig.clock.now()));
        assert_eq!(store.revision().unwrap(), rig.after(before));
    }

    fn a_purge_of_very_many_entries_is_complete_and_sends_each_event_once(rig: &Rig) {
        let store = rig.store();
        let all: BTreeSet<String> = (0..2500).map(|number| format!("{number:04}")).collect();
        let batch = all.iter().fold(store.batch(), |batch, key| batch.set_with_ttl("g", key, "v", ms(1)));
        let revision = batch.commit().unwrap();
        rig.advance_ms(1);
        assert_eq!(store.purge_expired().unwrap(), 2500);
        let watcher = store.watch_from(Pattern::all(), revision).unwrap();
        let events = events_now(&watcher);
        assert_eq!(events.len(), 2500);
        assert_eq!(events.into_iter().filter_map(|event| event.key).collect::<BTreeSet<_>>(), all);
    }

    fn overwriting_an_expired_entry_sends_expire_and_then_set(rig: &Rig) {
        let store = rig.store();
        let writes: [(&str, Write); 6] = [
            ("v", |store| _ = store.set("g", "k", "v").unwrap()),
            ("v", |store| _ = store.set_with_ttl("g", "k", "v", ms(100)).unwrap()),
            ("7", |store| _ = store.increment("g", "k", 7).unwrap()),
            ("v", |store| _ = store.set_if("g", "k", Condition::Absent, "v").unwrap()),
            ("v", |store| _ = store.batch().delete("g", "k").set("g", "k", "v").commit().unwrap()),
            ("v", |store| store.transaction(|tx| tx.set("g", "k", "v")).unwrap()),
        ];
        for (value, write) in writes {
            store.set_with_ttl("g", "k", "1000", ms(5)).unwrap();
            rig.advance_ms(5);
            let before = store.revision().unwrap();
            let watcher = store.watch(("g", "k")).unwrap();
            write(&store);
            let events = events_now(&watcher);
            assert_eq!(brief(&events), [(EventKind::Expire, "k"), (EventKind::Set, "k")]);
            assert!(events.iter().all(|event| event.revision == rig.after(before)));
            let entry = store.entry("g", "k").unwrap().unwrap();
            assert_eq!((entry.value.as_str().unwrap(), entry.revision), (value, rig.after(before)));
            assert_eq!((store.count("g").unwrap(), store.groups("").unwrap()[0].bytes), (1, 2));
            store.delete_group("g").unwrap();
        }
    }

    fn an_expired_entry_cannot_be_deleted_touched_or_required(rig: &Rig) {
        let store = rig.store();
        let written = store.set_with_ttl("g", "k", "v", ms(5)).unwrap();
        rig.advance_ms(5);
        assert!(!store.delete("g", "k").unwrap());
        assert!(!store.touch("g", "k", ms(5)).unwrap());
        assert!(!store.persist("g", "k").unwrap());
        assert_eq!(store.delete_group("g").unwrap(), 0);
        assert_eq!(store.delete_prefix("").unwrap(), 0);
        for condition in [Condition::Present, Condition::Revision(written)] {
            for refused in [
                store.set_if("g", "k", condition, "w").map(drop),
                store.delete_if("g", "k", condition).map(drop),
                store.batch().require("g", "k", condition).commit().map(drop),
                store.transaction(|tx| tx.require("g", "k", condition)),
            ] {
                assert!(matches!(refused, Err(Error::Conflict { actual: None, .. })), "{refused:?}");
            }
        }
        assert!(!store.delete_if("g", "k", Condition::Absent).unwrap());
        assert_eq!(store.revision().unwrap(), written);
    }

    fn delete_group_counts_live_entries_and_expired_ones_keep_their_own_events(rig: &Rig) {
        // Each with the number of expired entries it leaves to the next purge, on an engine that deletes them
        // with their group.
        let deletes: [(Delete, u64); 4] = [
            (|store| store.delete_group("g"), 1),
            (|store| store.delete_prefix("g"), 0),
            (|store| store.transaction(|tx| tx.delete_group("g")), 1),
            (|store| store.transaction(|tx| tx.delete_prefix("g")), 0),
        ];
        for (delete, left) in deletes {
            let store = rig.store();
            store.delete_prefix("").unwrap();
            for (key, ttl) in [("gone", 5), ("later", 6)] {
                store.set_with_ttl("g", key, "v", ms(ttl)).unwrap();
            }
            store.set("g", "stays", "v").unwrap();
            store.set_with_ttl("g only", "gone", "v", ms(5)).unwrap();
            rig.advance_ms(5);
            let watcher = store.watch(("*", "*")).unwrap();
            assert_eq!(delete(&store).unwrap(), 2);
            let purged = store.purge_expired().unwrap();
            let events = events_now(&watcher);
            let groups: Vec<&str> = events.iter().map(|event| event.group.as_str()).collect();
            assert_eq!(groups, ["g", "g", "g only"]);
            let (expired, deleted) = ((EventKind::Expire, "gone"), (EventKind::DeleteGroup, "-"));
            if rig.promises.deleting_a_group_purges_it {
                // Each expired entry still has its own event, before that of its group.
                assert_eq!(purged, left);
                assert_eq!(brief(&events), [expired, deleted, expired]);
            } else {
                assert_eq!(purged, 2);
                assert_eq!(brief(&events), [deleted, expired, expired]);
            }
            assert_eq!(store.count_all("").unwrap(), 0);
        }
    }

    fn an_entry_never_lives_shorter_than_its_ttl(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("g", "k", "v", Duration::from_nanos(1)).unwrap();
        assert!(store.exists("g", "k").unwrap());
        store.touch("g", "k", Duration::from_micros(1500)).unwrap();
        rig.advance_ms(1);
        assert!(store.exists("g", "k").unwrap());
        rig.advance_ms(1);
        assert!(!store.exists("g", "k").unwrap());
    }

    fn an_entry_set_until_a_past_time_is_absent(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "old").unwrap();
        for past in [rig.clock.now(), rig.clock.now() - ms(1), UNIX_EPOCH, UNIX_EPOCH - ms(1)] {
            store.set_until("g", "k", "v", Some(past)).unwrap();
            assert_eq!(store.get("g", "k").unwrap(), None);
            assert_eq!(store.count("g").unwrap(), 0);
        }
        assert_eq!(store.purge_expired().unwrap(), 1);
        let at = rig.clock.now() + ms(3);
        store.set_until("g", "k", "v", Some(at)).unwrap();
        assert_eq!(store.entry("g", "k").unwrap().unwrap().expires_at, Some(at));
    }

    fn expiry_follows_any_clock_that_the_caller_provides(rig: &Rig) {
        let clock = TickingClock::default();
        let store = rig.open_with(|options| options.clock(clock.clone()));
        store.set_with_ttl("g", "k", "v", ms(10)).unwrap();
        clock.0.store(9, Ordering::SeqCst);
        assert!(store.exists("g", "k").unwrap());
        clock.0.store(10, Ordering::SeqCst);
        assert!(!store.exists("g", "k").unwrap());
        assert_eq!(store.purge_expired().unwrap(), 1);
    }

    fn the_timer_removes_each_entry_when_it_expires_with_one_event(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        let start = rig.clock.now();
        // The second entry expires before the one the timer waits for; later ones come from a batch and a
        // transaction.
        store.set_with_ttl("g", "2", "v", ms(1000)).unwrap();
        store.set_with_ttl("g", "1", "v", ms(100)).unwrap();
        store.set("g", "4", "v").unwrap();
        store.touch("g", "4", ms(4000)).unwrap();
        store.batch().set("g", "stays", "v").set_with_ttl("g", "5", "v", ms(5000)).commit().unwrap();
        store.transaction(|tx| tx.set_with_ttl("g", "3", "v", ms(3000))).unwrap();
        let watcher = store.watch(("g", "*")).unwrap();
        for (key, at) in [("1", 100), ("2", 1000), ("3", 3000), ("4", 4000), ("5", 5000)] {
            rig.clock.set(start + ms(at - 1));
            assert!(store.exists("g", key).unwrap());
            rig.clock.set(start + ms(at));
            let event = next_event(&watcher);
            assert_eq!((event.kind, event.key.as_deref()), (EventKind::Expire, Some(key)));
            assert_eq!((event.at, event.expires_at), (start + ms(at), Some(start + ms(at))));
        }
        rig.clock.set(start);
        assert_eq!(store.keys("g").unwrap().map(Result::unwrap).collect::<Vec<_>>(), ["stays"]);
        store.set("g", "marker", "v").unwrap();
        assert_eq!(brief(&events_now(&watcher)), [(EventKind::Set, "marker")]);
    }

    fn the_timer_keeps_entries_whose_expiry_was_extended(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        for key in ["touched", "persisted", "set", "set again", "incremented"] {
            store.set_with_ttl("g", key, "1", ms(100)).unwrap();
        }
        store.touch("g", "touched", ms(200)).unwrap();
        store.persist("g", "persisted").unwrap();
        store.set("g", "set", "1").unwrap();
        store.set_with_ttl("g", "set again", "1", ms(200)).unwrap();
        store.increment("g", "incremented", 1).unwrap();
        let watcher = store.watch(("g", "*")).unwrap();
        rig.advance_ms(100);
        assert_eq!(next_event(&watcher).key.unwrap(), "incremented");
        rig.advance_ms(100);
        let both = BTreeSet::from([next_event(&watcher).key.unwrap(), next_event(&watcher).key.unwrap()]);
        assert_eq!(both, BTreeSet::from(["set again".to_owned(), "touched".to_owned()]));
        assert_eq!(store.count("g").unwrap(), 2);
    }

    fn the_timer_removes_entries_that_expired_while_the_store_was_closed(rig: &Rig) {
        let store = rig.store();
        let revision = store.set_with_ttl("g", "k", "v", ms(100)).unwrap();
        if !rig.promises.can_be_opened_again {
            return;
        }
        store.close().unwrap();
        rig.advance_ms(100);
        let store = rig.open_with(|options| options.expiry_timer(true));
        let watcher = store.watch_from(Pattern::all(), revision).unwrap();
        assert_eq!(next_event(&watcher).kind, EventKind::Expire);
    }

    /// The other handle has no timer, like a command that writes and exits.
    fn watchers_receive_expiries_on_time_for_entries_that_another_handle_set(rig: &Rig) {
        let store = rig.open_with(|options| options.clock(WallClock).expiry_timer(true));
        let watcher = store.watch(Pattern::all()).unwrap();
        let other = match rig.promises.can_be_opened_again {
            true => rig.open_with(|options| options.clock(WallClock)),
            false => store.clone(),
        };
        for _ in 0..3 {
            other.set_with_ttl("g", "k", "v", ms(20)).unwrap();
            assert_eq!(next_event(&watcher).kind, EventKind::Set);
            // Long before the timer's regular check.
            assert_eq!(next_event(&watcher).kind, EventKind::Expire);
        }
    }

    fn two_timers_send_one_event_per_expired_entry(rig: &Rig) {
        if !rig.promises.can_be_opened_again {
            return;
        }
        let one = rig.open_with(|options| options.expiry_timer(true));
        let other = rig.open_with(|options| options.expiry_timer(true));
        let batch =
            (0..1500).fold(one.batch(), |batch, key| batch.set_with_ttl("g", key.to_string(), "v", ms(1)));
        batch.commit().unwrap();
        other.set_with_ttl("g", "of the other", "v", ms(1)).unwrap();
        rig.advance_ms(1);
        // An entry set after the purge has its event after those of the purge.
        let last = eventually_purged(rig, &one);
        let events = events_now(&one.watch_from(Pattern::all(), rig.revision(2)).unwrap());
        let expired: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Expire).collect();
        assert_eq!(expired.len(), 1501);
        assert_eq!(expired.iter().map(|event| event.key.as_ref()).collect::<BTreeSet<_>>().len(), 1501);
        assert_eq!(events.last().unwrap().revision, last);
    }
}

/// Waits until every expired entry is removed, then sets a marker.
fn eventually_purged(rig: &Rig, store: &Store) -> Revision {
    eventually("the timers have removed every expired entry", || {
        let events = events_now(&store.watch_from(Pattern::all(), rig.revision(2)).unwrap());
        events.len() >= 1501
    });
    assert_eq!(store.purge_expired().unwrap(), 0);
    store.set("g", "marker", "v").unwrap()
}
