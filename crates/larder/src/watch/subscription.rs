//! Callbacks that run before a write returns.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::data::Event;
use crate::delivery::{Callback, Registry};
use crate::engine::Process;
use crate::store::Store;

impl<S> Store<S> {
    /// Registers a callback: it runs for each change made through this store, after the commit and before the
    /// write returns, on the thread that writes. Changes by expiry run it on the store's own thread.
    ///
    /// A callback may read, write, watch, and register or unregister callbacks. If callbacks trigger each other
    /// without end, a write in them fails with [`Error::CallbackLoop`](crate::Error::CallbackLoop).
    ///
    /// Writes of several threads run it concurrently, so it may see changes in another order than their revisions.
    /// It does not run for writes of other processes. To receive every change in order, use
    /// [`watch`](Self::watch). A panic in the callback is reported with `tracing`; the write succeeds all the same.
    ///
    /// Dropping the subscription unregisters the callback.
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
        let scope = self.scope().clone();
        let callback: Arc<Callback> = Arc::new(move |event: &Arc<Event>| {
            if event.group.starts_with(scope.prefix()) {
                call(&scope.event(Arc::clone(event)));
            }
        });
        let registry = &self.shared().registry;
        // In a forked process no write calls back, and a thread of the parent may hold the lock of the callbacks for
        // ever.
        let registry = if self.shared().check_process().is_ok() {
            registry.callbacks.change(|list| list.push(Arc::clone(&callback)));
            Arc::downgrade(registry)
        } else {
            Weak::new()
        };
        Subscription { registry, callback, process: Process::current() }
    }
}

/// Keeps an [`on_change`](Store::on_change) callback registered until dropped.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// let subscription = store.on_change(|event| println!("{:?} has changed", event.key));
/// store.set("config", "colour", "blue")?; // prints
/// drop(subscription);
/// store.set("config", "colour", "green")?; // does not
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "the callback is unregistered when the subscription is dropped"]
pub struct Subscription {
    registry: Weak<Registry>,
    callback: Arc<Callback>,
    process: Process,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // In a forked process a thread of the parent may hold the lock of the callbacks for ever.
        if self.process.is_current()
            && let Some(registry) = self.registry.upgrade()
        {
            registry.callbacks.change(|list| list.retain(|other| !Arc::ptr_eq(other, &self.callback)));
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
