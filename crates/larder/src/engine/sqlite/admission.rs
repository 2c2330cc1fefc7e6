//! Whether a write fits the quota of its namespace.

use super::mutations::{Row, growth};
use super::writer::{Done, Writer};
use crate::data::Usage;
use crate::data::namespace::namespace_of;
use crate::engine::Extent;
use crate::rules::admit;

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
        let (keys, bytes) = growth(key, size, old);
        let new_group = keys > 0 && self.tallies.group(&self.connection, group)?.0 == 0;
        let after = Usage {
            keys: before.keys.saturating_add_signed(keys),
            groups: before.groups + u64::from(new_group),
            bytes: before.bytes.saturating_add_signed(bytes),
        };
        if purged {
            admit(&namespace.quota, name, &before, &after)?;
            return Ok(true);
        }
        Ok(admit(&namespace.quota, name, &Usage::default(), &after).is_ok())
    }

    /// Holds a namespace's quota against what it has, given what it had before the batch.
    pub(super) fn judge(&mut self, name: &str) -> Done<()> {
        let namespace = self.tallies.namespace(&self.connection, name)?;
        if admit(&namespace.quota, name, &Usage::default(), &namespace.usage).is_ok() {
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
