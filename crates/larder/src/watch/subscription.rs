//! Callbacks that run before a write returns.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::data::Event;
use crate::delivery::{Callback, Registry};
use crate::store::Store;

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
        let scope = self.scope().clone();
        let callback: Arc<Callback> = Arc::new(move |event: &Arc<Event>| {
            if event.group.starts_with(scope.prefix()) {
                call(&scope.event(Arc::clone(event)));
            }
        });
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

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
