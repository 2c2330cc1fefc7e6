//! The quotas of the target, before, during and after a copy.

use std::collections::BTreeMap;

use super::changed_quotas::Changed;
use super::note::Note;
use super::{Copying, is_whole};
use crate::data::{Error, Quota, Result};
use crate::store::{Snapshot, View};

impl<S, T> Copying<'_, S, T> {
    /// Restores the target's quotas. If that fails, the next run does it.
    pub(super) fn give_up(&self, error: Error) -> Error {
        if let Err(error) = self.restore_quotas() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "a copy failed, and the quotas that it lifted could not be restored");
        }
        error
    }

    fn restore_quotas(&self) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        let note = Note::between(self.source, self.target);
        let there = quotas(self.target)?;
        for (namespace, changed) in note.changed_quotas()? {
            if changed.set.is_none() {
                restore(&note, &namespace, changed, &there)?;
            }
        }
        Ok(())
    }

    /// Lifts the quotas that are set in the end: what the copy writes in between need not fit them.
    pub(super) fn lift_quotas(&self, note: &Note, snapshot: &Snapshot) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        let there = quotas(self.target)?;
        let wanted = quotas(snapshot)?;
        let is_ours = |namespace: &str| self.exact || wanted.contains_key(namespace);
        let changed = note.changed_quotas()?;
        for (namespace, quota) in &there {
            if is_ours(namespace) {
                let former = changed.get(namespace).map(|changed| changed.without_copy(Some(*quota)));
                note.lift(namespace, former.unwrap_or(*quota))?;
            }
        }
        // A run before this one changed it, when the source still had a quota.
        for (namespace, changed) in changed {
            if !is_ours(&namespace) {
                restore(note, &namespace, changed, &there)?;
            }
        }
        Ok(())
    }

    /// Sets the quota of each namespace to that of the source.
    pub(super) fn set_quotas(&self, note: &Note, snapshot: &Snapshot) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        let wanted = quotas(snapshot)?;
        let there = quotas(self.target)?;
        let mut changed = note.changed_quotas()?;
        for (namespace, quota) in &wanted {
            let changed = changed.remove(namespace);
            if self.exact || !self.is_resumable() {
                note.settle(namespace, *quota)?;
            } else {
                let there = there.get(namespace).copied();
                let former = changed.map_or(there.unwrap_or_default(), |changed| changed.without_copy(there));
                note.set_quota(namespace, former, *quota)?;
            }
        }
        for (namespace, changed) in changed {
            if self.exact {
                note.settle(&namespace, there.get(&namespace).copied().unwrap_or_default())?;
            } else {
                restore(note, &namespace, changed, &there)?;
            }
        }
        if self.exact && !self.is_resumable() {
            for namespace in there.keys().filter(|namespace| !wanted.contains_key(*namespace)) {
                note.settle(namespace, Quota::default())?;
            }
        }
        Ok(())
    }

    /// Only a copy of a whole store into a whole store copies quotas.
    fn copies_quotas(&self) -> bool {
        is_whole(self.source) && is_whole(self.target)
    }
}

/// Restores the quota of a namespace, unless it was given another one meanwhile.
fn restore(note: &Note, namespace: &str, changed: Changed, there: &BTreeMap<String, Quota>) -> Result<()> {
    note.settle(namespace, changed.without_copy(there.get(namespace).copied()))
}

/// The quotas of all namespaces that have one.
pub(super) fn quotas(view: &View) -> Result<BTreeMap<String, Quota>> {
    let namespaces = view.reader()?.namespaces(None).wait()?;
    let limited = namespaces.into_iter().filter(|namespace| !namespace.quota.is_unlimited());
    Ok(limited.map(|namespace| (namespace.name, namespace.quota)).collect())
}
