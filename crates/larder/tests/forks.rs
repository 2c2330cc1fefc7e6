//! A process that was forked from one with an open store: it can neither harm the store nor be misled by it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forking;
mod outside;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use forking::{Fork, assert_forked, beside, in_forked_child};
use larder::{Error, Store};
use outside::{Process, child_task, print_line};

/// Forking copies the threads' locks as they are, so each test does it in a process that runs nothing else.
fn in_its_own_process(test: &str, work: impl FnOnce(&std::path::Path)) {
    if let Some((path, _)) = child_task() {
        work(&path);
        return print_line("done");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(test, &folder.path().join("store.db"), "");
    assert_eq!(process.remaining_lines(), ["done"]);
    process.finish();
}

/// Makes every kind of call on a store of the parent, with everything that was made from it.
fn assert_unusable(store: Store) {
    let snapshot = store.snapshot().unwrap();
    let watcher = store.watch(("g", "*")).unwrap();
    let callback = store.on_change(|_| {});
    let entries = store.entries("g").unwrap();
    in_forked_child(|| {
        assert_forked(store.get("g", "cached"));
        assert_forked(store.get("g", "not there"));
        assert_forked(store.set("g", "child", "v"));
        assert_forked(store.set_with_ttl("g", "child", "v", Duration::from_millis(1)));
        assert_forked(store.batch().set("g", "child", "v").commit());
        assert_forked(store.transaction(|tx| tx.set("g", "child", "v")));
        assert_forked(store.scoped("tenant-42").unwrap().set("g", "child", "v"));
        assert_forked(store.keys("g"));
        assert_forked(store.stats());
        assert_forked(store.snapshot());
        assert_forked(snapshot.get("g", "cached"));
        assert_forked(watcher.recv());
        assert_forked(watcher.try_recv());
        assert_forked(store.watch(("g", "*")));
        assert_forked(store.mirror(("g", "*")).map(drop));
        assert_forked(store.cursor("mailer"));
        assert_forked(store.token());
        assert_forked(store.history("g", "cached"));
        drop(store.on_change(|_| {}));
        watcher.close();
        assert_forked(store.close());
        // None of this waits for a thread of the parent.
        drop((callback, watcher, entries, snapshot, store));
    });
}

#[test]
fn every_call_in_a_forked_process_fails_and_dropping_waits_for_nobody() {
    in_its_own_process("every_call_in_a_forked_process_fails_and_dropping_waits_for_nobody", |path| {
        let store = Store::open(path).unwrap();
        store.set("g", "cached", "v").unwrap();
        assert_unusable(store.clone());
        // The parent goes on, and nothing of the child's is there.
        assert_eq!(store.count("g").unwrap(), 1);
        store.set("g", "parent", "v").unwrap();
        assert_eq!(store.check().unwrap(), []);
        store.close().unwrap();
        assert_eq!(outside::names(path.parent().unwrap()), ["store.db"]);
    });
}

#[test]
fn a_store_in_memory_is_unusable_in_a_forked_process_too() {
    in_its_own_process("a_store_in_memory_is_unusable_in_a_forked_process_too", |_| {
        let store = Store::in_memory().unwrap();
        store.set("g", "cached", "v").unwrap();
        assert_unusable(store.clone());
        store.set("g", "parent", "v").unwrap();
    });
}

#[test]
fn a_forked_process_may_open_every_store_that_its_parent_had_closed() {
    in_its_own_process("a_forked_process_may_open_every_store_that_its_parent_had_closed", |path| {
        let closed = path.with_file_name("closed.db");
        Store::open(&closed).unwrap().set("g", "parent", "v").unwrap();
        let store = Store::open(path).unwrap();
        store.set("g", "parent", "v").unwrap();
        in_forked_child(|| {
            // SQLite would believe that the locks of its parent on this file are its own.
            assert_forked(Store::open(path));
            assert_forked(Store::options().read_only(true).open(path));
            let own = Store::open(&closed).unwrap();
            own.set("g", "child", "v").unwrap();
            in_forked_child(|| {
                assert_forked(own.get("g", "child"));
                assert_forked(Store::open(path));
                assert_forked(Store::open(&closed));
            });
            own.close().unwrap();
            drop(store.clone());
        });
        store.set("g", "later", "v").unwrap();
        store.close().unwrap();
        assert_eq!(Store::open(path).unwrap().count("g").unwrap(), 2);
        assert_eq!(Store::open(&closed).unwrap().count("g").unwrap(), 2);
        assert_eq!(outside::names(path.parent().unwrap()), ["closed.db", "store.db"]);
    });
}

#[test]
fn a_forked_process_that_lives_on_keeps_no_lock_of_its_parent() {
    let test = "a_forked_process_that_lives_on_keeps_no_lock_of_its_parent";
    if let Some((path, _)) = child_task() {
        let store = Store::open(&path).unwrap();
        store.set("g", "parent", "v").unwrap();
        print_line("open");
        in_forked_child(|| {
            print_line("forked");
            // Until the parent of both has seen what it wants to see.
            outside::read_line();
        });
        return print_line("done");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut process = Process::start(test, &path, "");
    assert_eq!(process.next_line().as_deref(), Some("open"));
    assert_eq!(process.next_line().as_deref(), Some("forked"));
    // The opener dies; what it forked lives on.
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.count("g").unwrap(), 1);
    store.close().unwrap();
    // It was the last to use the file, so it has taken the log away.
    assert_eq!(outside::names(folder.path()), ["store.db"]);
    process.send_line("end");
}

#[test]
fn a_process_forked_inside_a_transaction_writes_nothing() {
    in_its_own_process("a_process_forked_inside_a_transaction_writes_nothing", |path| {
        let store = Store::open(path).unwrap();
        store
            .transaction(|tx| {
                tx.set("g", "before", "v")?;
                in_forked_child(|| {
                    assert_forked(tx.set("g", "child", "v"));
                    assert_forked(tx.get("g", "before"));
                });
                tx.set("g", "after", "v").map(drop)
            })
            .unwrap();
        assert_eq!(store.count("g").unwrap(), 2);
        assert_eq!(store.check().unwrap(), []);
    });
}

#[test]
fn a_transaction_whose_closure_returns_in_a_forked_process_fails_there_and_commits_in_the_parent() {
    let test =
        "a_transaction_whose_closure_returns_in_a_forked_process_fails_there_and_commits_in_the_parent";
    in_its_own_process(test, |path| {
        for memory in [false, true] {
            let store = if memory { Store::in_memory().unwrap() } else { Store::open(path).unwrap() };
            let mut fork = Fork::Child;
            let committed = store.transaction(|tx| {
                tx.set("g", "k", "v")?;
                fork = Fork::begin();
                Ok(())
            });
            if matches!(fork, Fork::Child) {
                let is_refused = matches!(committed, Err(Error::ForkedProcess));
                drop(store);
                Fork::end(is_refused);
            }
            fork.wait();
            committed.unwrap();
            assert_eq!(store.count("g").unwrap(), 1);
            store.set("g", "later", "v").unwrap();
            assert_eq!(store.check().unwrap(), []);
            store.close().unwrap();
        }
        assert_eq!(Store::open(path).unwrap().count("g").unwrap(), 2);
    });
}

/// Runs `work` while other threads write to the store and to one in memory. They hold the locks of the store and of
/// SQLite most of the time, so a process that is forked meanwhile has a copy of held locks.
fn beside_busy_writers(store: &Store, work: impl FnOnce()) {
    let other = Store::in_memory().unwrap();
    let write = |store: &Store, group| store.set(group, "k", "v").map(drop).unwrap();
    beside(&[&|| write(store, "busy"), &|| write(&other, "a"), &|| write(&other, "b")], work);
}

#[test]
fn a_process_forked_while_other_threads_write_can_call_and_drop_everything() {
    let test = "a_process_forked_while_other_threads_write_can_call_and_drop_everything";
    in_its_own_process(test, |path| {
        for memory in [false, true] {
            let store = if memory { Store::in_memory().unwrap() } else { Store::open(path).unwrap() };
            store.set("g", "cached", "v").unwrap();
            beside_busy_writers(&store, || {
                for _ in 0..30 {
                    assert_unusable(store.clone());
                }
            });
            assert_eq!(store.count("g").unwrap(), 1);
        }
    });
}

#[test]
fn a_process_forked_while_other_threads_write_can_open_another_store() {
    let test = "a_process_forked_while_other_threads_write_can_open_another_store";
    in_its_own_process(test, |path| {
        let store = Store::open(path).unwrap();
        beside_busy_writers(&store, || {
            for round in 0..30 {
                let other = path.with_file_name(format!("other-{round}.db"));
                in_forked_child(|| {
                    let memory = Store::in_memory().unwrap();
                    memory.set("g", "k", "v").unwrap();
                    let other = Store::open(other).unwrap();
                    other.set("g", "k", "v").unwrap();
                    assert_eq!(other.check().unwrap(), []);
                });
            }
        });
        assert_eq!(store.count("busy").unwrap(), 1);
    });
}

#[test]
fn a_closure_may_end_in_any_way_in_a_forked_process_while_other_threads_write() {
    let test = "a_closure_may_end_in_any_way_in_a_forked_process_while_other_threads_write";
    in_its_own_process(test, |path| {
        for memory in [false, true] {
            let store = if memory { Store::in_memory().unwrap() } else { Store::open(path).unwrap() };
            beside_busy_writers(&store, || {
                for round in 0..60 {
                    let mut fork = Fork::Child;
                    let ended = catch_unwind(AssertUnwindSafe(|| {
                        store.transaction(|tx| {
                            tx.set("g", round.to_string(), "v")?;
                            fork = Fork::begin();
                            match (fork, round % 3) {
                                (Fork::Parent(_), _) | (Fork::Child, 0) => Ok(()),
                                (Fork::Child, 1) => Err(Error::TransactionOver),
                                (Fork::Child, _) => resume_unwind(Box::new("in the child")),
                            }
                        })
                    }));
                    if matches!(fork, Fork::Child) {
                        let is_right = match ended {
                            Ok(committed) => round % 3 < 2 && matches!(committed, Err(Error::ForkedProcess)),
                            Err(_) => round % 3 == 2,
                        };
                        Fork::end(is_right);
                    }
                    fork.wait();
                    ended.unwrap().unwrap();
                }
            });
            assert_eq!(store.count("g").unwrap(), 60);
            assert_eq!(store.check().unwrap(), []);
        }
    });
}

#[test]
fn an_async_store_answers_in_a_forked_process_that_it_is_unusable_there() {
    in_its_own_process("an_async_store_answers_in_a_forked_process_that_it_is_unusable_there", |path| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let store = runtime.block_on(larder::AsyncStore::open(path)).unwrap();
        runtime.block_on(store.set("g", "cached", "v")).unwrap();
        let mut watcher = runtime.block_on(store.watch(("g", "*"))).unwrap();
        in_forked_child(|| {
            // The runtime of the parent has no threads here; its futures are polled by hand.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                assert_forked(store.get("g", "cached").await);
                assert_forked(store.get("g", "not there").await);
                assert_forked(store.set("g", "child", "v").await);
                assert_forked(store.count("g").await);
                assert_forked(store.transaction(|tx| tx.set("g", "child", "v").map(drop)).await);
                assert_forked(watcher.recv().await);
                assert_forked(store.close().await);
                drop((watcher, store));
            });
        });
    });
}
