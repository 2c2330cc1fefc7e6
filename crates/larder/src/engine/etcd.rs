//! The etcd engine: a store in a cluster.

mod check;
mod client;
mod commit;
mod draft;
mod feed;
mod layout;
mod lineage;
mod notes;
mod open;
mod random;
mod reading;
mod recovery;
mod repair;
mod stats;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use self::client::Address;
use self::client::{CallError, Cluster, EngineRuntime, ReadAt, block_on, pending_answer, spawn_answer};
use self::commit::{CommitSender, Committer, PurgeBackoff, commit_queue, stepwise, transact};
use self::draft::{DraftContext, least_excess};
use self::feed::{ChangeLog, Follower, list_cursors};
use self::lineage::Lineage;
use self::reading::{ClusterReader, NearCache, SharedGets};
use self::recovery::Recovery;
use crate::data::locked;
use crate::data::{
    ClockWatch, Consistency, CursorInfo, Entries, Error, Finding, Found, GroupInfo, Health, HistoryInfo,
    NamespaceInfo, Repair, Repaired, Result, Revision, Stats, Usage,
};
use crate::engine::{
    Answer, Body, Changes, Commit, Committed, Engine, Extent, LogRead, Mutation, NewFile, Opened, Party,
    Read, Scan, Settings, Sink, StoredCursor,
};

/// The largest value in bytes. With its names, which count twice, and its encoding it fits into a request.
pub(crate) const VALUE_BYTES_MAX: u64 = 1024 << 10;

/// A store in a cluster.
pub(crate) struct EtcdEngine {
    reader: ClusterReader,
    /// What reads with `Consistency::Cached` use. The follower keeps it fresh while the store is open.
    cache: Option<Arc<NearCache>>,
    log: Arc<ChangeLog>,
    committer: Arc<Committer>,
    follower: Arc<Follower>,
    /// The queue of commits; `None` once the store is closed. The lock lets closing take it away from under
    /// concurrent calls.
    queue: Mutex<Option<CommitSender>>,
    purge_backoff: Arc<PurgeBackoff>,
    read_only: bool,
    lineage: Arc<Lineage>,
    /// Dropped last, because the tasks of the other fields run on it.
    runtime: EngineRuntime,
}

impl EtcdEngine {
    fn unsupported<T>(&self, what: &'static str, advice: &'static str) -> Answer<T> {
        let location = self.reader.cluster.location.clone();
        Answer::ready(Err(Error::Unsupported { location, what, advice }))
    }

    /// Opens the store at an address, and creates it if there is none.
    pub fn open(address: &Address, settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let location = address.to_string();
        let runtime =
            EngineRuntime::start().map_err(|error| Error::Storage { location, source: Arc::new(error) })?;
        let handle = runtime.handle().clone();
        let cluster = Arc::new(Cluster::new(address, settings.timeout)?);
        let opened = block_on(&handle, open::open(&cluster, &address.name, settings))?;
        let (layout, lineage) = (opened.layout, opened.lineage);
        let identity = lineage.identity();
        let clock = Arc::clone(&settings.clock);
        let log = Arc::new(ChangeLog::new(Arc::clone(&cluster), layout.clone(), opened.base));
        let cached = settings.consistency == Consistency::Cached && settings.cache_bytes > 0;
        let cache_bytes = usize::try_from(settings.cache_bytes).unwrap_or(usize::MAX);
        let cache = cached.then(|| Arc::new(NearCache::new(cache_bytes, settings.cache_age_max)));
        let follower = Arc::new(Follower::new(
            Arc::clone(&cluster),
            layout.clone(),
            Arc::clone(&log),
            Arc::clone(&sink),
            Arc::clone(&lineage),
            cache.clone(),
        ));
        if cache.is_some() {
            block_on(&handle, follower.start())?;
        }
        let recovery = Recovery {
            cluster: Arc::clone(&cluster),
            lineage: Arc::clone(&lineage),
            follower: Arc::clone(&follower),
            sink: Arc::clone(&sink),
            identity: Arc::clone(&identity),
        };
        handle.spawn(recovery.run());
        let grace_ms = i64::try_from(settings.clock_difference_max.as_millis()).unwrap_or(i64::MAX);
        let watch = ClockWatch::new(Arc::clone(&clock));
        let context = Arc::new(DraftContext::new(layout, grace_ms, watch, Arc::clone(&lineage)));
        let reader = ClusterReader {
            gets: SharedGets::new(Arc::clone(&cluster), handle.clone()),
            cluster: Arc::clone(&cluster),
            context: Arc::clone(&context),
            clock: Arc::clone(&clock),
            handle: handle.clone(),
            at: ReadAt::Linearizable,
            restores: 0,
        };
        let (sender, queue) = commit_queue(Arc::clone(&cluster));
        let committer = Arc::new(Committer::new(cluster, context, clock, sink, Arc::clone(&follower)));
        handle.spawn(Arc::clone(&committer).run(queue));
        let engine = Self {
            reader,
            cache,
            log,
            committer,
            follower,
            queue: Mutex::new(Some(sender)),
            purge_backoff: Arc::default(),
            read_only: settings.read_only,
            lineage,
            runtime,
        };
        Ok(Opened { engine, identity, revision: Revision(0) })
    }

    fn queue(&self) -> Result<CommitSender> {
        if self.read_only {
            return Err(Error::ReadOnly { location: self.reader.cluster.location.clone() });
        }
        locked(&self.queue).clone().ok_or(Error::Closed)
    }
}

impl Read for EtcdEngine {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        let Some(cache) = &self.cache else { return self.reader.try_get(group, key) };
        if let Some(found) = cache.get(group, key) {
            return Some(Answer::ready(Ok(found.filter(|found| found.is_live(&*self.reader.clock)))));
        }
        let (cache, reader) = (Arc::clone(cache), self.reader.clone());
        let (group, key) = (group.to_owned(), key.to_owned());
        Some(spawn_answer(self.runtime.handle(), async move {
            let read = cache.begin_read(&group, &key);
            let (found, revision) = reader.entry(&group, &key).await?;
            read.cache(found.as_ref(), revision);
            Ok(found.filter(|found| found.is_live(&*reader.clock)))
        }))
    }

    /// Never needed: `try_get` always answers.
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.reader.fetch(group, key)
    }

    fn page_bytes_max(&self) -> usize {
        self.reader.page_bytes_max()
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.reader.scan(scan)
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.reader.usage(extent)
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.reader.groups(prefix)
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.reader.namespaces(only)
    }

    fn revision(&self) -> Answer<Revision> {
        self.reader.revision()
    }
}

impl Engine for EtcdEngine {
    fn commit(&self, commit: Commit) -> Answer<Committed> {
        let queue = match self.queue() {
            Ok(queue) => queue,
            Err(error) => return Answer::ready(Err(error)),
        };
        if commit.mutations.iter().any(|mutation| matches!(mutation, Mutation::SetHistory { .. })) {
            // What etcd keeps it keeps for the whole cluster, and its operators compact all of it at once.
            let advice = "Use a store in a file, or do without.";
            return self.unsupported("keep histories of their own for groups", advice);
        }
        // Before anything is fetched that the commit would be decided by.
        if let Some(excess) = least_excess(&commit) {
            return Answer::ready(Err(excess.into_error(&self.reader.cluster.location)));
        }
        let handle = self.runtime.handle();
        let (reader, backoff) = (self.reader.clone(), Arc::clone(&self.purge_backoff));
        // A commit that may take several steps takes all of them, whether or not its answer is polled.
        let running = match commit.mutations.as_slice() {
            [Mutation::Purge { prefix, max }] => {
                let (prefix, max) = (prefix.clone(), *max);
                handle.spawn(async move { stepwise::purge(&queue, prefix, max, &backoff).await })
            }
            [Mutation::DeleteGroup { group }] if commit.requirements.is_empty() => {
                let (group, whole) = (group.clone(), queue.send(commit));
                handle.spawn(async move { stepwise::delete_group(whole, &queue, group, &backoff).await })
            }
            [Mutation::DeletePrefix { prefix }] if commit.requirements.is_empty() => {
                let (prefix, whole) = (prefix.clone(), queue.send(commit));
                handle.spawn(async move { stepwise::delete_prefix(whole, &queue, prefix, &reader).await })
            }
            _ => return pending_answer(handle, queue.send(commit)),
        };
        pending_answer(handle, async move { running.await.map_err(|_| Error::Closed)? })
    }

    fn transact(&self, party: Party, body: &mut Body<'_>) -> Result<Committed> {
        self.queue()?;
        transact(&self.committer, &self.reader, party, body)
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        let reader = self.reader.clone();
        spawn_answer(
            self.runtime.handle(),
            async move { Ok(Arc::new(reader.snapshot().await?) as Arc<dyn Read>) },
        )
    }

    fn changes(&self, wanted: LogRead<'_>) -> Answer<Changes> {
        let (log, max) = (Arc::clone(&self.log), wanted.max);
        // The log is lost from its old end only, so what a reader was told is where it goes on.
        let after = wanted.after.max(wanted.told);
        spawn_answer(self.runtime.handle(), async move {
            let (timeline, waited) = (&log.cluster.timeline, log.cluster.timeout);
            let history = timeline.ask();
            // In this order, so that a restore that is noticed in between counts.
            if !timeline.is_recovering() {
                let changes = log.changes(after, max).await;
                if !timeline.is_over(history) {
                    return changes;
                }
            }
            // The position is of the history before, unless the caller has found it out just now. Watchers are told first,
            // so that they ask no further.
            if timeout(waited, timeline.wait_for_recovery()).await.is_err() {
                let reason = "the cluster was restored, and the store has not begun anew yet".to_owned();
                return Err(log.cluster.error(CallError::Lost { reason, waited, sent: false }));
            }
            Err(Error::ClusterRestored { latest: log.latest().await? })
        })
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        let (reader, backoff) = (self.reader.clone(), Arc::clone(&self.purge_backoff));
        spawn_answer(self.runtime.handle(), async move {
            let next_ms = reader.find(|draft| draft.next_expiry_ms()).await?;
            let delay_ms = backoff.delay_ms().saturating_add(reader.context.grace_ms);
            Ok(next_ms.map(|next_ms| next_ms.saturating_add(delay_ms)))
        })
    }

    fn cursor(&self, name: &str) -> Answer<Option<StoredCursor>> {
        let (reader, name) = (self.reader.clone(), name.to_owned());
        spawn_answer(self.runtime.handle(), async move { reader.find(|draft| draft.cursor(&name)).await })
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        let (log, prefix) = (Arc::clone(&self.log), prefix.to_owned());
        spawn_answer(self.runtime.handle(), async move { list_cursors(&log, &prefix).await })
    }

    fn notes(&self, prefix: &str) -> Answer<Vec<(String, String)>> {
        let (reader, prefix) = (self.reader.clone(), prefix.to_owned());
        spawn_answer(self.runtime.handle(), async move { notes::list(&reader, &prefix).await })
    }

    fn histories(&self, _prefix: &str) -> Answer<Vec<HistoryInfo>> {
        Answer::ready(Ok(Vec::new()))
    }

    fn stats(&self) -> Answer<Stats> {
        let (reader, log, identity) = (self.reader.clone(), Arc::clone(&self.log), self.lineage.identity());
        spawn_answer(self.runtime.handle(), async move { stats::stats(&reader, &log, &identity).await })
    }

    fn check(&self) -> Answer<Vec<Finding>> {
        let reader = self.reader.clone();
        spawn_answer(self.runtime.handle(), async move { check::check(&reader).await })
    }

    fn repair(&self, repair: Repair) -> Answer<Repaired> {
        if let Err(error) = self.queue() {
            return Answer::ready(Err(error));
        }
        let (reader, committer) = (self.reader.clone(), Arc::clone(&self.committer));
        spawn_answer(self.runtime.handle(), async move { repair::repair(&reader, &committer, repair).await })
    }

    fn compact(&self) -> Answer<u64> {
        // It holds up the member, and concerns whatever else the cluster stores: its operators decide when.
        let advice = "Compact the cluster and run `etcdctl defrag` for one member after another: see \
                      docs/operating-a-cluster.md.";
        self.unsupported("be compacted by one of its clients", advice)
    }

    fn note_restored(&self) -> Answer<()> {
        if self.read_only {
            let location = self.reader.cluster.location.clone();
            return Answer::ready(Err(Error::ReadOnly { location }));
        }
        let (lineage, cluster) = (Arc::clone(&self.lineage), Arc::clone(&self.reader.cluster));
        spawn_answer(self.runtime.handle(), async move {
            let former = lineage.identity();
            cluster.timeline.note_restore(cluster.timeline.ask(), "an operator says so");
            let recovered = timeout(cluster.timeout, cluster.timeline.wait_for_recovery()).await;
            if recovered.is_err() {
                let reason = "the store has not begun anew yet".to_owned();
                let (location, waited) = (cluster.location.clone(), cluster.timeout);
                return Err(Error::Unknown { location, waited, reason, source: None });
            }
            if lineage.identity() == former {
                return Err(Error::ReadOnly { location: cluster.location.clone() });
            }
            Ok(())
        })
    }

    fn backup_into(&self, _new: &NewFile) -> Option<Answer<()>> {
        None
    }

    fn listen(&self, on: bool) -> Result<()> {
        if on {
            return block_on(self.runtime.handle(), self.follower.start());
        }
        if self.cache.is_none() {
            self.follower.stop();
        }
        Ok(())
    }

    fn health(&self) -> Health {
        let cluster = &self.reader.cluster;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Health {
            member: Some(cluster.current_endpoint().to_owned()),
            feed: self.follower.feed(),
            retries: count(&cluster.counts.retries),
            contended: count(&cluster.counts.contended),
            unknown: count(&cluster.counts.unknown),
            restores: cluster.timeline.restores(),
            left_out: count(&self.reader.context.left_out),
        }
    }

    fn cache_age(&self) -> Option<Duration> {
        self.cache.as_ref().map_or(Some(Duration::ZERO), |cache| cache.age())
    }

    fn close(&self) -> Result<()> {
        self.follower.stop();
        locked(&self.queue).take();
        // Waits until the running commit has ended.
        drop(block_on(self.runtime.handle(), self.committer.writer.lock()));
        Ok(())
    }
}
