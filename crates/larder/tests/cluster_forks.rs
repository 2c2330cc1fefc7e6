//! A process that was forked from one with an open store on a cluster: it can neither harm the store, nor the connections
//! of its parent, nor be misled.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;
mod forking;
mod outside;

use std::path::Path;
use std::time::Duration;

use clusters::{WAIT_MAX, skipped};
use forking::{Fork, assert_forked, beside, in_forked_child};
use larder::{Condition, Consistency, Error, Event, Options, Pattern, Store, Watcher};
use larder_cluster::{Cluster, Settings};
use outside::{Process, child_task, print_line};

/// Forking copies the threads' locks as they are, so each test does it in a process that runs nothing else. `work` gets
/// the location of a store.
fn in_its_own_process(test: &str, work: impl FnOnce(&str)) {
    if skipped() {
        return;
    }
    if let Some((_, words)) = child_task() {
        work(&words[0]);
        return print_line("done");
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let mut process = Process::start(test, Path::new("-"), &cluster.location("app"));
    assert_eq!(process.remaining_lines(), ["done"]);
    process.finish();
}

fn options() -> Options {
    Store::options().timeout(WAIT_MAX)
}

/// The next event, wherever it comes from.
#[track_caller]
fn next(watcher: &Watcher) -> Event {
    watcher.recv_timeout(WAIT_MAX).unwrap().expect("an event")
}

/// Makes every kind of call on a store of the parent, with everything that was made from it, and drops all of it.
fn assert_unusable(store: Store) {
    let snapshot = store.snapshot().unwrap();
    let watcher = store.watch(("g", "*")).unwrap();
    let callback = store.on_change(|_| {});
    let entries = store.entries("g").unwrap();
    let cursor = store.cursor("c").unwrap();
    in_forked_child(|| {
        assert_forked(store.get("g", "known"));
        assert_forked(store.get("g", "not there"));
        assert_forked(store.set("g", "child", "v"));
        assert_forked(store.set_with_ttl("g", "child", "v", Duration::from_millis(1)));
        assert_forked(store.batch().set("g", "child", "v").commit());
        assert_forked(store.transaction(|tx| tx.set("g", "child", "v")));
        assert_forked(store.scoped("tenant-42").unwrap().set("g", "child", "v"));
        assert_forked(store.keys("g"));
        assert_forked(store.count_all(""));
        assert_forked(store.stats());
        assert_forked(store.check());
        assert_forked(store.health());
        assert_forked(store.note_restored());
        assert_forked(store.snapshot());
        assert_forked(snapshot.get("g", "known"));
        assert_forked(watcher.recv());
        assert_forked(watcher.try_recv());
        assert_forked(cursor.recv());
        assert_forked(store.watch(("g", "*")));
        assert_forked(store.close());
        // None of this waits for a thread of the parent, or takes its connections away.
        drop((callback, watcher, entries, cursor, snapshot, store));
    });
}

/// What the parent does after a fork is what it did before.
fn assert_usable(store: &Store, other: &Store, watcher: &Watcher) {
    for round in 0..3 {
        store.set("g", "parent", round.to_string()).unwrap();
        assert_eq!(next(watcher).value.unwrap(), round.to_string().as_str());
        other.set("g", "other", round.to_string()).unwrap();
        assert_eq!(next(watcher).key.unwrap(), "other");
        assert_eq!(store.get("g", "other").unwrap().unwrap(), round.to_string().as_str());
    }
    assert!(store.health().unwrap().feed.unwrap().connected_since.is_some());
    assert_eq!(store.health().unwrap().retries, 0, "no connection was lost");
    assert_eq!(store.check().unwrap(), []);
    assert!(!store.exists("g", "child").unwrap());
}

fn fork_and_go_on(location: &str, consistency: Consistency) {
    let store = options().consistency(consistency).connect(location).unwrap();
    let other = options().connect(location).unwrap();
    store.set("g", "known", "v").unwrap();
    store.get("g", "known").unwrap();
    let watcher = store.watch(Pattern::key_prefix("g", "")).unwrap();
    assert!(watcher.try_recv().unwrap().is_none());
    assert_unusable(store.clone());
    assert_usable(&store, &other, &watcher);
    store.close().unwrap();
}

#[test]
fn every_call_in_a_forked_process_fails_and_the_parent_keeps_its_connections() {
    in_its_own_process(
        "every_call_in_a_forked_process_fails_and_the_parent_keeps_its_connections",
        |location| fork_and_go_on(location, Consistency::Linearizable),
    );
}

#[test]
fn a_forked_process_reads_nothing_from_the_near_cache_of_its_parent() {
    in_its_own_process("a_forked_process_reads_nothing_from_the_near_cache_of_its_parent", |location| {
        fork_and_go_on(location, Consistency::Cached);
    });
}

#[test]
fn a_process_forked_inside_a_transaction_writes_nothing() {
    in_its_own_process("a_process_forked_inside_a_transaction_writes_nothing", |location| {
        let store = options().connect(location).unwrap();
        let mut forked = false;
        store
            .transaction(|tx| {
                tx.set("g", "before", "v")?;
                if !std::mem::replace(&mut forked, true) {
                    in_forked_child(|| {
                        assert_forked(tx.set("g", "child", "v"));
                        assert_forked(tx.get("g", "before"));
                        assert_forked(tx.get("g", "unread"));
                        assert_forked(tx.keys("g"));
                        assert_forked(tx.require("g", "before", Condition::Absent));
                    });
                }
                tx.set("g", "after", "v").map(drop)
            })
            .unwrap();
        assert_eq!(store.count("g").unwrap(), 2);
        assert_eq!(store.check().unwrap(), []);
    });
}

#[test]
fn a_process_forked_while_other_threads_write_can_end_its_transaction_and_drop_everything() {
    let test = "a_process_forked_while_other_threads_write_can_end_its_transaction_and_drop_everything";
    in_its_own_process(test, |location| {
        let store = options().connect(location).unwrap();
        store.set("g", "known", "v").unwrap();
        let other = options().connect(location).unwrap();
        let write = |key| store.set("busy", key, "v").map(drop).unwrap();
        let read = || drop(other.get("busy", "a").unwrap());
        beside(&[&|| write("a"), &|| write("b"), &read], || {
            for round in 0..20 {
                assert_unusable(store.clone());
                let fork = std::cell::Cell::new(None);
                let committed = store.transaction(|tx| {
                    tx.set("g", round.to_string(), "v")?;
                    if fork.get().is_none() {
                        fork.set(Some(Fork::begin()));
                    }
                    Ok(())
                });
                let fork = fork.get().unwrap();
                if matches!(fork, Fork::Child) {
                    Fork::end(matches!(committed, Err(Error::ForkedProcess)));
                }
                fork.wait();
                committed.unwrap();
            }
        });
        assert_eq!(store.count("g").unwrap(), 21);
    });
}

#[test]
fn a_transaction_whose_closure_returns_in_a_forked_process_fails_there_and_commits_in_the_parent() {
    let test =
        "a_transaction_whose_closure_returns_in_a_forked_process_fails_there_and_commits_in_the_parent";
    in_its_own_process(test, |location| {
        let store = options().connect(location).unwrap();
        let fork = std::cell::Cell::new(None);
        let committed = store.transaction(|tx| {
            tx.set("g", "k", "v")?;
            if fork.get().is_none() {
                fork.set(Some(Fork::begin()));
            }
            Ok(())
        });
        match fork.get().unwrap() {
            Fork::Child => {
                let is_refused = matches!(committed, Err(Error::ForkedProcess));
                drop(store);
                Fork::end(is_refused)
            }
            parent => {
                parent.wait();
                committed.unwrap();
                assert_eq!(store.count("g").unwrap(), 1);
            }
        }
    });
}

#[test]
fn a_forked_process_may_open_the_store_by_itself() {
    in_its_own_process("a_forked_process_may_open_the_store_by_itself", |location| {
        let store = options().connect(location).unwrap();
        store.set("g", "parent", "v").unwrap();
        let watcher = store.watch(Pattern::group("g")).unwrap();
        in_forked_child(|| {
            let own = options().connect(location).unwrap();
            let changes = own.watch(Pattern::group("g")).unwrap();
            assert_eq!(own.get("g", "parent").unwrap().unwrap(), "v");
            own.set("g", "child", "v").unwrap();
            assert_eq!(next(&changes).key.unwrap(), "child");
            drop(changes);
            own.close().unwrap();
            assert_forked(store.get("g", "child"));
        });
        assert_eq!(next(&watcher).key.unwrap(), "child");
        store.set("g", "later", "v").unwrap();
        assert_eq!(store.count("g").unwrap(), 3);
        assert_eq!(store.check().unwrap(), []);
    });
}

#[test]
fn an_async_store_answers_in_a_forked_process_that_it_is_unusable_there() {
    in_its_own_process("an_async_store_answers_in_a_forked_process_that_it_is_unusable_there", |location| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let store = options().connect(location).unwrap().into_async();
        runtime.block_on(store.set("g", "known", "v")).unwrap();
        let mut watcher = runtime.block_on(store.watch(("g", "*"))).unwrap();
        let own = store.clone();
        in_forked_child(|| {
            // The runtime of the parent has no threads here; its futures are polled by hand.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                assert_forked(own.get("g", "known").await);
                assert_forked(own.set("g", "child", "v").await);
                assert_forked(own.count("g").await);
                assert_forked(own.transaction(|tx| tx.set("g", "child", "v").map(drop)).await);
                assert_forked(watcher.recv().await);
                assert_forked(own.close().await);
                drop((watcher, own));
            });
        });
        runtime.block_on(async {
            store.set("g", "parent", "v").await.unwrap();
            assert_eq!(store.count("g").await.unwrap(), 2);
            store.close().await.unwrap();
        });
    });
}
