//! Mutations of one entry: set, touch, increment and delete.

use bytes::Bytes;

use super::Draft;
use super::knowledge::Wanted;
use super::lookup::DraftEntry;
use super::step::{Step, StepError};
use crate::engine::etcd::layout::{Change, StoredEntry, Weight};
use crate::rules::{self, growth_of_set, is_live};

impl Draft {
    /// The facts that writing an entry needs.
    pub fn entry_facts(&self, group: &str, key: &str) -> Vec<Wanted> {
        self.tally_facts(group).chain([Wanted::Key(self.layout().entry(group, key))]).collect()
    }

    pub(super) fn set(
        &mut self,
        group: &str,
        key: &str,
        value: Bytes,
        expires_at_ms: Option<i64>,
    ) -> Step<()> {
        self.note_usage_before(group)?;
        let path = self.layout().entry(group, key);
        let mut old = self.entry_to_replace(&path)?;
        let now_ms = self.now_ms();
        self.admit(group, key, value.len(), old.as_ref())?;
        if let Some(expired) = old.take_if(|old| !is_live(old.expires_at_ms, now_ms)) {
            self.remove(group, key, &expired)?;
            self.log(Change::expire(group, key, expired.expires_at_ms));
        }
        let (keys, bytes) = growth_of_set(key.len(), value.len(), old.as_ref().map(|old| old.value.len()));
        let old_expiry_ms = old.and_then(|old| old.expires_at_ms);
        self.put_entry(group, key, value.clone(), expires_at_ms, old_expiry_ms);
        self.count(group, keys, bytes, expires_at_ms)?;
        self.log(Change::set(group, key, value, expires_at_ms));
        Ok(())
    }

    /// Writes an entry and its expiry, and deletes the expiry that it had before.
    fn put_entry(
        &mut self,
        group: &str,
        key: &str,
        value: Bytes,
        expires_at_ms: Option<i64>,
        old_expiry_ms: Option<i64>,
    ) {
        if let Some(old_ms) = old_expiry_ms.filter(|_| old_expiry_ms != expires_at_ms) {
            self.delete(self.layout().expiry(group, old_ms, key));
        }
        if let Some(at_ms) = expires_at_ms {
            let weight = Weight { bytes: (key.len() + value.len()) as u64 };
            self.put_message(self.layout().expiry(group, at_ms, key), &weight);
        }
        self.put_message(self.layout().entry(group, key), &StoredEntry { value, expires_at_ms });
    }

    pub(super) fn touch(&mut self, group: &str, key: &str, expires_at_ms: Option<i64>) -> Step<Option<u64>> {
        let Some(DraftEntry { value, expires_at_ms: old_expiry_ms, .. }) = self.live_entry(group, key)?
        else {
            return Ok(None);
        };
        let size = value.len() as u64;
        self.put_entry(group, key, value.clone(), expires_at_ms, old_expiry_ms);
        self.count(group, 0, 0, expires_at_ms)?;
        self.log(Change::set(group, key, value, expires_at_ms));
        Ok(Some(size))
    }

    pub(super) fn increment(&mut self, group: &str, key: &str, by: i64) -> Step<i64> {
        let entry = self.live_entry(group, key)?;
        let sum = rules::increment(group, key, entry.as_ref().map(|entry| &*entry.value), by)?;
        let expires_at_ms = entry.and_then(|entry| entry.expires_at_ms);
        self.set(group, key, Bytes::from(sum.to_string()), expires_at_ms)?;
        Ok(sum)
    }

    /// Deletes a live entry. An expired one counts as absent; a purge removes it, with an `Expire` event.
    pub(super) fn delete_entry(&mut self, group: &str, key: &str) -> Step<bool> {
        let entry = match self.live_entry(group, key) {
            // Another program has written what is there.
            Err(StepError::Damaged(_)) => {
                self.delete(self.layout().entry(group, key));
                self.log(Change::delete(group, key));
                return Ok(true);
            }
            entry => entry?,
        };
        let Some(entry) = entry else { return Ok(false) };
        self.remove(group, key, &entry)?;
        self.log(Change::delete(group, key));
        Ok(true)
    }

    fn remove(&mut self, group: &str, key: &str, entry: &DraftEntry) -> Step<()> {
        self.note_usage_before(group)?;
        self.delete(self.layout().entry(group, key));
        if let Some(at_ms) = entry.expires_at_ms {
            self.delete(self.layout().expiry(group, at_ms, key));
        }
        let (keys, bytes) = growth_of_set(key.len(), entry.value.len(), None);
        self.count(group, -keys, -bytes, None)
    }
}
