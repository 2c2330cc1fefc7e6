//! The etcd engine: a store in a cluster.

mod address;
mod causes;
mod check;
mod cluster;
mod commit;
mod counting;
mod cursors;
mod draft;
mod fence;
mod fetch;
mod follower;
mod gets;
mod group;
mod io;
mod knowledge;
mod layout;
mod log;
mod make;
mod member;
mod mutations;
mod near_cache;
mod open;
mod purge;
mod reading;
mod refusal;
mod removal;
mod tls;
mod transaction;
mod upkeep;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use self::address::Address;
use self::cluster::Cluster;
use self::commit::{Committer, pause};
use self::fetch::Moment;
use self::follower::Follower;
use self::gets::Gets;
use self::group::Ticket;
use self::io::{Io, answer, awaited, wait};
use self::log::Log;
use self::make::Made;
use self::near_cache::NearCache;
use self::reading::Reading;
use self::removal::Patience;
use self::transaction::OpenTransaction;
use crate::data::{
    Consistency, CursorInfo, Entries, Error, Found, GroupInfo, LogPosition, NamespaceInfo, Result, Revision,
    Stats, Usage,
};
use crate::engine::{
    Answer, Body, Changes, Commit, Committed, Engine, Extent, Mutation, Opened, Read, Scan, Settings, Sink,
    Transact,
};

/// The largest value: with its names twice and what encloses it, it fits into a request.
pub(crate) const VALUE_BYTES_MAX: u64 = 1024 << 10;

/// A store in a cluster.
pub(crate) struct EtcdEngine {
    reading: Reading,
    /// What `Consistency::Cached` reads; the follower keeps it fresh, as long as the store is open.
    cache: Option<Arc<NearCache>>,
    log: Arc<Log>,
    committer: Arc<Committer>,
    follower: Arc<Follower>,
    /// Where commits go; `None` once the store is closed.
    queue: Mutex<Option<mpsc::UnboundedSender<Ticket>>>,
    patience: Arc<Patience>,
    /// For how long what has expired is left alone.
    grace_ms: i64,
    read_only: bool,
    identity: Arc<str>,
    /// Dropped last: the others' tasks run on it.
    io: Io,
}

impl EtcdEngine {
    /// Opens the store at an address, and makes it if it is none yet.
    pub fn open(address: &Address, settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let location = address.to_string();
        let io = Io::start().map_err(|error| Error::Storage { location, source: Arc::new(error) })?;
        let cluster = Arc::new(Cluster::new(address, settings.timeout)?);
        let opened = wait(io.handle(), open::open(&cluster, &address.name, settings))?;
        let layout = opened.layout;
        let clock = Arc::clone(&settings.clock);
        let grace_ms = i64::try_from(settings.clock_difference_max.as_millis()).unwrap_or(i64::MAX);
        let log = Arc::new(Log::new(Arc::clone(&cluster), layout.clone(), opened.base));
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
            wait(io.handle(), follower.start())?;
        }
        let reading = Reading {
            gets: Gets::new(Arc::clone(&cluster), io.handle().clone()),
            cluster: Arc::clone(&cluster),
            layout: layout.clone(),
            clock: Arc::clone(&clock),
            handle: io.handle().clone(),
            moment: Moment::Now,
        };
        let committer =
            Arc::new(Committer::new(cluster, layout, clock, sink, Arc::clone(&follower), grace_ms));
        let (queue, incoming) = mpsc::unbounded_channel();
        io.handle().spawn(Arc::clone(&committer).run(incoming));
        let identity: Arc<str> = opened.identity.into();
        let engine = Self {
            reading,
            cache,
            log,
            committer,
            follower,
            queue: Mutex::new(Some(queue)),
            patience: Arc::default(),
            grace_ms,
            read_only: settings.read_only,
            identity: Arc::clone(&identity),
            io,
        };
        Ok(Opened { engine, identity })
    }

    fn queue(&self) -> Result<mpsc::UnboundedSender<Ticket>> {
        if self.read_only {
            return Err(Error::ReadOnly { location: self.reading.cluster.location.clone() });
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.clone().ok_or(Error::Closed)
    }

    /// Runs a closure on a draft of the latest moment, and commits it; `None` where others were faster.
    fn attempt(&self, body: &mut Body<'_>) -> Result<Option<Committed>> {
        let handle = self.io.handle();
        let cluster = &self.reading.cluster;
        let mut writing = wait(handle, self.committer.writing.lock());
        let transaction = Arc::new(OpenTransaction::new(self.reading.clone()));
        let ran = catch_unwind(AssertUnwindSafe(|| body(&(Arc::clone(&transaction) as Arc<dyn Transact>))));
        let draft = transaction.finish();
        match ran {
            Err(panic) => {
                drop(writing);
                resume_unwind(panic);
            }
            // What has failed inside counts, whatever the closure made of it.
            Ok(result) => {
                let failed = draft.as_ref().err().cloned();
                if let Some(Error::SnapshotLost { .. }) = failed {
                    // The cluster has forgotten the moment meanwhile. A later one will do as well.
                    return Ok(None);
                }
                failed.map_or(result, Err)?;
            }
        }
        let mut draft = draft?;
        if draft.is_unwritten() {
            if draft.moment.is_none() {
                wait(handle, draft.ask(cluster, Vec::new())).map_err(|trouble| cluster.error(trouble))?;
            }
            let revision = draft.begun_after();
            return Ok(Some(Committed { revision, outcomes: Vec::new(), events: Vec::new() }));
        }
        if let Some((what, wanted, limit)) = draft.excess() {
            return Err(Error::TooMuchAtOnce { location: cluster.location.clone(), what, wanted, limit });
        }
        let made = wait(handle, self.committer.make(&mut writing.fencing, &mut draft));
        let done = match made.map_err(|trouble| cluster.write_error(trouble))? {
            Made::Done(done) => done,
            Made::Overtaken => return Ok(None),
        };
        let revision = done.revision;
        let events = self.committer.events(&draft, revision);
        let (changed, soonest_ms) = (draft.has_changes(), draft.soonest_ms);
        draft.settle_in(&mut writing.draft.knowledge, &done);
        drop(writing);
        if let Some(at_ms) = soonest_ms {
            self.committer.sink.will_expire(at_ms);
        }
        if !changed {
            return Ok(Some(Committed { revision: done.latest(), outcomes: Vec::new(), events }));
        }
        let revision = Revision(revision.cast_unsigned());
        if let Some(reached) = self.follower.reach(revision) {
            wait(handle, reached);
        }
        Ok(Some(Committed { revision, outcomes: Vec::new(), events }))
    }
}

/// Hands a batch to the committer at once; the future waits for what becomes of it.
fn submit(
    queue: &mpsc::UnboundedSender<Ticket>,
    commit: Commit,
) -> impl Future<Output = Result<Committed>> + Send + use<> {
    let (reply, settled) = oneshot::channel();
    let sent = queue.send(Ticket { commit, reply });
    async move {
        sent.map_err(|_| Error::Closed)?;
        settled.await.map_err(|_| Error::Closed)?
    }
}

impl Read for EtcdEngine {
    fn get(&self, group: &str, key: &str) -> Answer<Option<Found>> {
        let Some(cache) = &self.cache else { return self.reading.get(group, key) };
        if let Some(found) = cache.look(group, key) {
            return Answer::ready(Ok(found.filter(|found| found.is_live(&*self.reading.clock))));
        }
        let (cache, reading) = (Arc::clone(cache), self.reading.clone());
        let (group, key) = (group.to_owned(), key.to_owned());
        answer(self.io.handle(), async move {
            let kept = cache.begin(&group, &key);
            let (found, revision) = reading.entry(&group, &key).await?;
            kept.keep(found.as_ref(), revision);
            Ok(found.filter(|found| found.is_live(&*reading.clock)))
        })
    }

    #[cfg(feature = "tokio")]
    fn get_unblocked(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        Some(self.get(group, key))
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.reading.scan(scan)
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.reading.usage(extent)
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.reading.groups(prefix)
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.reading.namespaces(only)
    }

    fn revision(&self) -> Answer<Revision> {
        self.reading.revision()
    }
}

impl Engine for EtcdEngine {
    fn commit(&self, commit: Commit) -> Answer<Committed> {
        let queue = match self.queue() {
            Ok(queue) => queue,
            Err(error) => return Answer::ready(Err(error)),
        };
        let handle = self.io.handle();
        let (reading, patience) = (self.reading.clone(), Arc::clone(&self.patience));
        // What may be of any size is done step by step, to its end, whether or not anybody waits for it.
        let doing = match commit.mutations.as_slice() {
            [Mutation::Purge { prefix, max }] => {
                let (prefix, max) = (prefix.clone(), *max);
                handle.spawn(async move { removal::purge(&queue, prefix, max, &patience).await })
            }
            [Mutation::DeleteGroup { group }] if commit.requirements.is_empty() => {
                let (group, whole) = (group.clone(), submit(&queue, commit));
                handle.spawn(async move { removal::delete_group(whole, &queue, group, &patience).await })
            }
            [Mutation::DeletePrefix { prefix }] if commit.requirements.is_empty() => {
                let (prefix, whole) = (prefix.clone(), submit(&queue, commit));
                handle.spawn(async move { removal::delete_prefix(whole, &queue, prefix, &reading).await })
            }
            _ => return awaited(handle, submit(&queue, commit)),
        };
        awaited(handle, async move { doing.await.map_err(|_| Error::Closed)? })
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<Committed> {
        self.queue()?;
        let began = Instant::now();
        for attempts in 1.. {
            if let Some(committed) = self.attempt(body)? {
                return Ok(committed);
            }
            if began.elapsed() >= self.reading.cluster.timeout {
                return Err(self.committer.contended(attempts, began));
            }
            wait(self.io.handle(), pause(attempts));
        }
        unreachable!("the loop has no end")
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        let reading = self.reading.clone();
        answer(self.io.handle(), async move {
            let now = fetch::key(&reading.cluster, &reading.layout.log(), Moment::Now).await;
            let (_, revision) = now.map_err(|trouble| reading.error(trouble))?;
            let moment = Moment::At(revision);
            Ok(Arc::new(Reading { moment, ..reading }) as Arc<dyn Read>)
        })
    }

    fn changes(&self, after: LogPosition, max: usize) -> Answer<Changes> {
        let log = Arc::clone(&self.log);
        answer(self.io.handle(), async move { log.changes(after, max).await })
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        let (reading, patience) = (self.reading.clone(), Arc::clone(&self.patience));
        let grace_ms = self.grace_ms;
        answer(self.io.handle(), async move {
            let next_ms = reading.find(|draft| draft.next_expiry_ms()).await?;
            Ok(next_ms.map(|next_ms| next_ms.saturating_add(patience.ms()).saturating_add(grace_ms)))
        })
    }

    fn cursor(&self, name: &str) -> Answer<Option<LogPosition>> {
        let (reading, name) = (self.reading.clone(), name.to_owned());
        answer(self.io.handle(), async move { reading.find(|draft| draft.cursor(&name)).await })
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        let (reading, log, prefix) = (self.reading.clone(), Arc::clone(&self.log), prefix.to_owned());
        answer(self.io.handle(), async move {
            cursors::list(&reading.cluster, &reading.layout, &log, &prefix).await
        })
    }

    fn stats(&self) -> Answer<Stats> {
        let (reading, log, identity) =
            (self.reading.clone(), Arc::clone(&self.log), Arc::clone(&self.identity));
        answer(self.io.handle(), async move { upkeep::stats(&reading, &log, &identity).await })
    }

    fn check(&self) -> Answer<Vec<String>> {
        let (reading, log) = (self.reading.clone(), Arc::clone(&self.log));
        answer(self.io.handle(), async move { check::check(&reading, &log).await })
    }

    fn backup_to(&self, _path: &Path) -> Option<Answer<()>> {
        None
    }

    fn listen(&self, on: bool) -> Result<()> {
        if on {
            return wait(self.io.handle(), self.follower.start());
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
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Waits for whoever commits.
        drop(wait(self.io.handle(), self.committer.writing.lock()));
        Ok(())
    }
}
