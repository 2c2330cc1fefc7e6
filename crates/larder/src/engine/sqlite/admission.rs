//! Whether a write fits the quota of its namespace.
//!
//! The tallies count what is stored, expired or not. So a write is first held against them, and only where
//! it does not fit is the namespace purged, after which they are exact. If purging has to wait, what is live is
//! counted.

use super::stored_row::StoredRow;
use super::tallies::Namespace;
use super::writer::{Done, Writer};
use crate::data::Usage;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::engine::Extent;
use crate::rules::{Growth, admit, growth_of_set, is_live, is_within};

impl Writer {
    /// Whether a value of `size` bytes fits its namespace's quota, judged by what is stored. It may fit
    /// although this says no, where something stored has expired.
    pub fn fits_as_stored(
        &mut self,
        group: &str,
        key: &str,
        size: usize,
        old: Option<&StoredRow>,
    ) -> Done<bool> {
        Ok(match self.usage_after(group, key, size, old, true)? {
            Some((namespace, after)) => is_within(&namespace.quota, &after),
            None => true,
        })
    }

    /// Refuses a value that does not fit its namespace's quota, judged by what is live. `is_purged` says that nothing
    /// else is stored.
    pub fn admit_live(
        &mut self,
        group: &str,
        key: &str,
        size: usize,
        old: Option<&StoredRow>,
        is_purged: bool,
    ) -> Done<()> {
        let old = old.filter(|row| is_live(row.expires_at_ms, self.now.0));
        if let (Some(name), Some((namespace, after))) =
            (namespace_of(group), self.usage_after(group, key, size, old, is_purged)?)
        {
            admit(&namespace.quota, name, &namespace.usage, &after)?;
        }
        Ok(())
    }

    /// The namespace of a group, and its usage once a value is set, by what is stored or by what is live; `None` where no quota is held against
    /// this mutation: there is none, or the batch is judged as a whole.
    fn usage_after(
        &mut self,
        group: &str,
        key: &str,
        size: usize,
        old: Option<&StoredRow>,
        by_tallies: bool,
    ) -> Done<Option<(Namespace, Usage)>> {
        let Some(name) = namespace_of(group) else { return Ok(None) };
        if self.revision.usage_before.is_some() {
            return Ok(None);
        }
        let mut namespace = self.known.tallies.namespace(self.connection.prepared(), name)?;
        if namespace.quota.is_unlimited() {
            return Ok(None);
        }
        let (keys, bytes) = growth_of_set(key.len(), size, old.map(|old| old.value_bytes));
        let keys_before = if by_tallies {
            self.known.tallies.group(self.connection.prepared(), group)?.0
        } else {
            let queries = self.queries()?;
            namespace.usage = queries.usage(Extent::Prefix(&prefix_of(name)))?;
            queries.usage(Extent::Group(group))?.keys
        };
        let after = Growth::of_group(keys_before, keys, bytes).applied_to(&namespace.usage);
        Ok(Some((namespace, after)))
    }

    /// Holds the quota of each namespace that the open batch has written to against what the batch leaves
    /// behind.
    pub fn judge(&mut self) -> Done<()> {
        for (name, before) in self.revision.usage_before.take().into_iter().flatten() {
            let stored = self.known.tallies.namespace(self.connection.prepared(), &name)?;
            if is_within(&stored.quota, &stored.usage) {
                continue;
            }
            let after = match self.purge(&prefix_of(&name), usize::MAX)? {
                Some(_) => self.known.tallies.namespace(self.connection.prepared(), &name)?.usage,
                None => self.queries()?.usage(Extent::Prefix(&prefix_of(&name)))?,
            };
            admit(&stored.quota, &name, &before, &after)?;
        }
        Ok(())
    }

    /// Notes the live usage of a group's namespace, before the open batch first writes to it.
    pub fn note_usage(&mut self, group: &str) -> Done<()> {
        if let Some(name) = namespace_of(group)
            && self.revision.usage_before.as_ref().is_some_and(|before| !before.contains_key(name))
            && !self.known.tallies.namespace(self.connection.prepared(), name)?.quota.is_unlimited()
        {
            let usage = self.queries()?.usage(Extent::Prefix(&prefix_of(name)))?;
            self.revision.usage_before.get_or_insert_default().insert(name.to_owned(), usage);
        }
        Ok(())
    }
}
