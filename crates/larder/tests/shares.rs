//! What one tenant uses of the writer, of the async permits and of memory leaves the others their share.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use common::{Rig, WAIT_MAX};
use futures_util::future::{join, join_all};
use larder::{AsyncScopedStore, AsyncStore, Error, Pattern, Resource, Revision, ScopedStore, Store};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Runs an async test on one thread.
fn awaiting<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { timeout(WAIT_MAX, test).await.expect("a test that ends") })
}

/// A hostile tenant, and a quiet one.
fn tenants(store: &Store) -> (ScopedStore, ScopedStore) {
    (store.scoped("hostile").unwrap(), store.scoped("quiet").unwrap())
}

/// Begins a transaction that keeps the store to itself until the returned sender is dropped.
fn occupied(store: &Store) -> (std::thread::JoinHandle<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (release, released): (Sender<()>, Receiver<()>) = channel();
    let released = Mutex::new(released);
    let store = store.clone();
    let thread = std::thread::spawn(move || {
        store
            .transaction(|_| {
                begun.send(()).unwrap();
                // Disconnected once the sender is dropped.
                assert!(released.lock().unwrap().recv().is_err());
                Ok(())
            })
            .unwrap();
    });
    has_begun.recv_timeout(WAIT_MAX).unwrap();
    (thread, release)
}

/// Starts a thread, and returns once it waits for something.
fn waiting_thread(act: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    static THREADS: AtomicU32 = AtomicU32::new(0);
    let name = format!("waits-{}", THREADS.fetch_add(1, Ordering::Relaxed));
    let (begun, has_begun) = channel();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        begun.send(()).unwrap();
        act();
    });
    has_begun.recv_timeout(WAIT_MAX).unwrap();
    let mut looks = 0;
    common::eventually("the thread waits", || {
        looks = if sleeps(&name) { looks + 1 } else { 0 };
        looks == 3
    });
    thread.unwrap()
}

/// Whether a thread of this process sleeps.
fn sleeps(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.flatten().any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.contains(&format!("({name}) S"))
    })
}

/// A call that has been started.
type Started<T> = Pin<Box<dyn Future<Output = T>>>;

/// Starts a call.
async fn started<T: 'static>(call: impl Future<Output = T> + 'static) -> Started<T> {
    let mut call: Started<T> = Box::pin(call);
    let first = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
    assert!(first, "it has to wait");
    call
}

/// Queues a write of each of `keys`.
async fn queued<S: 'static>(store: &AsyncStore<S>, keys: Range<u32>) -> Vec<Started<Revision>> {
    let mut writes = Vec::new();
    for key in keys {
        let store = store.clone();
        writes.push(started(async move { store.set("g", key.to_string(), "v").await.unwrap() }).await);
    }
    writes
}

on_every_engine! {
    fn a_write_overtakes_what_another_tenant_has_queued(rig: &Rig) {
        let store = rig.store();
        let (hostile, quiet) = tenants(&store);
        let (thread, release) = occupied(&store);
        let (hostile, quiet) = awaiting(async {
            let hostile = queued(&hostile.into_async(), 0..4000).await;
            let quiet = queued(&quiet.into_async(), 0..2).await;
            drop(release);
            join(join_all(hostile), join_all(quiet)).await
        });
        thread.join().unwrap();
        let before = hostile.iter().filter(|revision| **revision < quiet[1]).count();
        assert!(before <= 1100, "{before} of the hostile tenant's writes came first");
        assert!(hostile.is_sorted() && quiet.is_sorted(), "the writes of one tenant keep their order");
    }

    fn a_tenants_write_waits_for_no_backlog_of_the_whole_store_and_the_other_way_round(rig: &Rig) {
        let store = rig.store();
        let (_, quiet) = tenants(&store);
        let (thread, release) = occupied(&store);
        let (whole, quiet) = awaiting(async {
            let whole = queued(&store.clone().into_async(), 0..4000).await;
            let quiet = queued(&quiet.into_async(), 0..2).await;
            drop(release);
            join(join_all(whole), join_all(quiet)).await
        });
        thread.join().unwrap();
        let before = whole.iter().filter(|revision| **revision < quiet[1]).count();
        assert!(before <= 1100, "{before} of the writes to other groups came first");
    }

    fn transactions_that_one_tenant_awaits_leave_the_others_their_turn(rig: &Rig) {
        let store = rig.store();
        let (hostile, quiet) = tenants(&store);
        let (thread, release) = occupied(&store);
        let order = Arc::new(Mutex::new(Vec::new()));
        awaiting(async {
            let begin = |tenant: &AsyncScopedStore, name: &'static str| {
                let (tenant, order) = (tenant.clone(), Arc::clone(&order));
                started(async move {
                    let ran = tenant.transaction(move |tx| {
                        tx.set("g", "k", name)?;
                        Ok(())
                    });
                    ran.await.unwrap();
                    order.lock().unwrap().push(name);
                })
            };
            let (hostile, quiet) = (hostile.into_async(), quiet.into_async());
            let mut all = Vec::new();
            for _ in 0..40 {
                all.push(begin(&hostile, "hostile").await);
            }
            all.push(begin(&quiet, "quiet").await);
            drop(release);
            join_all(all).await;
        });
        thread.join().unwrap();
        let order = order.lock().unwrap();
        let place = order.iter().position(|name| *name == "quiet").unwrap();
        assert!(place <= 8, "{place} transactions of the hostile tenant came first");
    }

    fn transactions_that_wait_on_many_threads_of_one_tenant_leave_the_others_their_turn(rig: &Rig) {
        // Only there a test can tell that a thread waits.
        if !cfg!(target_os = "linux") {
            return;
        }
        let store = rig.store();
        let (hostile, quiet) = tenants(&store);
        let (thread, release) = occupied(&store);
        let order = Arc::new(Mutex::new(Vec::new()));
        let begin = |tenant: &ScopedStore, name: &'static str| {
            let (tenant, order) = (tenant.clone(), Arc::clone(&order));
            waiting_thread(move || {
                tenant
                    .transaction(|tx| {
                        order.lock().unwrap().push(name);
                        tx.set("g", "k", name)
                    })
                    .unwrap();
            })
        };
        let mut threads: Vec<_> = (0..12).map(|_| begin(&hostile, "hostile")).collect();
        threads.push(begin(&quiet, "quiet"));
        drop(release);
        for thread in threads.into_iter().chain([thread]) {
            thread.join().unwrap();
        }
        let order = order.lock().unwrap();
        let place = order.iter().position(|name| *name == "quiet").unwrap();
        assert!(place <= 2, "{place} transactions of the hostile tenant came first: {order:?}");
    }

    fn a_namespace_has_as_many_watchers_as_it_may_and_others_are_not_concerned(rig: &Rig) {
        let store = rig.open_with(|options| options.watchers_max(3));
        let (hostile, quiet) = tenants(&store);
        let mut watchers: Vec<_> = (0..2).map(|_| hostile.watch(("g", "*")).unwrap()).collect();
        let cursor = hostile.cursor("c").unwrap();
        let refused = [
            hostile.watch(("g", "*")).unwrap_err(),
            hostile.clone().cursor("c").unwrap_err(),
            hostile.mirror(("g", "*")).unwrap_err(),
            hostile.watch_from(("g", "*"), 0).unwrap_err(),
            awaiting(async { hostile.clone().into_async().watch(("g", "*")).await.unwrap_err() }),
        ];
        for error in refused {
            let Error::QuotaExceeded { namespace, resource, limit, wanted } = &error else { panic!("{error:?}") };
            assert_eq!((&**namespace, *resource, *limit, *wanted), ("hostile", Resource::Watchers, 3, 4));
            assert!(error.advice().unwrap().contains("watchers_max"));
        }
        // Neither a quiet tenant nor the whole store has fewer for that.
        let others: Vec<_> = (0..3).map(|_| quiet.watch(("g", "*")).unwrap()).collect();
        let whole: Vec<_> = (0..5).map(|_| store.watch(Pattern::all()).unwrap()).collect();
        hostile.set("g", "k", "v").unwrap();
        assert!(watchers[0].recv_timeout(WAIT_MAX).unwrap().is_some());
        drop(watchers.pop());
        watchers.push(hostile.watch(("g", "*")).unwrap());
        drop((watchers, cursor, others, whole));
        let again: Vec<_> = (0..3).map(|_| hostile.watch(("g", "*")).unwrap()).collect();
        assert_eq!(again.len(), 3);
    }

    fn watchers_of_one_namespace_that_lag_receive_everything_whatever_fits_into_memory(rig: &Rig) {
        let store = rig.store();
        let (hostile, _) = tenants(&store);
        // 100 MB wait for them, if each event counts for each watcher.
        let watchers: Vec<_> = (0..40).map(|_| hostile.watch(("g", "*")).unwrap()).collect();
        for watcher in &watchers {
            assert!(watcher.try_recv().unwrap().is_none());
        }
        for number in 0..25_u8 {
            hostile.set("g", "k", vec![number; 100_000]).unwrap();
        }
        for watcher in watchers {
            for number in 0..25_u8 {
                let event = watcher.recv_timeout(WAIT_MAX).unwrap().unwrap();
                assert_eq!(event.value.unwrap(), vec![number; 100_000]);
            }
        }
    }
}

/// A template that computes for a while, and yet stays within its limits.
#[cfg(feature = "templates")]
const LONG: &str = "{% for a in range(100) %}{% for b in range(100) %}{% endfor %}{% endfor %}done";

#[test]
#[cfg(feature = "templates")]
fn renderings_that_one_tenant_awaits_hold_up_no_other_tenant() {
    let store = Store::in_memory().unwrap();
    let (hostile, quiet) = tenants(&store);
    let order = Arc::new(Mutex::new(Vec::new()));
    awaiting(async {
        let begin = |tenant: &AsyncScopedStore, name: &'static str| {
            let (tenant, order) = (tenant.clone(), Arc::clone(&order));
            started(async move {
                assert_eq!(tenant.render(LONG, "g").await.unwrap(), "done");
                order.lock().unwrap().push(name);
            })
        };
        let (hostile, quiet) = (hostile.into_async(), quiet.into_async());
        let mut all = Vec::new();
        for _ in 0..60 {
            all.push(begin(&hostile, "hostile").await);
        }
        all.push(begin(&quiet, "quiet").await);
        join_all(all).await;
    });
    let order = order.lock().unwrap();
    let place = order.iter().position(|name| *name == "quiet").unwrap();
    assert!(place < 30, "{place} renderings of the hostile tenant came first");
}
