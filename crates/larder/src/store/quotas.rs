//! What the owner of a store allows each namespace. A scoped store has none of this: a tenant that could lift its own
//! quota would have none.

use super::handle::Store;
use super::request::Request;
use crate::data::{Quota, Result};

impl Store {
    /// Sets the quota of a namespace, for every handle and process. A quota below the current usage deletes nothing;
    /// writes that would add to what it limits fail.
    ///
    /// A quota is not an entry: setting it makes no revision and no event.
    ///
    /// ```
    /// # use larder::{Error, Quota, Store};
    /// # let store = Store::in_memory()?;
    /// store.set_quota("tenant-42", Quota { max_bytes: Some(10), ..Quota::default() })?;
    /// let tenant = store.scoped("tenant-42")?;
    /// let refused = tenant.set("preferences", "motto", "rather too long").unwrap_err();
    /// assert!(matches!(refused, Error::QuotaExceeded { limit: 10, wanted: 20, .. }));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// A scoped store cannot set quotas, not even its own:
    ///
    /// ```compile_fail,E0599
    /// # use larder::{Quota, Store};
    /// # let store = Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set_quota("tenant-42", Quota::default())?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`](crate::Error::InvalidNamespace), and as any write: see [`Store`](crate::Store).
    pub fn set_quota(&self, namespace: impl AsRef<str>, quota: Quota) -> Result<()> {
        self.write(Request::set_quota(namespace.as_ref(), quota)?)
    }
}
