//! Snapshots: every read shows the same state of the store, whatever is written meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::Rig;
use larder::{Error, Value, View};

/// Everything that a view shows.
fn everything(view: &View) -> String {
    let groups = view.groups("").unwrap();
    let all: Vec<_> = groups.iter().map(|group| view.get_all(&group.name).unwrap()).collect();
    format!("{groups:?} {all:?} {}", view.count_all("").unwrap())
}

on_every_engine! {
    fn every_read_shows_the_store_as_it_was_when_the_snapshot_was_taken(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        store.set("config", "hosts", "a,b c").unwrap();
        store.set("gone", "key", "x").unwrap();
        let tenant = store.scoped("tenant-42").unwrap();
        tenant.set("preferences", "locale", "en-GB").unwrap();
        let before = everything(&store);
        let snapshot = store.snapshot().unwrap();
        let tenants = tenant.snapshot().unwrap();

        store.set("config", "colour", "green").unwrap();
        store.set("config", "new", "x").unwrap();
        store.set("new", "key", "x").unwrap();
        store.delete("config", "hosts").unwrap();
        store.delete_group("gone").unwrap();
        tenant.delete_prefix("").unwrap();

        assert_eq!(everything(&snapshot), before);
        assert_eq!(snapshot.revision().unwrap(), rig.revision(4));
        assert_eq!(snapshot.get("config", "colour").unwrap().unwrap(), "blue");
        assert_eq!(snapshot.entry("config", "colour").unwrap().unwrap().revision, rig.revision(1));
        assert!(!snapshot.exists("config", "new").unwrap());
        assert!(snapshot.group_exists("gone").unwrap());
        assert!(!snapshot.group_exists("new").unwrap());
        assert_eq!(snapshot.count("config").unwrap(), 2);
        assert_eq!(snapshot.page("config", None, 10).unwrap().entries.len(), 2);
        assert_eq!(snapshot.get_page("config", 1, 10).unwrap().len(), 1);
        assert_eq!(snapshot.keys("config").unwrap().map(Result::unwrap).collect::<Vec<_>>(), ["colour", "hosts"]);
        assert_eq!(snapshot.entries("config").unwrap().count(), 2);
        assert_eq!(snapshot.split("config", "hosts", ",").unwrap().unwrap(), ["a", "b c"]);
        assert_eq!(snapshot.fields("config", "hosts").unwrap().unwrap(), ["a,b", "c"]);
        assert_eq!(snapshot.render("{{ colour }} {{ get('gone', 'key') }}", "config").unwrap(), "blue x");
        assert_eq!(tenants.get("preferences", "locale").unwrap().unwrap(), "en-GB");
        assert_eq!(tenants.groups("").unwrap()[0].name, "preferences");
        assert_eq!(tenant.count_all("").unwrap(), 0);
        assert_ne!(everything(&store), before);
    }

    fn a_snapshot_hides_entries_that_expire_while_it_is_held(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("session", "short", "x", Duration::from_secs(1)).unwrap();
        store.set_with_ttl("session", "long", "x", Duration::from_secs(60)).unwrap();
        let snapshot = store.snapshot().unwrap();
        rig.advance_ms(1000);
        assert_eq!(store.purge_expired().unwrap(), 1);
        assert_eq!(snapshot.get("session", "short").unwrap(), None);
        assert_eq!(snapshot.count("session").unwrap(), 1);
        assert!(snapshot.exists("session", "long").unwrap());
    }

    fn a_stream_of_a_store_shows_one_snapshot(rig: &Rig) {
        let store = rig.store();
        for number in 0..1000 {
            store.set("bulk", format!("{number:04}"), "old").unwrap();
        }
        let mut entries = store.entries("bulk").unwrap();
        let first = entries.next().unwrap().unwrap();
        assert_eq!((first.key.as_str(), first.value), ("0000", Value::from("old")));
        store.delete_group("bulk").unwrap();
        store.set("bulk", "0999", "new").unwrap();
        let rest: Vec<_> = entries.map(Result::unwrap).collect();
        assert_eq!(rest.len(), 999);
        assert!(rest.iter().all(|entry| entry.value == "old"));
    }

    fn each_of_many_snapshots_keeps_its_own_state(rig: &Rig) {
        let store = rig.store();
        let snapshots: Vec<_> = (1..=40)
            .map(|number| {
                store.set("stats", "n", number.to_string()).unwrap();
                store.snapshot().unwrap()
            })
            .collect();
        store.delete("stats", "n").unwrap();
        for (number, snapshot) in (1..).zip(&snapshots) {
            assert_eq!(snapshot.get("stats", "n").unwrap().unwrap(), number.to_string());
            assert_eq!(snapshot.revision().unwrap(), rig.revision(number));
        }
    }

    fn snapshots_taken_while_others_write_never_show_half_a_batch(rig: &Rig) {
        let store = rig.store();
        store.batch().set("a", "n", "0").set("b", "n", "0").commit().unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..=200 {
                    store.batch().set("a", "n", number.to_string()).set("b", "n", number.to_string()).commit().unwrap();
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 200 {
                        let snapshot = store.snapshot().unwrap();
                        let a: u64 = snapshot.get("a", "n").unwrap().unwrap().parse().unwrap();
                        let b: u64 = snapshot.get("b", "n").unwrap().unwrap().parse().unwrap();
                        assert_eq!(a, b);
                        assert_eq!(snapshot.revision().unwrap(), rig.revision(a + 1));
                        assert!(a >= last, "a later snapshot is older");
                        last = a;
                    }
                });
            }
            writer.join().unwrap();
        });
    }

    fn many_threads_can_read_one_snapshot(rig: &Rig) {
        let store = rig.store();
        for number in 0..300 {
            store.set("bulk", format!("{number:03}"), number.to_string()).unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let all: BTreeMap<String, Value> = snapshot.get_all("bulk").unwrap().into();
                    assert_eq!(all.len(), 300);
                    assert_eq!(snapshot.entries("bulk").unwrap().count(), 300);
                });
            }
            scope.spawn(|| store.delete_group("bulk").unwrap());
        });
        assert_eq!(snapshot.count("bulk").unwrap(), 300);
    }

    fn a_snapshot_is_closed_with_its_store(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        let snapshot = store.snapshot().unwrap();
        let stream = snapshot.entries("config").unwrap();
        store.close().unwrap();
        assert!(matches!(snapshot.get("config", "colour"), Err(Error::Closed)));
        assert!(matches!(snapshot.revision(), Err(Error::Closed)));
        // The stream may still deliver what it has read. It must not panic.
        stream.for_each(drop);
    }

    fn a_snapshot_keeps_the_store_open_until_it_is_dropped(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        let snapshot = store.snapshot().unwrap();
        drop(store);
        if rig.promises.can_be_opened_again {
            assert_eq!(snapshot.get("config", "colour").unwrap().unwrap(), "blue");
            drop(snapshot);
        }
        if rig.promises.is_a_file {
            let left: Vec<_> = std::fs::read_dir(rig.folder()).unwrap().collect();
            assert_eq!(left.len(), 1, "the write-ahead log was not checkpointed: {left:?}");
        }
    }
}
