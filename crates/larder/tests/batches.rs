//! Batches: changes and conditions that take effect together, in order, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::Duration;

use common::{Rig, events_now, ms};
use larder::{Batch, Clock, Condition, Error, Event, EventKind, Quota, Revision, Store};

/// Kind, group, key and value of each event.
fn brief(events: &[Event]) -> Vec<(EventKind, &str, &str, &str)> {
    events
        .iter()
        .map(|event| {
            let value = event.value.as_ref().and_then(|value| value.as_str()).unwrap_or("-");
            (event.kind, event.group.as_str(), event.key.as_deref().unwrap_or("-"), value)
        })
        .collect()
}

/// The whole content of a store in one line.
fn dump(store: &Store) -> String {
    let groups = store.groups("").unwrap();
    let entries = groups.iter().map(|group| store.page(&group.name, None, usize::MAX).unwrap());
    format!("{:?} {groups:?} {:?}", store.revision().unwrap(), entries.collect::<Vec<_>>())
}

/// A step that makes a batch fail, and a check of the error.
type Fault<'a> = (&'static str, &'a dyn Fn(Batch) -> Batch, fn(&Error) -> bool);

on_every_engine! {
    fn a_batch_is_one_revision_with_its_events_in_order(rig: &Rig) {
        let store = rig.store();
        store.set("b", "old", "v").unwrap();
        store.batch().set("c", "1", "v").set("c", "2", "v").commit().unwrap();
        let watcher = store.watch(("*", "*")).unwrap();
        let revision = store
            .batch()
            .set("z", "k", "1")
            .set("a", "k", "2")
            .delete("b", "old")
            .increment("a", "n", 5)
            .delete_group("c")
            .set_until("a", "until", "3", None)
            .commit()
            .unwrap();
        assert_eq!(revision, rig.revision(3));
        let events = events_now(&watcher);
        assert_eq!(
            brief(&events),
            [
                (EventKind::Set, "z", "k", "1"),
                (EventKind::Set, "a", "k", "2"),
                (EventKind::Delete, "b", "old", "-"),
                (EventKind::Set, "a", "n", "5"),
                (EventKind::DeleteGroup, "c", "-", "-"),
                (EventKind::Set, "a", "until", "3"),
            ]
        );
        assert!(events.iter().all(|event| event.revision == revision));
        assert!(store.entries("a").unwrap().all(|entry| entry.unwrap().revision == revision));
        assert_eq!(store.revision().unwrap(), revision);
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(4));
    }

    fn each_step_of_a_batch_sees_the_steps_before_it(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(("g", "k")).unwrap();
        store
            .batch()
            .set("g", "k", "1")
            .increment("g", "k", 1)
            .delete("g", "k")
            .increment("g", "k", 7)
            .delete_group("g")
            .delete("g", "k")
            .set("g", "k", "x")
            .set("g", "k", "y")
            .commit()
            .unwrap();
        let events = events_now(&watcher);
        let values: Vec<_> = brief(&events).into_iter().map(|(kind, .., value)| (kind, value)).collect();
        let set = |value| (EventKind::Set, value);
        let expected = [
            set("1"),
            set("2"),
            (EventKind::Delete, "-"),
            set("7"),
            (EventKind::DeleteGroup, "-"),
            set("x"),
            set("y"),
        ];
        assert_eq!(values, expected);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "y");
        assert_eq!(store.count("g").unwrap(), 1);
    }

    fn two_changes_of_one_key_are_two_events_of_one_revision(rig: &Rig) {
        let store = rig.store();
        let revision = store.batch().set("g", "k", "1").set("g", "k", "1").commit().unwrap();
        let events = store.history("g", "k").unwrap();
        assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [revision, revision]);
        assert_eq!(store.entry("g", "k").unwrap().unwrap().revision, revision);
    }

    fn a_batch_that_changes_nothing_takes_no_revision(rig: &Rig) {
        let store = rig.store();
        assert_eq!(store.batch().commit().unwrap(), Revision(0));
        store.set("g", "k", "v").unwrap();
        let watcher = store.watch(("*", "*")).unwrap();
        for batch in [
            store.batch(),
            store.batch().delete("g", "absent").delete_group("absent"),
            store.batch().require("g", "k", Condition::Present),
            store.batch().require("g", "k", Condition::Revision(rig.revision(1))).delete("absent", "k"),
        ] {
            assert_eq!(batch.commit().unwrap(), rig.revision(1));
        }
        assert_eq!(events_now(&watcher), []);
    }

    fn a_batch_that_undoes_itself_is_still_a_change(rig: &Rig) {
        let store = rig.store();
        assert_eq!(store.batch().set("g", "k", "v").delete("g", "k").commit().unwrap(), rig.revision(1));
        assert_eq!(store.history("g", "k").unwrap().len(), 2);
        assert!(!store.group_exists("g").unwrap());
    }

    fn conditions_are_checked_against_the_store_before_the_batch(rig: &Rig) {
        let store = rig.store();
        let revision = store.set("g", "k", "v").unwrap();
        let read =
            |condition| store.batch().delete("g", "k").set("g", "new", "v").require("g", "k", condition);
        for (condition, met) in [
            (Condition::Absent, false),
            (Condition::Revision(revision.next()), false),
            (Condition::Revision(Revision(0)), false),
            (Condition::Present, true),
        ] {
            assert_eq!(read(condition).commit().is_ok(), met, "{condition:?}");
        }
        assert!(store.exists("g", "new").unwrap());
        store.batch().set("g", "k", "v").require("g", "k", Condition::Absent).commit().unwrap();
        assert!(store.exists("g", "k").unwrap());
    }

    fn the_first_condition_that_fails_is_named(rig: &Rig) {
        let store = rig.store();
        let there = store.set("g", "there", "v").unwrap();
        let refused = store
            .batch()
            .set("g", "new", "v")
            .require("g", "there", Condition::Present)
            .require("g", "absent", Condition::Absent)
            .require("g", "there", Condition::Revision(there.next()))
            .require("g", "absent", Condition::Present)
            .commit();
        match refused.unwrap_err() {
            Error::Conflict { group, key, expected, actual } => {
                assert_eq!((group.as_str(), key.as_str()), ("g", "there"));
                assert_eq!((expected, actual), (Condition::Revision(there.next()), Some(there)));
            }
            other => panic!("{other}"),
        }
        assert!(!store.exists("g", "new").unwrap());
    }

    fn a_refused_batch_leaves_no_trace(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("t").unwrap();
        store.set("g", "text", "v").unwrap();
        store.set("g", "most", i64::MAX.to_string()).unwrap();
        store.set_with_ttl("g", "gone", "v", ms(1)).unwrap();
        tenant.set("g", "k", "v").unwrap();
        store.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
        rig.advance_ms(1);
        let before = dump(&store);
        let watcher = store.watch(("*", "*")).unwrap();
        let begun = || {
            let some = store
                .batch()
                .set("g", "text", "w")
                .set("new", "k", "v")
                .delete("g", "most")
                .set("g", "gone", "w");
            some.delete_group("t:g").increment("g", "n", 1)
        };
        let long = "n".repeat((64 << 10) + 1);
        let faults: [Fault<'_>; 7] = [
            ("text", &|batch| batch.increment("g", "text", 1), |error| {
                matches!(error, Error::NotANumber { .. })
            }),
            (
                "overflow",
                &|batch| batch.set("g", "a", i64::MAX.to_string()).increment("g", "a", 1),
                |error| matches!(error, Error::Overflow { .. }),
            ),
            ("quota", &|batch| batch.set("t:g", "1", "v").set("t:g", "2", "v"), |error| {
                matches!(error, Error::QuotaExceeded { .. })
            }),
            ("key", &|batch| batch.set("g", long.as_str(), "v"), |error| {
                matches!(error, Error::TooLarge { what: "key", .. })
            }),
            ("group", &|batch| batch.delete_group(&long), |error| {
                matches!(error, Error::TooLarge { what: "group", .. })
            }),
            ("ttl", &|batch| batch.set_with_ttl("g", "k", "v", Duration::ZERO), |error| {
                matches!(error, Error::InvalidTtl)
            }),
            ("condition", &|batch| batch.require("g", "text", Condition::Absent), |error| {
                matches!(error, Error::Conflict { .. })
            }),
        ];
        for (name, fault, expected) in faults {
            let error = fault(begun()).set("last", "k", "v").commit().unwrap_err();
            assert!(expected(&error), "{name}: {error}");
            assert_eq!(dump(&store), before, "{name}");
        }
        assert_eq!(events_now(&watcher), []);
        assert_eq!(store.purge_expired().unwrap(), 1);
        begun().commit().unwrap();
        assert_eq!(store.get("g", "gone").unwrap().unwrap(), "w");
    }

    fn a_large_batch_takes_effect_whole_or_leaves_no_trace(rig: &Rig) {
        let store = rig.store();
        for number in 0..10 {
            store.set(format!("t{number}:{number}"), "k", "v").unwrap();
        }
        let before = dump(&store);
        let many = || {
            (0..3_000).fold(store.batch(), |batch, number| {
                batch.set(format!("t{}:{number}", number % 1_000), "k", "value").set(
                    format!("plain {number}"),
                    "k",
                    "v",
                )
            })
        };
        assert!(many().increment("t1:1", "k", 1).commit().is_err());
        assert_eq!(dump(&store), before);
        let watcher = store.watch(("*", "*")).unwrap();
        assert_eq!(many().commit().unwrap(), rig.revision(11));
        assert_eq!(store.count_all("").unwrap(), 6_000);
        assert_eq!(store.groups("t").unwrap().len(), 3_000);
        assert_eq!(events_now(&watcher).len(), 6_000);
        let emptied =
            (0..3_000).fold(store.batch(), |batch, number| batch.delete_group(format!("plain {number}")));
        assert_eq!(emptied.commit().unwrap(), rig.revision(12));
        assert_eq!(store.count_all("").unwrap(), 3_000);
        assert_eq!(store.delete_prefix("t").unwrap(), 3_000);
    }

    fn a_ttl_in_a_batch_counts_from_the_step_and_not_from_the_commit(rig: &Rig) {
        let store = rig.store();
        let batch = store.batch().set_with_ttl("g", "k", "v", ms(100));
        let expires_at = {
            use larder::Clock;
            rig.clock.now()
        } + ms(100);
        rig.advance_ms(60);
        batch.commit().unwrap();
        assert_eq!(store.entry("g", "k").unwrap().unwrap().expires_at, Some(expires_at));
        let late = store.batch().set_with_ttl("g", "late", "v", ms(10));
        rig.advance_ms(40);
        late.commit().unwrap();
        assert_eq!(store.count("g").unwrap(), 0);
        assert_eq!(store.purge_expired().unwrap(), 2);
    }

    fn expired_entries_are_absent_to_a_batchs_conditions_and_steps(rig: &Rig) {
        let store = rig.store();
        for key in ["required", "deleted", "set", "counted"] {
            store.set_with_ttl("g", key, "5", ms(1)).unwrap();
        }
        rig.advance_ms(1);
        let watcher = store.watch(("g", "*")).unwrap();
        let batch = store
            .batch()
            .require("g", "required", Condition::Absent)
            .delete("g", "deleted")
            .set("g", "set", "v");
        batch.increment("g", "counted", 2).delete_group("g").commit().unwrap();
        let committed = events_now(&watcher);
        let purged = store.purge_expired().unwrap();
        let late = events_now(&watcher);
        let written = [
            (EventKind::Expire, "g", "set", "-"),
            (EventKind::Set, "g", "set", "v"),
            (EventKind::Expire, "g", "counted", "-"),
            (EventKind::Set, "g", "counted", "2"),
        ];
        let deleted = (EventKind::DeleteGroup, "g", "-", "-");
        let expired = ["deleted", "required"].map(|key| (EventKind::Expire, "g", key, "-"));
        if rig.promises.deleting_a_group_purges_it {
            assert_eq!(brief(&committed), [&written[..], &expired, &[deleted]].concat());
            assert_eq!((purged, brief(&late)), (0, vec![]));
        } else {
            assert_eq!(brief(&committed), [&written[..], &[deleted]].concat());
            assert_eq!((purged, brief(&late)), (2, expired.to_vec()));
        }
        assert_eq!(store.count_all("").unwrap(), 0);
    }

    fn a_batch_that_is_dropped_does_nothing(rig: &Rig) {
        let store = rig.store();
        drop(store.batch().set("g", "k", "v"));
        assert_eq!(store.count_all("").unwrap(), 0);
        assert_eq!(store.revision().unwrap(), Revision(0));
    }

    fn a_batch_of_a_closed_store_is_refused(rig: &Rig) {
        let store = rig.store();
        let batch = store.batch().set("g", "k", "v");
        store.close().unwrap();
        assert!(matches!(batch.commit(), Err(Error::Closed)));
    }

    fn a_batch_takes_every_write_that_a_store_takes(rig: &Rig) {
        let store = rig.store();
        store.set("jobs", "7", "waiting").unwrap();
        store.set("jobs", "8", "waiting").unwrap();
        store.set_with_ttl("session", "token", "abc", ms(50)).unwrap();
        store.set("mail.in", "1", "x").unwrap();
        store.set("mail.out", "1", "x").unwrap();
        let revision = store
            .batch()
            .set_json("config", "ports", &[80, 443])
            .set_if("config", "colour", Condition::Absent, "blue")
            .set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", ms(100))
            .delete_if("jobs", "7", Condition::Present)
            .touch("jobs", "8", ms(20))
            .persist("session", "token")
            .delete_prefix("mail.")
            .commit()
            .unwrap();
        let text = |group: &str, key: &str| {
            store.get(group, key).unwrap().map(|value| value.as_str().unwrap().to_owned())
        };
        assert_eq!(text("config", "ports").as_deref(), Some("[80,443]"));
        assert_eq!(text("config", "colour").as_deref(), Some("blue"));
        assert_eq!(text("jobs", "7"), None);
        assert_eq!(store.count_all("mail.").unwrap(), 0);
        assert_eq!(store.entry("config", "colour").unwrap().unwrap().revision, revision);
        let expires = |group: &str, key: &str| {
            let entry = store.entry(group, key).unwrap().unwrap();
            entry.expires_at.map(|at| at.duration_since(rig.clock.now()).unwrap())
        };
        assert_eq!(expires("locks", "report"), Some(ms(100)));
        assert_eq!(expires("jobs", "8"), Some(ms(20)));
        assert_eq!(expires("session", "token"), None);
        assert_eq!(store.revision().unwrap(), revision);
    }

    fn a_condition_on_one_step_applies_to_the_whole_batch(rig: &Rig) {
        let store = rig.store();
        store.set("g", "there", "v").unwrap();
        let before = dump(&store);
        let absent = Condition::Absent;
        let refused: [&dyn Fn(Batch) -> Batch; 3] = [
            &|batch| batch.set_if("g", "there", absent, "w"),
            &|batch| batch.set_if_with_ttl("g", "there", absent, "w", ms(9)),
            &|batch| batch.delete_if("g", "none", Condition::Present),
        ];
        for step in refused {
            let error = step(store.batch().set("g", "other", "v")).commit().unwrap_err();
            assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            assert_eq!(dump(&store), before);
        }
        // An earlier step makes the entry; the condition is about the store before the batch.
        store.batch().set("g", "new", "1").set_if("g", "new", absent, "2").commit().unwrap();
        assert_eq!(store.get("g", "new").unwrap().unwrap(), "2");
    }

    fn an_invalid_step_refuses_the_whole_batch(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        let before = dump(&store);
        let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = store.batch().set("g", "k", "w").set_json("g", "json", &unwritable).commit().unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }), "{error:?}");
        let zero = Duration::ZERO;
        for batch in [
            store.batch().set("g", "k", "w").touch("g", "k", zero),
            store.batch().set("g", "k", "w").set_if_with_ttl("g", "k", Condition::Present, "w", zero),
        ] {
            assert!(matches!(batch.commit(), Err(Error::InvalidTtl)));
        }
        assert_eq!(dump(&store), before);
    }
}
