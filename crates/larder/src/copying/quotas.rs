//! What namespaces may hold, before a copy, while it is made and after it.

use std::collections::BTreeMap;

use super::note::Note;
use super::{Copying, is_whole};
use crate::data::{Error, Quota, Result};
use crate::store::{Snapshot, View};

impl<S, T> Copying<'_, S, T> {
    /// Puts the target's quotas back, as far as it lets itself be written to; what is not done here is left to
    /// the next run.
    pub(super) fn give_up(&self, error: Error) -> Error {
        if let Err(error) = self.put_back_quotas() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the quotas may not be put back yet after a copy that failed");
        }
        error
    }

    fn put_back_quotas(&self) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        let note = Note::between(self.source, self.target)?;
        let there = quotas(self.target)?;
        for (namespace, quota) in note.lifted()? {
            put_back(&note, &namespace, quota, &there)?;
        }
        Ok(())
    }

    /// Lifts the quotas that are to be set in the end: what comes and goes in between need not fit them.
    pub(super) fn lift_quotas(&self, note: &Note, snapshot: &Snapshot) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        let there = quotas(self.target)?;
        let wanted = quotas(snapshot)?;
        let is_ours = |namespace: &str| self.exact || wanted.contains_key(namespace);
        for (namespace, quota) in &there {
            if is_ours(namespace) {
                note.lift(namespace, *quota)?;
            }
        }
        // By a run before this one, when the source still had one.
        for (namespace, quota) in note.lifted()? {
            if !is_ours(&namespace) {
                put_back(note, &namespace, quota, &there)?;
            }
        }
        Ok(())
    }

    /// Gives each namespace the quota that it has in the source.
    pub(super) fn set_quotas(&self, note: &Note, snapshot: &Snapshot) -> Result<()> {
        if !self.copies_quotas() {
            return Ok(());
        }
        for (namespace, quota) in quotas(snapshot)? {
            note.settle(&namespace, quota)?;
        }
        let there = quotas(self.target)?;
        for (namespace, quota) in note.lifted()? {
            if self.exact {
                note.settle(&namespace, there.get(&namespace).copied().unwrap_or_default())?;
            } else {
                put_back(note, &namespace, quota, &there)?;
            }
        }
        Ok(())
    }

    /// They are a whole store's.
    fn copies_quotas(&self) -> bool {
        is_whole(self.source) && is_whole(self.target)
    }
}

/// Gives a namespace back what was lifted, unless somebody has given it a quota meanwhile.
fn put_back(note: &Note, namespace: &str, quota: Quota, there: &BTreeMap<String, Quota>) -> Result<()> {
    note.settle(namespace, there.get(namespace).copied().unwrap_or(quota))
}

/// The quotas of all namespaces that have one.
pub(super) fn quotas(view: &View) -> Result<BTreeMap<String, Quota>> {
    let namespaces = view.reader()?.namespaces(None).wait()?;
    let limited = namespaces.into_iter().filter(|namespace| !namespace.quota.is_unlimited());
    Ok(limited.map(|namespace| (namespace.name, namespace.quota)).collect())
}
