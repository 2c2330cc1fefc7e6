//! Setting and removing histories moves changes: nothing is lost unnoticed, and the store stays sound.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::Duration;

use common::{Rig, events_now};
use larder::{Durability, Error, History, HistoryInfo, Options, Pattern, Revision, Store, Watcher};

fn short(changes: u64) -> History {
    History { changes, ..History::default() }
}

fn relaxed(options: Options) -> Options {
    options.durability(Durability::Relaxed)
}

/// The history of a prefix.
fn info(store: &Store, prefix: &str) -> HistoryInfo {
    store.histories().unwrap().into_iter().find(|history| history.prefix == prefix).expect("a history")
}

/// The revision up to which a watch was refused.
#[track_caller]
fn lost(watch: larder::Result<Watcher>) -> Revision {
    match watch {
        Err(Error::Compacted { oldest }) => oldest,
        other => panic!("{other:?}"),
    }
}

on_every_engine! {
    fn removing_a_history_never_takes_the_revision_back(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        for (history, is_purged) in [(History::NONE, false), (short(100), true)] {
            let rig = rig.another();
            let store = rig.open_with(relaxed);
            let age = is_purged.then_some(common::ms(10));
            store.set_history("session:", History { age, ..history }).unwrap();
            store.set("orders", "1", "a book").unwrap();
            let latest = store.set("session:7", "page", "1").unwrap();
            rig.advance_ms(10);
            store.purge_expired().unwrap();
            assert!(store.remove_history("session:").unwrap());
            assert_eq!(rig.second_handle(&store).revision().unwrap(), latest);
            let store = rig.reopen(store);
            assert_eq!(store.revision().unwrap(), latest);
            assert_eq!(store.set("orders", "2", "a pen").unwrap(), latest.next());
            common::verify(&store);
        }
    }

    fn a_reader_is_told_of_what_goes_with_a_removed_history(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        store.set_history("", History::NONE).unwrap();
        store.set_history("session:", short(100)).unwrap();
        for number in 0..5 {
            store.set("session:7", "page", number.to_string()).unwrap();
        }
        assert_eq!(events_now(&store.watch_from(("session:7", "*"), 2).unwrap()).len(), 3);
        // Its changes go to a history that keeps nothing.
        assert!(store.remove_history("session:").unwrap());
        assert_eq!(lost(store.watch_from(("session:7", "*"), 2)), Revision(5));
        let store = rig.reopen(store);
        assert_eq!(lost(store.watch_from(("session:7", "*"), 2)), Revision(5));
    }

    fn what_a_removed_history_had_lost_stays_lost_when_older_changes_are_pruned(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        for number in 0..25 {
            store.set("orders", number.to_string(), "a pen").unwrap();
            store.set("session:7", "page", number.to_string()).unwrap();
        }
        store.set_history("session:", short(1)).unwrap();
        let latest = store.set("session:7", "page", "last").unwrap();
        assert!(store.remove_history("session:").unwrap());
        assert_eq!(lost(store.watch_from(("session:7", "*"), 20)), latest.previous());
        // 26 changes are left. The orders that go now are older than the sessions that are gone.
        store.set_history("", short(20)).unwrap();
        store.set("orders", "next", "a pen").unwrap();
        assert_eq!(info(&store, "").changes, 20);
        assert_eq!(lost(store.watch_from(("session:7", "*"), 20)), latest.previous());
        let store = rig.reopen(store);
        assert_eq!(lost(store.watch_from(("session:7", "*"), 20)), latest.previous());
        assert_eq!(events_now(&store.watch_from(Pattern::all(), latest.previous()).unwrap()).len(), 2);
    }

    fn check_finds_nothing_wrong_with_a_log_that_was_divided_and_joined(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        for number in 0..10 {
            store.set("orders", number.to_string(), "a pen").unwrap();
            store.set("session:7", "page", number.to_string()).unwrap();
        }
        store.set_history("session:", short(1)).unwrap();
        store.set("session:7", "page", "last").unwrap();
        assert!(store.remove_history("session:").unwrap());
        common::verify(&store);
        // A history that keeps nothing still has the names of its last changes.
        store.set_history("", History::NONE).unwrap();
        store.set("session:7", "page", "last").unwrap();
        store.set_history("session:", short(10)).unwrap();
        common::verify(&store);
    }

    fn check_finds_no_gap_where_a_removed_history_had_kept_nothing(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        for is_removed_last in [false, true] {
            let rig = rig.another();
            let store = rig.open_with(relaxed);
            // Begun anew, the store's own history has lost nothing of what comes.
            store.set_history("", History::NONE).unwrap();
            store.set_history("one:", History::NONE).unwrap();
            store.set_history("", short(5)).unwrap();
            store.set("two:g", "k", "1").unwrap();
            store.set("one:g", "k", "2").unwrap();
            store.set("one:g", "k", "3").unwrap();
            if is_removed_last {
                store.set("two:g", "k", "4").unwrap();
            }
            store.remove_history("one:").unwrap();
            store.set("two:g", "k", "5").unwrap();
            store.set("one:g", "k", "6").unwrap();
            common::verify(&store);
            store.close().unwrap();
        }
    }

    fn a_cursor_keeps_all_that_fits_its_limit_in_a_log_of_few_changes(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let limit = 100_000;
        let store = rig.open_with(|options| relaxed(options).history(5, 1 << 20).cursor_bytes_max(limit));
        let mailer = store.cursor_on("mailer", ("orders", "*")).unwrap();
        for number in 0..20 {
            store.set("orders", number.to_string(), "x".repeat(9_000)).unwrap();
        }
        let orders = info(&store, "");
        assert_eq!(orders.changes, 11, "as many of 9,048 bytes and names as fit");
        assert!(orders.bytes <= limit);
        assert!(matches!(mailer.recv().map(|event| event.revision), Ok(Revision(1))), "from memory");
        drop(mailer);
        let mailer = store.cursor_on("mailer", ("orders", "*")).unwrap();
        assert!(matches!(mailer.recv(), Err(Error::Compacted { oldest: Revision(9) })));
        assert_eq!(std::iter::from_fn(|| mailer.try_recv().unwrap()).count(), 11);
    }

    fn a_log_that_another_process_divided_is_pruned_to_its_limits(rig: &Rig) {
        if !rig.promises.can_be_opened_again || !rig.promises.prunes_its_log {
            return;
        }
        let open = || rig.open_with(|options| relaxed(options).history(64, 1 << 20));
        let (store, other) = (open(), open());
        let save = |count: u64| {
            for number in 0..count {
                store.set("orders", number.to_string(), "a pen").unwrap();
            }
        };
        let divide_and_join = || {
            other.set_history("session:", short(10)).unwrap();
            assert!(other.remove_history("session:").unwrap());
        };
        divide_and_join();
        save(3000);
        drop(other.cursor("mailer").unwrap());
        save(100);
        assert_eq!(info(&store, "").changes, 100, "the cursor holds them");
        // The changes are counted anew, under a number that the log has had before.
        divide_and_join();
        assert!(other.delete_cursor("mailer").unwrap());
        save(100);
        assert!(info(&store, "").changes <= 65, "{:?}", info(&store, ""));
    }

    fn a_history_may_have_any_bounds(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| relaxed(options).expiry_timer(true));
        let endless = History { changes: u64::MAX, bytes: u64::MAX, age: Some(Duration::MAX) };
        let least = History { changes: 1, bytes: 1, age: Some(common::ms(1)) };
        store.set_history("", endless).unwrap();
        store.set_history("few:", least).unwrap();
        for number in 0..10 {
            store.set("many:", number.to_string(), "v").unwrap();
            store.set("few:", number.to_string(), "v").unwrap();
            assert_eq!((info(&store, "").changes, info(&store, "few:").changes), (number + 1, 1));
        }
        rig.advance_ms(1);
        common::eventually("what is too old is gone", || info(&store, "few:").changes == 0);
        let store = rig.reopen_with(store, |options| relaxed(options).expiry_timer(true));
        assert_eq!(info(&store, "").changes, 10);
        // No file counts further.
        let bounds = info(&store, "").bounds;
        assert!(bounds.changes > 1 << 62 && bounds.age.unwrap() > Duration::from_secs(1 << 40), "{bounds:?}");
        store.set("many:", "next", "v").unwrap();
        assert_eq!(info(&store, "").changes, 11);
    }

    fn a_prefix_is_a_name_of_a_group_or_the_beginning_of_one(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| relaxed(options).history(1000, 1 << 20));
        let longest = "x".repeat(64 << 10);
        store.set(&longest, "k", "v").unwrap();
        store.set_history(&longest, short(10)).unwrap();
        let refused = store.set_history(format!("{longest}x"), short(10));
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
        for name in common::STRANGE_NAMES {
            store.set(*name, "k", "v").unwrap();
        }
        let all = || events_now(&store.watch_from(Pattern::all(), 0).unwrap());
        let before = all();
        for name in common::STRANGE_NAMES {
            store.set_history(name, short(10)).unwrap();
            assert_eq!(store.history(name, "k").unwrap().len(), 1, "{name:?}");
        }
        assert_eq!(all(), before);
        common::verify(&store);
        for name in common::STRANGE_NAMES {
            assert!(store.remove_history(name).unwrap(), "{name:?}");
        }
        assert_eq!(all(), before);
        common::verify(&store);
    }
}
