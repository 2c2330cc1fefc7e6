//! A handle may be dropped anywhere: in a thread-local, in a callback or a waker, while a transaction runs, and on the
//! store's own threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use common::{Rig, WAIT_MAX, eventually, ms};
use larder::{AsyncStore, Error, Pattern, Store};
use tokio::runtime::Builder;

thread_local! {
    /// What lives as long as its thread.
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Uses the store when it is dropped.
struct LastWrite(Store);

impl Drop for LastWrite {
    fn drop(&mut self) {
        self.0.transaction(|tx| tx.set("g", "last", "v")).unwrap();
        assert!(matches!(self.0.transaction(|_| self.0.set("g", "nested", "v")), Err(Error::Nested)));
    }
}

/// Drops what it holds when it wakes a task.
struct Dropping<T>(Mutex<Option<T>>);

impl<T: Send + 'static> Wake for Dropping<T> {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().take();
    }
}

on_every_engine! {
    fn a_thread_local_may_hold_the_last_handle(rig: &Rig) {
        let (store, other) = (rig.store(), rig.store());
        thread::spawn(move || {
            let keep = |kept: Box<dyn Any>| KEPT.with(|list| list.borrow_mut().push(kept));
            let awaited: AsyncStore = other.clone().into_async();
            keep(Box::new(store.watch(Pattern::all()).unwrap()));
            keep(Box::new(store.snapshot().unwrap()));
            keep(Box::new(store.on_change(|_| {})));
            keep(Box::new(LastWrite(store.clone())));
            keep(Box::new(store));
            keep(Box::new(awaited));
            keep(Box::new(other));
            // Registers every thread-local of larder's own after this test's, so that they go first.
            KEPT.with(|list| list.borrow()[4].downcast_ref::<Store>().unwrap().set("g", "k", "v").unwrap());
        })
        .join()
        .unwrap();
        if rig.promises.can_be_opened_again {
            assert_eq!(rig.store().get("g", "last").unwrap(), Some("v".into()));
        }
    }

    fn a_waker_may_drop_the_last_handle_on_the_thread_that_follows_other_processes(rig: &Rig) {
        if !rig.promises.can_be_opened_again {
            return;
        }
        let writing = rig.store();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let store = rig.store().into_async();
        let mut watcher = runtime.block_on(store.watch(Pattern::all())).unwrap();
        // Live from here on: the next event comes from the follower.
        assert!(runtime.block_on(watcher.try_recv()).unwrap().is_none());
        let dropping = Arc::new(Dropping(Mutex::new(Some(store))));
        let waker = Waker::from(Arc::clone(&dropping));
        assert!(pin!(watcher.recv()).poll(&mut Context::from_waker(&waker)).is_pending());
        writing.set("g", "k", "v").unwrap();
        eventually("the waker is called", || dropping.0.lock().unwrap().is_none());
        // The store that followed is closed, which ends its watcher.
        eventually("the store is closed", || {
            let received = runtime.block_on(async { tokio::time::timeout(ms(10), watcher.recv()).await });
            matches!(received, Ok(Err(Error::Closed)))
        });
    }

    fn a_callback_on_the_expiry_timer_may_drop_the_last_handle(rig: &Rig) {
        let store = rig.open_with(|options| options.expiry_timer(true));
        store.set_with_ttl("g", "k", "v", ms(100)).unwrap();
        let (dropped, is_dropped) = mpsc::channel();
        let last: Arc<Mutex<Option<Store>>> = Arc::default();
        let (taken, callback) = (Arc::clone(&last), last.lock().unwrap().insert(store).on_change(|_| {}));
        drop(callback);
        let subscription = last.lock().unwrap().as_ref().unwrap().on_change(move |_| {
            taken.lock().unwrap().take();
            let _ = dropped.send(());
        });
        rig.advance_ms(100);
        is_dropped.recv_timeout(WAIT_MAX).unwrap();
        drop(subscription);
    }

    fn the_closure_of_an_abandoned_transaction_may_drop_the_last_handle(rig: &Rig) {
        if !rig.promises.can_be_opened_again {
            // The rig keeps a handle.
            return;
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let store = rig.open_with(|options| options.expiry_timer(true)).into_async();
        let watcher = runtime.block_on(store.watch(Pattern::all())).unwrap();
        let (began, has_begun) = mpsc::channel();
        let (proceed, may_proceed) = mpsc::channel::<()>();
        let last = Mutex::new(Some((store.clone(), may_proceed)));
        let transaction = runtime.spawn(async move {
            store.transaction(move |tx| {
                tx.set("g", "k", "v")?;
                let _ = began.send(());
                if let Some((last, may_proceed)) = last.lock().unwrap().take() {
                    let _ = may_proceed.recv_timeout(WAIT_MAX);
                    drop(last);
                }
                tx.set("g", "l", "v")
            })
            .await
        });
        has_begun.recv_timeout(WAIT_MAX).unwrap();
        transaction.abort();
        assert!(runtime.block_on(transaction).unwrap_err().is_cancelled());
        proceed.send(()).unwrap();
        let mut watcher = watcher;
        eventually("the store is closed", || {
            let received = runtime.block_on(async { tokio::time::timeout(ms(10), watcher.recv()).await });
            matches!(received, Ok(Err(Error::Closed)))
        });
    }
}
