//! A bounded number of calls at a time, of which no namespace makes more than half.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::data::{Error, Result, locked};
use crate::store::scope::Scope;

/// Lets a bounded number of calls through at a time. Calls of one namespace wait for each other first, and only as
/// many as may run at a time wait among those of the others. So however many calls one namespace makes, a call of
/// another waits behind half of the gate at most.
pub(super) struct Gate {
    all: Arc<Semaphore>,
    /// Those of handles to the whole store, which may take all.
    whole: Arc<Semaphore>,
    /// How many calls of one namespace are let through at a time.
    share: usize,
    namespaces: Mutex<Namespaces>,
}

/// The namespaces that have a call running or waiting, and perhaps some that had one.
#[derive(Default)]
struct Namespaces {
    by_prefix: HashMap<String, Weak<Semaphore>>,
    /// How many there may be before those without a call are removed.
    sweep_at: usize,
}

/// A call that was let through. Dropping it lets the next one through.
pub(super) struct Pass {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Gate {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(most)),
            whole: Arc::new(Semaphore::new(most)),
            share: most.div_ceil(2),
            namespaces: Mutex::default(),
        })
    }

    /// Lets a call of a handle through, if it does not have to wait.
    pub fn try_enter(&self, scope: &Scope) -> Option<Pass> {
        let _own = self.own(scope).try_acquire_owned().ok()?;
        let _all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Pass { _all, _own })
    }

    /// Waits until a call of a handle may go through. The gate is never closed.
    pub async fn enter(&self, scope: &Scope) -> Result<Pass> {
        let _own = self.own(scope).acquire_owned().await.map_err(|_| Error::Closed)?;
        let _all = Arc::clone(&self.all).acquire_owned().await.map_err(|_| Error::Closed)?;
        Ok(Pass { _all, _own })
    }

    fn own(&self, scope: &Scope) -> Arc<Semaphore> {
        let prefix = scope.prefix();
        if prefix.is_empty() {
            return Arc::clone(&self.whole);
        }
        let mut namespaces = locked(&self.namespaces);
        let Namespaces { by_prefix, sweep_at } = &mut *namespaces;
        if let Some(own) = by_prefix.get(prefix).and_then(Weak::upgrade) {
            return own;
        }
        if by_prefix.len() >= *sweep_at {
            by_prefix.retain(|_, own| own.strong_count() > 0);
            *sweep_at = 2 * by_prefix.len() + 64;
        }
        let own = Arc::new(Semaphore::new(self.share));
        by_prefix.insert(prefix.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_takes_half_of_a_gate_and_leaves_the_rest_to_the_others() {
        let gate = Gate::new(4);
        let (hostile, quiet) = (Scope::namespace("hostile").unwrap(), Scope::namespace("quiet").unwrap());
        let entered = |scope: &Scope| std::iter::from_fn(|| gate.try_enter(scope)).collect::<Vec<_>>();
        let taken = entered(&hostile);
        assert_eq!((taken.len(), entered(&quiet).len()), (2, 2));
        drop(taken);
        assert_eq!(entered(&Scope::default()).len(), 4);
    }

    #[test]
    fn namespaces_without_a_call_are_forgotten() {
        let gate = Gate::new(4);
        for number in 0..10_000 {
            drop(gate.try_enter(&Scope::namespace(&format!("tenant-{number}")).unwrap()).unwrap());
        }
        assert!(locked(&gate.namespaces).by_prefix.len() < 200);
    }
}
