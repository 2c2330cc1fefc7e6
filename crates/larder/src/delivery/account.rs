//! What the watchers of one namespace take up: how many there are, and the events in memory that wait for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::data::namespace::namespace_with_prefix;
use crate::data::{Error, Resource, Result, locked};

/// How many bytes of events wait in memory for all watchers of one namespace. What an event holds counts for each watcher
/// that it waits for.
pub(super) const NAMESPACE_BYTES_MAX: usize = 64 << 20;

/// The accounts of the namespaces that have a watcher.
#[derive(Default)]
pub(super) struct Accounts(Mutex<HashMap<String, Arc<Account>>>);

/// What the watchers of one namespace take up. Handles to the whole store have none: what they watch is for the program
/// to decide.
#[derive(Default)]
pub(crate) struct Account {
    /// Changed under the lock of all accounts.
    watchers: AtomicUsize,
    bytes: AtomicUsize,
}

impl Accounts {
    /// Adds a watcher of a handle whose groups start with `prefix`.
    ///
    /// # Errors
    /// `QuotaExceeded` if its namespace has `watchers_max` watchers.
    pub fn add(&self, prefix: &str, watchers_max: u64) -> Result<Option<Arc<Account>>> {
        let Some(namespace) = namespace_with_prefix(prefix) else { return Ok(None) };
        let mut accounts = locked(&self.0);
        let account = accounts.entry(prefix.to_owned()).or_default();
        let watchers = account.watchers.load(Ordering::Relaxed);
        if watchers as u64 >= watchers_max {
            return Err(Error::QuotaExceeded {
                namespace: namespace.to_owned(),
                resource: Resource::Watchers,
                limit: watchers_max,
                wanted: watchers as u64 + 1,
            });
        }
        account.watchers.store(watchers + 1, Ordering::Relaxed);
        Ok(Some(Arc::clone(account)))
    }

    /// Removes a watcher of such a handle.
    pub fn remove(&self, prefix: &str) {
        let mut accounts = locked(&self.0);
        let Some(account) = accounts.get(prefix) else { return };
        // Only changed under this lock.
        let left = account.watchers.load(Ordering::Relaxed).saturating_sub(1);
        account.watchers.store(left, Ordering::Relaxed);
        if left == 0 {
            accounts.remove(prefix);
        }
    }
}

impl Account {
    /// Whether so many bytes more fit.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        // Relaxed, here and below: it guards no data. Two watchers that receive at the same moment may go beyond the
        // bound by one commit.
        self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= NAMESPACE_BYTES_MAX
    }

    /// Whether so much waits that a watcher should read no more than its next event.
    pub fn is_half_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > NAMESPACE_BYTES_MAX / 2
    }

    pub fn hold(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
