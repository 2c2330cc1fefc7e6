//! Callbacks: they run after the commit and before the write returns, and may use the store freely.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{Rig, WAIT_MAX, events_now};
use larder::{Error, Event, EventKind, Pattern, Store, Subscription};

type Received = Arc<Mutex<Vec<Event>>>;

/// Registers a callback that records every event.
fn record<S>(store: &Store<S>) -> (Received, Subscription) {
    let received = Received::default();
    let subscription = store.on_change({
        let received = Arc::clone(&received);
        move |event| received.lock().unwrap().push(event.clone())
    });
    (received, subscription)
}

/// Takes the recorded events and returns their keys.
fn keys(received: &Received) -> Vec<String> {
    std::mem::take(&mut *received.lock().unwrap())
        .into_iter()
        .map(|event| event.key.unwrap_or_else(|| format!("{}!", event.group)))
        .collect()
}

on_every_engine! {
    fn a_callback_runs_before_the_write_returns_on_the_thread_that_wrote(rig: &Rig) {
        let store = rig.store();
        let threads = Arc::new(Mutex::new(Vec::new()));
        let _subscription = store.on_change({
            let threads = Arc::clone(&threads);
            move |_| threads.lock().unwrap().push(thread::current().id())
        });
        let (received, _other) = record(&store);
        store.set("g", "set", "v").unwrap();
        assert_eq!(keys(&received), ["set"]);
        store.increment("g", "increment", 1).unwrap();
        assert_eq!(keys(&received), ["increment"]);
        store.batch().set("g", "1", "v").set("g", "2", "v").commit().unwrap();
        assert_eq!(keys(&received), ["1", "2"]);
        store.transaction(|tx| tx.set("g", "3", "v")).unwrap();
        assert_eq!(keys(&received), ["3"]);
        store.delete("g", "3").unwrap();
        assert_eq!(keys(&received), ["3"]);
        store.set_with_ttl("g", "ttl", "v", Duration::from_millis(1)).unwrap();
        rig.advance_ms(1);
        store.purge_expired().unwrap();
        assert_eq!(keys(&received), ["ttl", "ttl"]);
        store.delete_prefix("").unwrap();
        assert_eq!(keys(&received), ["g!"]);
        let threads = threads.lock().unwrap();
        assert!(threads.len() == 9 && threads.iter().all(|id| *id == thread::current().id()));
    }

    fn a_callback_runs_after_the_commit(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        let _subscription = store.on_change(move |event| {
            assert_eq!(other.entry(&event.group, event.key.as_ref().unwrap()).unwrap().unwrap().revision, event.revision);
        });
        let (received, _subscription) = record(&store);
        for number in 0..20 {
            store.set("g", number.to_string(), "v").unwrap();
        }
        assert_eq!(received.lock().unwrap().len(), 20);
    }

    fn a_callback_receives_the_events_that_a_watcher_receives(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        let (received, _subscription) = record(&store);
        store.batch().set("a", "1", "v").set("b", "2", vec![0xff]).delete("a", "1").commit().unwrap();
        store.delete_group("b").unwrap();
        assert_eq!(*received.lock().unwrap(), events_now(&watcher));
    }

    fn a_callback_receives_every_event_of_a_huge_commit(rig: &Rig) {
        let store = rig.store();
        let (received, _subscription) = record(&store);
        let batch = (0..rig.promises.entries_per_commit_min).fold(store.batch(), |batch, n| batch.set("g", format!("{n:05}"), "x"));
        let revision = batch.commit().unwrap();
        let received = received.lock().unwrap();
        assert_eq!(received.len(), rig.promises.entries_per_commit_min);
        assert!(received.iter().all(|event| event.revision == revision));
        assert!(received.is_sorted_by_key(|event| event.key.clone()));
    }

    fn writes_that_fail_or_change_nothing_run_no_callback(rig: &Rig) {
        let store = rig.store();
        let (received, _subscription) = record(&store);
        store.delete("not", "there").unwrap();
        store.batch().commit().unwrap();
        store.set("g", "k".repeat(70_000), "v").unwrap_err();
        store.transaction(|tx| {
            tx.set("g", "k", "v")?;
            Err::<(), _>(Error::other("no"))
        }).unwrap_err();
        assert_eq!(keys(&received), Vec::<String>::new());
    }

    fn dropping_a_subscription_ends_it(rig: &Rig) {
        let store = rig.store();
        let (received, subscription) = record(&store);
        let (others, _subscription) = record(&store);
        store.set("g", "1", "v").unwrap();
        drop(subscription);
        store.set("g", "2", "v").unwrap();
        assert_eq!(keys(&received), ["1"]);
        assert_eq!(keys(&others), ["1", "2"]);
    }

    fn a_scoped_callback_receives_only_its_namespace_with_its_own_group_names(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-4").unwrap();
        let (received, _subscription) = record(&tenant);
        let (all, _other) = record(&store);
        tenant.set("g", "mine", "v").unwrap();
        store.set("tenant-4:g", "mine too", "v").unwrap();
        store.set("tenant-42:g", "not mine", "v").unwrap();
        store.set("g", "outside", "v").unwrap();
        assert!(received.lock().unwrap().iter().all(|event| event.group == "g"));
        assert_eq!(keys(&received), ["mine", "mine too"]);
        assert_eq!(all.lock().unwrap()[0].group, "tenant-4:g");
    }

    fn a_callback_may_watch_unwatch_register_unregister_read_and_write(rig: &Rig) {
        let store = rig.store();
        let inside = store.clone();
        let (sender, watchers) = mpsc::channel();
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let subscription = store.on_change({
            let own = Arc::clone(&own);
            move |event| {
                if event.key.as_deref() != Some("trigger") {
                    return;
                }
                let watcher = inside.watch(Pattern::all()).unwrap();
                drop(inside.watch(("g", "*")).unwrap());
                let (received, other) = record(&inside);
                assert_eq!(inside.get("g", "trigger").unwrap().unwrap(), "v");
                inside.set("log", "set", "v").unwrap();
                inside.batch().set("log", "batch", "v").commit().unwrap();
                inside.transaction(|tx| tx.set("log", "transaction", tx.count("log")?.to_string())).unwrap();
                inside.snapshot().unwrap().count("log").unwrap();
                inside.scoped("t").unwrap().set("log", "scoped", "v").unwrap();
                assert_eq!(keys(&received), ["set", "batch", "transaction", "scoped"]);
                drop(other);
                // It may unregister itself.
                drop(own.lock().unwrap().take());
                sender.send(watcher).unwrap();
            }
        });
        *own.lock().unwrap() = Some(subscription);
        store.set("g", "trigger", "v").unwrap();
        store.set("g", "trigger", "again").unwrap();
        let watchers: Vec<_> = watchers.try_iter().collect();
        assert_eq!(watchers.len(), 1, "the callback ran after it unregistered itself");
        assert_eq!(events_now(&watchers[0]).len(), 5);
        assert_eq!(store.get("log", "transaction").unwrap().unwrap(), "2");
        assert_eq!(store.revision().unwrap(), rig.revision(6));
    }

    fn a_callback_may_close_the_store(rig: &Rig) {
        let store = rig.store();
        let inside = store.clone();
        let _subscription = store.on_change(move |_| inside.close().unwrap());
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(1), "the write returned an error or another revision");
        assert!(matches!(store.get("g", "k"), Err(Error::Closed)));
    }

    fn a_callback_that_writes_to_what_it_watches_is_stopped(rig: &Rig) {
        let store = rig.store();
        let inside = store.clone();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let subscription = store.on_change({
            let refused = Arc::clone(&refused);
            move |_| {
                if let Err(error) = inside.increment("g", "n", 1) {
                    refused.lock().unwrap().push(error);
                }
            }
        });
        store.set("g", "k", "v").unwrap();
        let refused = std::mem::take(&mut *refused.lock().unwrap());
        assert_eq!(refused.len(), 1);
        let Error::CallbackLoop { depth } = refused[0] else { panic!("{refused:?}") };
        assert!(refused[0].to_string().contains(&format!("{depth} times in a row")), "{}", refused[0]);
        assert_eq!(store.get("g", "n").unwrap().unwrap(), (depth - 1).to_string(), "a refused write took effect");
        drop(subscription);
        // Only this chain of callbacks was stopped; the store still works.
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(depth as u64 + 1));
    }

    fn callbacks_that_trigger_each_other_through_transactions_are_stopped(rig: &Rig) {
        let store = rig.store();
        let errors = Arc::new(AtomicUsize::new(0));
        let answer = |from: &'static str, to: &'static str| {
            let (inside, errors) = (store.clone(), Arc::clone(&errors));
            store.on_change(move |event| {
                if event.key.as_deref() == Some(from) {
                    match inside.transaction(|tx| tx.increment("g", to, 1)) {
                        Ok(_) => {}
                        Err(Error::CallbackLoop { .. }) => drop(errors.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        };
        let _subscriptions = [answer("ping", "pong"), answer("pong", "ping")];
        store.set("g", "ping", "0").unwrap();
        assert_eq!(errors.load(Ordering::SeqCst), 1);
        store.set("h", "quiet", "v").unwrap();
    }

    fn a_panicking_callback_undoes_no_write_and_stops_no_other_callback(rig: &Rig) {
        let store = rig.store();
        let _before = store.on_change(|event| assert!(event.key.as_deref() != Some("bad"), "on purpose"));
        let (received, _subscription) = record(&store);
        let watcher = store.watch(Pattern::all()).unwrap();
        store.batch().set("g", "good", "v").set("g", "bad", "v").set("g", "last", "v").commit().unwrap();
        assert_eq!(keys(&received), ["good", "bad", "last"]);
        assert_eq!(events_now(&watcher).len(), 3);
        for _ in 0..40 {
            store.set("g", "bad", "again and again").unwrap();
        }
        assert_eq!(keys(&received).len(), 40, "panics were counted as a loop");
        assert_eq!(store.count("g").unwrap(), 3);
    }

    fn a_slow_callback_blocks_no_other_writer(rig: &Rig) {
        let store = rig.store();
        let (release, released) = mpsc::channel::<()>();
        let (entered, waiting) = mpsc::channel();
        let released = Mutex::new(released);
        let _subscription = store.on_change(move |event| {
            if event.key.as_deref() == Some("slow") {
                entered.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| store.set("g", "slow", "v").unwrap());
            waiting.recv_timeout(WAIT_MAX).unwrap();
            let watcher = store.watch_from(Pattern::all(), 0).unwrap();
            for number in 0..50 {
                store.set("g", number.to_string(), "v").unwrap();
            }
            assert_eq!(events_now(&watcher).len(), 51);
            release.send(()).unwrap();
        });
    }

    fn with_many_writers_each_event_runs_its_callback_once(rig: &Rig) {
        let store = rig.store();
        let (received, _subscription) = record(&store);
        thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..40 {
                        store.batch().set("g", format!("{writer} {number}"), "v").set("h", "k", "v").commit().unwrap();
                    }
                });
            }
        });
        let received = received.lock().unwrap();
        let mut revisions: Vec<u64> = rig.numbers_of(received.iter());
        revisions.sort_unstable();
        // Batches that write the same entry never share a commit.
        assert_eq!(revisions, (1..=320).flat_map(|revision| [revision, revision]).collect::<Vec<_>>());
        assert_eq!(store.revision().unwrap(), rig.revision(320));
        let keys: BTreeSet<_> = received.iter().filter(|event| event.group == "g").map(|event| &event.key).collect();
        assert_eq!(keys.len(), 320);
    }

    fn callbacks_run_for_entries_that_the_expiry_timer_removes(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        let (sender, received) = mpsc::channel();
        let _subscription = store.on_change(move |event| sender.send((event.kind, thread::current().id())).unwrap());
        store.set_with_ttl("session", "token", "v", Duration::from_secs(5)).unwrap();
        rig.advance_ms(5000);
        assert_eq!(received.recv_timeout(WAIT_MAX).unwrap(), (EventKind::Set, thread::current().id()));
        let (kind, on) = received.recv_timeout(WAIT_MAX).unwrap();
        assert_eq!(kind, EventKind::Expire);
        assert_ne!(on, thread::current().id());
    }
}
