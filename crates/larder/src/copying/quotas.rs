//! What namespaces may hold, before a copy, while it is made and after it.

use std::collections::BTreeMap;

use super::{Copying, is_whole};
use crate::engine::Mutation;
use crate::{Error, Quota, Result, Snapshot, View};

impl<S, T> Copying<'_, S, T> {
    /// Puts the target's quotas back, as far as it lets itself be written to.
    pub(super) fn give_up(&mut self, error: Error) -> Error {
        for (namespace, quota) in std::mem::take(&mut self.lifted) {
            if let Err(error) = self.set_quota(&namespace, quota) {
                tracing::warn!(%error, namespace, "the quota could not be put back after a copy that failed");
            }
        }
        error
    }

    /// Lifts the quotas that are to be set in the end: what comes and goes in between need not fit them.
    pub(super) fn lift_quotas(&mut self, snapshot: &Snapshot) -> Result<()> {
        if !is_whole(self.source) || !is_whole(self.target) {
            return Ok(());
        }
        let there = quotas(self.target)?;
        let wanted = quotas(snapshot)?;
        for (namespace, quota) in there {
            if self.exact || wanted.contains_key(&namespace) {
                self.set_quota(&namespace, Quota::default())?;
                self.lifted.insert(namespace, quota);
            }
        }
        Ok(())
    }

    /// Gives each namespace the quota that it has in the source.
    pub(super) fn set_quotas(&mut self, snapshot: &Snapshot) -> Result<()> {
        if !is_whole(self.source) || !is_whole(self.target) {
            return Ok(());
        }
        for (namespace, quota) in quotas(snapshot)? {
            self.set_quota(&namespace, quota)?;
        }
        Ok(())
    }

    fn set_quota(&self, namespace: &str, quota: Quota) -> Result<()> {
        self.target.shared().apply(Mutation::SetQuota { namespace: namespace.to_owned(), quota }).map(drop)
    }
}

/// The quotas of all namespaces that have one.
pub(super) fn quotas(view: &View) -> Result<BTreeMap<String, Quota>> {
    let namespaces = view.reader()?.namespaces(None).wait()?;
    let limited = namespaces.into_iter().filter(|namespace| !namespace.quota.is_unlimited());
    Ok(limited.map(|namespace| (namespace.name, namespace.quota)).collect())
}
