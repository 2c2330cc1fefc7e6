//! One entry: every read returns what was set, until it is deleted or expires.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::Duration;

use common::{Rig, events_now, ms};
use larder::{Condition, Error, EventKind, Revision, Store};

/// The value of an entry, and the milliseconds until it expires by the rig's clock.
fn state(rig: &Rig, store: &Store, key: &str) -> Option<(String, Option<u128>)> {
    use larder::Clock;
    let entry = store.entry("g", key).unwrap()?;
    let left = entry.expires_at.map(|at| at.duration_since(rig.clock.now()).unwrap().as_millis());
    Some((entry.value.as_str().unwrap().to_owned(), left))
}

fn text(value: &str, left: Option<u128>) -> Option<(String, Option<u128>)> {
    Some((value.to_owned(), left))
}

on_every_engine! {
    fn every_read_of_one_entry_returns_what_was_set(rig: &Rig) {
        let store = rig.store();
        let revision = store.set("config", "colour", "blue").unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
        assert!(store.exists("config", "colour").unwrap());
        let entry = store.entry("config", "colour").unwrap().unwrap();
        assert_eq!((entry.key.as_str(), entry.revision, entry.expires_at), ("colour", revision, None));
        assert_eq!(entry.value, "blue");
        let store = rig.reopen(store);
        assert_eq!(store.entry("config", "colour").unwrap().unwrap(), entry);
    }

    fn a_value_is_read_where_it_is_whatever_its_size_until_it_expires(rig: &Rig) {
        let store = rig.store();
        let read = |key: &str| store.get_with("t:g", key, <[u8]>::to_vec).unwrap();
        // Around the size up to which a value is copied.
        for size in [0, 1, 255, 256, 257, 100_000] {
            let value: Vec<u8> = (0..size).map(|byte: u32| byte.to_le_bytes()[0]).collect();
            store.set_with_ttl("t:g", "k", value.clone(), ms(10)).unwrap();
            // From storage, then from memory.
            let again = rig.second_handle(&store);
            for view in [&store, &again, &again] {
                assert_eq!(view.get_with("t:g", "k", <[u8]>::to_vec).unwrap().unwrap(), value);
            }
            let tenant = store.scoped("t").unwrap();
            assert_eq!(tenant.get_with("g", "k", <[u8]>::len).unwrap(), Some(value.len()));
            assert_eq!(store.snapshot().unwrap().get_with("t:g", "k", <[u8]>::len).unwrap(), Some(value.len()));
            assert_eq!(read("none"), None);
            assert_eq!(read("none"), None);
            rig.advance_ms(10);
            assert_eq!(read("k"), None);
        }
    }

    fn what_reads_a_value_where_it_is_may_use_the_store(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "1").unwrap();
        for _ in 0..3 {
            let revision = store.get_with("g", "k", |value| {
                assert_eq!(store.get("g", "k").unwrap().unwrap().as_bytes(), value);
                store.set("g", "k", value).unwrap()
            });
            assert_eq!(store.entry("g", "k").unwrap().unwrap().revision, revision.unwrap().unwrap());
        }
    }

    fn an_entry_that_was_never_set_is_absent(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        for (group, key) in
            [("config", "Colour"), ("Config", "colour"), ("config", ""), ("", "colour"), ("c", "olour")]
        {
            assert_eq!(store.get(group, key).unwrap(), None);
            assert_eq!(store.entry(group, key).unwrap(), None);
            assert!(!store.exists(group, key).unwrap());
            assert!(!store.delete(group, key).unwrap());
            assert!(!store.touch(group, key, ms(1)).unwrap());
            assert!(!store.persist(group, key).unwrap());
        }
        assert_eq!(store.revision().unwrap(), rig.revision(1));
    }

    fn setting_again_replaces_the_value_and_moves_the_revision(rig: &Rig) {
        let store = rig.store();
        for value in ["blue", "green", "green", ""] {
            let revision = store.set("g", "k", value).unwrap();
            let entry = store.entry("g", "k").unwrap().unwrap();
            assert_eq!((entry.revision, entry.value.as_str().unwrap()), (revision, value));
        }
        assert_eq!(store.count("g").unwrap(), 1);
    }

    fn delete_says_whether_the_entry_existed_and_deletes_nothing_else(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "1").unwrap();
        store.set("g", "b", "2").unwrap();
        assert!(store.delete("g", "a").unwrap());
        assert!(!store.delete("g", "a").unwrap());
        assert_eq!(store.get("g", "a").unwrap(), None);
        assert_eq!(store.get("g", "b").unwrap().unwrap(), "2");
    }

    fn set_clears_a_ttl_and_set_with_ttl_renews_it(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("g", "k", "1", ms(100)).unwrap();
        assert_eq!(state(rig, &store, "k"), text("1", Some(100)));
        rig.advance_ms(60);
        assert_eq!(state(rig, &store, "k"), text("1", Some(40)));
        store.set_with_ttl("g", "k", "2", ms(100)).unwrap();
        assert_eq!(state(rig, &store, "k"), text("2", Some(100)));
        store.set("g", "k", "2").unwrap();
        assert_eq!(state(rig, &store, "k"), text("2", None));
        rig.advance_ms(1000);
        assert_eq!(state(rig, &store, "k"), text("2", None));
    }

    fn touch_and_persist_change_the_expiry_and_nothing_else(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        assert!(store.touch("g", "k", ms(50)).unwrap());
        assert_eq!(state(rig, &store, "k"), text("v", Some(50)));
        assert!(store.touch("g", "k", ms(20)).unwrap());
        assert_eq!(state(rig, &store, "k"), text("v", Some(20)));
        assert!(store.persist("g", "k").unwrap());
        assert_eq!(state(rig, &store, "k"), text("v", None));
        assert!(store.persist("g", "k").unwrap());
        assert_eq!(state(rig, &store, "k"), text("v", None));
    }

    fn touch_and_persist_send_events_with_the_value_and_the_new_expiry(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(("g", "k")).unwrap();
        store.set("g", "k", "v").unwrap();
        store.touch("g", "k", ms(50)).unwrap();
        let touched = store.entry("g", "k").unwrap().unwrap();
        store.persist("g", "k").unwrap();
        let persisted = store.entry("g", "k").unwrap().unwrap();
        assert_eq!((touched.revision, persisted.revision), (rig.revision(2), rig.revision(3)));
        let events = events_now(&watcher);
        let changes: Vec<_> =
            events.iter().map(|event| (event.kind, rig.number_of(event.revision), event.expires_at)).collect();
        assert_eq!(
            changes,
            [(EventKind::Set, 1, None), (EventKind::Set, 2, touched.expires_at), (EventKind::Set, 3, None)]
        );
        assert!(touched.expires_at.is_some());
        assert!(events.iter().all(|event| event.value.as_ref().unwrap() == "v"));
    }

    fn a_ttl_of_zero_is_refused_and_changes_nothing(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        let refused = [
            store.set_with_ttl("g", "k", "w", Duration::ZERO).map(drop),
            store.touch("g", "k", Duration::ZERO).map(drop),
            store.touch("g", "absent", Duration::ZERO).map(drop),
            store.batch().set("g", "k", "w").set_with_ttl("g", "k", "w", Duration::ZERO).commit().map(drop),
            store.transaction(|tx| tx.set_with_ttl("g", "k", "w", Duration::ZERO)),
            store.transaction(|tx| tx.touch("g", "k", Duration::ZERO).map(drop)),
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::InvalidTtl)), "{result:?}");
        }
        assert_eq!(state(rig, &store, "k"), text("v", None));
        assert_eq!(store.revision().unwrap(), rig.revision(1));
    }

    fn a_ttl_too_long_to_represent_never_expires(rig: &Rig) {
        let store = rig.store();
        for ttl in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 50)] {
            store.set_with_ttl("g", "k", "v", ttl).unwrap();
            assert_eq!(state(rig, &store, "k"), text("v", None));
            store.set_with_ttl("g", "k", "v", ms(1)).unwrap();
            assert!(store.touch("g", "k", ttl).unwrap());
            assert_eq!(state(rig, &store, "k"), text("v", None));
        }
        rig.clock.advance(Duration::from_secs(1 << 40));
        assert_eq!(state(rig, &store, "k"), text("v", None));
    }

    fn increments_start_at_zero_and_are_stored_as_decimal_text(rig: &Rig) {
        let store = rig.store();
        for (by, sum, kept) in [(1, 1, "1"), (41, 42, "42"), (-50, -8, "-8"), (8, 0, "0"), (0, 0, "0")] {
            assert_eq!(store.increment("g", "k", by).unwrap(), sum);
            assert_eq!(store.get("g", "k").unwrap().unwrap(), kept);
        }
        store.set("g", "k", "9223372036854775806").unwrap();
        assert_eq!(store.increment("g", "k", 1).unwrap(), i64::MAX);
        assert_eq!(store.increment("g", "least", i64::MIN).unwrap(), i64::MIN);
        assert_eq!(store.get("g", "least").unwrap().unwrap(), "-9223372036854775808");
    }

    fn an_increment_keeps_the_expiry(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("g", "k", "5", ms(100)).unwrap();
        rig.advance_ms(30);
        assert_eq!(store.increment("g", "k", 1).unwrap(), 6);
        assert_eq!(state(rig, &store, "k"), text("6", Some(70)));
        rig.advance_ms(70);
        assert_eq!(store.increment("g", "k", 1).unwrap(), 1);
        assert_eq!(state(rig, &store, "k"), text("1", None));
    }

    fn a_value_that_is_not_a_number_cannot_be_incremented(rig: &Rig) {
        let store = rig.store();
        for value in ["", "a", "1.5", "1 ", " 1", "0x10", "1e3", "9223372036854775808", "١", "1\0"] {
            let revision = store.set("g", "k", value).unwrap();
            let refused = store.increment("g", "k", 1).unwrap_err();
            assert!(
                matches!(&refused, Error::NotANumber { group, key } if group == "g" && key == "k"),
                "{value:?}"
            );
            assert_eq!(store.get("g", "k").unwrap().unwrap(), value);
            assert_eq!(store.revision().unwrap(), revision);
        }
        store.set("g", "k", vec![0xff]).unwrap();
        assert!(matches!(store.increment("g", "k", 1), Err(Error::NotANumber { .. })));
    }

    fn an_increment_out_of_range_changes_nothing(rig: &Rig) {
        let store = rig.store();
        for (from, by) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN + 1)] {
            let revision = store.set("g", "k", from.to_string()).unwrap();
            assert!(matches!(store.increment("g", "k", by), Err(Error::Overflow { .. })));
            assert_eq!(store.get("g", "k").unwrap().unwrap(), from.to_string());
            assert_eq!(store.revision().unwrap(), revision);
        }
    }

    fn a_condition_decides_whether_an_entry_is_set_or_deleted(rig: &Rig) {
        let store = rig.store();
        let stale = Revision(7_777_777);
        for there in [false, true] {
            for (condition, met) in [
                (Condition::Absent, !there),
                (Condition::Present, there),
                (Condition::Revision(stale), false),
                (Condition::Revision(Revision(0)), false),
            ] {
                store.delete("g", "k").unwrap();
                let actual = there.then(|| store.set("g", "k", "old").unwrap());
                let before = store.revision().unwrap();

                let set = store.set_if("g", "k", condition, "new");
                if met {
                    assert_eq!(set.unwrap(), rig.after(before));
                    assert_eq!(store.get("g", "k").unwrap().unwrap(), "new");
                } else {
                    match set.unwrap_err() {
                        Error::Conflict { group, key, expected, actual: found } => {
                            assert_eq!((group.as_str(), key.as_str()), ("g", "k"));
                            assert_eq!((expected, found), (condition, actual));
                        }
                        other => panic!("{other}"),
                    }
                    assert_eq!(store.entry("g", "k").unwrap().map(|entry| entry.revision), actual);
                    assert_eq!(store.revision().unwrap(), before);
                }

                store.delete("g", "k").unwrap();
                if there {
                    store.set("g", "k", "old").unwrap();
                }
                let before = store.revision().unwrap();
                let deleted = store.delete_if("g", "k", condition);
                if met {
                    assert_eq!(deleted.unwrap(), there);
                    assert!(!store.exists("g", "k").unwrap());
                    let expected = if there { rig.after(before) } else { before };
                    assert_eq!(store.revision().unwrap(), expected);
                } else {
                    assert!(matches!(deleted, Err(Error::Conflict { .. })));
                    assert_eq!(store.exists("g", "k").unwrap(), there);
                    assert_eq!(store.revision().unwrap(), before);
                }
            }
        }
    }

    fn a_revision_condition_holds_until_anything_writes_the_entry(rig: &Rig) {
        let store = rig.store();
        let writes: [&dyn Fn(); 5] = [
            &|| _ = store.set("g", "k", "1").unwrap(),
            &|| _ = store.touch("g", "k", ms(1000)).unwrap(),
            &|| _ = store.persist("g", "k").unwrap(),
            &|| _ = store.increment("g", "k", 0).unwrap(),
            &|| _ = store.batch().delete("g", "k").set("g", "k", "1").commit().unwrap(),
        ];
        for write in writes {
            let read = store.set("g", "k", "1").unwrap();
            store.set("g", "other", "1").unwrap();
            let read = store.set_if("g", "k", Condition::Revision(read), "1").unwrap();
            write();
            assert!(matches!(
                store.set_if("g", "k", Condition::Revision(read), "2"),
                Err(Error::Conflict { .. })
            ));
            assert!(matches!(
                store.delete_if("g", "k", Condition::Revision(read)),
                Err(Error::Conflict { .. })
            ));
            assert_eq!(store.get("g", "k").unwrap().unwrap(), "1");
        }
    }

    fn a_conditional_set_clears_a_ttl(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("g", "k", "1", ms(100)).unwrap();
        store.set_if("g", "k", Condition::Present, "2").unwrap();
        assert_eq!(state(rig, &store, "k"), text("2", None));
    }

    fn revisions_start_at_1_and_grow_by_1_with_each_commit_that_changes_something(rig: &Rig) {
        let store = rig.store();
        assert_eq!(store.revision().unwrap(), Revision(0));
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(1));
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(2));
        assert!(!store.delete("g", "absent").unwrap());
        assert_eq!(store.delete_group("absent").unwrap(), 0);
        assert_eq!(store.delete_prefix("absent").unwrap(), 0);
        assert_eq!(store.purge_expired().unwrap(), 0);
        assert!(store.set_if("g", "k", Condition::Absent, "w").is_err());
        assert_eq!(store.batch().delete("g", "absent").commit().unwrap(), rig.revision(2));
        store.transaction(|_| Ok(())).unwrap();
        store.transaction(|tx| tx.set("g", "k", "w").and(Err::<(), _>(Error::other("no")))).unwrap_err();
        store.set_quota("t", Default::default()).unwrap();
        assert_eq!(store.revision().unwrap(), rig.revision(2));
        let store = rig.reopen(store);
        assert!(store.delete("g", "k").unwrap());
        assert_eq!(store.revision().unwrap(), rig.revision(3));
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(4));
        if rig.promises.revisions_are_consecutive {
            // Here the number of a commit is its revision.
            assert_eq!(rig.revision(7), Revision(7));
            assert_eq!(rig.number_of(Revision(7)), 7);
        }
    }

    fn a_lease_is_exclusive_until_it_expires(rig: &Rig) {
        let store = rig.store();
        let lease = |owner: &str| store.set_if_with_ttl("g", "lease", Condition::Absent, owner, ms(30));
        let revision = lease("first").unwrap();
        assert_eq!(state(rig, &store, "lease"), text("first", Some(30)));
        assert_eq!(store.entry("g", "lease").unwrap().unwrap().revision, revision);
        rig.advance_ms(29);
        assert!(matches!(lease("second"), Err(Error::Conflict { .. })));
        let own = Condition::Revision(revision);
        store.set_if_with_ttl("g", "lease", own, "first", ms(30)).unwrap();
        rig.advance_ms(29);
        assert!(matches!(lease("second"), Err(Error::Conflict { .. })));
        rig.advance_ms(1);
        lease("second").unwrap();
        assert_eq!(state(rig, &store, "lease"), text("second", Some(30)));
        let zero = store.set_if_with_ttl("g", "other", Condition::Absent, "v", Duration::ZERO);
        assert!(matches!(zero, Err(Error::InvalidTtl)), "{zero:?}");
        assert_eq!(state(rig, &store, "other"), None);
    }
}
