//! What one tenant uses up is not taken from the others: the change log, and the work of counting.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use common::{Rig, events_now, ms};
use larder::{Durability, Error, Pattern, Quota, ScopedStore, Store, Usage};

const CHANGES: u64 = 8192;
const BYTES: u64 = 4 << 20;

fn opened(rig: &Rig) -> Store {
    rig.open_with(|options| options.history(CHANGES, BYTES).durability(Durability::Relaxed))
}

/// Two tenants, of which the quiet one and the store itself have made a change each.
fn furnished(rig: &Rig) -> (Store, ScopedStore, ScopedStore) {
    let store = opened(rig);
    store.set_quota("hostile", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
    let (quiet, hostile) = (store.scoped("quiet").unwrap(), store.scoped("hostile").unwrap());
    quiet.set("settings", "colour", "blue").unwrap();
    store.set("orders", "1", "a book").unwrap();
    (store, quiet, hostile)
}

fn assert_nothing_is_lost(store: &Store, quiet: &ScopedStore) {
    for (what, watcher) in [
        ("the tenant", quiet.watch_from(Pattern::all(), 0).map(|watcher| events_now(&watcher))),
        ("the owner", store.watch_from(("orders", "*"), 0).map(|watcher| events_now(&watcher))),
    ] {
        assert_eq!(watcher.as_ref().map(Vec::len).ok(), Some(1), "{what}: {watcher:?}");
    }
    assert_eq!(quiet.history("settings", "colour").unwrap().len(), 1);
}

on_every_engine! {
    fn a_tenant_that_overwrites_large_values_compacts_itself_alone(rig: &Rig) {
        let (store, quiet, hostile) = furnished(rig);
        let first = store.revision().unwrap();
        for number in 0..90_u8 {
            hostile.set("g", "k", vec![number; 100 << 10]).unwrap();
        }
        assert_nothing_is_lost(&store, &quiet);
        if rig.promises.prunes_its_log {
            let own = hostile.watch_from(Pattern::all(), first);
            assert!(matches!(own, Err(Error::Compacted { .. })), "{own:?}");
            assert!(store.stats().unwrap().history_bytes < 2 * BYTES + (1 << 20));
        }
    }

    fn a_tenant_that_makes_many_changes_compacts_itself_alone(rig: &Rig) {
        let (store, quiet, hostile) = furnished(rig);
        let rounds = if rig.promises.prunes_its_log { 60 } else { 2 };
        for round in 0..rounds {
            (0..500).fold(hostile.batch(), |batch, number| batch.set("g", "k", format!("{round} {number}"))).commit().unwrap();
        }
        assert_nothing_is_lost(&store, &quiet);
        assert!(store.stats().unwrap().history_changes < 3 * CHANGES);
    }

    fn one_commit_that_is_larger_than_the_history_compacts_nobody_else(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let (store, quiet, hostile) = furnished(rig);
        (0..90_u8).fold(hostile.batch(), |batch, number| batch.set("g", "k", vec![number; 100 << 10])).commit().unwrap();
        assert_nothing_is_lost(&store, &quiet);
        hostile.transaction(|tx| {
            (0..90_u8).try_for_each(|number| tx.set("g", "k", vec![number; 100 << 10]).map(drop))
        }).unwrap();
        hostile.set("g", "k", "small").unwrap();
        assert_nothing_is_lost(&store, &quiet);
    }

    fn the_log_stays_bounded_however_many_tenants_fill_it(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = opened(rig);
        for tenant in 0..40 {
            let tenant = store.scoped(format!("tenant-{tenant}")).unwrap();
            for number in 0..24_u8 {
                tenant.set("g", "k", vec![number; 100 << 10]).unwrap();
            }
        }
        let histories = store.histories().unwrap();
        assert_eq!(histories.len(), 1 + 32);
        assert!(histories.iter().all(|history| history.bytes < BYTES + (1 << 20)), "{histories:?}");
        let again = rig.reopen_with(store, |options| options.history(CHANGES, BYTES));
        assert_eq!(again.histories().unwrap().len(), 1 + 32);
    }

    fn a_small_history_and_one_without_tenants_stay_whole(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| options.history(1000, 1 << 20));
        let other = rig.another();
        let plain = opened(&other);
        for round in 0..30 {
            for (store, group) in [(&store, "t:g"), (&plain, "g")] {
                (0..500).fold(store.batch(), |batch, number| batch.set(group, "k", format!("{round} {number}"))).commit().unwrap();
            }
        }
        assert_eq!((store.histories().unwrap().len(), plain.histories().unwrap().len()), (1, 1));
    }

    fn what_has_expired_of_others_changes_no_count_of_mine(rig: &Rig) {
        let store = rig.store();
        let (quiet, hostile) = (store.scoped("quiet").unwrap(), store.scoped("hostile").unwrap());
        for round in 0..20 {
            let batch = (0..100).fold(hostile.batch(), |batch, number| {
                batch.set_with_ttl(format!("g{round}"), number.to_string(), "v", ms(5))
            });
            batch.commit().unwrap();
        }
        store.set_quota("quiet", Quota { max_keys: Some(3), ..Quota::default() }).unwrap();
        quiet.set("a", "1", "v").unwrap();
        quiet.set_with_ttl("a", "2", "v", ms(5)).unwrap();
        quiet.set_with_ttl("b", "3", "v", ms(5)).unwrap();
        rig.advance_ms(5);
        let one = Usage { keys: 1, groups: 1, bytes: 2 };
        assert_eq!(quiet.usage().unwrap(), one);
        assert_eq!((quiet.count("a").unwrap(), quiet.count("b").unwrap(), quiet.count_all("").unwrap()), (1, 0, 1));
        let groups = quiet.groups("").unwrap();
        assert_eq!(groups.iter().map(|group| (&*group.name, group.keys)).collect::<Vec<_>>(), [("a", 1)]);
        assert_eq!(hostile.usage().unwrap(), Usage::default());
        assert!(hostile.groups("").unwrap().is_empty());
        let namespaces = store.namespaces().unwrap();
        assert_eq!(namespaces.iter().map(|info| (&*info.name, info.usage)).collect::<Vec<_>>(), [("quiet", one)]);
        // A write at the quota removes what has expired of its own namespace, and nothing else.
        let watcher = store.watch(Pattern::all()).unwrap();
        quiet.set("a", "4", "v").unwrap();
        let events = events_now(&watcher);
        assert!(events.iter().all(|event| event.group.starts_with("quiet:")), "{events:?}");
        assert_eq!(quiet.usage().unwrap().keys, 2);
    }
}
