//! Copying a store in one transaction of the target.

use crate::data::Result;
use crate::store::Store;

impl<S> Store<S> {
    /// Copies every entry as it is now, with its expiry, into another store, in one transaction of
    /// that store: all of them or none. What the other has beside them stays. Returns how many.
    ///
    /// Copying a whole store copies the quotas too, after the entries; a scoped one copies its
    /// namespace's entries, under the names that it knows them by, into whatever `target` is.
    ///
    /// A cluster takes no transaction of more than about a megabyte: to copy more into one, and to copy
    /// what is too much to do in one go, there is [`copy_into`](Self::copy_into).
    ///
    /// # Errors
    /// As any read of this store and any write of the other; [`Error::TooMuchAtOnce`] where the other cannot
    /// take all of it in one transaction.
    pub fn copy_to<T>(&self, target: &Store<T>) -> Result<u64> {
        let source = self.snapshot()?;
        let mut copied = 0;
        target.transaction(|tx| {
            copied = 0;
            for group in source.groups("")? {
                for entry in source.entries(&group.name)? {
                    let entry = entry?;
                    tx.set_until(&group.name, entry.key, entry.value, entry.expires_at)?;
                    copied += 1;
                }
            }
            Ok(())
        })?;
        if self.scope().prefix().is_empty() {
            for namespace in source.reader()?.namespaces(None).wait()? {
                if !namespace.quota.is_unlimited() && target.scope().prefix().is_empty() {
                    let (name, quota) = (namespace.name, namespace.quota);
                    target.shared().apply(crate::engine::Mutation::SetQuota { namespace: name, quota })?;
                }
            }
        }
        Ok(copied)
    }
}
