//! How many changes the log has after a position.

use std::sync::Arc;

use super::change_log::ChangeLog;
use super::failover_watch::{FailoverWatch, WatchError};
use crate::data::{Error, LogPosition, Result, Revision};
use crate::engine::etcd::layout::{Record, Span};

/// How many commits are counted change by change. Beyond these, the changes are estimated.
const COUNTED_MAX: u64 = 10_000;

/// How much the log has after a position.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSize {
    pub changes: u64,
    /// The bytes of the records.
    pub bytes: u64,
    /// Whether changes after the position were compacted.
    pub compacted: bool,
}

impl ChangeLog {
    /// Counts the changes after a position. If there are very many commits, counts the commits and estimates
    /// the changes.
    pub async fn size_after(&self, after: LogPosition) -> Result<LogSize> {
        let latest = self.latest().await?;
        if after >= LogPosition::after(latest) {
            return Ok(LogSize::default());
        }
        let (after, compacted) = if self.certainly_has_all_after(after.revision).await? {
            (after, false)
        } else {
            match self.changes(after, 1).await {
                Ok(_) => (after, false),
                Err(Error::Compacted { oldest }) => (LogPosition::after(oldest), true),
                Err(error) => return Err(error),
            }
        };
        let (changes, bytes) = self.count(after, latest).await?;
        Ok(LogSize { changes, bytes, compacted })
    }

    /// Counts the changes, and the bytes of their records, from a position that the log still has.
    async fn count(&self, after: LogPosition, latest: Revision) -> Result<(u64, u64)> {
        let (mut changes, mut bytes, mut commits) = (0, 0, 0);
        if after >= LogPosition::after(latest) {
            return Ok((changes, bytes));
        }
        let mut watch = FailoverWatch::new(Arc::clone(&self.cluster), Span::of_key(self.layout.log()));
        let mut start = self.first_revision_after(after);
        loop {
            let response = match watch.next(start).await {
                Ok(message) => message.response,
                // The caller has made sure that no commit of this store was compacted.
                Err(WatchError::Compacted(compacted)) => {
                    start = compacted;
                    continue;
                }
                Err(WatchError::Failed(error)) => return Err(error),
            };
            for pair in response.events().iter().filter_map(|event| event.kv()) {
                let record: Record = self.cluster.decode(pair.value())?;
                let revision = Revision(pair.mod_revision().cast_unsigned());
                let counted = (0..)
                    .zip(&record.changes)
                    .filter(|(step, _)| (LogPosition { revision, step: *step }) > after);
                changes += counted.count() as u64;
                bytes += pair.value().len() as u64;
                start = pair.mod_revision() + 1;
                if revision >= latest {
                    return Ok((changes, bytes));
                }
                commits += 1;
                if commits == COUNTED_MAX {
                    let rest = self.commits().await?.saturating_sub(pair.version().unsigned_abs());
                    let extrapolated = |count| extrapolate(count, commits, commits.saturating_add(rest));
                    return Ok((extrapolated(changes), extrapolated(bytes)));
                }
            }
        }
    }

    /// How many commits the store has had: each has written the record's key once.
    async fn commits(&self) -> Result<u64> {
        let log = self.cluster.first_key(&Span::of_key(self.layout.log())).await;
        let log = log.map_err(|error| self.cluster.error(error))?;
        Ok(log.map_or(0, |log| log.version().unsigned_abs()))
    }
}

/// Extrapolates a count from some commits to all.
fn extrapolate(count: u64, some: u64, all: u64) -> u64 {
    let extrapolated = u128::from(count) * u128::from(all) / u128::from(some.max(1));
    u64::try_from(extrapolated).unwrap_or(u64::MAX)
}
