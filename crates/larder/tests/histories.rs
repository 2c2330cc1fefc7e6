//! Histories: how much of the change log is kept for which groups, and what watchers and cursors are told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::Duration;

use common::{Rig, events_now, ms, next_event};
use larder::{Durability, Error, Event, History, HistoryInfo, Options, Pattern, Store, Watcher};

fn short(changes: u64) -> History {
    History { changes, ..History::default() }
}

/// Changes sessions, one commit each.
fn save_sessions(store: &Store, count: u64) {
    for number in 0..count {
        store.set("session:7", "page", number.to_string()).unwrap();
    }
}

fn relaxed(options: Options) -> Options {
    options.durability(Durability::Relaxed)
}

/// The history of a prefix.
fn info(store: &Store, prefix: &str) -> HistoryInfo {
    store.histories().unwrap().into_iter().find(|history| history.prefix == prefix).expect("a history")
}

fn key(event: &Event) -> &str {
    event.key.as_deref().unwrap()
}

/// What a watcher delivers now, and how often it gets `Compacted`.
fn all_now(watcher: &Watcher) -> (Vec<Event>, usize) {
    let (mut events, mut compacted) = (Vec::new(), 0);
    loop {
        match watcher.try_recv() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, compacted),
            Err(Error::Compacted { .. }) => compacted += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
}

on_every_engine! {
    fn an_order_reaches_its_cursor_whatever_else_was_written_since(rig: &Rig) {
        // 105,000 session saves are more than the log keeps by default.
        let store = rig.open_with(relaxed);
        drop(store.cursor_on("mailer", ("orders", "*")).unwrap());
        store.set("orders", "1", "a book").unwrap();
        let saves = if rig.promises.prunes_its_log { 105_000 } else { 600 };
        let batch = 100;
        for number in 0..saves / batch {
            let saved = (0..batch).fold(store.batch(), |batch, n| batch.set("session:7", n.to_string(), number.to_string()));
            saved.commit().unwrap();
        }
        let store = rig.reopen(store);
        let mailer = store.cursor_on("mailer", ("orders", "*")).unwrap();
        let order = mailer.recv().unwrap();
        assert_eq!((order.group.as_str(), key(&order)), ("orders", "1"));
        mailer.ack(&order).unwrap();
        assert!(mailer.try_recv().unwrap().is_none());
    }

    fn a_cursor_remembers_its_pattern_and_the_last_one_counts(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-4").unwrap();
        drop(tenant.cursor_on("mailer", ("orders", "*")).unwrap());
        assert_eq!(tenant.cursors().unwrap()[0].pattern, Pattern::group("orders"));
        assert_eq!(store.cursors().unwrap()[0].pattern, Pattern::group("tenant-4:orders"));
        let cursor = tenant.cursor("mailer").unwrap();
        assert_eq!(tenant.cursors().unwrap()[0].pattern, Pattern::all());
        assert_eq!(store.cursors().unwrap()[0].pattern, Pattern::group_prefix("tenant-4:"));
        tenant.set("orders", "1", "a book").unwrap();
        cursor.ack(&cursor.recv().unwrap()).unwrap();
        let pattern = tenant.cursors().unwrap()[0].pattern.clone();
        assert_eq!(pattern, Pattern::all(), "acknowledging keeps it");
        let store = rig.reopen(store);
        assert_eq!(store.cursors().unwrap()[0].pattern, Pattern::group_prefix("tenant-4:"));
    }

    fn a_cluster_refuses_histories_with_the_reason(rig: &Rig) {
        let store = rig.store();
        let set = store.set_history("session:", History::NONE);
        if rig.promises.prunes_its_log {
            return set.unwrap();
        }
        assert!(matches!(set, Err(Error::Unsupported { .. })), "{set:?}");
        assert!(matches!(store.remove_history("session:"), Err(Error::Unsupported { .. })));
        assert_eq!(store.histories().unwrap(), []);
    }

    fn no_history_shortens_another(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| relaxed(options).history(1000, 1 << 20));
        store.set_history("session:", short(640)).unwrap();
        let first = store.set("orders", "1", "a book").unwrap();
        save_sessions(&store, 5000);
        let orders = store.watch_from(("orders", "*"), first.previous()).unwrap();
        assert_eq!(key(&next_event(&orders)), "1");
        let sessions = info(&store, "session:");
        assert!((640..=650).contains(&sessions.changes), "{sessions:?}");
        assert_eq!(info(&store, "").changes, 1);
        // Everything together has lost something, and still has the order.
        assert!(matches!(store.watch_from(Pattern::all(), 0), Err(Error::Compacted { oldest }) if oldest == sessions.from));
        let rest = events_now(&store.watch_from(Pattern::all(), sessions.from).unwrap());
        assert_eq!(rest.len() as u64, sessions.changes);
        // Nor the other way round.
        for number in 0..3000 {
            store.set("orders", number.to_string(), "a pen").unwrap();
        }
        assert_eq!(info(&store, "session:"), sessions);
        let orders = info(&store, "");
        assert!((1000..=1015).contains(&orders.changes), "{orders:?}");
    }

    fn every_process_keeps_to_the_histories_also_after_a_restart(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        let day = History { changes: 64, bytes: 1 << 20, age: Some(Duration::from_secs(86_400)) };
        store.set_history("session:", day).unwrap();
        store.set_history("", short(128)).unwrap();
        let histories = store.histories().unwrap();
        assert_eq!(histories.iter().map(|one| (one.prefix.as_str(), one.bounds)).collect::<Vec<_>>(), [("", short(128)), ("session:", day)]);
        if !rig.promises.can_be_opened_again {
            return;
        }
        let store = rig.reopen_with(store, |options| relaxed(options).history(100_000, 1 << 20));
        save_sessions(&store, 500);
        for number in 0..500 {
            store.set("orders", number.to_string(), "a pen").unwrap();
        }
        assert!((64..=65).contains(&info(&store, "session:").changes));
        assert!((128..=130).contains(&info(&store, "").changes));
        assert!(store.remove_history("").unwrap());
        assert_eq!(info(&store, "").bounds.changes, 100_000, "the options apply again");
    }

    fn each_bound_of_a_history_is_exact(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        // Bounds below 64 have no slack.
        store.set_history("few:", short(63)).unwrap();
        for number in 0..500 {
            store.set("few:", number.to_string(), "v").unwrap();
            assert_eq!(info(&store, "few:").changes, 63.min(number + 1));
        }
        store.set_history("small:", History { bytes: 10_000, ..History::default() }).unwrap();
        for number in 0..500 {
            store.set("small:", "key", "v".repeat(number % 100)).unwrap();
            let bytes = info(&store, "small:").bytes;
            assert!(bytes <= 10_000 + 10_000 / 64, "{bytes}");
            assert!(number < 200 || bytes >= 10_000 - 48 - 9 - 100, "{bytes}");
        }
        store.set_history("young:", History { age: Some(ms(1000)), ..History::default() }).unwrap();
        for number in 0..50 {
            store.set("young:", number.to_string(), "v").unwrap();
            rig.advance_ms(100);
        }
        // A change of 1,000 ms or more is too old. The last write was 100 ms ago, and pruned by itself.
        assert_eq!(info(&store, "young:").changes, 10);
        rig.advance_ms(450);
        store.purge_expired().unwrap();
        assert_eq!(info(&store, "young:").changes, 5);
        rig.advance_ms(1000);
        store.purge_expired().unwrap();
        assert_eq!(info(&store, "young:").changes, 0);
        let latest = store.revision().unwrap();
        assert_eq!(store.set("young:", "next", "v").unwrap(), latest.next(), "the revision outlives its changes");
    }

    fn what_is_too_old_goes_without_a_write(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| relaxed(options).expiry_timer(true));
        store.set_history("young:", History { age: Some(ms(1000)), ..History::default() }).unwrap();
        let revision = store.set("young:", "1", "v").unwrap();
        rig.advance_ms(1000);
        common::eventually("the timer prunes the log", || info(&store, "young:").changes == 0);
        assert_eq!(store.revision().unwrap(), revision);
        assert_eq!(store.get("young:", "1").unwrap().unwrap(), "v", "the entry stays");
    }

    fn a_cursor_keeps_what_it_has_not_acknowledged_up_to_its_limit(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let limit = 100_000;
        let store = rig.open_with(|options| relaxed(options).history(64, 1 << 20).cursor_bytes_max(limit));
        store.set_history("session:", short(64)).unwrap();
        let mailer = store.cursor_on("mailer", ("orders", "*")).unwrap();
        store.set("orders", "first", "a book").unwrap();
        save_sessions(&store, 500);
        assert!(info(&store, "session:").changes <= 65, "no cursor wants them");
        for number in 0..800 {
            store.set("orders", number.to_string(), "a pen").unwrap();
        }
        let orders = info(&store, "");
        assert_eq!(orders.changes, 801);
        assert!(orders.bytes < limit);
        assert!(!store.cursors().unwrap()[0].compacted);
        // What is acknowledged goes, also without a write of an order.
        let events: Vec<_> = (0..500).map(|_| mailer.recv().unwrap()).collect();
        mailer.ack(&events[499]).unwrap();
        mailer.ack(&mailer.recv().unwrap()).unwrap();
        assert_eq!(info(&store, "").changes, 801 - 501);
        for number in 0..5000 {
            store.set("orders", number.to_string(), "a pen").unwrap();
        }
        let orders = info(&store, "");
        assert!(orders.bytes <= limit && orders.bytes > limit - 200, "{orders:?}");
        assert!(store.cursors().unwrap()[0].compacted);
        drop(mailer);
        let mailer = store.cursor_on("mailer", ("orders", "*")).unwrap();
        assert!(matches!(mailer.recv(), Err(Error::Compacted { oldest }) if oldest == orders.from));
        let rest = std::iter::from_fn(|| mailer.try_recv().unwrap()).count();
        assert_eq!(rest as u64, orders.changes, "told once, and then the rest");
        store.delete_cursor("mailer").unwrap();
        for _ in 0..40 {
            store.set("orders", "last", "a pen").unwrap();
        }
        assert!(info(&store, "").changes <= 65, "a cursor that is deleted holds nothing");
    }

    fn changes_without_a_history_reach_live_watchers_and_nobody_later(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        store.set_history("session:", History::NONE).unwrap();
        let (sessions, all) = (store.watch(Pattern::group_prefix("session:")).unwrap(), store.watch(Pattern::all()).unwrap());
        let before = store.set("orders", "0", "a book").unwrap();
        assert_eq!(events_now(&all).len(), 1);
        assert_eq!(events_now(&sessions).len(), 0);
        for number in 0..500 {
            let revision = store.set("session:7", "page", number.to_string()).unwrap();
            let event = next_event(&sessions);
            assert_eq!((event.revision, event.value.unwrap()), (revision, number.to_string().into()));
            assert_eq!(next_event(&all).revision, revision);
        }
        let sizes = store.stats().unwrap();
        assert_eq!((sizes.history_changes, sizes.revision), (1, rig.after(before).next_by(499)));
        assert_eq!((info(&store, "session:").changes, info(&store, "session:").bytes), (0, 0));
        assert_eq!(store.history("session:7", "page").unwrap(), []);
        // A watcher that resumes is told, once, and then gets what comes.
        assert!(matches!(store.watch_from(Pattern::all(), before), Err(Error::Compacted { oldest }) if oldest == sizes.revision));
        let resumed = store.watch_from(("orders", "*"), before.previous()).unwrap();
        assert_eq!(events_now(&resumed).len(), 1);
        let watcher = store.watch_from(Pattern::all(), sizes.revision).unwrap();
        store.set("session:7", "page", "next").unwrap();
        assert_eq!(events_now(&watcher).len(), 1);
    }

    fn a_watcher_that_lags_on_changes_without_a_history_is_told_once(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        store.set_history("session:", History::NONE).unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        store.set("orders", "1", "a book").unwrap();
        save_sessions(&store, 3000);
        store.set("orders", "2", "a pen").unwrap();
        let (events, compacted) = all_now(&watcher);
        assert_eq!(compacted, 1);
        // What it held in memory, and then what the log still has.
        assert_eq!(key(&events[0]), "1");
        assert_eq!(key(events.last().unwrap()), "2");
        save_sessions(&store, 10);
        assert_eq!(all_now(&watcher).0.len(), 10, "live again");
    }

    fn a_watcher_joins_while_changes_without_a_history_go_on(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        store.set_history("session:", History::NONE).unwrap();
        std::thread::scope(|scope| {
            let (done, stop) = std::sync::mpsc::channel::<()>();
            let store = &store;
            let writer = scope.spawn(move || {
                let mut number = 0_u64;
                while matches!(stop.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                    store.set("session:7", "page", number.to_string()).unwrap();
                    number += 1;
                }
            });
            for _ in 0..5 {
                let watcher = store.watch(Pattern::all()).unwrap();
                let mut received: Vec<Event> = Vec::new();
                while received.len() < 200 {
                    match watcher.recv() {
                        Ok(event) => received.push(event),
                        Err(Error::Compacted { .. }) => received.clear(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                for pair in received.windows(2) {
                    assert_eq!(pair[1].revision, pair[0].revision.next(), "none is missed without an error");
                }
            }
            drop(done);
            writer.join().unwrap();
        });
    }

    fn a_history_takes_over_the_changes_of_its_groups_and_gives_them_back(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        for number in 0..200 {
            store.batch().set("session:7", "page", number.to_string()).set("orders", number.to_string(), "a pen").commit().unwrap();
        }
        let all = || events_now(&store.watch_from(Pattern::all(), 0).unwrap());
        let before = all();
        assert_eq!(before.len(), 400);
        store.set_history("session:", short(1000)).unwrap();
        assert_eq!((info(&store, "").changes, info(&store, "session:").changes), (200, 200));
        assert_eq!(all(), before, "in one order, whatever history they are in");
        store.set_history("session:7", short(1000)).unwrap();
        assert_eq!((info(&store, "session:").changes, info(&store, "session:7").changes), (0, 200));
        assert_eq!(all(), before);
        assert!(store.remove_history("session:").unwrap());
        assert!(store.remove_history("session:7").unwrap());
        assert!(!store.remove_history("session:7").unwrap());
        assert_eq!(all(), before);
        let sizes = store.stats().unwrap();
        assert_eq!(sizes.history_changes, 400);
        assert_eq!(store.histories().unwrap().len(), 1);
        // A history that keeps nothing drops them.
        store.set_history("session:", History::NONE).unwrap();
        assert!(matches!(store.watch_from(Pattern::all(), 0), Err(Error::Compacted { .. })));
        assert_eq!(events_now(&store.watch_from(("orders", "*"), 0).unwrap()).len(), 200);
        store.set_history("session:", short(10)).unwrap();
        store.set("session:7", "page", "kept").unwrap();
        assert_eq!(store.history("session:7", "page").unwrap().len(), 1);
    }

    fn a_tenant_sees_the_histories_of_its_own_groups_alone(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        let tenant = store.scoped("tenant-4").unwrap();
        store.set_history("tenant-4:session:", History::NONE).unwrap();
        store.set_history("tenant-4:", short(7)).unwrap();
        let prefixes = |histories: Vec<HistoryInfo>| histories.into_iter().map(|history| history.prefix).collect::<Vec<_>>();
        assert_eq!(prefixes(tenant.histories().unwrap()), ["", "session:"]);
        assert_eq!(prefixes(store.histories().unwrap()), ["", "tenant-4:", "tenant-4:session:"]);
        assert!(store.remove_history("tenant-4:").unwrap());
        assert_eq!(prefixes(store.histories().unwrap()), ["", "tenant-4:session:"]);
    }

    fn a_store_has_so_many_histories_and_no_more(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(relaxed);
        for number in 1..256 {
            store.set_history(format!("h{number}:"), short(10)).unwrap();
        }
        let refused = store.set_history("one more", short(10));
        assert!(matches!(refused, Err(Error::TooManyHistories { limit: 256 })), "{refused:?}");
        store.set_history("h1:", History::NONE).unwrap();
        assert!(store.remove_history("h2:").unwrap());
        store.set_history("one more", short(10)).unwrap();
        assert_eq!(store.histories().unwrap().len(), 256);
    }
}

/// Numbers of revisions in words.
trait NextBy {
    fn next_by(self, count: u64) -> Self;
}

impl NextBy for larder::Revision {
    fn next_by(self, count: u64) -> Self {
        larder::Revision(self.0 + count)
    }
}
