//! Mirrors: first the current entries, then every change since, with no gap and no repetition between them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeMap;
use std::thread;

use common::Rig;
use larder::{Mirror, Pattern, Revision, Update, Value};

/// Applies a mirror's updates to a map until it has seen a revision.
fn follow(mirror: &mut Mirror, until: Revision) -> BTreeMap<(String, String), Value> {
    let mut copy = BTreeMap::new();
    let mut marks = 0;
    loop {
        let seen = match mirror.recv_timeout(common::WAIT_MAX).unwrap().expect("an update") {
            Update::Entry(group, entry) => {
                assert_eq!(marks, 0, "an entry after the mark");
                assert!(copy.insert((group, entry.key), entry.value).is_none(), "an entry twice");
                Revision(0)
            }
            Update::Current(revision) => {
                marks += 1;
                revision
            }
            Update::Change(event) => {
                assert_eq!(marks, 1, "a change before the mark");
                match (event.key, event.value) {
                    (Some(key), Some(value)) => drop(copy.insert((event.group, key), value)),
                    (Some(key), None) => drop(copy.remove(&(event.group, key))),
                    (None, _) => copy.retain(|(group, _), _| *group != event.group),
                }
                event.revision
            }
        };
        if seen >= until {
            return copy;
        }
    }
}

/// How many updates come up to the mark.
fn updates_up_to_the_mark(mut recv: impl FnMut() -> Update) -> usize {
    std::iter::from_fn(|| Some(recv())).position(|update| matches!(update, Update::Current(_))).unwrap() + 1
}

fn updates(mirror: &mut Mirror) -> Vec<String> {
    std::iter::from_fn(|| mirror.try_recv().unwrap())
        .map(|update| match update {
            Update::Entry(group, entry) => {
                format!("{group}/{} = {}", entry.key, entry.value.to_string_lossy())
            }
            Update::Current(revision) => format!("current as of {revision}"),
            Update::Change(event) => format!("{} {:?} {}", event.revision, event.kind, event.group),
        })
        .collect()
}

on_every_engine! {
    fn a_mirror_holds_no_snapshot_once_it_has_given_the_mark(rig: &Rig) {
        let store = rig.store();
        store.set("a", "1", "one").unwrap();
        let mut mirror = store.mirror(("a", "1")).unwrap();
        assert_eq!(updates_up_to_the_mark(|| mirror.recv().unwrap()), 2);
        store.set("a", "1", "two").unwrap();
        assert_eq!(store.stats().unwrap().oldest_reader, None);

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let mut mirror = runtime.block_on(store.clone().into_async().mirror(("a", "1"))).unwrap();
        assert_eq!(updates_up_to_the_mark(|| runtime.block_on(mirror.recv()).unwrap()), 2);
        store.set("a", "1", "three").unwrap();
        assert_eq!(store.stats().unwrap().oldest_reader, None);
    }

    fn a_mirror_delivers_current_entries_then_a_mark_then_changes(rig: &Rig) {
        let store = rig.store();
        store.set("a", "2", "two").unwrap();
        store.set("a", "1", "one").unwrap();
        store.set("ab", "k", "v").unwrap();
        store.set("b", "k", "v").unwrap();
        let mut all = store.mirror(Pattern::all()).unwrap();
        let mut prefix = store.mirror(Pattern::group_prefix("a")).unwrap();
        let mut group = store.mirror(("a", "*")).unwrap();
        let mut key = store.mirror(("a", "1")).unwrap();
        let mut key_prefix = store.mirror(Pattern::key_prefix("a", "2")).unwrap();
        let mut nothing = store.mirror(("nowhere", "*")).unwrap();
        store.delete_group("a").unwrap();
        store.set("b", "k", "new").unwrap();
        let (one, two, ab, b) = ("a/1 = one", "a/2 = two", "ab/k = v", "b/k = v");
        let mark = format!("current as of {}", rig.revision(4));
        let (gone, new) = (format!("{} DeleteGroup a", rig.revision(5)), format!("{} Set b", rig.revision(6)));
        let (mark, gone, new) = (mark.as_str(), gone.as_str(), new.as_str());
        assert_eq!(updates(&mut all), [one, two, ab, b, mark, gone, new]);
        assert_eq!(updates(&mut prefix), [one, two, ab, mark, gone]);
        assert_eq!(updates(&mut group), [one, two, mark, gone]);
        assert_eq!(updates(&mut key), [one, mark, gone]);
        assert_eq!(updates(&mut key_prefix), [two, mark, gone]);
        assert_eq!(updates(&mut nothing), [mark]);
        assert_eq!(updates(&mut group), [""; 0]);
    }

    fn a_mirror_of_a_key_prefix_has_exactly_the_keys_with_that_prefix(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(larder::Durability::Relaxed));
        for key in ["", "a", "b", "b\0", "bé", "c"] {
            store.set("g", key, "v").unwrap();
        }
        (0..700).for_each(|number| assert!(store.set("g", format!("b{number:03}"), "v").is_ok()));
        let mut mirror = store.mirror(Pattern::key_prefix("g", "b")).unwrap();
        store.set("g", "b000", "new").unwrap();
        store.set("g", "c", "new").unwrap();
        let seen = updates(&mut mirror);
        assert_eq!(seen.len(), 3 + 700 + 2);
        assert_eq!(seen[..3], ["g/b = v", "g/b\0 = v", "g/b000 = v"]);
        assert_eq!(seen[702..], ["g/bé = v".to_owned(), format!("current as of {}", rig.revision(706)), format!("{} Set g", rig.revision(707))]);
    }

    fn a_tenants_mirror_has_only_its_groups_with_its_own_names(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-42").unwrap();
        tenant.set("prefs", "k", "own").unwrap();
        store.set("prefs", "k", "of another").unwrap();
        let mut mirror = tenant.mirror(Pattern::all()).unwrap();
        tenant.set("prefs", "k", "new").unwrap();
        assert_eq!(updates(&mut mirror), ["prefs/k = own".to_owned(), format!("current as of {}", rig.revision(2)), format!("{} Set prefs", rig.revision(3))]);
    }

    fn a_mirror_omits_expired_entries_and_delivers_their_removal(rig: &Rig) {
        let store = rig.store();
        store.set_with_ttl("g", "short", "v", common::ms(10)).unwrap();
        store.set_with_ttl("g", "long", "v", common::ms(20)).unwrap();
        rig.advance_ms(10);
        let mut mirror = store.mirror(("g", "*")).unwrap();
        assert_eq!(updates(&mut mirror), ["g/long = v".to_owned(), format!("current as of {}", rig.revision(2))]);
        store.purge_expired().unwrap();
        assert_eq!(updates(&mut mirror), [format!("{} Expire g", rig.revision(3))]);
    }

    fn a_mirror_made_while_others_write_is_an_exact_copy(rig: &Rig) {
        let store = rig.store();
        for number in 0..600 {
            store.set(format!("g{}", number % 3), number.to_string(), "before").unwrap();
        }
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let store = store.clone();
                    scope.spawn(move || {
                        for number in 0..100 {
                            store.set("g0", (number * 3).to_string(), writer.to_string()).unwrap();
                            store.delete("g1", (number * 3 + writer).to_string()).unwrap();
                            if number == 50 {
                                store.delete_group("g2").unwrap();
                            }
                        }
                    })
                })
                .collect();
            let mut mirrors: Vec<Mirror> =
                (0..3).map(|_| store.mirror(Pattern::all()).unwrap()).collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            let last = store.set("g0", "last", "v").unwrap();
            let mut expected = BTreeMap::new();
            for group in store.groups("").unwrap() {
                for entry in store.entries(&group.name).unwrap() {
                    let entry = entry.unwrap();
                    expected.insert((group.name.clone(), entry.key), entry.value);
                }
            }
            for mirror in &mut mirrors {
                assert_eq!(follow(mirror, last), expected);
            }
        });
    }
}
