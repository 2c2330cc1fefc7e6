use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Registry;
use crate::scoped::Scope;
use crate::{Error, Event, Result, Store};

/// How many callbacks deep a write may be: a callback may write, which calls callbacks, and so on.
const DEPTH_MAX: usize = 16;

thread_local! {
    /// How many callbacks this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The functions to call after a commit, oldest first.
#[derive(Default)]
pub(super) struct Callbacks {
    list: Mutex<Vec<Arc<Callback>>>,
    /// The length of the list, so that a commit without any takes no lock.
    length: AtomicUsize,
}

struct Callback {
    scope: Scope,
    call: Box<dyn Fn(&Event) + Send + Sync>,
}

impl Callbacks {
    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    /// How many callbacks deep the calling thread is, if a write may still be made there.
    pub fn depth(&self) -> Result<usize> {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX { Err(Error::CallbackLoop { depth }) } else { Ok(depth) }
    }

    pub fn run(&self, events: &[Arc<Event>], depth: usize) {
        if events.is_empty() || self.is_empty() {
            return;
        }
        // Called without the lock held: a callback may register and unregister, and write.
        let callbacks = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        DEPTH.set(depth + 1);
        for event in events {
            for callback in
                callbacks.iter().filter(|callback| event.group.starts_with(callback.scope.prefix()))
            {
                let event = callback.scope.event(Arc::clone(event));
                // The write is done, and others want to hear of it too: a callback that panics is
                // reported and left behind.
                if catch_unwind(AssertUnwindSafe(|| (callback.call)(&event))).is_err() {
                    tracing::error!(revision = event.revision.0, "a change callback panicked");
                }
            }
        }
        DEPTH.set(depth);
    }

    pub fn clear(&self) {
        self.change(Vec::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Callback>>)) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut list);
        self.length.store(list.len(), Ordering::SeqCst);
    }
}

impl<S> Store<S> {
    /// Calls a function with each change that is made through this store, after it is committed and
    /// before the write returns, on the thread that writes (or on the store's own, for what expires).
    /// It may do anything with the store: read, write, watch, register and unregister. Callbacks that
    /// set each other off without end are stopped with [`Error::CallbackLoop`].
    ///
    /// Writes of different threads call at the same time, so their calls may come in another order
    /// than their revisions. What other processes write is not called for; [`watch`](Self::watch) is
    /// for those who want all, in order. A panic in the function is reported with `tracing`; the write
    /// is done all the same.
    ///
    /// Dropping the subscription ends it.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # let store = larder::Store::in_memory()?;
    /// let heard = Arc::new(Mutex::new(Vec::new()));
    /// let subscription = store.on_change({
    ///     let heard = Arc::clone(&heard);
    ///     move |event| heard.lock().unwrap().push(event.key.clone())
    /// });
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(*heard.lock().unwrap(), [Some("colour".to_owned())]);
    /// drop(subscription);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn on_change(&self, call: impl Fn(&Event) + Send + Sync + 'static) -> Subscription {
        let callback = Arc::new(Callback { scope: self.scope().clone(), call: Box::new(call) });
        let registry = &self.shared().registry;
        registry.callbacks.change(|list| list.push(Arc::clone(&callback)));
        Subscription { registry: Arc::downgrade(registry), callback }
    }
}

/// Keeps an [`on_change`](Store::on_change) callback registered until dropped.
#[must_use = "the callback is unregistered when the subscription is dropped"]
pub struct Subscription {
    registry: Weak<Registry>,
    callback: Arc<Callback>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.callbacks.change(|list| list.retain(|other| !Arc::ptr_eq(other, &self.callback)));
        }
    }
}
