//! Whether a write fits the quota of its namespace.
//!
//! The tallies count what is stored, expired or not. So a write is first held against them, and only where it does not
//! fit is the namespace purged, after which they are exact. If purging has to wait, what is live is counted.

use super::draft::Draft;
use super::rows::Namespace;
use super::state::State;
use crate::data::Result;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::engine::Extent;
use crate::rules::{Growth, admit, growth_of_set, is_within};

impl Draft {
    /// Whether a value of `size` bytes fits its namespace's quota, judged by what is stored. It may fit
    /// although this says no, where something stored has expired.
    pub fn fits_as_stored(&self, group: &str, key: &str, size: usize) -> bool {
        let Some(namespace) = self.limited(group) else { return true };
        // Nothing grows by more than a new key of a new group, so what else is stored often need not be looked up.
        let (keys, bytes) = growth_of_set(key.len(), size, None);
        let at_most = Growth::of_group(0, keys, bytes).applied_to(&namespace.usage);
        if is_within(&namespace.quota, &at_most) {
            return true;
        }
        let old = self.state.find(group, key).map(|found| found.value().len());
        let keys_before = self.state.group(group).map_or(0, |group| group.keys);
        let (keys, bytes) = growth_of_set(key.len(), size, old);
        let after = Growth::of_group(keys_before, keys, bytes).applied_to(&namespace.usage);
        is_within(&namespace.quota, &after)
    }

    /// The tally of the namespace of a group; `None` where no quota is held against this mutation: there is none, or the
    /// batch is judged as a whole.
    fn limited(&self, group: &str) -> Option<&Namespace> {
        if self.usage_before.is_some() {
            return None;
        }
        self.state.namespace(namespace_of(group)?).filter(|namespace| !namespace.quota.is_unlimited())
    }

    /// Refuses a value that does not fit its namespace's quota, judged by what is live. `is_purged` says that nothing
    /// else is stored.
    pub fn admit_live(&self, group: &str, key: &str, size: usize, is_purged: bool) -> Result<()> {
        let Some(namespace) = self.limited(group) else { return Ok(()) };
        let name = &*namespace.name;
        let old = self.live(group, key).map(|found| found.value().len());
        let (keys, bytes) = growth_of_set(key.len(), size, old);
        let (keys_before, usage) = if is_purged {
            (self.state.group(group).map_or(0, |group| group.keys), namespace.usage)
        } else {
            let reading = self.reading();
            (reading.usage(Extent::Group(group)).keys, reading.usage(Extent::Prefix(&prefix_of(name))))
        };
        let after = Growth::of_group(keys_before, keys, bytes).applied_to(&usage);
        admit(&namespace.quota, name, &usage, &after)
    }

    /// Holds the quota of each namespace that the open batch has written to against what the batch leaves
    /// behind.
    pub fn judge(&mut self) -> Result<()> {
        for (name, before) in self.usage_before.take().into_iter().flatten() {
            let usage =
                |state: &State| state.namespace(&name).map(|namespace| namespace.usage).unwrap_or_default();
            let quota = self.state.namespace(&name).map(|namespace| namespace.quota).unwrap_or_default();
            if is_within(&quota, &usage(&self.state)) {
                continue;
            }
            let after = match self.purge(&prefix_of(&name), usize::MAX) {
                Some(_) => usage(&self.state),
                None => self.reading().usage(Extent::Prefix(&prefix_of(&name))),
            };
            admit(&quota, &name, &before, &after)?;
        }
        Ok(())
    }

    /// Notes the live usage of a group's namespace, before the open batch first writes to it.
    pub fn note_usage(&mut self, group: &str) {
        let Some(before) = &self.usage_before else { return };
        if let Some(name) = namespace_of(group)
            && !before.contains_key(name)
            && self.state.namespace(name).is_some_and(|namespace| !namespace.quota.is_unlimited())
        {
            let usage = self.reading().usage(Extent::Prefix(&prefix_of(name)));
            self.usage_before.get_or_insert_default().insert(name.to_owned(), usage);
        }
    }
}
