//! The etcd engine: a store in a cluster.

mod check;
mod client;
mod commit;
mod draft;
mod feed;
mod layout;
mod open;
mod random;
mod reading;
mod stats;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use self::client::Address;
use self::client::{Cluster, EngineRuntime, ReadAt, block_on, pending_answer, spawn_answer};
use self::commit::{CommitSender, Committer, PurgeBackoff, commit_queue, stepwise, transact};
use self::draft::DraftContext;
use self::feed::{ChangeLog, Follower, list_cursors};
use self::reading::{ClusterReader, NearCache, SharedGets};
use crate::data::locked;
use crate::data::{
    Consistency, CursorInfo, Entries, Error, Found, GroupInfo, LogPosition, NamespaceInfo, Result, Revision,
    Stats, Usage,
};
use crate::engine::{
    Answer, Body, Changes, Commit, Committed, Engine, Extent, Mutation, Opened, Read, Scan, Settings, Sink,
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
    identity: Arc<str>,
    /// Dropped last, because the tasks of the other fields run on it.
    runtime: EngineRuntime,
}

impl EtcdEngine {
    /// Opens the store at an address, and creates it if there is none.
    pub fn open(address: &Address, settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let location = address.to_string();
        let runtime =
            EngineRuntime::start().map_err(|error| Error::Storage { location, source: Arc::new(error) })?;
        let handle = runtime.handle().clone();
        let cluster = Arc::new(Cluster::new(address, settings.timeout)?);
        let opened = block_on(&handle, open::open(&cluster, &address.name, settings))?;
        let layout = opened.layout;
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
            cache.clone(),
        ));
        if cache.is_some() {
            block_on(&handle, follower.start())?;
        }
        let grace_ms = i64::try_from(settings.clock_difference_max.as_millis()).unwrap_or(i64::MAX);
        let context = Arc::new(DraftContext::new(layout, grace_ms));
        let reader = ClusterReader {
            gets: SharedGets::new(Arc::clone(&cluster), handle.clone()),
            cluster: Arc::clone(&cluster),
            context: Arc::clone(&context),
            clock: Arc::clone(&clock),
            handle: handle.clone(),
            at: ReadAt::Linearizable,
        };
        let committer = Arc::new(Committer::new(cluster, context, clock, sink, Arc::clone(&follower)));
        let (sender, queue) = commit_queue();
        handle.spawn(Arc::clone(&committer).run(queue));
        let identity: Arc<str> = opened.identity.into();
        let engine = Self {
            reader,
            cache,
            log,
            committer,
            follower,
            queue: Mutex::new(Some(sender)),
            purge_backoff: Arc::default(),
            read_only: settings.read_only,
            identity: Arc::clone(&identity),
            runtime,
        };
        Ok(Opened { engine, identity })
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

    fn transact(&self, body: &mut Body<'_>) -> Result<Committed> {
        self.queue()?;
        transact(&self.committer, &self.reader, body)
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        let reader = self.reader.clone();
        spawn_answer(self.runtime.handle(), async move {
            let log = reader.cluster.read_key(&reader.context.layout.log(), ReadAt::Linearizable).await;
            let (_, revision) = log.map_err(|error| reader.error(error))?;
            Ok(Arc::new(ClusterReader { at: ReadAt::Revision(revision), ..reader }) as Arc<dyn Read>)
        })
    }

    fn changes(&self, after: LogPosition, max: usize) -> Answer<Changes> {
        let log = Arc::clone(&self.log);
        spawn_answer(self.runtime.handle(), async move { log.changes(after, max).await })
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        let (reader, backoff) = (self.reader.clone(), Arc::clone(&self.purge_backoff));
        spawn_answer(self.runtime.handle(), async move {
            let next_ms = reader.find(|draft| draft.next_expiry_ms()).await?;
            let delay_ms = backoff.delay_ms().saturating_add(reader.context.grace_ms);
            Ok(next_ms.map(|next_ms| next_ms.saturating_add(delay_ms)))
        })
    }

    fn cursor(&self, name: &str) -> Answer<Option<LogPosition>> {
        let (reader, name) = (self.reader.clone(), name.to_owned());
        spawn_answer(self.runtime.handle(), async move { reader.find(|draft| draft.cursor(&name)).await })
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        let (log, prefix) = (Arc::clone(&self.log), prefix.to_owned());
        spawn_answer(self.runtime.handle(), async move { list_cursors(&log, &prefix).await })
    }

    fn stats(&self) -> Answer<Stats> {
        let (reader, log, identity) =
            (self.reader.clone(), Arc::clone(&self.log), Arc::clone(&self.identity));
        spawn_answer(self.runtime.handle(), async move { stats::stats(&reader, &log, &identity).await })
    }

    fn check(&self) -> Answer<Vec<String>> {
        let reader = self.reader.clone();
        spawn_answer(self.runtime.handle(), async move { check::check(&reader).await })
    }

    fn backup_to(&self, _path: &Path) -> Option<Answer<()>> {
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
