//! Quotas: each limit of a namespace is exact, for every writer and every kind of write.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::fmt::Debug;
use std::thread;

use common::{Rig, events_now, eventually, ms};
use larder::{Error, Quota, Resource, ScopedStore, Store, Usage, WallClock};

const NONE: Quota = Quota { max_keys: None, max_groups: None, max_bytes: None };

fn keys(limit: u64) -> Quota {
    Quota { max_keys: Some(limit), ..NONE }
}

fn groups(limit: u64) -> Quota {
    Quota { max_groups: Some(limit), ..NONE }
}

fn bytes(limit: u64) -> Quota {
    Quota { max_bytes: Some(limit), ..NONE }
}

fn tenant(store: &Store, quota: Quota) -> ScopedStore {
    let tenant = store.scoped("t").unwrap();
    store.set_quota("t", quota).unwrap();
    tenant
}

#[track_caller]
fn assert_refused<T: Debug>(result: Result<T, Error>, expected: (Resource, u64, u64)) {
    match result {
        Err(Error::QuotaExceeded { namespace, resource, limit, wanted }) => {
            assert_eq!((namespace.as_str(), (resource, limit, wanted)), ("t", expected));
        }
        other => panic!("expected a refusal: {other:?}"),
    }
}

/// The ways to set one entry.
type Write = fn(&ScopedStore, &str, &str, &str) -> Result<(), Error>;

const WRITES: [(&str, Write); 8] = [
    ("set", |store, group, key, value| store.set(group, key, value).map(drop)),
    ("set_with_ttl", |store, group, key, value| store.set_with_ttl(group, key, value, ms(1 << 40)).map(drop)),
    ("set_if", |store, group, key, value| {
        let condition = match store.entry(group, key)? {
            None => larder::Condition::Absent,
            Some(entry) => larder::Condition::Revision(entry.revision),
        };
        store.set_if(group, key, condition, value).map(drop)
    }),
    ("batch of one", |store, group, key, value| store.batch().set(group, key, value).commit().map(drop)),
    ("batch of two", |store, group, key, value| {
        store.batch().set(group, key, "").set(group, key, value).commit().map(drop)
    }),
    ("batch that deletes first", |store, group, key, value| {
        store.batch().delete(group, key).set(group, key, value).commit().map(drop)
    }),
    ("transaction", |store, group, key, value| store.transaction(|tx| tx.set(group, key, value))),
    ("transaction with a second step", |store, group, key, value| {
        store.transaction(|tx| {
            tx.set_with_ttl(group, key, value, ms(1 << 40))?;
            tx.persist(group, key).map(drop)
        })
    }),
];

on_every_engine! {
    fn the_cursors_of_a_namespace_may_take_a_mebibyte_and_no_more(rig: &Rig) {
        const LIMIT: u64 = 1 << 20;
        let store = rig.store();
        let tenant = store.scoped("t").unwrap();
        let name = |number: u64| format!("c{number:03}");
        let long = || larder::Pattern::group("g".repeat(60_000));
        drop(tenant.cursor_on(name(0), long()).unwrap());
        let cursor = &store.cursors().unwrap()[0];
        let each = (cursor.name.len() + cursor.pattern.to_string().len()) as u64 + 48;
        let fit = LIMIT / each;
        (1..fit).for_each(|number| drop(tenant.cursor_on(name(number), long()).unwrap()));
        let excess = (Resource::CursorBytes, LIMIT, (fit + 1) * each);
        assert_refused(tenant.cursor_on(name(fit), long()).map(drop), excess);
        assert_eq!(tenant.cursors().unwrap().len() as u64, fit);

        // The cursors that exist go on, but none may want what takes more.
        tenant.set("g".repeat(60_000), "k", "v").unwrap();
        let cursor = tenant.cursor_on(name(0), long()).unwrap();
        let event = cursor.recv().unwrap();
        cursor.ack(&event).unwrap();
        cursor.seek(event.revision).unwrap();
        drop(cursor);
        let more = usize::try_from(LIMIT - fit * each).unwrap() + 2; // One of them replaces a star.
        let longer = larder::Pattern::from((&*"g".repeat(60_000), &*"k".repeat(more)));
        let refused = tenant.cursor_on(name(0), longer).map(drop).unwrap_err();
        assert!(matches!(refused, Error::QuotaExceeded { resource: Resource::CursorBytes, .. }), "{refused:?}");
        // Nobody else is concerned.
        drop(store.scoped("other").unwrap().cursor_on(name(0), long()).unwrap());
        drop(store.cursor_on(name(0), long()).unwrap());
        assert!(tenant.delete_cursor(name(1)).unwrap());
        drop(tenant.cursor_on(name(fit), long()).unwrap());
    }

    fn a_quota_is_stored_and_holds_for_every_handle(rig: &Rig) {
        let store = rig.store();
        let quota = Quota { max_keys: Some(1000), max_groups: Some(10), max_bytes: Some(1 << 40) };
        assert_eq!(store.scoped("t").unwrap().quota().unwrap(), NONE);
        tenant(&store, quota);
        assert_eq!(rig.second_handle(&store).scoped("t").unwrap().quota().unwrap(), quota);
        assert_eq!(store.scoped("t-2").unwrap().quota().unwrap(), NONE);
        let store = rig.reopen(store);
        assert_eq!(store.scoped("t").unwrap().quota().unwrap(), quota);
        store.delete_prefix("").unwrap();
        assert_eq!(store.scoped("t").unwrap().quota().unwrap(), quota);
        assert_eq!(store.revision().unwrap().0, 0);
        assert_eq!(events_now(&store.watch_from(("*", "*"), store.revision().unwrap()).unwrap()), []);
    }

    fn zero_and_none_mean_unlimited(rig: &Rig) {
        let store = rig.store();
        for unlimited in [NONE, Quota { max_keys: Some(0), max_groups: Some(0), max_bytes: Some(0) }] {
            let tenant = tenant(&store, keys(1));
            store.set_quota("t", unlimited).unwrap();
            assert_eq!(tenant.quota().unwrap(), NONE);
            for number in 0..20 {
                tenant.set(number.to_string(), "k", "v").unwrap();
            }
        }
        let tenant = tenant(&store, Quota { max_keys: Some(0), max_groups: Some(20), max_bytes: None });
        assert_eq!(tenant.quota().unwrap(), groups(20));
        tenant.set("0", "another", "v").unwrap();
        assert_refused(tenant.set("another", "k", "v"), (Resource::Groups, 20, 21));
    }

    fn every_limit_is_exact_for_every_kind_of_write(rig: &Rig) {
        let store = rig.store();
        for (name, write) in WRITES {
            let full = Quota { max_keys: Some(2), max_groups: Some(2), max_bytes: Some(8) };
            let tenant = tenant(&store, full);
            write(&tenant, "a", "é", "12").unwrap();
            write(&tenant, "b", "k", "123").unwrap();
            let before = store.revision().unwrap();
            // One more key, one more group, one more byte.
            assert_refused(write(&tenant, "a", "", ""), (Resource::Keys, 2, 3));
            store.set_quota("t", groups(2)).unwrap();
            assert_refused(write(&tenant, "c", "", ""), (Resource::Groups, 2, 3));
            store.set_quota("t", bytes(8)).unwrap();
            assert_refused(write(&tenant, "b", "k", "1234"), (Resource::Bytes, 8, 9));
            assert_refused(write(&tenant, "c", "k", ""), (Resource::Bytes, 8, 9));
            assert_eq!(store.revision().unwrap(), before, "{name}");
            assert_eq!(tenant.usage().unwrap(), Usage { keys: 2, groups: 2, bytes: 8 }, "{name}");
            store.set_quota("t", full).unwrap();
            // Overwriting needs no key and no group, and a shorter value frees bytes.
            write(&tenant, "a", "é", "1").unwrap();
            write(&tenant, "b", "k", "1234").unwrap();
            // Deleting frees a key, a group and bytes.
            assert!(tenant.delete("b", "k").unwrap());
            write(&tenant, "c", "12", "123").unwrap();
            assert_eq!(tenant.usage().unwrap(), Usage { keys: 2, groups: 2, bytes: 8 }, "{name}");
            tenant.delete_prefix("").unwrap();
        }
    }

    fn an_increment_counts_the_bytes_that_it_adds(rig: &Rig) {
        let tenant = tenant(&rig.store(), Quota { max_keys: Some(1), max_bytes: Some(2), ..NONE });
        assert_eq!(tenant.increment("g", "n", 9).unwrap(), 9);
        assert_refused(tenant.increment("g", "n", 1), (Resource::Bytes, 2, 3));
        assert_refused(tenant.transaction(|tx| tx.increment("g", "n", -10)), (Resource::Bytes, 2, 3));
        assert_refused(tenant.increment("g", "", 1), (Resource::Keys, 1, 2));
        assert_eq!(tenant.increment("g", "n", -9).unwrap(), 0);
    }

    fn a_quota_also_holds_for_writes_through_the_whole_store(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        tenant(&store, keys(1));
        other.set("t:g", "1", "v").unwrap();
        assert_refused(other.set("t:g", "2", "v"), (Resource::Keys, 1, 2));
        assert_refused(store.set("t:", "2", "v"), (Resource::Keys, 1, 2));
        assert_refused(
            other.batch().set("free", "k", "v").set("t:h", "2", "v").commit(),
            (Resource::Keys, 1, 2),
        );
        for free in ["t", "t-2:g", "T:g", ":t:g", "free"] {
            other.set(free, "k", "v").unwrap();
        }
        assert!(other.delete("t:g", "1").unwrap());
        store.set("t:h", "2", "v").unwrap();
    }

    fn a_batch_is_checked_against_the_quota_by_its_result(rig: &Rig) {
        let tenant =
            tenant(&rig.store(), Quota { max_keys: Some(2), max_groups: Some(1), max_bytes: Some(4) });
        tenant.batch().set("g", "1", "v").set("g", "2", "v").commit().unwrap();
        tenant.batch().set("g", "3", "v").delete("g", "1").commit().unwrap();
        tenant.batch().set("h", "1", "v").set("h", "2", "v").delete_group("g").commit().unwrap();
        tenant.batch().set("h", "1", "much too long").set("h", "1", "v").commit().unwrap();
        let before = tenant.revision().unwrap();
        assert_refused(
            tenant.batch().delete("h", "1").set("h", "3", "v").set("h", "4", "").commit(),
            (Resource::Keys, 2, 3),
        );
        assert_refused(tenant.batch().delete("h", "1").set("i", "1", "v").commit(), (Resource::Groups, 1, 2));
        assert_refused(tenant.batch().delete("h", "1").set("h", "3", "vv").commit(), (Resource::Bytes, 4, 5));
        assert_eq!(tenant.revision().unwrap(), before);
        assert_eq!(tenant.get_all("h").unwrap().keys().collect::<Vec<_>>(), ["1", "2"]);
    }

    fn a_transaction_is_checked_at_each_write_and_continues_after_a_refused_one(rig: &Rig) {
        let tenant = tenant(&rig.store(), keys(2));
        tenant.set("g", "1", "v").unwrap();
        tenant
            .transaction(|tx| {
                tx.set("g", "2", "v")?;
                assert_refused(tx.set("g", "3", "v"), (Resource::Keys, 2, 3));
                assert_eq!((tx.exists("g", "3")?, tx.count("g")?), (false, 2));
                tx.set("g", "2", "w")?;
                tx.delete("g", "1")?;
                tx.set("g", "4", "v")
            })
            .unwrap();
        assert_eq!(tenant.get_all("g").unwrap().keys().collect::<Vec<_>>(), ["2", "4"]);
        assert_refused(
            tenant.transaction(|tx| {
                tx.delete_group("g")?;
                tx.set("h", "1", "v")?;
                tx.set("h", "2", "v")?;
                tx.set("h", "3", "v")
            }),
            (Resource::Keys, 2, 3),
        );
        assert_eq!(tenant.get_all("g").unwrap().keys().collect::<Vec<_>>(), ["2", "4"]);
    }

    fn expired_entries_do_not_count(rig: &Rig) {
        for (name, write) in WRITES {
            let store = rig.store();
            let tenant = tenant(&store, Quota { max_keys: Some(3), max_groups: Some(2), max_bytes: Some(6) });
            tenant.set("a", "1", "v").unwrap();
            tenant.set_with_ttl("a", "2", "v", ms(5)).unwrap();
            tenant.set_with_ttl("b", "3", "v", ms(5)).unwrap();
            rig.advance_ms(4);
            assert_refused(write(&tenant, "a", "4", "v"), (Resource::Keys, 3, 4));
            rig.advance_ms(1);
            write(&tenant, "c", "4", "v").unwrap();
            write(&tenant, "c", "5", "v").unwrap();
            assert_refused(write(&tenant, "b", "", ""), (Resource::Keys, 3, 4));
            assert_eq!(tenant.usage().unwrap(), Usage { keys: 3, groups: 2, bytes: 6 }, "{name}");
            tenant.delete_prefix("").unwrap();
            store.purge_expired().unwrap();
        }
    }

    fn a_refused_write_purges_nothing(rig: &Rig) {
        let store = rig.store();
        let tenant = tenant(&store, keys(1));
        tenant.set("g", "1", "v").unwrap();
        store.set_quota("t", keys(2)).unwrap();
        tenant.set_with_ttl("g", "2", "v", ms(5)).unwrap();
        rig.advance_ms(5);
        store.set_quota("t", keys(1)).unwrap();
        let before = store.revision().unwrap();
        for (_, write) in WRITES {
            assert_refused(write(&tenant, "g", "3", "v"), (Resource::Keys, 1, 2));
        }
        assert_eq!(store.revision().unwrap(), before);
        // Nor does a refused write in a transaction that continues: the change log has no gap.
        store
            .transaction(|tx| {
                assert_refused(tx.set("t:g", "3", "v"), (Resource::Keys, 1, 2));
                tx.set("free", "k", "v")
            })
            .unwrap();
        assert_eq!(events_now(&store.watch_from(("*", "*"), before).unwrap()).len(), 1);
        assert_eq!(store.check().unwrap(), []);
        assert_eq!(store.purge_expired().unwrap(), 1);
    }

    fn an_expired_entry_in_a_full_namespace_can_be_overwritten(rig: &Rig) {
        for (name, write) in WRITES {
            let store = rig.store();
            let tenant = tenant(&store, Quota { max_keys: Some(2), max_groups: Some(2), max_bytes: Some(6) });
            tenant.set("a", "1", "v").unwrap();
            tenant.set_with_ttl("b", "2", "123", ms(5)).unwrap();
            rig.advance_ms(5);
            assert_refused(write(&tenant, "b", "2", "1234"), (Resource::Bytes, 6, 7));
            write(&tenant, "b", "2", "456").unwrap();
            assert_eq!(tenant.usage().unwrap(), Usage { keys: 2, groups: 2, bytes: 6 }, "{name}");
            tenant.delete_prefix("").unwrap();
        }
    }

    fn a_group_whose_keys_have_all_expired_counts_as_new(rig: &Rig) {
        for (name, write) in WRITES {
            let store = rig.store();
            let tenant = tenant(&store, NONE);
            tenant.set("a", "1", "v").unwrap();
            tenant.set_with_ttl("b", "2", "v", ms(1)).unwrap();
            rig.advance_ms(1);
            store.set_quota("t", groups(1)).unwrap();
            assert_refused(write(&tenant, "b", "2", "w"), (Resource::Groups, 1, 2));
            assert_refused(write(&tenant, "b", "3", "w"), (Resource::Groups, 1, 2));
            assert_refused(
                tenant.batch().set("b", "3", "w").set("b", "4", "w").commit(),
                (Resource::Groups, 1, 2),
            );
            assert_eq!(tenant.usage().unwrap().groups, 1, "{name}");
            tenant.delete_prefix("").unwrap();
            store.purge_expired().unwrap();
        }
    }

    fn replacing_a_group_with_another_is_no_growth(rig: &Rig) {
        let store = rig.store();
        let tenant = tenant(&store, NONE);
        for group in ["a", "b", "c"] {
            tenant.set(group, "stays", "v").unwrap();
            tenant.set_with_ttl(group, "goes", "v", ms(1)).unwrap();
        }
        rig.advance_ms(1);
        store.set_quota("t", groups(2)).unwrap();
        // Three groups before and three after: above the lowered limit, but no growth.
        tenant.batch().delete("b", "stays").set("d", "k", "v").commit().unwrap();
        assert_eq!(tenant.usage().unwrap().groups, 3);
        assert_refused(
            tenant.batch().delete("c", "stays").set("e", "k", "v").set("f", "k", "v").commit(),
            (Resource::Groups, 2, 4),
        );
    }

    fn a_quota_below_the_usage_refuses_only_growth(rig: &Rig) {
        let store = rig.store();
        let all: [(Quota, (Resource, u64, u64)); 3] = [
            (keys(2), (Resource::Keys, 2, 5)),
            (groups(1), (Resource::Groups, 1, 3)),
            (bytes(7), (Resource::Bytes, 7, 10)),
        ];
        for (lowered, refusal) in all {
            for (name, write) in WRITES {
                let tenant = tenant(&store, NONE);
                for (group, key) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")] {
                    tenant.set(group, key, "v").unwrap();
                }
                tenant.set_with_ttl("gone", "5", "v", ms(5)).unwrap();
                rig.advance_ms(5);
                store.set_quota("t", lowered).unwrap();
                assert_eq!(tenant.usage().unwrap(), Usage { keys: 4, groups: 2, bytes: 8 });
                // One key, one group and two bytes more than are live, but no more than are stored.
                assert_refused(write(&tenant, "gone", "5", "v"), refusal);
                assert_refused(write(&tenant, "new", "k", "v"), refusal);
                write(&tenant, "a", "1", "w").unwrap();
                write(&tenant, "a", "1", "").unwrap();
                assert!(tenant.touch("a", "1", ms(50)).unwrap() && tenant.persist("a", "1").unwrap());
                tenant.batch().delete("b", "3").set("b", "5", "v").commit().unwrap();
                assert_eq!(tenant.delete_prefix("").unwrap(), 4, "{name}");
                store.purge_expired().unwrap();
                write(&tenant, "a", "1", "v").unwrap();
                tenant.delete_prefix("").unwrap();
            }
        }
    }

    fn each_namespace_in_a_commit_is_held_to_its_own_quota(rig: &Rig) {
        let store = rig.store();
        tenant(&store, keys(1));
        let other = store.scoped("t-2").unwrap();
        store.set_quota("t-2", keys(2)).unwrap();
        assert_refused(
            store.batch().set("t-2:g", "1", "v").set("t:g", "1", "v").set("t:g", "2", "v").commit(),
            (Resource::Keys, 1, 2),
        );
        assert_eq!(store.count_all("").unwrap(), 0);
        store.batch().set("t-2:g", "1", "v").set("t:g", "1", "v").set("t-2:g", "2", "v").commit().unwrap();
        assert!(other.set("g", "3", "v").is_err());
    }

    fn limits_of_any_size_are_accepted(rig: &Rig) {
        let most = Some(u64::MAX);
        let tenant = tenant(&rig.store(), Quota { max_keys: most, max_groups: most, max_bytes: most });
        tenant.set("g", "k", "v").unwrap();
        tenant.batch().set("g", "1", "v").set("h", "2", "v").commit().unwrap();
        assert_eq!(tenant.usage().unwrap(), Usage { keys: 3, groups: 2, bytes: 6 });
    }

    fn quotas_are_exact_under_concurrent_writers(rig: &Rig) {
        let store = rig.store();
        for (quota, allowed) in [(keys(60), 60), (groups(60), 60), (bytes(240), 60)] {
            tenant(&store, quota);
            let handles: Vec<Store> = (0..4).map(|_| rig.second_handle(&store)).collect();
            let admitted: u64 = thread::scope(|scope| {
                let writers: Vec<_> = handles
                    .iter()
                    .enumerate()
                    .map(|(writer, store)| {
                        scope.spawn(move || {
                            let tenant = store.scoped("t").unwrap();
                            let write = |number: usize| match (number + writer) % 3 {
                                0 => tenant
                                    .set(format!("{writer}-{number}"), format!("{number:02}"), "vv")
                                    .map(drop),
                                1 => tenant.transaction(|tx| {
                                    tx.set(format!("{writer}-{number}"), format!("{number:02}"), "vv")
                                }),
                                _ => {
                                    let (group, key) = (format!("{writer}-{number}"), format!("{number:02}"));
                                    tenant
                                        .batch()
                                        .set(&group, key.as_str(), "v")
                                        .set(&group, key.as_str(), "vv")
                                        .commit()
                                        .map(drop)
                                }
                            };
                            (0..40)
                                .map(|number| match write(number) {
                                    Ok(()) => 1,
                                    Err(Error::QuotaExceeded { .. }) => 0,
                                    Err(error) => panic!("{error}"),
                                })
                                .sum::<u64>()
                        })
                    })
                    .collect();
                writers.into_iter().map(|writer| writer.join().unwrap()).sum()
            });
            assert_eq!(admitted, allowed);
            assert_eq!(
                store.scoped("t").unwrap().usage().unwrap(),
                Usage { keys: 60, groups: 60, bytes: 240 }
            );
            assert_eq!(store.delete_prefix("t:").unwrap(), 60);
        }
    }

    fn a_quota_is_exact_while_entries_expire(rig: &Rig) {
        let store = rig.open_with(|options| options.clock(WallClock));
        let tenant = store.scoped("t").unwrap();
        store.set_quota("t", Quota { max_keys: Some(2), ..Quota::default() }).unwrap();
        tenant.set_with_ttl("g", "short", "v", ms(1)).unwrap();
        tenant.set("g", "long", "v").unwrap();
        // Expired entries free their share.
        eventually("the quota admits one more key", || match tenant.set("g", "other", "v") {
            Ok(_) => true,
            Err(Error::QuotaExceeded { .. }) => false,
            Err(error) => panic!("{error}"),
        });
        for key in 0..20 {
            let refused = tenant.set("g", key.to_string(), "v");
            assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
        }
        assert_eq!(tenant.usage().unwrap().keys, 2);
    }
}
