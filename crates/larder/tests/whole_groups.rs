//! What is read of a whole group: right at each moment, whether it comes from memory or not. Each look asks several times,
//! since an engine may keep a group from the second time on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use common::{Rig, ms};
use larder::{Clock, Quota, Store, View};

type Model = BTreeMap<String, String>;

/// Often enough that a group comes from memory, where it may.
const TIMES: usize = 3;

fn text(value: &larder::Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn model<const N: usize>(entries: [(&str, &str); N]) -> Model {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Reads a group in every way that there is, and compares.
#[track_caller]
fn look(view: &View, group: &str, wanted: &Model) {
    for _ in 0..TIMES {
        let all: Model =
            view.get_all(group).unwrap().iter().map(|(key, value)| (key.to_owned(), text(&value))).collect();
        assert_eq!(all, *wanted, "get_all");
        let page = view.page(group, None, 1000).unwrap();
        assert_eq!(page.next, None);
        let page: Model = page.entries.iter().map(|entry| (entry.key.clone(), text(&entry.value))).collect();
        assert_eq!(page, *wanted, "page");
        let keys: Vec<String> = view.keys(group).unwrap().map(Result::unwrap).collect();
        assert!(keys.iter().eq(wanted.keys()), "keys: {keys:?}");
        for (entry, (key, value)) in view.entries(group).unwrap().zip(wanted) {
            let entry = entry.unwrap();
            assert_eq!((&entry.key, text(&entry.value)), (key, value.clone()), "entries");
            // Revision and expiry are those of the single read.
            assert_eq!(Some(entry), view.entry(group, key).unwrap());
        }
        look_at_counts(view, group, wanted);
    }
}

/// Counts a group in every way that there is, and compares.
#[track_caller]
fn look_at_counts(view: &View, group: &str, wanted: &Model) {
    let keys = wanted.len() as u64;
    let bytes: usize = wanted.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!(view.count(group).unwrap(), keys, "count");
    assert_eq!(view.count_all(group).unwrap(), keys, "count_all");
    assert_eq!(view.group_exists(group).unwrap(), keys > 0, "group_exists");
    let listed = view.groups(group).unwrap();
    let listed: Vec<_> = listed.iter().map(|info| (info.name.as_str(), info.keys, info.bytes)).collect();
    let wanted = (keys > 0).then_some((group, keys, bytes as u64));
    assert_eq!(listed, wanted.into_iter().collect::<Vec<_>>(), "groups");
}

on_every_engine! {
    fn every_read_of_a_group_shows_each_change_of_it_at_once(rig: &Rig) {
        let store = rig.store();
        look(&store, "g", &Model::new());
        store.set("g", "b", "1").unwrap();
        look(&store, "g", &model([("b", "1")]));
        store.set("g", "a", "2").unwrap();
        look(&store, "g", &model([("a", "2"), ("b", "1")]));
        store.set("g", "b", "3").unwrap();
        look(&store, "g", &model([("a", "2"), ("b", "3")]));
        store.increment("g", "a", 5).unwrap();
        look(&store, "g", &model([("a", "7"), ("b", "3")]));
        store.set("h", "a", "other").unwrap();
        look(&store, "g", &model([("a", "7"), ("b", "3")]));
        look(&store, "h", &model([("a", "other")]));
        store.batch().delete("g", "b").set("g", "c", "4").set("h", "b", "5").commit().unwrap();
        look(&store, "g", &model([("a", "7"), ("c", "4")]));
        look(&store, "h", &model([("a", "other"), ("b", "5")]));
        store.touch("g", "c", ms(5000)).unwrap();
        look(&store, "g", &model([("a", "7"), ("c", "4")]));
        store.transaction(|tx| tx.set("g", "d", "6")).unwrap();
        look(&store, "g", &model([("a", "7"), ("c", "4"), ("d", "6")]));
        store.delete("g", "a").unwrap();
        look(&store, "g", &model([("c", "4"), ("d", "6")]));
        store.delete_group("g").unwrap();
        look(&store, "g", &Model::new());
        look(&store, "h", &model([("a", "other"), ("b", "5")]));
        store.set("g", "a", "again").unwrap();
        look(&store, "g", &model([("a", "again")]));
    }

    fn every_count_shows_each_change_at_once(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("t").unwrap();
        let look = |keys: u64, groups: u64, quota: Option<u64>| {
            for _ in 0..TIMES {
                let usage = tenant.usage().unwrap();
                assert_eq!((usage.keys, usage.groups), (keys, groups));
                assert_eq!(tenant.count_all("").unwrap(), keys);
                assert_eq!(tenant.groups("").unwrap().len() as u64, groups);
                assert_eq!(store.count_all("t:").unwrap(), keys);
                assert_eq!(tenant.quota().unwrap().max_keys, quota);
                let info = store.namespaces().unwrap().into_iter().find(|info| info.name == "t");
                let info = info.map(|info| (info.usage, info.quota.max_keys));
                assert_eq!(info, (keys > 0 || quota.is_some()).then_some((usage, quota)));
            }
        };
        look(0, 0, None);
        tenant.set("g", "a", "1").unwrap();
        look(1, 1, None);
        // A quota is no entry, so the log does not tell of it.
        store.set_quota("t", Quota { max_keys: Some(5), ..Quota::default() }).unwrap();
        look(1, 1, Some(5));
        tenant.batch().set("g", "b", "2").set("h", "a", "3").commit().unwrap();
        look(3, 2, Some(5));
        tenant.set_with_ttl("soon", "a", "4", ms(1000)).unwrap();
        look(4, 3, Some(5));
        store.set("elsewhere", "a", "5").unwrap();
        look(4, 3, Some(5));
        rig.advance_ms(1000);
        look(3, 2, Some(5));
        rig.clock.set(rig.clock.now() - ms(500));
        look(4, 3, Some(5));
        rig.advance_ms(500);
        store.purge_expired().unwrap();
        look(3, 2, Some(5));
        let other = rig.second_handle(&store);
        other.set_quota("t", Quota { max_keys: Some(6), ..Quota::default() }).unwrap();
        look(3, 2, Some(6));
        other.delete("t:h", "a").unwrap();
        look(2, 1, Some(6));
        tenant.delete_group("g").unwrap();
        look(0, 0, Some(6));
        other.set_quota("t", Quota::default()).unwrap();
        look(0, 0, None);
    }

    fn a_count_in_a_snapshot_or_a_transaction_is_of_what_that_shows(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "1").unwrap();
        (0..TIMES).for_each(|_| look_at_counts(&store, "g", &model([("a", "1")])));
        let snapshot = store.snapshot().unwrap();
        store
            .transaction(|tx| {
                look_at_counts(tx, "g", &model([("a", "1")]));
                tx.set("g", "b", "2")?;
                (0..TIMES).for_each(|_| look_at_counts(tx, "g", &model([("a", "1"), ("b", "2")])));
                Ok(())
            })
            .unwrap();
        (0..TIMES).for_each(|_| look_at_counts(&store, "g", &model([("a", "1"), ("b", "2")])));
        look_at_counts(&snapshot, "g", &model([("a", "1")]));
    }

    fn an_entry_that_expires_leaves_every_read_of_its_group_although_nothing_was_committed(rig: &Rig) {
        let store = rig.store();
        store.set("g", "stays", "1").unwrap();
        store.set_with_ttl("g", "soon", "2", ms(1000)).unwrap();
        store.set_with_ttl("g", "later", "3", ms(2000)).unwrap();
        look(&store, "g", &model([("stays", "1"), ("soon", "2"), ("later", "3")]));
        rig.advance_ms(999);
        look(&store, "g", &model([("stays", "1"), ("soon", "2"), ("later", "3")]));
        rig.advance_ms(1);
        look(&store, "g", &model([("stays", "1"), ("later", "3")]));
        rig.advance_ms(1000);
        look(&store, "g", &model([("stays", "1")]));
        store.purge_expired().unwrap();
        look(&store, "g", &model([("stays", "1")]));
    }

    fn a_group_read_under_a_clock_that_is_set_back_has_what_is_live_then(rig: &Rig) {
        let store = rig.store();
        let start = rig.clock.now();
        store.set("g", "stays", "1").unwrap();
        store.set_with_ttl("g", "soon", "2", ms(1000)).unwrap();
        rig.advance_ms(1500);
        look(&store, "g", &model([("stays", "1")]));
        rig.clock.set(start);
        look(&store, "g", &model([("stays", "1"), ("soon", "2")]));
        rig.clock.set(start + ms(1500));
        look(&store, "g", &model([("stays", "1")]));
        rig.clock.set(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        look(&store, "g", &model([("stays", "1"), ("soon", "2")]));
    }

    fn a_snapshot_shows_its_own_group_beside_a_newer_one(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "old").unwrap();
        look(&store, "g", &model([("a", "old")]));
        let snapshot = store.snapshot().unwrap();
        store.set("g", "a", "new").unwrap();
        look(&store, "g", &model([("a", "new")]));
        look(&snapshot, "g", &model([("a", "old")]));
        look(&store, "g", &model([("a", "new")]));
        drop(snapshot);
        look(&store.snapshot().unwrap(), "g", &model([("a", "new")]));
    }

    fn a_transaction_reads_the_groups_that_it_has_changed_and_nobody_else_does_before_it_commits(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "old").unwrap();
        look(&store, "g", &model([("a", "old")]));
        let other = rig.second_handle(&store);
        let refused = store.transaction(|tx| {
            look(tx, "g", &model([("a", "old")]));
            tx.set("g", "a", "tried")?;
            tx.set("g", "b", "tried")?;
            look(tx, "g", &model([("a", "tried"), ("b", "tried")]));
            if rig.promises.can_be_opened_again {
                look(&other, "g", &model([("a", "old")]));
            }
            Err::<(), _>(larder::Error::Closed)
        });
        assert!(refused.is_err());
        look(&store, "g", &model([("a", "old")]));
        store.transaction(|tx| tx.set("g", "b", "kept")).unwrap();
        look(&store, "g", &model([("a", "old"), ("b", "kept")]));
        look(&other, "g", &model([("a", "old"), ("b", "kept")]));
    }

    fn a_scoped_store_reads_the_groups_of_its_own_namespace(rig: &Rig) {
        let store = rig.store();
        let (one, two) = (store.scoped("one").unwrap(), store.scoped("two").unwrap());
        one.set("g", "a", "1").unwrap();
        two.set("g", "a", "2").unwrap();
        store.set("g", "a", "3").unwrap();
        look(&one, "g", &model([("a", "1")]));
        look(&two, "g", &model([("a", "2")]));
        look(&store, "g", &model([("a", "3")]));
        look(&store, "one:g", &model([("a", "1")]));
        one.set("g", "b", "4").unwrap();
        look(&one, "g", &model([("a", "1"), ("b", "4")]));
        look(&two, "g", &model([("a", "2")]));
        store.set("two:g", "a", "5").unwrap();
        look(&two, "g", &model([("a", "5")]));
    }

    fn a_refused_write_leaves_every_read_of_its_group_as_it_was(rig: &Rig) {
        let store = rig.store();
        store.set_quota("one", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
        let one = store.scoped("one").unwrap();
        one.set("g", "a", "1").unwrap();
        look(&one, "g", &model([("a", "1")]));
        one.set("g", "b", "2").unwrap_err();
        one.batch().set("g", "a", "3").set("g", "b", "4").commit().unwrap_err();
        look(&one, "g", &model([("a", "1")]));
    }

    fn every_read_of_a_group_shows_what_another_handle_has_changed(rig: &Rig) {
        let (ours, theirs) = { let store = rig.store(); (store.clone(), rig.second_handle(&store)) };
        ours.batch().set("g", "a", "1").set("h", "a", "1").commit().unwrap();
        for number in 0..5 {
            let value = number.to_string();
            theirs.set("g", "a", value.as_str()).unwrap();
            look(&ours, "g", &model([("a", &value)]));
            look(&ours, "h", &model([("a", "1")]));
            ours.set("g", "a", "ours").unwrap();
            look(&theirs, "g", &model([("a", "ours")]));
            look(&theirs, "h", &model([("a", "1")]));
        }
        theirs.delete_group("h").unwrap();
        look(&ours, "h", &Model::new());
        look(&ours, "g", &model([("a", "ours")]));
    }

    fn every_page_of_a_group_is_the_same_however_often_it_is_asked_for(rig: &Rig) {
        let store = rig.store();
        let keys: Vec<String> = (0..40).map(|number| format!("{:03}", 2 * number)).collect();
        keys.iter().fold(store.batch(), |batch, key| batch.set("g", key, format!("v{key}"))).commit().unwrap();
        let names = |entries: &[larder::Entry]| -> Vec<String> {
            entries.iter().map(|entry| entry.key.clone()).collect()
        };
        for limit in [0, 1, 7, 39, 40, 41] {
            for after in [None, Some(""), Some("000"), Some("031"), Some("076"), Some("078"), Some("zzz")] {
                let rest: Vec<String> =
                    keys.iter().filter(|key| after.is_none_or(|after| key.as_str() > after)).cloned().collect();
                let few = rest.iter().take(limit).cloned().collect::<Vec<_>>();
                for _ in 0..TIMES {
                    let page = store.page("g", after, limit).unwrap();
                    assert_eq!(names(&page.entries), few, "{after:?} {limit}");
                    let last = few.last().map(String::as_str).or(after);
                    assert_eq!(page.next.as_deref(), last.filter(|_| rest.len() > limit), "{after:?} {limit}");
                }
            }
            for offset in [0, 1, 39, 40, u64::MAX] {
                let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                let few: Vec<String> = keys.iter().skip(skip).take(limit).cloned().collect();
                assert_eq!(names(&store.get_page("g", offset, limit).unwrap()), few, "{offset} {limit}");
            }
        }
    }

    fn a_stream_shows_one_moment_of_a_large_group_however_often_the_group_was_read(rig: &Rig) {
        let store = rig.store();
        let keys: Vec<String> = (0..700).map(|number| format!("{number:03}")).collect();
        keys.iter().fold(store.batch(), |batch, key| batch.set("g", key, "old")).commit().unwrap();
        for round in 0..4 {
            let mut entries = store.entries("g").unwrap();
            let mut names = store.keys("g").unwrap();
            let (first, name) = (entries.next().unwrap().unwrap(), names.next().unwrap().unwrap());
            assert_eq!((first.key.as_str(), name.as_str()), ("000", "000"));
            // The streams began before this.
            if round == 3 {
                store.batch().set("g", "000", "new").delete("g", "699").set("g", "5555", "new").commit().unwrap();
            }
            let rest: Vec<_> = entries.map(Result::unwrap).collect();
            assert_eq!(rest.len(), 699);
            assert!(rest.iter().all(|entry| text(&entry.value) == "old"), "round {round}");
            assert!(names.map(Result::unwrap).eq(keys[1..].iter().cloned()), "round {round}");
        }
        for _ in 0..TIMES {
            let now: Vec<_> = store.entries("g").unwrap().map(Result::unwrap).collect();
            assert_eq!((text(&now[0].value), now.len()), ("new".to_owned(), 700));
            assert_eq!(now[556].key, "5555");
            assert_eq!(now[699].key, "698");
        }
    }

    fn what_was_read_of_a_group_stays_as_it_was_read(rig: &Rig) {
        let store = rig.store();
        store.batch().set("g", "a", "1").set("g", "b", "2").commit().unwrap();
        look(&store, "g", &model([("a", "1"), ("b", "2")]));
        let (all, again) = (store.get_all("g").unwrap(), store.get_all("g").unwrap());
        assert_eq!(all, again);
        store.delete_group("g").unwrap();
        look(&store, "g", &Model::new());
        assert_eq!(all.get("b").unwrap(), "2");
        assert_eq!(BTreeMap::from(all).len(), 2);
        assert!(again.keys().eq(["a", "b"]));
    }
}

#[test]
fn a_group_is_right_after_a_program_with_sql_has_changed_or_moved_its_rows() {
    let rig = Rig::new(common::Engine::File);
    let store = rig.store();
    store.batch().set("g", "a", "1").set("g", "b", "2").set("h", "a", "3").commit().unwrap();
    look(&store, "g", &model([("a", "1"), ("b", "2")]));
    look(&store, "h", &model([("a", "3")]));
    let other = rusqlite::Connection::open(rig.path()).unwrap();
    other.execute("UPDATE entries SET entry_value = '4' WHERE entry_key = 'b'", []).unwrap();
    look(&store, "g", &model([("a", "1"), ("b", "4")]));
    other.execute_batch("VACUUM").unwrap();
    look(&store, "g", &model([("a", "1"), ("b", "4")]));
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    look(&store, "g", &model([("a", "1"), ("b", "4")]));
    store.compact().unwrap();
    look(&store, "h", &model([("a", "3")]));
    // Before the rig verifies the store.
    other.execute("UPDATE entries SET entry_value = '2' WHERE entry_key = 'b'", []).unwrap();
    look(&store, "g", &model([("a", "1"), ("b", "2")]));
}

#[test]
fn a_store_that_was_restored_shows_the_groups_of_the_copy() {
    let rig = Rig::new(common::Engine::File);
    let store = rig.store();
    store.set("g", "a", "old").unwrap();
    look(&store, "g", &model([("a", "old")]));
    let copy = rig.folder().join("copy.db");
    store.backup_to(&copy).unwrap();
    store.set("g", "a", "new").unwrap();
    look(&store, "g", &model([("a", "new")]));
    store.close().unwrap();
    Store::restore(&copy, rig.path()).run().unwrap();
    look(&rig.store(), "g", &model([("a", "old")]));
}
