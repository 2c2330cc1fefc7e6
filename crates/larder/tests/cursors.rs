//! Named cursors and resume tokens: a restarted program continues where it stopped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::thread;

use common::{Rig, WAIT_MAX, events_now, ms, next_event};
use larder::{
    Clock, Cursor, CursorInfo, Durability, Error, Event, EventKind, Options, Pattern, Quota, ResumeToken,
    Revision, Store,
};

/// The keys of all events that a cursor delivers without waiting.
fn keys(cursor: &Cursor) -> Vec<String> {
    received(cursor)
        .into_iter()
        .map(|event| event.key.unwrap_or_else(|| format!("{}!", event.group)))
        .collect()
}

fn received(cursor: &Cursor) -> Vec<Event> {
    std::iter::from_fn(|| cursor.try_recv().unwrap()).collect()
}

/// The only cursor of a store.
fn only(store: &Store) -> CursorInfo {
    let [cursor] = &store.cursors().unwrap()[..] else { panic!("not one cursor") };
    cursor.clone()
}

on_every_engine! {
    fn a_new_cursor_begins_now_and_a_known_one_after_its_last_acknowledged_event(rig: &Rig) {
        let store = rig.store();
        store.set("g", "before", "v").unwrap();
        drop(store.cursor("mailer").unwrap());
        for key in ["1", "2", "3", "4"] {
            store.set("g", key, "v").unwrap();
        }
        let store = rig.reopen(store);
        let cursor = store.cursor("mailer").unwrap();
        assert_eq!(cursor.recv().unwrap().key.unwrap(), "1");
        let second = cursor.recv().unwrap();
        assert_eq!(cursor.recv().unwrap().key.unwrap(), "3");
        cursor.ack(&second).unwrap();
        drop(cursor);
        let store = rig.reopen(store);
        let cursor = store.cursor("mailer").unwrap();
        assert_eq!(keys(&cursor), ["3", "4"]);
        assert_eq!(keys(&store.cursor("mailer").unwrap()), ["3", "4"], "unacknowledged events come again");
        store.set("g", "5", "v").unwrap();
        let last = cursor.recv().unwrap();
        cursor.ack(&last).unwrap();
        assert_eq!(keys(&store.cursor("mailer").unwrap()), [""; 0]);
    }

    fn acknowledging_is_not_a_change_and_never_moves_a_cursor_back(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        let cursor = store.cursor("c").unwrap();
        store.set("g", "1", "v").unwrap();
        store.set("g", "2", "v").unwrap();
        let events = received(&cursor);
        cursor.ack(&events[1]).unwrap();
        cursor.ack(&events[0]).unwrap();
        cursor.ack(&events[1].clone()).unwrap();
        assert_eq!(store.revision().unwrap(), rig.revision(2));
        assert_eq!(events_now(&watcher).len(), 2);
        assert_eq!(only(&store).revision, rig.revision(2));
        assert_eq!(keys(&store.cursor("c").unwrap()), [""; 0]);
    }

    fn each_event_of_a_batch_is_acknowledged_separately(rig: &Rig) {
        let store = rig.store();
        let cursor = store.cursor("c").unwrap();
        let batch = store.batch().set("g", "1", "v").set("g", "2", "v").set("g", "2", "v").delete("g", "1");
        batch.set("g", "3", "v").commit().unwrap();
        let expected = ["1", "2", "2", "1", "3"];
        for done in 0..expected.len() {
            let again = store.cursor("c").unwrap();
            let events = received(&again);
            let keys: Vec<&str> = events.iter().map(|event| event.key.as_deref().unwrap()).collect();
            assert_eq!(keys, expected[done..]);
            again.ack(&events[0]).unwrap();
            let behind = (expected.len() - done - 1) as u64;
            let done = rig.commits_up_to(only(&store).revision);
            assert_eq!((only(&store).behind, done), (behind, u64::from(behind == 0)));
        }
        assert_eq!(keys(&store.cursor("c").unwrap()), [""; 0]);
        assert_eq!(received(&cursor).len(), expected.len());
    }

    fn a_cursor_with_a_pattern_receives_only_matching_events(rig: &Rig) {
        let store = rig.store();
        let open = || store.cursor_on("c", Pattern::group("mine")).unwrap();
        let cursor = open();
        store.batch().set("mine", "1", "v").set("other", "1", "v").commit().unwrap();
        store.set("other", "2", "v").unwrap();
        store.set("mine", "2", "v").unwrap();
        let event = cursor.recv().unwrap();
        cursor.ack(&event).unwrap();
        assert_eq!(only(&store).revision, rig.revision(1), "the cursor does not wait for the batch's other change");
        assert_eq!(keys(&open()), ["2"]);
    }

    fn cursors_are_listed_with_their_lag_and_when_they_last_moved(rig: &Rig) {
        let store = rig.store();
        let cursor = store.cursor("b").unwrap();
        rig.advance_ms(5);
        drop(store.cursor("a.1_x-Y").unwrap());
        for number in 0..10 {
            store.set("g", number.to_string(), "v").unwrap();
        }
        rig.advance_ms(5);
        let third = received(&cursor).swap_remove(2);
        cursor.ack(&third).unwrap();
        let store = rig.reopen(store);
        let listed = store.stats().unwrap().cursors;
        assert_eq!(listed, store.cursors().unwrap());
        let brief: Vec<_> = listed.iter().map(|c| (c.name.as_str(), rig.number_of(c.revision), c.behind, c.compacted)).collect();
        assert_eq!(brief, [("a.1_x-Y", 0, 10, false), ("b", 3, 7, false)]);
        assert_eq!(listed[1].moved_at, rig.clock.now());
        assert_eq!(listed[0].moved_at, rig.clock.now() - ms(5));
        assert!(store.delete_cursor("b").unwrap());
        assert!(!store.delete_cursor("b").unwrap());
        assert_eq!(only(&store).name, "a.1_x-Y");
    }

    fn a_deleted_cursor_cannot_be_moved_and_can_be_created_again(rig: &Rig) {
        let store = rig.store();
        let cursor = store.cursor("c").unwrap();
        store.set("g", "1", "v").unwrap();
        let event = cursor.recv().unwrap();
        assert!(store.delete_cursor("c").unwrap());
        let error = cursor.ack(&event).unwrap_err();
        assert!(matches!(&error, Error::NoCursor { name } if name == "c"), "{error:?}");
        assert_eq!(keys(&store.cursor("c").unwrap()), [""; 0]);
    }

    fn tenants_have_cursors_of_their_own(rig: &Rig) {
        let store = rig.store();
        let (one, two) = (store.scoped("t-1").unwrap(), store.scoped("t-2").unwrap());
        let cursor = one.cursor("c").unwrap();
        drop(two.cursor("c").unwrap());
        drop(store.cursor("c").unwrap());
        one.set("g", "1", "v").unwrap();
        two.set("g", "2", "v").unwrap();
        let event = cursor.recv().unwrap();
        assert_eq!(event.group, "g");
        assert!(cursor.try_recv().unwrap().is_none());
        cursor.ack(&event).unwrap();
        let names = |cursors: Vec<CursorInfo>| cursors.into_iter().map(|cursor| cursor.name).collect::<Vec<_>>();
        assert_eq!(names(one.cursors().unwrap()), ["c"]);
        assert_eq!(names(store.cursors().unwrap()), ["c", "t-1:c", "t-2:c"]);
        assert_eq!(one.cursors().unwrap()[0].revision, rig.revision(1));
        assert_eq!(two.cursors().unwrap()[0].revision, Revision(0));
        assert!(two.delete_cursor("c").unwrap());
        assert_eq!(names(store.cursors().unwrap()), ["c", "t-1:c"]);
    }

    fn invalid_cursor_names_are_refused(rig: &Rig) {
        let store = rig.store();
        for name in ["", "a b", "t:c", "é", "a/b", "*", "a\0", &"x".repeat(129)] {
            let error = store.cursor(name).map(drop).unwrap_err();
            assert!(matches!(error, Error::InvalidCursor { .. }), "{name:?}: {error:?}");
            assert!(matches!(store.delete_cursor(name), Err(Error::InvalidCursor { .. })));
        }
        assert!(store.cursor("x".repeat(128)).is_ok());
        let pattern = Pattern::key("g", "x".repeat(65_537));
        assert!(matches!(store.cursor_on("c", pattern.clone()), Err(Error::TooLarge { what: "key", .. })));
        assert!(matches!(store.watch(pattern), Err(Error::TooLarge { .. })));
        assert!(matches!(store.watch(Pattern::group_prefix("x".repeat(65_537))), Err(Error::TooLarge { .. })));
    }

    fn an_event_that_the_cursor_did_not_deliver_cannot_be_acknowledged(rig: &Rig) {
        let store = rig.store();
        let elsewhere = Store::in_memory().unwrap();
        let cursor = store.cursor("c").unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        let foreign = elsewhere.watch(Pattern::all()).unwrap();
        store.set("g", "1", "v").unwrap();
        elsewhere.set("other", "1", "v").unwrap();
        for (event, at) in [(next_event(&watcher), rig.revision(1)), (next_event(&foreign), Revision(1))] {
            let error = cursor.ack(&event).unwrap_err();
            assert!(matches!(error, Error::NotReceived { revision } if revision == at), "{error:?}");
        }
        let event = cursor.recv().unwrap();
        assert!(matches!(cursor.ack(&next_event(&{
            let late = elsewhere.watch(Pattern::all()).unwrap();
            elsewhere.batch().set("other", "2", "v").commit().unwrap();
            late
        })), Err(Error::NotReceived { revision: Revision(2) })));
        cursor.ack(&event).unwrap();
        assert_eq!(only(&store).revision, rig.revision(1));
    }

    fn a_compacted_cursor_gets_one_error_and_continues(rig: &Rig) {
        let rig = rig.with_own_history();
        let short = |options: Options| options.history(100, 1 << 20).cursor_bytes_max(0);
        let store = rig.open_with(|options| short(options).durability(Durability::Relaxed));
        drop(store.cursor("c").unwrap());
        for number in 0..1000 {
            store.set("g", number.to_string(), "v").unwrap();
        }
        rig.compact_up_to(900);
        assert!(only(&store).compacted);
        let behind = only(&store).behind;
        assert_eq!(behind, store.stats().unwrap().history_changes);
        let cursor = store.cursor("c").unwrap();
        let Err(Error::Compacted { oldest }) = cursor.recv() else { panic!("no Compacted error") };
        if !rig.promises.prunes_its_log {
            // The test chose where the log was cut.
            assert_eq!((rig.commits_up_to(oldest), behind), (900, 100));
        }
        let events = received(&cursor);
        assert!(rig.numbers_of(&events).into_iter().eq(rig.commits_up_to(oldest) + 1..=1000));
        cursor.ack(&events[0]).unwrap();
        assert!(!only(&store).compacted);
        assert_eq!(only(&store).behind, behind - 1);
    }

    fn the_log_is_kept_for_a_cursor_beyond_its_limit(rig: &Rig) {
        // On a cluster the limit has no effect, and all of this is kept as well.
        let store = rig.open_with(|options| options.history(50, 1 << 20).durability(Durability::Relaxed));
        drop(store.cursor("c").unwrap());
        for number in 0..490 {
            store.set("g", number.to_string(), "v").unwrap();
        }
        let store = rig.reopen_with(store, |options| options.history(50, 1 << 20));
        assert_eq!(received(&store.cursor("c").unwrap()).len(), 490);
    }

    fn seeking_moves_a_cursor_back_or_forth_at_once_and_durably(rig: &Rig) {
        let store = rig.store();
        let cursor = store.cursor("c").unwrap();
        for key in ["1", "2", "3"] {
            store.set("g", key, "v").unwrap();
        }
        let token = store.token().unwrap();
        assert_eq!(keys(&cursor), ["1", "2", "3"]);
        cursor.seek(rig.revision(1)).unwrap();
        assert_eq!(keys(&cursor), ["2", "3"]);
        assert_eq!(only(&store).revision, rig.revision(1));
        cursor.seek(0).unwrap();
        assert_eq!(keys(&store.cursor("c").unwrap()), ["1", "2", "3"]);
        cursor.seek(&token).unwrap();
        store.set("g", "4", "v").unwrap();
        assert_eq!(keys(&cursor), ["4"]);
        // One beyond the latest, and far beyond it.
        for ahead in [rig.after(store.revision().unwrap()), Revision(u64::MAX - 99)] {
            assert!(matches!(cursor.seek(ahead), Err(Error::FutureRevision { .. })), "{ahead}");
        }
        let foreign = Store::in_memory().unwrap().token().unwrap();
        assert!(matches!(cursor.seek(foreign), Err(Error::OtherStore { .. })));
        store.set("g", "5", "v").unwrap();
        assert_eq!(keys(&cursor), ["5"], "a refused seek moves nothing");
    }

    fn when_many_events_are_unacknowledged_a_cursor_tracks_only_their_revisions(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let cursor = store.cursor("c").unwrap();
        for number in 0..1000 {
            let batch = (0..6).fold(store.batch(), |batch, n| batch.set("g", format!("{number} {n}"), "v"));
            batch.commit().unwrap();
        }
        let events = received(&cursor);
        assert_eq!(events.len(), 6000);
        // This early event is inside its batch, so only the changes before the batch are certainly done.
        cursor.ack(&events[6 * 9 + 3]).unwrap();
        assert_eq!(received(&store.cursor("c").unwrap()), events[6 * 9..]);
        cursor.ack(&events[5992]).unwrap();
        assert_eq!(received(&store.cursor("c").unwrap()), events[5993..]);
    }

    fn threads_that_share_a_cursor_divide_its_events(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let cursor = store.cursor("c").unwrap();
        let received: Vec<Event> = thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut mine = Vec::new();
                        while let Some(event) = cursor.recv_timeout(WAIT_MAX).unwrap() {
                            cursor.ack(&event).unwrap();
                            if event.key.as_deref() == Some("end") {
                                return mine;
                            }
                            mine.push(event);
                        }
                        panic!("no event arrived");
                    })
                })
                .collect();
            for number in 0..300 {
                store.batch().set("g", format!("{number} a"), "v").set("g", format!("{number} b"), "v").commit().unwrap();
            }
            (0..3).for_each(|_| assert!(store.set("g", "end", "v").is_ok()));
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let mut revisions = rig.numbers_of(&received);
        revisions.sort_unstable();
        assert!(revisions.into_iter().eq((1..=300).flat_map(|revision| [revision, revision])));
        assert_eq!(keys(&store.cursor("c").unwrap()), [""; 0]);
    }

    fn a_token_resumes_after_the_last_received_event_even_inside_a_batch(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        let start = watcher.token();
        store.batch().set("g", "1", "v").set("g", "2", "v").commit().unwrap();
        store.delete_group("g").unwrap();
        let mut tokens = vec![start];
        while watcher.try_recv().unwrap().is_some() {
            tokens.push(watcher.token());
        }
        let revisions: Vec<u64> = tokens.iter().map(|token| rig.number_of(token.revision())).collect();
        assert_eq!(revisions, [0, 1, 1, 2]);
        let store = rig.reopen(store);
        let expected = ["1", "2", "g!"];
        for (received, token) in tokens.iter().enumerate() {
            let text = token.to_string();
            assert_eq!(text.parse::<ResumeToken>().unwrap(), *token);
            assert_eq!(token.store(), store.stats().unwrap().identity);
            let rest = events_now(&store.watch_from(Pattern::all(), token).unwrap());
            let rest: Vec<String> = rest.into_iter().map(|event| event.key.unwrap_or("g!".into())).collect();
            assert_eq!(rest, expected[received..], "{text}");
        }
        assert_eq!(store.token().unwrap(), tokens[3]);
    }

    fn a_token_that_is_malformed_or_of_another_store_or_of_the_future_is_refused(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        let other = Store::in_memory().unwrap();
        other.set("g", "k", "v").unwrap();
        let refused = store.watch_from(Pattern::all(), other.token().unwrap()).map(drop).unwrap_err();
        let identities = (other.stats().unwrap().identity, store.stats().unwrap().identity);
        assert!(matches!(&refused, Error::OtherStore { named, this } if (named, this) == (&identities.0, &identities.1)));
        assert!(refused.to_string().contains(&identities.0), "{refused}");
        let next = rig.after(store.revision().unwrap());
        let ahead = format!("{}@{next}", identities.1).parse::<ResumeToken>().unwrap();
        assert!(matches!(store.watch_from(Pattern::all(), ahead), Err(Error::FutureRevision { .. })));
        let identity = &identities.1;
        for text in ["", "1", "@1", "x@1", &format!("{identity}@"), &format!("{identity}@-1"), &format!("{identity}@+1"),
            &format!("{identity}@1."), &format!("{identity}@1.x"), &format!("{identity}@99999999999999999999"), &format!("{}é@1", &identity[2..])]
        {
            assert!(matches!(text.parse::<ResumeToken>(), Err(Error::InvalidToken { .. })), "{text:?}");
        }
    }

    fn changes_of_quotas_and_cursors_invalidate_no_cache(rig: &Rig) {
        // A second handle on the file has a cache that must tell larder's commits from another program's.
        let store = rig.store();
        let other = rig.second_handle(&store);
        let cursor = store.cursor("c").unwrap();
        store.set("t:g", "k", "old").unwrap();
        assert_eq!(other.get("t:g", "k").unwrap().unwrap(), "old");
        store.set_quota("t", Quota { max_keys: Some(5), ..Quota::default() }).unwrap();
        cursor.ack(&cursor.recv().unwrap()).unwrap();
        assert_eq!(other.get("t:g", "k").unwrap().unwrap(), "old");
        store.set("t:g", "k", "new").unwrap();
        cursor.ack(&cursor.recv().unwrap()).unwrap();
        assert_eq!(other.get("t:g", "k").unwrap().unwrap(), "new");
        assert_eq!(other.cursors().unwrap()[0].revision, rig.revision(2));
        assert_eq!(other.scoped("t").unwrap().quota().unwrap().max_keys, Some(5));
    }
}

#[test]
fn cursors_of_a_read_only_store_cannot_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    drop(store.cursor("c").unwrap());
    store.set("g", "k", "v").unwrap();
    let reader = Store::options().read_only(true).open(&path).unwrap();
    let cursor = reader.cursor("c").unwrap();
    let event = cursor.recv().unwrap();
    assert_eq!(event.kind, EventKind::Set);
    assert!(matches!(cursor.ack(&event), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.cursor("new"), Err(Error::ReadOnly { .. })));
    assert_eq!(reader.cursors().unwrap().len(), 1);
}
