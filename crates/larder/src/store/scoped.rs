//! What only a [`ScopedStore`] has: its namespace, quota and usage.

use super::handle::ScopedStore;
use super::request::Request;
use crate::data::namespace::namespace_with_prefix;
use crate::data::{Quota, Result, Usage};
use crate::engine::Extent;

impl ScopedStore {
    /// The name of the namespace.
    pub fn namespace(&self) -> &str {
        namespace_with_prefix(self.scope().prefix()).unwrap_or_default()
    }

    /// What the namespace may hold.
    ///
    /// # Errors
    /// As any read.
    pub fn quota(&self) -> Result<Quota> {
        let namespaces = self.shared().reader()?.namespaces(Some(self.namespace())).wait()?;
        Ok(namespaces.first().map(|info| info.quota).unwrap_or_default())
    }

    /// What the namespace holds now.
    ///
    /// # Errors
    /// As any read.
    pub fn usage(&self) -> Result<Usage> {
        self.shared().reader()?.usage(Extent::Prefix(self.scope().prefix())).wait()
    }

    /// Sets what the namespace may hold, from now on and for every handle and process. A quota
    /// below what it holds already deletes nothing; it refuses what would take more.
    ///
    /// A quota is no entry: setting it has no revision and no event.
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
    /// As any write.
    pub fn set_quota(&self, quota: Quota) -> Result<()> {
        self.now(Request::set_quota(self.namespace(), quota))
    }
}
