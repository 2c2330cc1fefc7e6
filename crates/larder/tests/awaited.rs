//! The async face: its calls do what the blocking ones do, block no executor, and may be dropped at any
//! moment.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::cell::Cell;
use std::future::Future;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Rig, WAIT_MAX, eventually, ms};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use larder::{
    AsyncStore, Clock, Condition, Durability, Error, Event, EventKind, Pattern, Progress, Quota, Revision,
    Stage, Store, Update,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A runtime whose only thread runs the test.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Runs an async test on one thread.
fn awaiting(test: impl Future<Output = ()>) {
    runtime().block_on(async { timeout(WAIT_MAX, test).await.expect("a test that ends") });
}

/// Polls a future once, like a `select!` that is about to drop it.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

on_every_engine! {
    fn every_async_write_does_what_the_blocking_write_of_the_same_name_does(rig: &Rig) {
        let store = rig.store();
        let expires_at = rig.clock.now() + ms(500);
        awaiting(async {
            let store = store.clone().into_async();
            assert_eq!(store.set("g", "k", "v").await.unwrap(), rig.revision(1));
            assert_eq!(store.set_json("g", "json", &[1, 2]).await.unwrap(), rig.revision(2));
            assert_eq!(store.set_with_ttl("g", "ttl", "v", ms(10)).await.unwrap(), rig.revision(3));
            assert_eq!(store.set_until("g", "until", "v", Some(expires_at)).await.unwrap(), rig.revision(4));
            assert_eq!(store.set_if("g", "k", Condition::Revision(rig.revision(1)), "w").await.unwrap(), rig.revision(5));
            let conflict = store.set_if("g", "k", Condition::Absent, "x").await.unwrap_err();
            assert!(matches!(conflict, Error::Conflict { ref group, .. } if group == "g"), "{conflict:?}");
            assert!(!store.delete_if("g", "none", Condition::Absent).await.unwrap());
            assert!(store.touch("g", "until", ms(10)).await.unwrap());
            assert!(store.persist("g", "until").await.unwrap());
            assert!(!store.persist("g", "none").await.unwrap());
            assert_eq!(store.increment("n", "n", 5).await.unwrap(), 5);
            assert!(matches!(store.increment("g", "k", 1).await, Err(Error::NotANumber { .. })));
            assert!(store.delete("g", "json").await.unwrap());
            assert!(!store.delete("g", "json").await.unwrap());
            let batch = store.batch().set("b", "1", "x").increment("n", "n", -2).require("g", "k", Condition::Present);
            assert_eq!(batch.commit().await.unwrap(), store.revision().await.unwrap());
            let sum = store.transaction(|tx| tx.increment("n", "n", 10)).await.unwrap();
            assert_eq!(sum, 13);
            rig.advance_ms(10);
            assert_eq!(store.purge_expired().await.unwrap(), 1);
            assert_eq!(store.delete_group("b").await.unwrap(), 1);
            assert_eq!(store.delete_prefix("n").await.unwrap(), 1);
            assert!(matches!(store.set_with_ttl("g", "k", "v", Duration::ZERO).await, Err(Error::InvalidTtl)));
            assert!(matches!(store.set("g", "x".repeat(65_537), "v").await, Err(Error::TooLarge { .. })));
        });
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "w");
        assert_eq!(store.count_all("").unwrap(), 2);
    }

    fn every_async_read_answers_like_the_blocking_read_of_the_same_name(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        for number in 0..700 {
            store.set("many", format!("{number:03}"), number.to_string()).unwrap();
        }
        store.set("g", "list", "a,b").unwrap();
        store.set("g", "words", " a b ").unwrap();
        store.set_json("g", "json", &7).unwrap();
        awaiting(async {
            let other = store.clone().into_async();
            for view in [&*other, &*other.snapshot().await.unwrap()] {
                for _ in 0..2 {
                    assert_eq!(view.get("g", "list").await.unwrap(), store.get("g", "list").unwrap());
                    assert_eq!(view.get("g", "none").await.unwrap(), None);
                    assert_eq!(view.get_with("g", "list", <[u8]>::len).await.unwrap(), Some(3));
                    assert_eq!(view.get_with("g", "none", <[u8]>::len).await.unwrap(), None);
                }
                assert_eq!(view.entry("many", "003").await.unwrap(), store.entry("many", "003").unwrap());
                assert_eq!(view.get_json::<i32>("g", "json").await.unwrap(), Some(7));
                assert!(view.exists("g", "json").await.unwrap() && !view.exists("g", "none").await.unwrap());
                assert_eq!(view.get_all("many").await.unwrap(), store.get_all("many").unwrap());
                let entries: Vec<_> = view.entries("many").await.unwrap().map(Result::unwrap).collect().await;
                assert_eq!(entries, store.entries("many").unwrap().map(Result::unwrap).collect::<Vec<_>>());
                let mut keys = view.keys("many").await.unwrap();
                let mut seen = Vec::new();
                while let Some(key) = keys.next().await {
                    seen.push(key.unwrap());
                }
                assert_eq!(seen, store.keys("many").unwrap().map(Result::unwrap).collect::<Vec<_>>());
                assert_eq!(view.page("many", Some("100"), 7).await.unwrap(), store.page("many", Some("100"), 7).unwrap());
                assert_eq!(view.get_page("many", 5, 7).await.unwrap(), store.get_page("many", 5, 7).unwrap());
                assert_eq!(view.count("many").await.unwrap(), 700);
                assert_eq!(view.count_all("").await.unwrap(), 703);
                assert_eq!(view.groups("").await.unwrap(), store.groups("").unwrap());
                assert!(view.group_exists("g").await.unwrap());
                assert_eq!(view.split("g", "list", ",").await.unwrap().unwrap(), ["a", "b"]);
                assert_eq!(view.fields("g", "words").await.unwrap().unwrap(), ["a", "b"]);
                assert_eq!(view.render("{{ list }}{{ absent }}", "g").await.unwrap(), "a,b");
                assert!(matches!(view.render_strict("{{ absent }}", "g").await, Err(Error::Template { .. })));
            }
            assert_eq!(other.stats().await.unwrap().revision, rig.revision(703));
            assert_eq!(other.check().await.unwrap(), []);
            assert_eq!(other.history("g", "list").await.unwrap().len(), 1);
            assert_eq!(other.snapshot().await.unwrap().revision().await.unwrap(), rig.revision(703));
            other.backup_to(rig.folder().join("copy.db")).await.unwrap();
            let copy = AsyncStore::in_memory().await.unwrap();
            assert_eq!(other.copy_to(&copy).run().await.unwrap().entries, 703);
            other.close().await.unwrap();
            assert!(matches!(other.get("g", "list").await, Err(Error::Closed)));
            assert!(matches!(other.set("g", "list", "x").await, Err(Error::Closed)));
        });
    }

    fn an_async_scoped_store_is_held_to_its_quota(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let whole = store.clone().into_async();
            let tenant = whole.scoped("t").unwrap();
            whole.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).await.unwrap();
            assert_eq!(tenant.quota().await.unwrap().max_keys, Some(1));
            let mut changes = tenant.watch(Pattern::all()).await.unwrap();
            tenant.set("g", "k", "v").await.unwrap();
            assert_eq!(changes.recv().await.unwrap().group, "g");
            assert!(matches!(tenant.set("g", "l", "v").await, Err(Error::QuotaExceeded { .. })));
            assert_eq!(tenant.usage().await.unwrap().keys, 1);
            assert_eq!(tenant.namespace(), "t");
        });
        assert_eq!(store.namespaces().unwrap()[0].usage.keys, 1);
    }

    fn concurrent_writes_of_one_task_all_commit_each_with_its_revision(rig: &Rig) {
        let store = rig.store();
        let mut answers: Vec<Revision> = Vec::new();
        awaiting(async {
            let store = store.clone().into_async();
            let writes = (0..256).map(|number| store.set("g", number.to_string(), number.to_string()));
            answers.extend(join_all(writes).await.into_iter().map(Result::unwrap));
        });
        for (number, revision) in answers.iter().enumerate() {
            let entry = store.entry("g", number.to_string()).unwrap().unwrap();
            assert_eq!((entry.revision, entry.value.as_str().unwrap()), (*revision, &*number.to_string()));
        }
        let mut revisions = answers;
        revisions.sort_unstable();
        // Each has its own revision, unless they shared a commit.
        if rig.promises.concurrent_writes_share_commits {
            revisions.dedup();
        }
        let commits = revisions.len() as u64;
        assert!(revisions.into_iter().eq((1..=commits).map(|number| rig.revision(number))));
        assert_eq!(store.revision().unwrap(), rig.revision(commits));
        assert!(commits == 256 || rig.promises.concurrent_writes_share_commits);
        assert_eq!(store.count("g").unwrap(), 256);
    }

    fn blocking_and_async_writers_share_one_store(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..100).for_each(|_| assert!(store.increment("n", "n", 1).is_ok())));
            }
            scope.spawn(|| {
                (0..50).for_each(|_| store.transaction(|tx| tx.increment("n", "n", 1).map(drop)).unwrap());
            });
            awaiting(async {
                let store = store.clone().into_async();
                join_all((0..300).map(|_| store.increment("n", "n", 1))).await.into_iter().for_each(|sum| assert!(sum.is_ok()));
                join_all((0..50).map(|_| store.transaction(|tx| tx.increment("n", "n", 1))))
                    .await
                    .into_iter()
                    .for_each(|sum| assert!(sum.is_ok()));
            });
        });
        assert_eq!(store.get("n", "n").unwrap().unwrap(), "700");
        let commits = rig.number_of(store.revision().unwrap());
        assert!(commits == 700 || rig.promises.concurrent_writes_share_commits && (100..700).contains(&commits), "{commits}");
    }

    fn reads_that_are_polled_once_and_kept_block_no_other_read(rig: &Rig) {
        let store = rig.store().into_async();
        awaiting(async {
            store.set("g", "k", "v").await.unwrap();
            let mut kept: Vec<_> = (0..32).map(|_| Box::pin(store.get("g", "k"))).collect();
            for read in &mut kept {
                // They have begun; a few have their answer at once.
                let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            assert_eq!(store.get("g", "other").await.unwrap(), None);
            assert_eq!(store.blocking().get("g", "k").unwrap().unwrap(), "v");
        });
    }

    fn a_dropped_write_takes_effect_whole_or_not_at_all_and_blocks_no_other(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let watcher = store.watch(Pattern::all()).unwrap();
        awaiting(async {
            let store = store.clone().into_async();
            for round in 0..60 {
                let both = |n: usize| store.batch().set("a", format!("{round} {n}"), "x").set("b", format!("{round} {n}"), "x");
                // Some are dropped before they are polled, some after, some are awaited.
                let kept: Vec<_> = (0..8)
                    .filter_map(|n| {
                        let mut write = Box::pin(both(n).commit());
                        match n % 4 {
                            0 => None,
                            1 => {
                                drop((&mut write).now_or_never());
                                None
                            }
                            _ => Some(write),
                        }
                    })
                    .collect();
                for done in join_all(kept).await {
                    done.unwrap();
                }
            }
        });
        let (a, b) = (store.get_all("a").unwrap(), store.get_all("b").unwrap());
        assert_eq!(a, b, "half of a batch took effect");
        for round in 0..60 {
            for n in 0..8 {
                let there = a.get(&format!("{round} {n}")).is_some();
                assert!(there || n % 4 < 2, "an awaited write is missing: {round} {n}");
                assert!(!there || n % 4 != 0, "a write that was never polled took effect: {round} {n}");
            }
        }
        assert_eq!(common::events_now(&watcher).len(), 2 * a.len(), "each event once");
    }

    fn a_dropped_transaction_that_has_begun_commits_whole(rig: &Rig) {
        let store = rig.store();
        let (entered, inside) = std::sync::mpsc::channel();
        let (go_on, waiting) = std::sync::mpsc::channel();
        let waiting = Mutex::new(waiting);
        awaiting(async {
            let store = store.clone().into_async();
            let transaction = store.transaction(move |tx| {
                tx.set("g", "1", "x")?;
                entered.send(()).unwrap();
                waiting.lock().unwrap().recv().unwrap();
                tx.set("g", "2", "x")
            });
            assert!(timeout(ms(1), transaction).await.is_err());
            inside.recv().unwrap();
            // Other writers wait for it.
            let mut other = Box::pin(store.set("g", "3", "x"));
            assert!((&mut other).now_or_never().is_none());
            go_on.send(()).unwrap();
            assert_eq!(other.await.unwrap(), rig.revision(2));
        });
        assert_eq!(store.keys("g").unwrap().map(Result::unwrap).collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    fn a_failure_or_panic_in_an_async_transaction_reaches_its_caller(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let store = store.clone().into_async();
            let failed = store.transaction(|tx| tx.set("g", "k", "v").and(Err::<(), _>(Error::other("no")))).await;
            assert_eq!(failed.unwrap_err().to_string(), "no");
            let panicked = std::panic::AssertUnwindSafe(store.transaction(|_| -> larder::Result<()> { panic!("oh") }));
            assert_eq!(*panicked.catch_unwind().await.unwrap_err().downcast::<&str>().unwrap(), "oh");
            assert_eq!(store.set("g", "k", "v").await.unwrap(), rig.revision(1));
        });
    }

    fn callbacks_run_before_an_async_write_returns_and_after_a_dropped_one(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let store = store.clone().into_async();
            let received = Arc::new(Mutex::new(Vec::new()));
            let subscription = store.on_change({
                let (received, blocking) = (Arc::clone(&received), store.blocking().clone());
                move |event: &Event| {
                    received.lock().unwrap().push(event.key.clone().unwrap());
                    // A callback may block, because it does not run on an executor's thread.
                    if event.group == "g" {
                        blocking.set("echo", format!("echo of {}", event.revision), "x").unwrap();
                    }
                }
            });
            store.set("g", "first", "v").await.unwrap();
            assert_eq!(*received.lock().unwrap(), ["first".to_owned(), format!("echo of {}", rig.revision(1))]);
            // Dropped once its commit is made, before anybody was told.
            {
                let mut write = Box::pin(store.set("g", "given up", "v"));
                // In memory the callbacks, on their thread, may have been faster.
                let _answered = poll_once(&mut write);
                eventually("the commit is made", || store.blocking().exists("g", "given up").unwrap());
            }
            let has_received = |key: &str| received.lock().unwrap().iter().any(|received| received == key);
            // The runtime's only thread is this one, so yield to it.
            while !has_received("given up") || received.lock().unwrap().len() < 4 {
                tokio::task::yield_now().await;
            }
            assert!(has_received(&format!("echo of {}", rig.revision(3))));
            drop(subscription);
        });
        assert_eq!(store.count_all("").unwrap(), 4);
    }

    fn a_dropped_write_that_had_not_begun_is_never_made_and_calls_nobody_back(rig: &Rig) {
        // A cluster does not tell whether it has begun.
        if !rig.promises.answers_locally {
            return;
        }
        let store = rig.store();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let _subscription = store.on_change(move |event| hears.lock().unwrap().push(event.key.clone().unwrap()));
        awaiting(async {
            let store = store.clone().into_async();
            let (begun, is_begun) = std::sync::mpsc::channel();
            let (release, is_released) = std::sync::mpsc::channel();
            let blocking = store.blocking().clone();
            let holder = std::thread::spawn(move || {
                // Nothing else is committed while this runs.
                blocking.transaction(|tx| {
                    begun.send(()).unwrap();
                    is_released.recv().unwrap();
                    tx.set("g", "first", "v")
                })
            });
            is_begun.recv().unwrap();
            assert!(poll_once(store.set("tenant:g", "given up", "v")).is_none());
            release.send(()).unwrap();
            holder.join().unwrap().unwrap();
            store.set("g", "second", "v").await.unwrap();
            assert!(!store.exists("tenant:g", "given up").await.unwrap());
        });
        store.close().unwrap();
        assert_eq!(*heard.lock().unwrap(), ["first", "second"]);
    }

    fn a_watcher_is_a_stream_that_misses_nothing_when_its_futures_are_dropped(rig: &Rig) {
        let last = rig.repetitions(3000) as u64;
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        awaiting(async {
            let watching = store.clone().into_async();
            let mut watcher = watching.watch(Pattern::all()).await.unwrap();
            assert!(watcher.try_recv().await.unwrap().is_none());
            let writer = {
                let store = store.clone();
                std::thread::spawn(move || (0..last).for_each(|n| assert!(store.set("g", n.to_string(), "v").is_ok())))
            };
            let mut given_up = 0;
            for next in 1..=last {
                let event = loop {
                    if let Some(event) = watcher.recv().now_or_never() {
                        break event.unwrap();
                    }
                    given_up += 1;
                    if next % 100 == 0 {
                        break watcher.next().await.unwrap().unwrap();
                    }
                    tokio::task::yield_now().await;
                };
                assert_eq!(event.revision, rig.revision(next));
            }
            assert!(given_up > 0);
            assert!(watcher.try_recv().await.unwrap().is_none());
            writer.join().unwrap();
            store.close().unwrap();
            assert!(watcher.next().await.is_none(), "the stream outlives the store");
        });
    }

    fn an_event_wakes_the_task_that_waits_for_it(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let asynchronous = store.clone().into_async();
            let mut watcher = asynchronous.watch(("g", "k")).await.unwrap();
            let waiting = tokio::spawn(async move { watcher.recv().await });
            for number in 0..100 {
                asynchronous.set("other", number.to_string(), "v").await.unwrap();
            }
            asynchronous.delete_group("other").await.unwrap();
            asynchronous.set("g", "k", "v").await.unwrap();
            assert_eq!(waiting.await.unwrap().unwrap().revision, rig.revision(102));
        });
    }

    fn a_mirror_is_a_stream_of_the_current_entries_and_then_of_changes(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        (0..600).for_each(|n| assert!(store.set("g", format!("{n:03}"), "v").is_ok()));
        awaiting(async {
            let store = store.clone().into_async();
            let mut mirror = store.mirror(Pattern::group("g")).await.unwrap();
            store.delete("g", "007").await.unwrap();
            for n in 0..600 {
                let update = mirror.recv().await.unwrap();
                assert!(matches!(update, Update::Entry(_, ref entry) if entry.key == format!("{n:03}")));
            }
            assert_eq!(mirror.next().await.unwrap().unwrap(), Update::Current(rig.revision(600)));
            let Some(Update::Change(event)) = mirror.try_recv().await.unwrap() else { panic!() };
            assert_eq!((event.kind, event.revision), (EventKind::Delete, rig.revision(601)));
        });
    }

    fn a_cursor_is_a_stream_that_resumes_after_the_last_acknowledged_event(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let store = store.clone().into_async();
            let mut cursor = store.cursor("c").await.unwrap();
            store.batch().set("g", "1", "v").set("g", "2", "v").commit().await.unwrap();
            let first = cursor.next().await.unwrap().unwrap();
            cursor.ack(&first).await.unwrap();
            let next = rig.after(store.revision().await.unwrap());
            assert!(matches!(cursor.ack(&Event { revision: next, ..first }).await, Err(Error::NotReceived { .. })));
            assert_eq!(store.cursor("c").await.unwrap().recv().await.unwrap().key.unwrap(), "2");
            cursor.seek(0).await.unwrap();
            assert_eq!(cursor.recv().await.unwrap().key.unwrap(), "1");
            assert_eq!(cursor.try_recv().await.unwrap().unwrap().key.unwrap(), "2");
            assert!(cursor.try_recv().await.unwrap().is_none());
            let mut of_group = store.cursor_on("other", Pattern::group("h")).await.unwrap();
            let token = store.token().await.unwrap();
            store.set("h", "3", "v").await.unwrap();
            assert_eq!(of_group.recv().await.unwrap().revision, rig.revision(2));
            assert_eq!(store.cursors().await.unwrap().len(), 2);
            assert!(store.delete_cursor("other").await.unwrap());
            let mut watcher = store.watch_from(Pattern::all(), token).await.unwrap();
            assert_eq!(watcher.recv().await.unwrap().revision, rig.revision(2));
            assert_eq!(watcher.token(), store.token().await.unwrap());
        });
    }

    fn an_entry_expires_on_time_even_if_the_future_that_wrote_it_was_dropped(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        awaiting(async {
            let store = store.clone().into_async();
            let mut watcher = store.watch(Pattern::all()).await.unwrap();
            // Repeats until a future was dropped after its write began.
            let set = loop {
                drop(poll_once(store.set_with_ttl("g", "k", "v", ms(10))));
                if let Some(event) = watcher.try_recv().await.unwrap() {
                    break event;
                }
            };
            assert_eq!(set.kind, EventKind::Set);
            rig.advance_ms(10);
            while watcher.recv().await.unwrap().kind != EventKind::Expire {}
        });
    }

    fn an_executor_keeps_running_while_the_store_is_locked(rig: &Rig) {
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        let (entered, inside) = std::sync::mpsc::channel();
        let (let_go, waiting) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let holder = &store;
            scope.spawn(move || {
                holder
                    .transaction(|tx| {
                        entered.send(()).unwrap();
                        waiting.recv().unwrap();
                        tx.set("holder", "k", "v")
                    })
                    .unwrap();
            });
            inside.recv().unwrap();
            awaiting(async {
                let store = store.clone().into_async();
                let written = Cell::new(false);
                let load = async {
                    let writes = join_all((0..64).map(|n| store.set("g", n.to_string(), "v")));
                    let batch = store.batch().set("b", "k", "v").commit();
                    let transaction = store.transaction(|tx| tx.increment("n", "n", 1));
                    let reads = join_all((0..64).map(|_| store.get("g", "k")));
                    let streams = async {
                        let all = store.get_all("g").await.unwrap();
                        let entries: Vec<_> = store.entries("g").await.unwrap().collect().await;
                        assert!(all.len() <= 65 && entries.len() <= 65);
                    };
                    let watching = async {
                        let mut watcher = store.watch_from(Pattern::all(), 0).await.unwrap();
                        watcher.recv().await.unwrap()
                    };
                    let (writes, batch, sum, reads, (), event) =
                        tokio::join!(writes, batch, transaction, reads, streams, watching);
                    written.set(true);
                    assert!(writes.into_iter().all(|done| done.is_ok()) && batch.is_ok());
                    assert!(reads.into_iter().all(|value| value.unwrap().unwrap() == "v"));
                    assert_eq!((sum.unwrap(), event.revision), (1, rig.revision(1)));
                };
                let clock = async {
                    // Nothing can be written, but timers on this thread still fire.
                    for _ in 0..20 {
                        tokio::time::sleep(ms(1)).await;
                    }
                    assert!(!written.get(), "a write finished while the store was locked");
                    let_go.send(()).unwrap();
                };
                tokio::join!(load, clock);
            });
        });
        assert_eq!(store.count("g").unwrap(), 65);
    }

    fn waiting_writers_block_no_readers(rig: &Rig) {
        if !rig.promises.can_be_opened_again {
            // In memory there is one connection, and readers wait for it too.
            return;
        }
        let store = rig.store();
        store.set("g", "k", "v").unwrap();
        let (entered, inside) = std::sync::mpsc::channel();
        let (let_go, waiting) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let holder = &store;
            scope.spawn(move || {
                holder.transaction(|_| {
                    entered.send(()).unwrap();
                    waiting.recv().unwrap();
                    Ok(())
                })
            });
            inside.recv().unwrap();
            awaiting(async {
                let store = store.clone().into_async();
                let tasks: Vec<_> = (0..40)
                    .map(|n| {
                        let store = store.clone();
                        tokio::spawn(async move { store.cursor(format!("c-{n}")).await.map(drop) })
                    })
                    .collect();
                tokio::task::yield_now().await;
                assert_eq!(store.get_all("g").await.unwrap().len(), 1);
                assert_eq!(store.count("g").await.unwrap(), 1);
                assert!(tasks.iter().all(|task| !task.is_finished()), "a write finished while the store was locked");
                let_go.send(()).unwrap();
                for task in tasks {
                    task.await.unwrap().unwrap();
                }
            });
        });
        assert_eq!(store.cursors().unwrap().len(), 40);
    }

    fn futures_are_send(rig: &Rig) {
        let store = rig.store().into_async();
        drop(is_send(store.get("g", "k")));
        drop(is_send(store.set("g", String::from("k"), vec![1])));
        drop(is_send(store.batch().set("g", "k", "v").commit()));
        drop(is_send(store.transaction(|tx| tx.delete("g", "k"))));
        drop(is_send(store.watch(("g", "*"))));
        drop(is_send(store.entries("g")));
        Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap().block_on(async {
            let tasks: Vec<_> = (0..40)
                .map(|n: u32| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        store.set("g", n.to_string(), "v").await.unwrap();
                        store.get("g", n.to_string()).await.unwrap().unwrap()
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap(), "v");
            }
        });
    }

    fn leases_batches_and_purges_can_be_awaited(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let store = store.clone().into_async();
            store.set_if_with_ttl("g", "lease", Condition::Absent, "first", ms(30)).await.unwrap();
            let refused = store.set_if_with_ttl("g", "lease", Condition::Absent, "second", ms(30)).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })));
            let batch = store.batch().set_json("g", "json", &7).touch("g", "lease", ms(20)).delete_prefix("none");
            batch.commit().await.unwrap();
            assert_eq!(store.get_json::<i32>("g", "json").await.unwrap(), Some(7));
            rig.advance_ms(19);
            assert!(store.exists("g", "lease").await.unwrap());
            rig.advance_ms(1);
            assert!(!store.exists("g", "lease").await.unwrap());
            assert_eq!(store.purge_expired().await.unwrap(), 1);
            assert_eq!(store.cache_age().unwrap(), Some(Duration::ZERO));
        });
    }

    fn a_spawned_task_can_receive_from_a_cursor_and_acknowledge(rig: &Rig) {
        let store = rig.store();
        awaiting(async {
            let store = store.clone().into_async();
            let mut cursor = store.cursor("c").await.unwrap();
            let task = tokio::spawn(async move {
                let event = cursor.recv().await.unwrap();
                cursor.ack(&event).await.unwrap();
                event.key.unwrap()
            });
            store.set("g", "1", "v").await.unwrap();
            assert_eq!(task.await.unwrap(), "1");
            assert!(store.cursor("c").await.unwrap().try_recv().await.unwrap().is_none());
        });
    }

    fn a_copy_whose_future_is_dropped_stops_and_the_next_run_continues(rig: &Rig) {
        let store = rig.store();
        let target = Store::options().clock(rig.clock.clone()).expiry_timer(false).in_memory().unwrap();
        (0..300).for_each(|n| assert!(store.set("g", n.to_string(), "v").is_ok()));
        let stages = Arc::new(Mutex::new(Vec::new()));
        awaiting(async {
            let (source, target) = (store.clone().into_async(), target.clone().into_async());
            let (follows, following) = tokio::sync::oneshot::channel();
            let mut follows = Some(follows);
            let (ended, has_ended) = std::sync::mpsc::channel::<()>();
            // It would follow without end; what it owns goes with it.
            let cut_over = move || {
                let _ = &ended;
                if let Some(follows) = follows.take() {
                    follows.send(()).unwrap();
                }
                false
            };
            let mut copy = Box::pin(source.copy_to(&target).exactly().follow_until(cut_over).run());
            tokio::select! {
                _ = &mut copy => panic!("it follows"),
                followed = following => followed.unwrap(),
            }
            drop(copy);
            assert_eq!(has_ended.recv_timeout(WAIT_MAX), Err(RecvTimeoutError::Disconnected));
            assert_eq!(target.unfinished_copies().await.unwrap().len(), 1, "the next run continues");

            source.delete("g", "7").await.unwrap();
            let heard = Arc::clone(&stages);
            let copy = source.copy_to(&target).on_progress(move |progress| heard.lock().unwrap().push(progress.stage));
            let copied = tokio::spawn(copy.run()).await.unwrap().unwrap();
            assert!(copied.is_exact());
            assert_eq!((copied.entries, copied.written, copied.beside), (299, 1, 0));
            let copied = source.copy_to(&target).in_one_transaction().run().await.unwrap();
            assert_eq!((copied.entries, copied.written), (299, 0));
        });
        assert_eq!(stages.lock().unwrap().last(), Some(&Stage::Verifying));
        assert_eq!(target.count_all("").unwrap(), 299);
    }

    fn a_copy_begins_once_one_whose_future_was_dropped_has_stopped(rig: &Rig) {
        let store = rig.store();
        let target = Store::options().clock(rig.clock.clone()).expiry_timer(false).in_memory().unwrap();
        (0..105).for_each(|n| assert!(store.set("g", n.to_string(), "v").is_ok()));
        awaiting(async {
            let (source, target) = (store.clone().into_async(), target.clone().into_async());
            let (reaches, reached) = tokio::sync::oneshot::channel();
            let mut reaches = Some(reaches);
            let (release, released) = std::sync::mpsc::channel::<()>();
            let (ended, has_ended) = std::sync::mpsc::channel::<()>();
            // It stands still with a hundred entries that it has read and not written.
            let stand_still = move |progress: &Progress| {
                let _ = &ended;
                if progress.entries == 100
                    && let Some(reaches) = reaches.take()
                {
                    reaches.send(()).unwrap();
                    let _ = released.recv_timeout(WAIT_MAX);
                }
            };
            let mut copy = Box::pin(source.copy_to(&target).on_progress(stand_still).run());
            tokio::select! {
                _ = &mut copy => panic!("it stands still"),
                reached = reached => reached.unwrap(),
            }
            drop(copy);
            source.delete("g", "7").await.unwrap();
            source.set("g", "8", "other").await.unwrap();
            let mut next = tokio::spawn(source.copy_to(&target).run());
            let early = timeout(Duration::from_millis(200), &mut next).await;
            release.send(()).unwrap();
            assert_eq!(has_ended.recv_timeout(WAIT_MAX), Err(RecvTimeoutError::Disconnected));
            let copied = match early {
                Ok(copied) => copied,
                Err(_) => next.await,
            };
            assert!(copied.unwrap().unwrap().is_exact());
        });
        assert_eq!(target.count_all("").unwrap(), 104, "the next run lost a deletion");
        assert_eq!(target.get("g", "8").unwrap().unwrap(), "other", "the next run lost a value");
        assert!(target.unfinished_copies().unwrap().is_empty());
    }
}

#[test]
fn awaiting_outside_a_runtime_is_an_error_that_says_so() {
    let store = Store::in_memory().unwrap().into_async();
    let error = poll_once(store.count("g")).unwrap().unwrap_err();
    assert!(matches!(error, Error::NoRuntime));
    assert!(error.to_string().contains("Tokio runtime"), "{error}");
    assert!(matches!(poll_once(AsyncStore::in_memory()).unwrap(), Err(Error::NoRuntime)));
}

#[test]
fn dropping_the_last_handle_on_an_executor_closes_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    awaiting(async {
        let store = AsyncStore::open(&path).await.unwrap();
        let other = store.clone();
        store.set("g", "k", "v").await.unwrap();
        let watcher = store.watch(Pattern::all()).await.unwrap();
        drop((store, watcher));
        assert_eq!(other.get("g", "k").await.unwrap().unwrap(), "v");
        drop(other);
    });
    eventually("the file is closed", || std::fs::read_dir(folder.path()).unwrap().count() == 1);
    // Here a task owns the last handle, and dropping the runtime drops the task.
    let ending = runtime();
    ending.block_on(async {
        let store = AsyncStore::open(&path).await.unwrap();
        let watcher = store.watch(Pattern::all()).await.unwrap();
        tokio::spawn(async move {
            let _held = (store, watcher);
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
    });
    drop(ending);
    eventually("the file is closed", || std::fs::read_dir(folder.path()).unwrap().count() == 1);
    let location = path.to_str().unwrap();
    awaiting(async {
        let store = AsyncStore::connect(location).await.unwrap();
        assert_eq!(store.get("g", "k").await.unwrap().unwrap(), "v");
        let read_only = Store::options().read_only(true);
        let read_only = AsyncStore::connect_with(read_only, location).await.unwrap();
        assert!(matches!(read_only.set("g", "k", "v").await, Err(Error::ReadOnly { .. })));
        assert!(matches!(AsyncStore::connect("redis://x").await, Err(Error::InvalidLocation { .. })));
    });
}

/// How many bytes the calling thread has read and written so far, as the system counts them.
#[cfg(target_os = "linux")]
fn io_of_this_thread() -> [u64; 2] {
    let counters = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    ["rchar: ", "wchar: "].map(|name| {
        let line = counters.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.parse().unwrap()
    })
}

/// Every kind of call on a file without a cache, and a timer on the same thread. The thread itself reads and
/// writes no file, so it never waits for a disk.
#[cfg(target_os = "linux")]
#[test]
fn async_calls_do_no_file_io_on_the_executors_thread_and_its_timers_keep_firing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Store::options().cache_bytes(0);
    let path = folder.path().join("store.db").to_str().unwrap().to_owned();
    let value = vec![b'x'; 10_000];
    awaiting(async {
        let before = io_of_this_thread();
        let (done, ticks) = (Cell::new(false), Cell::new(0));
        let load = async {
            let store = AsyncStore::connect_with(options, &path).await.unwrap();
            let mut watcher = store.watch(Pattern::all()).await.unwrap();
            let cursor = store.cursor("c").await.unwrap();
            let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
            for round in 0..3 {
                join_all(keys.iter().map(|key| store.set("g", key, value.clone()))).await;
                join_all(keys.iter().map(|key| store.get("g", key))).await;
                store.batch().set("b", round.to_string(), value.clone()).commit().await.unwrap();
                let other = value.clone();
                store.transaction(move |tx| tx.set("t", "k", other.clone())).await.unwrap();
                assert_eq!(store.get_all("g").await.unwrap().len(), 100);
                assert_eq!(store.entries("g").await.unwrap().count().await, 100);
                let snapshot = store.snapshot().await.unwrap();
                assert_eq!(snapshot.page("g", None, 50).await.unwrap().entries.len(), 50);
                for _ in 0..102 {
                    watcher.recv().await.unwrap();
                }
                let copy = folder.path().join(format!("copy-{round}"));
                store.backup_to(copy).await.unwrap();
            }
            assert_eq!(store.watch_from(Pattern::all(), 0).await.unwrap().take(306).count().await, 306);
            store.delete_prefix("").await.unwrap();
            assert_eq!(store.check().await.unwrap(), []);
            drop((watcher, cursor));
            store.close().await.unwrap();
            done.set(true);
        };
        let clock = async {
            while !done.get() {
                tokio::time::sleep(ms(1)).await;
                ticks.set(ticks.get() + 1);
            }
        };
        tokio::join!(load, clock);
        let after = io_of_this_thread();
        // A few hundred bytes come from reading the counters themselves.
        let io = [after[0] - before[0], after[1] - before[1]];
        assert!(io.iter().all(|bytes| *bytes < 10_000), "the executor's thread read and wrote {io:?} bytes");
        assert!(ticks.get() > 0, "the timer did not fire");
    });
}

#[test]
fn what_the_cache_has_of_groups_and_counts_is_answered_without_another_thread() {
    let rig = Rig::new(common::Engine::File);
    let blocking = rig.store();
    let tenant = blocking.scoped("t").unwrap();
    for key in ["a", "b", "c"] {
        tenant.set("g", key, "v").unwrap();
    }
    blocking.set_quota("t", Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    for _ in 0..3 {
        tenant.get_all("g").unwrap();
        blocking.count_all("").unwrap();
        blocking.groups("").unwrap();
        blocking.namespaces().unwrap();
        tenant.quota().unwrap();
        tenant.usage().unwrap();
    }
    // Whatever needs a blocking thread fails here: there is no runtime.
    let (store, tenant) = (blocking.clone().into_async(), tenant.into_async());
    let keys = |stream: Option<larder::Result<larder::AsyncKeyStream>>| {
        let mut stream = stream.unwrap().unwrap();
        std::iter::from_fn(|| poll_once(stream.next()).unwrap()).map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(poll_once(tenant.get_all("g")).unwrap().unwrap().len(), 3);
    assert_eq!(keys(poll_once(tenant.keys("g"))), ["a", "b", "c"]);
    let mut entries = poll_once(tenant.entries("g")).unwrap().unwrap();
    assert_eq!(poll_once(entries.next()).unwrap().unwrap().unwrap().key, "a");
    let page = poll_once(tenant.page("g", Some("a"), 1)).unwrap().unwrap();
    assert_eq!((page.entries[0].key.as_str(), page.next.as_deref()), ("b", Some("b")));
    assert_eq!(poll_once(tenant.get_page("g", 2, 9)).unwrap().unwrap()[0].key, "c");
    assert_eq!(poll_once(tenant.count("g")).unwrap().unwrap(), 3);
    assert!(poll_once(tenant.group_exists("g")).unwrap().unwrap());
    assert_eq!(poll_once(store.count_all("")).unwrap().unwrap(), 3);
    assert_eq!(poll_once(store.groups("")).unwrap().unwrap()[0].name, "t:g");
    assert_eq!(poll_once(store.namespaces()).unwrap().unwrap()[0].name, "t");
    assert_eq!(poll_once(tenant.quota()).unwrap().unwrap().max_keys, Some(9));
    assert_eq!(poll_once(tenant.usage()).unwrap().unwrap().keys, 3);

    blocking.set("t:g", "d", "v").unwrap();
    let later = [
        poll_once(tenant.get_all("g")).unwrap().map(drop),
        poll_once(tenant.count("g")).unwrap().map(drop),
        poll_once(store.count_all("")).unwrap().map(drop),
        poll_once(tenant.quota()).unwrap().map(drop),
    ];
    assert!(later.iter().all(|answer| matches!(answer, Err(Error::NoRuntime))), "{later:?}");
    awaiting(async { assert_eq!(tenant.get_all("g").await.unwrap().len(), 4) });
}
