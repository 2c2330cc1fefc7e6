//! The change log: the history of the commit records, which etcd keeps until it is compacted.

use std::sync::Arc;

use super::failover_watch::WatchError;
use super::idle_readers::IdleReaders;
use super::log_reader::LogReader;
use super::recent::{RecentChanges, RecentCommits};
use crate::data::{Error, LogPosition, Result, Revision};
use crate::engine::etcd::client::{CallError, Cluster, ReadAt};
use crate::engine::etcd::layout::Layout;
use crate::engine::{Changes, Logged};

/// The change log of a store.
pub struct ChangeLog {
    pub cluster: Arc<Cluster>,
    pub layout: Layout,
    /// The revision at which the store was created. Every commit is later.
    base: i64,
    idle_readers: Arc<IdleReaders>,
    /// What the feed has brought last, while it is open.
    pub(super) recent: RecentCommits,
}

impl ChangeLog {
    pub fn new(cluster: Arc<Cluster>, layout: Layout, base: i64) -> Self {
        Self { cluster, layout, base, idle_readers: Arc::default(), recent: RecentCommits::default() }
    }

    /// Forgets what was read of a log that the cluster does not have any more, since it was restored.
    pub fn forget_read(&self) {
        self.idle_readers.clear();
        self.recent.end();
    }

    /// Returns the store's latest commit.
    pub async fn latest(&self) -> Result<Revision> {
        self.latest_at(ReadAt::Linearizable).await.map_err(|error| self.cluster.error(error))
    }

    async fn latest_at(&self, at: ReadAt) -> Result<Revision, CallError> {
        let asked = self.cluster.timeline.ask();
        let (log, _) = self.cluster.read_key(&self.layout.log(), at).await?;
        if let (ReadAt::Linearizable, Some(record)) = (at, &log.value) {
            self.cluster.note_commit(asked, log.revision, record);
        }
        Ok(Revision(log.revision.cast_unsigned()))
    }

    /// Returns the changes after a position, at most `max` of them.
    pub async fn changes(&self, after: LogPosition, max: usize) -> Result<Changes> {
        let latest = self.latest().await?;
        if after >= LogPosition::after(latest) {
            return Ok(Changes { logged: Vec::new(), next: after, latest });
        }
        if let Some(RecentChanges { logged, next }) = self.recent.read(after, latest, max).await {
            return Ok(Changes { logged, next, latest });
        }
        let start = self.first_revision_after(after);
        let idle = self.idle_readers.take(start);
        // A caller that wants one change only checks whether there is one, and does not come back for more.
        let comes_back = max > 1 || idle.is_some();
        let mut reader = idle.unwrap_or_else(|| self.reader_from(start));
        reader.drop_before(start);
        let mut changes = Changes { logged: Vec::new(), next: after, latest };
        let mut index = 0;
        'full: while changes.next < LogPosition::after(latest) {
            let Some(commit) = reader.commit(index) else {
                match reader.read_more().await {
                    Ok(()) => {}
                    // The changes read so far are complete. Whether any after them are lost is checked by the
                    // next call, from its position.
                    Err(WatchError::Compacted(_)) if !changes.logged.is_empty() => return Ok(changes),
                    Err(WatchError::Compacted(compacted)) => {
                        self.check_nothing_is_lost(changes.next, compacted).await?;
                        reader = self.reader_from(compacted);
                        index = 0;
                    }
                    Err(WatchError::Failed(error)) => return Err(error),
                }
                continue;
            };
            index += 1;
            for (step, event) in (0..).zip(commit.events.iter().flatten()) {
                if (LogPosition { revision: commit.revision, step }) <= after {
                    continue;
                }
                if changes.logged.len() == max {
                    break 'full;
                }
                changes.next = LogPosition { revision: commit.revision, step };
                changes.logged.push(Logged { step, event: Arc::clone(event) });
            }
            changes.next = changes.next.max(LogPosition::after(commit.revision));
        }
        if comes_back && changes.next < LogPosition::after(latest) {
            self.idle_readers.put(reader);
        }
        Ok(changes)
    }

    /// The first revision that may have changes after a position.
    pub(super) fn first_revision_after(&self, after: LogPosition) -> i64 {
        let revision = i64::try_from(after.revision.0).unwrap_or(i64::MAX);
        let start =
            if after == LogPosition::after(after.revision) { revision.saturating_add(1) } else { revision };
        start.max(self.base + 1)
    }

    fn reader_from(&self, start: i64) -> LogReader {
        LogReader::new(Arc::clone(&self.cluster), self.layout.clone(), start)
    }

    /// Fails if the cluster has compacted a commit of this store after a position. Other stores and programs
    /// may have written what was compacted.
    async fn check_nothing_is_lost(&self, after: LogPosition, compacted: i64) -> Result<()> {
        let last = self.latest_at(ReadAt::Revision(compacted)).await.map_err(|error| match error {
            CallError::Compacted => Error::Compacted { oldest: Revision(compacted.cast_unsigned()) },
            error => self.cluster.error(error),
        })?;
        if after >= LogPosition::after(last) {
            return Ok(());
        }
        let at = Revision(compacted.cast_unsigned());
        Err(Error::Compacted { oldest: if last == at { last.previous() } else { last } })
    }

    /// Whether the cluster still has the state at a revision, and so every change after it. If not, it may still
    /// have every change of this store. This is cheaper than a watch: members look after watches that start in
    /// the past only now and then.
    pub(super) async fn certainly_has_all_after(&self, revision: Revision) -> Result<bool> {
        let revision = revision.0.cast_signed();
        if revision < self.base {
            return Ok(false);
        }
        match self.latest_at(ReadAt::Revision(revision)).await {
            Ok(_) => Ok(true),
            Err(CallError::Compacted) => Ok(false),
            Err(error) => Err(self.cluster.error(error)),
        }
    }

    /// Returns the oldest revision after which the log has every change.
    pub async fn oldest(&self) -> Result<Revision> {
        if self.certainly_has_all_after(Revision(self.base.unsigned_abs())).await? {
            return Ok(Revision(0));
        }
        match self.changes(LogPosition::after(Revision(0)), 1).await {
            Ok(_) => Ok(Revision(0)),
            Err(Error::Compacted { oldest }) => Ok(oldest),
            Err(error) => Err(error),
        }
    }
}
