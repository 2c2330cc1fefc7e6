//! Events: a watcher receives every change that its pattern matches, once, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::thread;
use std::time::Duration;

use common::{Rig, WAIT_MAX, events_now, next_event};
use larder::{
    Clock, Condition, Durability, Error, Event, EventKind, Pattern, Quota, Revision, Store, Watcher,
};

/// The parts of an event that the tests compare.
fn brief<'a>(rig: &Rig, event: &'a Event) -> (u64, EventKind, &'a str, Option<&'a str>, Option<&'a str>) {
    let value = event.value.as_ref().map(|value| value.as_str().unwrap());
    (rig.number_of(event.revision), event.kind, &event.group, event.key.as_deref(), value)
}

/// The keys of all events that can be received without waiting.
fn keys(watcher: &Watcher) -> Vec<String> {
    let shown = |event: Event| match event.key {
        Some(key) => format!("{}/{key}", event.group),
        None => format!("{}!", event.group),
    };
    events_now(watcher).into_iter().map(shown).collect()
}

on_every_engine! {
    fn an_event_carries_revision_kind_group_key_value_and_time(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        store.set("config", "colour", "blue").unwrap();
        rig.advance_ms(1500);
        store.set_with_ttl("session", "token", vec![0xff], Duration::from_secs(60)).unwrap();
        let now = rig.clock.now();
        assert_eq!(next_event(&watcher), Event {
            revision: rig.revision(1),
            kind: EventKind::Set,
            group: "config".into(),
            key: Some("colour".into()),
            value: Some("blue".into()),
            expires_at: None,
            at: now - Duration::from_millis(1500),
        });
        assert_eq!(next_event(&watcher), Event {
            revision: rig.revision(2),
            kind: EventKind::Set,
            group: "session".into(),
            key: Some("token".into()),
            value: Some(vec![0xff].into()),
            expires_at: Some(now + Duration::from_secs(60)),
            at: now,
        });
    }

    fn every_kind_of_change_has_its_event(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        store.set("g", "k", "1").unwrap();
        store.set("g", "k", "1").unwrap();
        store.increment("g", "k", 4).unwrap();
        store.set_if("g", "k", Condition::Present, "6").unwrap();
        store.touch("g", "k", Duration::from_secs(1)).unwrap();
        store.persist("g", "k").unwrap();
        store.delete("g", "k").unwrap();
        store.set("g", "k", "7").unwrap();
        store.delete_group("g").unwrap();
        store.set_with_ttl("g", "k", "8", Duration::from_millis(5)).unwrap();
        rig.advance_ms(5);
        store.purge_expired().unwrap();
        let events = events_now(&watcher);
        let (set, key) = (EventKind::Set, Some("k"));
        assert_eq!(events.iter().map(|event| brief(rig, event)).collect::<Vec<_>>(), [
            (1, set, "g", key, Some("1")),
            (2, set, "g", key, Some("1")),
            (3, set, "g", key, Some("5")),
            (4, set, "g", key, Some("6")),
            (5, set, "g", key, Some("6")),
            (6, set, "g", key, Some("6")),
            (7, EventKind::Delete, "g", key, None),
            (8, set, "g", key, Some("7")),
            (9, EventKind::DeleteGroup, "g", None, None),
            (10, set, "g", key, Some("8")),
            (11, EventKind::Expire, "g", key, None),
        ]);
        assert!(events[4].expires_at.is_some() && events[5].expires_at.is_none());
    }

    fn a_pattern_matches_exactly_what_it_names(rig: &Rig) {
        let store = rig.store();
        let watch = |pattern: Pattern| store.watch(pattern).unwrap();
        let watchers = [
            (watch(Pattern::all()), vec!["a/k", "a/l", "ab/k", "ab/l", "b/k", "/k", "a!", "ab!"]),
            (watch(Pattern::group("a")), vec!["a/k", "a/l", "a!"]),
            (watch(Pattern::key("a", "k")), vec!["a/k", "a!"]),
            (watch(Pattern::group_prefix("a")), vec!["a/k", "a/l", "ab/k", "ab/l", "a!", "ab!"]),
            (watch(Pattern::group_prefix("")), vec!["a/k", "a/l", "ab/k", "ab/l", "b/k", "/k", "a!", "ab!"]),
            (watch(Pattern::group("")), vec!["/k"]),
            (watch(Pattern::key("", "k")), vec!["/k"]),
            (watch(Pattern::key("a", "none")), vec!["a!"]),
            (watch(Pattern::key_prefix("a", "k")), vec!["a/k", "a!"]),
            (watch(Pattern::key_prefix("ab", "")), vec!["ab/k", "ab/l", "ab!"]),
            (watch(Pattern::key_prefix("b", "kk")), vec![]),
            (watch(Pattern::group("none")), vec![]),
            (watch(("*", "*").into()), vec!["a/k", "a/l", "ab/k", "ab/l", "b/k", "/k", "a!", "ab!"]),
            (watch(("a", "*").into()), vec!["a/k", "a/l", "a!"]),
            (watch(("*", "k").into()), vec!["a/k", "ab/k", "b/k", "/k", "a!", "ab!"]),
            (watch(("a", "k").into()), vec!["a/k", "a!"]),
            (watch(("a*", "*").into()), vec![]),
        ];
        for (group, key) in [("a", "k"), ("a", "l"), ("ab", "k"), ("ab", "l"), ("b", "k"), ("", "k")] {
            store.set(group, key, "v").unwrap();
        }
        store.delete_prefix("a").unwrap();
        for (number, (watcher, expected)) in watchers.iter().enumerate() {
            assert_eq!(keys(watcher), *expected, "watcher {number}");
        }
    }

    fn names_with_pattern_characters_match_literally(rig: &Rig) {
        let store = rig.store();
        let star_key = store.watch(Pattern::key("g", "*")).unwrap();
        let star_group = store.watch(Pattern::group("*")).unwrap();
        let percent = store.watch(Pattern::group_prefix("tenant_")).unwrap();
        for (group, key) in [("g", "*"), ("g", "x"), ("*", "x"), ("tenant_1", "k"), ("tenantX1", "k")] {
            store.set(group, key, "v").unwrap();
        }
        assert_eq!(keys(&star_key), ["g/*"]);
        assert_eq!(keys(&star_group), ["*/x"]);
        assert_eq!(keys(&percent), ["tenant_1/k"]);
    }

    fn a_prefix_is_compared_by_bytes_and_may_end_inside_a_character_of_another_name(rig: &Rig) {
        let store = rig.store();
        // "é" and "è" share their first byte; a prefix of "é"'s length ends within "a鍵".
        let watcher = store.watch(Pattern::group_prefix("é")).unwrap();
        for group in ["éa", "èa", "a鍵", "鍵", "é"] {
            store.set(group, "k", "v").unwrap();
        }
        assert_eq!(keys(&watcher), ["éa/k", "é/k"]);
    }

    fn a_watcher_of_one_key_receives_the_deletion_of_its_group(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        store.set("other", "key", "x").unwrap();
        let watcher = store.watch(("config", "colour")).unwrap();
        store.delete_group("other").unwrap();
        store.delete_group("config").unwrap();
        let event = next_event(&watcher);
        assert_eq!(brief(rig, &event), (4, EventKind::DeleteGroup, "config", None, None));
        assert_eq!(events_now(&watcher), []);
    }

    fn the_events_of_a_batch_share_a_revision_and_come_in_order(rig: &Rig) {
        let store = rig.store();
        store.set("b", "gone", "x").unwrap();
        let all = store.watch(Pattern::all()).unwrap();
        let one = store.watch(("a", "k")).unwrap();
        store
            .batch()
            .set("a", "k", "1")
            .set("b", "k", "2")
            .delete("b", "gone")
            .set("a", "k", "3")
            .delete("not", "there")
            .delete_group("b")
            .commit()
            .unwrap();
        let set = EventKind::Set;
        assert_eq!(events_now(&all).iter().map(|event| brief(rig, event)).collect::<Vec<_>>(), [
            (2, set, "a", Some("k"), Some("1")),
            (2, set, "b", Some("k"), Some("2")),
            (2, EventKind::Delete, "b", Some("gone"), None),
            (2, set, "a", Some("k"), Some("3")),
            (2, EventKind::DeleteGroup, "b", None, None),
        ]);
        assert_eq!(events_now(&one).iter().map(|event| brief(rig, event)).collect::<Vec<_>>(), [
            (2, set, "a", Some("k"), Some("1")),
            (2, set, "a", Some("k"), Some("3")),
        ]);
    }

    fn writes_that_fail_or_change_nothing_send_no_event(rig: &Rig) {
        let store = rig.store();
        store.set("text", "key", "no number").unwrap();
        let tenant = store.scoped("t").unwrap();
        store.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
        tenant.set("g", "k", "v").unwrap();
        let revision = store.revision().unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();

        assert!(!store.delete("not", "there").unwrap());
        assert!(!store.touch("not", "there", Duration::from_secs(1)).unwrap());
        assert!(!store.persist("not", "there").unwrap());
        assert_eq!(store.delete_group("not there").unwrap(), 0);
        assert_eq!(store.delete_prefix("not there").unwrap(), 0);
        assert_eq!(store.purge_expired().unwrap(), 0);
        store.batch().commit().unwrap();
        store.batch().delete("not", "there").commit().unwrap();
        store.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();

        store.increment("text", "key", 1).unwrap_err();
        store.set_if("text", "key", Condition::Absent, "x").unwrap_err();
        store.delete_if("text", "key", Condition::Revision(Revision(7_777_777))).unwrap_err();
        store.set("g", "k".repeat(70_000), "v").unwrap_err();
        store.set_with_ttl("g", "k", "v", Duration::ZERO).unwrap_err();
        tenant.set("g", "l", "v").unwrap_err();
        store.batch().set("a", "b", "c").require("text", "key", Condition::Absent).commit().unwrap_err();
        store.batch().set("a", "b", "c").increment("text", "key", 1).commit().unwrap_err();
        store.transaction(|tx| {
            tx.set("a", "b", "c")?;
            Err::<(), _>(Error::other("no"))
        }).unwrap_err();

        assert_eq!(store.revision().unwrap(), revision);
        assert_eq!(events_now(&watcher), []);
        store.set("a", "b", "c").unwrap();
        assert_eq!(next_event(&watcher).revision, rig.after(revision));
    }

    fn a_watcher_receives_only_changes_made_after_it_began(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        store.set("config", "colour", "green").unwrap();
        assert_eq!(keys(&watcher), ["config/colour"]);
    }

    fn a_scoped_watcher_receives_only_its_namespace_with_its_own_group_names(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-4").unwrap();
        let all = tenant.watch(Pattern::all()).unwrap();
        let group = tenant.watch(("g", "*")).unwrap();
        let escape = tenant.watch(Pattern::group("tenant-42:g")).unwrap();
        store.set("g", "outside", "v").unwrap();
        store.set("tenant-42:g", "other", "v").unwrap();
        store.set("tenant-4", "no group of its", "v").unwrap();
        tenant.set("g", "k", "v").unwrap();
        store.set("tenant-4:", "empty", "v").unwrap();
        store.delete_prefix("tenant-4").unwrap();
        assert_eq!(keys(&all), ["g/k", "/empty", "!", "g!"]);
        assert_eq!(keys(&group), ["g/k", "g!"]);
        assert_eq!(keys(&escape), Vec::<String>::new());
        assert_eq!(tenant.history("g", "k").unwrap()[0].group, "g");
    }

    fn an_event_wakes_a_waiting_watcher(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(("config", "*")).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| watcher.recv().unwrap());
            store.set("other", "key", "x").unwrap();
            store.set("config", "colour", "blue").unwrap();
            assert_eq!(waiting.join().unwrap().key.unwrap(), "colour");
        });
        assert!(watcher.recv_timeout(Duration::from_millis(1)).unwrap().is_none());
        assert!(watcher.recv_timeout(Duration::ZERO).unwrap().is_none());
        store.set("config", "colour", "red").unwrap();
        assert!(watcher.recv_timeout(Duration::MAX).unwrap().is_some(), "a very long timeout");
    }

    fn closing_the_store_ends_every_watcher_after_its_delivered_events(rig: &Rig) {
        let store = rig.store();
        let mut watcher = store.watch(Pattern::all()).unwrap();
        let waiting = store.watch(("never", "*")).unwrap();
        thread::scope(|scope| {
            let ended = scope.spawn(|| waiting.recv());
            assert_eq!(events_now(&watcher), []);
            store.set("a", "b", "c").unwrap();
            store.close().unwrap();
            assert!(matches!(ended.join().unwrap(), Err(Error::Closed)));
        });
        assert_eq!(watcher.next().unwrap().unwrap().group, "a");
        assert!(matches!(watcher.recv(), Err(Error::Closed)));
        assert!(matches!(watcher.try_recv(), Err(Error::Closed)));
        assert!(matches!(watcher.recv_timeout(WAIT_MAX), Err(Error::Closed)));
        assert!(watcher.next().is_none(), "the iterator did not end");
    }

    fn a_watcher_does_not_keep_the_store_open(rig: &Rig) {
        // In memory, the rig would keep a handle of its own.
        let store = if rig.promises.can_be_opened_again { rig.store() } else { Store::in_memory().unwrap() };
        let watcher = store.watch(Pattern::all()).unwrap();
        store.set("a", "b", "c").unwrap();
        drop(store);
        // It may first deliver the events that had reached it.
        let last = std::iter::from_fn(|| watcher.recv_timeout(WAIT_MAX).transpose()).find_map(Result::err);
        assert!(matches!(last, Some(Error::Closed)));
        if rig.promises.is_a_file {
            assert_eq!(std::fs::read_dir(rig.folder()).unwrap().count(), 1, "the store still has the file open");
        }
    }

    fn dropping_a_watcher_affects_no_other_watcher(rig: &Rig) {
        let store = rig.store();
        let watchers: Vec<Watcher> = (0..20).map(|_| store.watch(("g", "k")).unwrap()).collect();
        store.set("g", "k", "1").unwrap();
        let kept: Vec<Watcher> =
            watchers.into_iter().enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, watcher)| watcher).collect();
        store.set("g", "k", "2").unwrap();
        for watcher in &kept {
            assert_eq!(keys(watcher).len(), 2);
        }
        drop(kept);
        store.set("g", "k", "3").unwrap();
        assert_eq!(keys(&store.watch_from(("g", "k"), 0).unwrap()).len(), 3);
    }

    fn closing_a_watcher_wakes_its_reader_and_affects_no_other_watcher(rig: &Rig) {
        let store = rig.store();
        let (first, second) =
            (store.watch(Pattern::all()).unwrap(), store.watch(Pattern::all()).unwrap());
        thread::scope(|scope| {
            let ended = scope.spawn(|| (first.recv().map(|event| event.group), first.recv()));
            store.set("a", "b", "c").unwrap();
            assert_eq!(next_event(&second).group, "a");
            first.close();
            let (received, end) = ended.join().unwrap();
            // It may have been closed before it received the event.
            assert!(matches!(received, Err(Error::Closed)) || received.unwrap() == "a");
            assert!(matches!(end, Err(Error::Closed)));
        });
        store.set("d", "e", "f").unwrap();
        assert!(matches!(first.try_recv(), Err(Error::Closed)));
        assert_eq!(next_event(&second).group, "d");
    }

    fn watchers_dropped_during_a_delivery_affect_no_other_watcher(rig: &Rig) {
        const LAST: u64 = 600;
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let steady = store.watch(Pattern::all()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..LAST).for_each(|n| assert!(store.set("g", n.to_string(), "v").is_ok())));
            for _ in 0..2 {
                scope.spawn(|| {
                    while rig.commits_up_to(store.revision().unwrap()) < LAST {
                        let passing = [("g", "*"), ("g", "7"), ("*", "*")].map(|pattern| store.watch(pattern).unwrap());
                        drop(passing[0].try_recv());
                    }
                });
            }
            let received: Vec<Event> = (0..LAST).map(|_| next_event(&steady)).collect();
            assert!(rig.numbers_of(&received).into_iter().eq(1..=LAST));
        });
        assert_eq!(events_now(&steady), []);
    }

    fn every_matching_watcher_receives_each_change_exactly_once_in_commit_order(rig: &Rig) {
        const WRITERS: usize = 6;
        const WRITES: usize = 60;
        let store = rig.store();
        let whole = store.watch(Pattern::all()).unwrap();
        let of_group: Vec<Watcher> =
            (0..WRITERS).map(|n| store.watch((format!("group-{n}").as_str(), "*")).unwrap()).collect();
        let write = |store: &Store, writer: usize| {
            for number in 0..WRITES {
                let group = format!("group-{writer}");
                match number % 3 {
                    0 => drop(store.set(&group, number.to_string(), "x").unwrap()),
                    1 => drop(store.batch().set(&group, "a", "x").set(&group, "b", "x").commit().unwrap()),
                    _ => store.transaction(|tx| tx.set(&group, number.to_string(), "x")).unwrap(),
                }
            }
        };
        let each = WRITES + WRITES / 3;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, write) = (&store, &write);
                scope.spawn(move || write(store, writer));
            }
            let of_all = scope.spawn(|| (0..each * WRITERS).map(|_| next_event(&whole)).collect::<Vec<Event>>());
            let readers: Vec<_> = of_group
                .iter()
                .enumerate()
                .map(|(n, watcher)| {
                    scope.spawn(move || {
                        let events: Vec<Event> = (0..each).map(|_| next_event(watcher)).collect();
                        assert!(events.iter().all(|event| event.group == format!("group-{n}")));
                        assert!(events.windows(2).all(|pair| pair[0].revision <= pair[1].revision));
                    })
                })
                .collect();
            let received = of_all.join().unwrap();
            assert!(received == events_now(&store.watch_from(Pattern::all(), 0).unwrap()), "the live events differ from the log");
            let mut revisions: Vec<Revision> = received.iter().map(|event| event.revision).collect();
            assert!(revisions.is_sorted());
            revisions.dedup();
            let commits = revisions.len() as u64;
            assert_eq!(revisions, (1..=commits).map(|number| rig.revision(number)).collect::<Vec<_>>(), "a revision is missing");
            assert_eq!(store.revision().unwrap(), rig.revision(commits));
            // A thread that waits for each write never shares a commit with itself.
            let (least, most) = (WRITES as u64, (WRITERS * WRITES) as u64);
            assert!(commits == most || rig.promises.concurrent_writes_share_commits && (least..most).contains(&commits), "{commits}");
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        assert_eq!(events_now(&whole), []);
        of_group.iter().for_each(|watcher| assert_eq!(events_now(watcher), []));
    }
}
