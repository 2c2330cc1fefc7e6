//! What only a [`ScopedStore`] has: its namespace, quota and usage.

use super::handle::ScopedStore;
use super::request::Request;
use crate::data::namespace::namespace_with_prefix;
use crate::data::{Quota, Result, Usage};
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
        namespace_with_prefix(self.scope().prefix()).unwrap_or_default()
    }

    /// Returns the quota of the namespace: how much it may hold.
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
        let namespaces = self.shared().reader()?.namespaces(Some(self.namespace())).wait()?;
        Ok(namespaces.first().map(|info| info.quota).unwrap_or_default())
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

    /// Sets the quota of the namespace, for every handle and process. A quota below the current usage deletes
    /// nothing; writes that would add to what it limits fail.
    ///
    /// A quota is not an entry: setting it makes no revision and no event.
    ///
    /// ```
    /// # use larder::{Error, Quota, Store};
    /// # let store = Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set_quota(Quota { max_bytes: Some(10), ..Quota::default() })?;
    /// let refused = tenant.set("preferences", "motto", "rather too long").unwrap_err();
    /// assert!(matches!(refused, Error::QuotaExceeded { limit: 10, wanted: 20, .. }));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn set_quota(&self, quota: Quota) -> Result<()> {
        self.write(Request::set_quota(self.namespace(), quota))
    }
}
