//! Whether a write fits the quota of its namespace.

use super::mutations::Row;
use super::writer::{Done, Writer};
use crate::data::namespace::namespace_of;
use crate::engine::Extent;
use crate::rules::{Growth, admit, growth_of_set, is_within};

impl Writer {
    /// Whether a value fits its namespace's quota: surely, by what is stored, or, where all that has
    /// expired is purged, exactly; an error then says why not.
    pub(super) fn fits(
        &mut self,
        group: &str,
        key: &str,
        size: usize,
        old: Option<&Row>,
        purged: bool,
    ) -> Done<bool> {
        let Some(name) = namespace_of(group).filter(|_| self.before.is_none()) else { return Ok(true) };
        let namespace = self.tallies.namespace(&self.connection, name)?;
        if namespace.quota.is_unlimited() {
            return Ok(true);
        }
        let before = namespace.usage;
        let (keys, bytes) = growth_of_set(key.len(), size, old.map(|old| old.value_bytes));
        let (keys_before, _) = self.tallies.group(&self.connection, group)?;
        let after = Growth::of_group(keys_before, keys, bytes).applied_to(&before);
        if purged {
            admit(&namespace.quota, name, &before, &after)?;
            return Ok(true);
        }
        Ok(is_within(&namespace.quota, &after))
    }

    /// Holds a namespace's quota against what it has, given what it had before the batch.
    pub(super) fn judge(&mut self, name: &str) -> Done<()> {
        let namespace = self.tallies.namespace(&self.connection, name)?;
        if is_within(&namespace.quota, &namespace.usage) {
            return Ok(());
        }
        // Perhaps what is over the limit has expired: without that, both figures are exact.
        self.purge(&format!("{name}:"), usize::MAX)?;
        let before = self.before.as_ref().and_then(|before| before.get(name)).copied().unwrap_or_default();
        let after = self.tallies.namespace(&self.connection, name)?.usage;
        Ok(admit(&namespace.quota, name, &before, &after)?)
    }

    /// Notes what a group's namespace holds, before the open batch first writes to it. What has expired
    /// does not count as held.
    pub(super) fn remember(&mut self, group: &str) -> Done<()> {
        if let Some(name) = namespace_of(group)
            && self.before.as_ref().is_some_and(|before| !before.contains_key(name))
            && !self.tallies.namespace(&self.connection, name)?.quota.is_unlimited()
        {
            let usage = self.reading()?.usage(Extent::Prefix(&format!("{name}:")))?;
            self.before.get_or_insert_default().insert(name.to_owned(), usage);
        }
        Ok(())
    }
}

/// What the groups of a group's namespace start with.
pub(super) fn namespace_prefix(group: &str) -> String {
    namespace_of(group).map(|name| format!("{name}:")).unwrap_or_default()
}
