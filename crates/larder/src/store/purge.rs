//! Removing what has expired.

use std::sync::Arc;

use super::request::Request;
use super::scope::Scope;
use super::shared::Shared;
use crate::data::Result;
use crate::data::clock::now_ms;

/// How many entries one commit removes, so that other writers get their turn in between.
const ENTRIES_PER_COMMIT: usize = 1000;

impl Shared {
    /// Removes every expired entry of a scope, and returns how many there were.
    pub fn purge(self: &Arc<Self>, scope: &Scope) -> Result<u64> {
        let mut purged = 0;
        loop {
            let step = self.write(scope, Request::purge(scope, ENTRIES_PER_COMMIT))?;
            purged += step.entries;
            if !step.more {
                return Ok(purged);
            }
        }
    }

    /// Removes what is due, and returns when the next entry expires, in Unix milliseconds.
    pub fn purge_due(self: &Arc<Self>) -> Result<Option<i64>> {
        let next_ms = self.engine()?.next_expiry_ms().wait()?;
        if next_ms.is_none_or(|next_ms| next_ms > now_ms(&*self.clock)) {
            return Ok(next_ms);
        }
        let purged = self.purge(&Scope::default())?;
        let next_ms = self.engine()?.next_expiry_ms().wait()?;
        // Purging waits while the clock is not to be believed. The timer looks again when the clock is set, and now and
        // then.
        Ok(next_ms.filter(|next_ms| purged > 0 || *next_ms > now_ms(&*self.clock)))
    }
}
