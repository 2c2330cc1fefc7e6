//! What only a [`ScopedStore`] has: its namespace, quota and usage.

use super::handle::ScopedStore;
use crate::data::{NamespaceInfo, Quota, Result, Usage};
use crate::engine::Extent;

impl ScopedStore {
    /// Returns the name of the namespace.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.scoped("tenant-42")?.namespace(), "tenant-42");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn namespace(&self) -> &str {
        self.scope().name().unwrap_or_default()
    }

    /// Returns the quota of the namespace: how much it may hold. [`Store::set_quota`](crate::Store::set_quota) sets it.
    ///
    /// ```
    /// # use larder::{Quota, Store};
    /// # let store = Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// assert_eq!(tenant.quota()?, Quota::default()); // no limits
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn quota(&self) -> Result<Quota> {
        let found = self.shared().reader()?.namespaces(Some(self.namespace())).wait()?;
        Ok(quota_of(&found))
    }

    /// Returns how much the namespace holds now. It costs the same for ten keys and for ten million.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set("preferences", "locale", "en-GB")?;
    /// let usage = tenant.usage()?;
    /// assert_eq!((usage.keys, usage.groups, usage.bytes), (1, 1, 11));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn usage(&self) -> Result<Usage> {
        self.shared().reader()?.usage(Extent::Prefix(self.scope().prefix())).wait()
    }
}

/// The quota of the namespace that was looked for.
pub(crate) fn quota_of(found: &[NamespaceInfo]) -> Quota {
    found.first().map(|info| info.quota).unwrap_or_default()
}
