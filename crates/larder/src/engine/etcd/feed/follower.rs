//! Follows the commits of all processes, its own included: while there are watchers, or always if there is a near
//! cache.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prost::Message;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::assembler::{Assembler, WatchedRevision};
use super::change_log::ChangeLog;
use crate::data::{Event, EventKind, Facts, Found, Result, Revision, clock, locked};
use crate::engine::Sink;
use crate::engine::etcd::client::{CallError, Cluster, ReadAt};
use crate::engine::etcd::layout::{Layout, StoredEntry};
use crate::engine::etcd::reading::NearCache;

/// How often the store's latest commit is polled without a near cache, to notice a stalled watch.
const POLL_INTERVAL: Duration = Duration::from_millis(1000);

/// How long the watch may take to bring a commit that is known to exist.
const LAG_MAX: Duration = Duration::from_secs(2);

/// How long to pause before a lost watch is reopened.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub struct Follower {
    cluster: Arc<Cluster>,
    layout: Layout,
    log: Arc<ChangeLog>,
    sink: Arc<dyn Sink>,
    /// The cache that the follower keeps fresh.
    cache: Option<Arc<NearCache>>,
    /// Held while events are published, so that no event of a stopped run comes after one of the next run. Never
    /// held while waiting.
    state: Mutex<State>,
    /// Notified when the watch seems to stall.
    stalled: Notify,
}

#[derive(Default)]
struct State {
    /// The tasks that follow the watch and poll the latest commit; `None` while stopped.
    tasks: Option<[JoinHandle<()>; 2]>,
    /// Counts the stops. A task knows the number of its run, since an aborted task runs on to its next await and
    /// the next run may have begun by then.
    run: u64,
    /// The last commit that was published.
    seen: Revision,
    /// The callers that wait until a commit is published.
    waiting: Vec<(Revision, oneshot::Sender<()>)>,
    /// A commit that is known to exist and is not published, and since when it is known.
    expected: Option<(Revision, Instant)>,
}

impl Follower {
    pub fn new(
        cluster: Arc<Cluster>,
        layout: Layout,
        log: Arc<ChangeLog>,
        sink: Arc<dyn Sink>,
        cache: Option<Arc<NearCache>>,
    ) -> Self {
        Self { cluster, layout, log, sink, cache, state: Mutex::default(), stalled: Notify::new() }
    }

    /// The state, if this run is not stopped.
    fn lock_run(&self, run: u64) -> Option<MutexGuard<'_, State>> {
        Some(locked(&self.state)).filter(|state| state.run == run)
    }

    /// Starts to follow, unless it already does. Every commit after this returns is published.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        if locked(&self.state).tasks.is_some() {
            return Ok(());
        }
        let log = self.cluster.read_key(&self.layout.log(), ReadAt::Linearizable).await;
        let (log, revision) = log.map_err(|error| self.cluster.error(error))?;
        let seen = Revision(log.revision.cast_unsigned());
        let mut state = locked(&self.state);
        if state.tasks.is_none() {
            state.seen = seen;
            state.expected = None;
            // Tells the sink which commit the next one follows.
            self.sink.publish(Revision(0), seen, None);
            if let Some(cache) = &self.cache {
                cache.note_seen(seen);
            }
            let following = tokio::spawn(Arc::clone(self).follow(state.run, revision + 1));
            let polling = tokio::spawn(Arc::clone(self).poll_latest(state.run));
            state.tasks = Some([following, polling]);
        }
        Ok(())
    }

    pub fn stop(&self) {
        let mut state = locked(&self.state);
        state.run += 1;
        for task in state.tasks.take().into_iter().flatten() {
            task.abort();
        }
        // Ends the waiting, since nothing more is published.
        state.waiting.clear();
    }

    /// Returns a future that waits until a commit is published; `None` if it is, or if the follower is stopped.
    /// The wait ends after [`LAG_MAX`]: watchers then find the commit in the log.
    pub fn wait_for(
        self: &Arc<Self>,
        revision: Revision,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let mut state = locked(&self.state);
        if state.tasks.is_none() || state.seen >= revision {
            return None;
        }
        let (published, waiting) = oneshot::channel();
        state.waiting.push((revision, published));
        let follower = Arc::clone(self);
        Some(async move {
            if timeout(LAG_MAX, waiting).await.is_err() {
                if let Some(cache) = &follower.cache {
                    cache.require_seen(revision);
                }
                follower.sink.others_committed();
                follower.stalled.notify_one();
            }
        })
    }

    /// Polls the store's latest commit, because a watch that stalls reports nothing.
    async fn poll_latest(self: Arc<Self>, run: u64) {
        let interval = self.cache.as_ref().map_or(POLL_INTERVAL, |cache| cache.poll_interval());
        loop {
            let asked = Instant::now();
            if let Ok(latest) = self.log.latest().await {
                self.note_latest(run, latest, asked);
            }
            sleep(interval).await;
        }
    }

    /// Notes the store's latest commit at the time `asked`.
    fn note_latest(&self, run: u64, latest: Revision, asked: Instant) {
        let Some(mut state) = self.lock_run(run) else { return };
        if latest <= state.seen {
            state.expected = None;
            self.note_fresh(asked);
            return;
        }
        let (expected, since) = *state.expected.get_or_insert((latest, asked));
        if expected <= state.seen {
            state.expected = Some((latest, asked));
        } else if since.elapsed() > LAG_MAX {
            state.expected = None;
            drop(state);
            self.stalled.notify_one();
        }
    }

    fn note_fresh(&self, time: Instant) {
        if let Some(cache) = &self.cache {
            cache.note_fresh(time.into_std());
        }
    }

    /// Follows watch after watch.
    async fn follow(self: Arc<Self>, run: u64, mut start: i64) {
        let mut pause = PAUSE_MIN;
        loop {
            let (began, from) = (Instant::now(), start);
            match self.follow_watch(run, &mut start).await {
                Ok(()) => {}
                // The watch can no longer bring what was compacted. Watchers read the log, which reports what is
                // lost.
                Err(CallError::Compacted) => {
                    let log = self.cluster.read_key(&self.layout.log(), ReadAt::Linearizable).await;
                    if let Ok((log, revision)) = log {
                        start = revision + 1;
                        self.skip_to(run, Revision(log.revision.cast_unsigned()));
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %self.cluster.error(error), "the change feed is interrupted")
                }
            }
            let went_well = start > from || began.elapsed() > PAUSE_MAX;
            pause = if went_well { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            sleep(pause).await;
        }
    }

    /// Follows one watch until it ends or stalls. Moves `start` behind the last revision that it has brought.
    async fn follow_watch(&self, run: u64, start: &mut i64) -> Result<(), CallError> {
        let (mut stream, member) = self.cluster.watch(&self.layout.feed(), *start).await?;
        let mut assembler = Assembler::new(self.layout.clone());
        loop {
            let response = tokio::select! {
                message = stream.message() => match message {
                    Ok(Some(response)) => response,
                    _ => return Ok(()),
                },
                () = self.stalled.notified() => {
                    self.cluster.turn_from(member);
                    return Ok(());
                }
            };
            if response.canceled() {
                return if response.compact_revision() > 0 { Err(CallError::Compacted) } else { Ok(()) };
            }
            match assembler.add(&response) {
                Ok(revisions) => {
                    for watched in revisions {
                        *start = watched.revision.0.cast_signed() + 1;
                        self.update_cache(&watched);
                        if let Some(events) = &watched.events {
                            self.publish(run, watched.revision, events);
                        }
                    }
                }
                Err(detail) => {
                    tracing::error!(%detail, "the change feed is damaged");
                    // It is unknown which entries have changed.
                    if let Some(cache) = &self.cache {
                        cache.clear();
                    }
                    self.sink.others_committed();
                }
            }
        }
    }

    /// Updates the cache. This comes before the events are published, so that no watcher that has received one
    /// reads an older value.
    fn update_cache(&self, watched: &WatchedRevision) {
        let Some(cache) = &self.cache else { return };
        let revision = watched.revision;
        for (path, value) in &watched.entries {
            let Some((group, key)) = self.layout.entry_names(path) else { continue };
            cache.apply_change(&group, &key, revision, || {
                let StoredEntry { value, expires_at_ms } = StoredEntry::decode(value.clone()?).ok()?;
                Some(Found::new(&group, &key, &value, Facts { revision, expires_at_ms }))
            });
        }
    }

    fn publish(&self, run: u64, revision: Revision, events: &[Arc<Event>]) {
        let Some(state) = self.lock_run(run) else { return };
        let previous = state.seen;
        if revision <= previous {
            return;
        }
        self.sink.publish(previous, revision, Some(events));
        let expiring = events.iter().filter(|event| event.kind == EventKind::Set);
        if let Some(at) = expiring.filter_map(|event| event.expires_at).min() {
            self.sink.will_expire(clock::ms(at));
        }
        self.advance(revision, state);
    }

    /// Notes that everything up to a revision is published, and wakes the callers that wait for it.
    fn advance(&self, revision: Revision, mut state: MutexGuard<'_, State>) {
        if let Some(cache) = &self.cache {
            cache.note_seen(revision);
        }
        state.seen = revision;
        if let Some((_, since)) = state.expected.take_if(|(expected, _)| *expected <= revision) {
            self.note_fresh(since);
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (reached, waiting) = waiting.into_iter().partition(|(awaited, _)| *awaited <= revision);
        state.waiting = waiting;
        drop(state);
        for (_, published) in reached {
            let _ = published.send(());
        }
    }

    /// Skips to a revision, after the changes up to it were compacted.
    fn skip_to(&self, run: u64, revision: Revision) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        let Some(state) = self.lock_run(run) else { return };
        self.advance(revision, state);
        self.sink.others_committed();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::engine::Interest;
    use crate::engine::etcd::client::Address;

    /// The last revision that was published. SeqCst: the simplest, since one thread uses it.
    #[derive(Default)]
    struct Published(AtomicU64);

    impl Sink for Published {
        fn interest(&self) -> Interest {
            Interest::Some
        }

        fn publish(&self, _previous: Revision, revision: Revision, _events: Option<&[Arc<Event>]>) {
            self.0.store(revision.0, Ordering::SeqCst);
        }

        fn will_expire(&self, _at_ms: i64) {}

        fn others_committed(&self) {}
    }

    #[test]
    fn a_stopped_run_publishes_nothing_and_moves_nothing_back() {
        let address = Address::parse("//127.0.0.1:1/app").unwrap();
        let cluster = Arc::new(Cluster::new(&address, Duration::ZERO).unwrap());
        let layout = Layout::new("app");
        let log = Arc::new(ChangeLog::new(Arc::clone(&cluster), layout.clone(), 0));
        let published = Arc::new(Published::default());
        let follower = Follower::new(cluster, layout, log, Arc::clone(&published) as Arc<dyn Sink>, None);
        let at = || (locked(&follower.state).seen, Revision(published.0.load(Ordering::SeqCst)));
        follower.publish(0, Revision(4), &[]);
        assert_eq!(at(), (Revision(4), Revision(4)));

        follower.stop();
        follower.publish(1, Revision(8), &[]);
        follower.publish(0, Revision(9), &[]);
        follower.skip_to(0, Revision(6));
        follower.note_latest(0, Revision(9), Instant::now());
        assert_eq!(at(), (Revision(8), Revision(8)));
        assert!(locked(&follower.state).expected.is_none());
    }
}
