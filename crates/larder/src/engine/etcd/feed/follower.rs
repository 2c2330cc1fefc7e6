//! Follows the commits of all processes, its own included: while there are watchers, or always if there is a near
//! cache.

mod watching;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::change_log::ChangeLog;
use crate::data::{Error, ErrorKind, Feed, Result, Revision, locked, report};
use crate::engine::Sink;
use crate::engine::etcd::client::{Asked, Cluster, ReadAt};
use crate::engine::etcd::layout::Layout;
use crate::engine::etcd::lineage::Lineage;
use crate::engine::etcd::reading::NearCache;

/// How often the store's latest commit is polled without a near cache, to notice a stalled watch.
const POLL_INTERVAL: Duration = Duration::from_millis(1000);

/// How long the watch may take to bring a commit that is known to exist.
const LAG_MAX: Duration = Duration::from_secs(2);

pub struct Follower {
    cluster: Arc<Cluster>,
    layout: Layout,
    log: Arc<ChangeLog>,
    sink: Arc<dyn Sink>,
    lineage: Arc<Lineage>,
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
    /// The history of the cluster that the run follows.
    history: Asked,
    /// Since when the open watch is open, and the index of its member.
    connected: Option<(SystemTime, usize)>,
    interruptions: u64,
    /// When everything was published that existed.
    fresh_at: Option<Instant>,
    refusal: Option<Refusal>,
    /// The callers that wait until a commit is published.
    waiting: Vec<(Revision, oneshot::Sender<()>)>,
    /// A commit that is known to exist and is not published, and since when it is known.
    expected: Option<(Revision, Instant)>,
}

/// The feed is refused, and would be refused again.
struct Refusal {
    error: Error,
    /// When the watchers were told, or when it began.
    told: Instant,
}

/// The store's latest commit.
struct Latest {
    commit: Revision,
    /// The history that it is of.
    history: Asked,
    /// The revision of the cluster that was read.
    revision: i64,
}

impl Follower {
    pub fn new(
        cluster: Arc<Cluster>,
        layout: Layout,
        log: Arc<ChangeLog>,
        sink: Arc<dyn Sink>,
        lineage: Arc<Lineage>,
        cache: Option<Arc<NearCache>>,
    ) -> Self {
        Self { cluster, layout, log, sink, lineage, cache, state: Mutex::default(), stalled: Notify::new() }
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
        let latest = self.read_latest().await?;
        let mut state = locked(&self.state);
        if state.tasks.is_none() {
            // Tells the sink which commit the next one follows.
            self.sink.publish(Revision(0), latest.commit, None);
            if let Some(cache) = &self.cache {
                cache.note_seen(latest.commit);
            }
            self.spawn(&mut state, &latest);
        }
        Ok(())
    }

    async fn read_latest(&self) -> Result<Latest> {
        let history = self.cluster.timeline.ask();
        let log = self.cluster.read_key(&self.layout.log(), ReadAt::Linearizable).await;
        let (log, revision) = log.map_err(|error| self.cluster.error(error))?;
        if let Some(record) = &log.value {
            self.cluster.note_commit(history, log.revision, record);
        }
        Ok(Latest { commit: Revision(log.revision.cast_unsigned()), history, revision })
    }

    fn spawn(self: &Arc<Self>, state: &mut State, latest: &Latest) {
        state.seen = latest.commit;
        state.history = latest.history;
        state.expected = None;
        self.log.recent.begin(latest.commit);
        let following = tokio::spawn(Arc::clone(self).follow(state.run, latest.revision + 1));
        let polling = tokio::spawn(Arc::clone(self).poll_latest(state.run));
        state.tasks = Some([following, polling]);
    }

    pub fn stop(&self) {
        self.end_run(&mut locked(&self.state));
    }

    /// Ends the tasks. Returns whether there were any.
    fn end_run(&self, state: &mut State) -> bool {
        state.run += 1;
        let tasks = state.tasks.take();
        let had_tasks = tasks.is_some();
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
        // Ends the waiting, since nothing more is published.
        state.waiting.clear();
        self.log.recent.end();
        had_tasks
    }

    /// Makes the cache show nothing, since the cluster was restored. What is published from here on is of the time
    /// after that.
    pub fn suspend(&self) {
        if let Some(cache) = &self.cache {
            cache.start_over(Revision(0));
        }
        self.log.forget_read();
    }

    /// Begins anew after the cluster was restored, and calls `tell` with the store's latest commit before anything
    /// later is published. Returns `None`, and has done nothing, if a restore was noticed since `history`.
    pub async fn start_over(
        self: &Arc<Self>,
        history: Asked,
        tell: impl FnOnce(Revision),
    ) -> Result<Option<Revision>> {
        let latest = self.read_latest().await?;
        let mut state = locked(&self.state);
        if self.cluster.timeline.is_over(history) {
            return Ok(None);
        }
        let was_running = self.end_run(&mut state);
        if let Some(cache) = &self.cache {
            cache.start_over(latest.commit);
        }
        tell(latest.commit);
        if was_running {
            self.spawn(&mut state, &latest);
        }
        Ok(Some(latest.commit))
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
            let (before, history) = {
                let state = locked(&self.state);
                (state.seen, state.history)
            };
            let latest = self.log.latest().await;
            match &latest {
                Ok(_) => self.end_refusal(run),
                Err(error) => self.note_refusal(run, error),
            }
            if let Ok(latest) = latest {
                if latest < before {
                    self.cluster
                        .timeline
                        .note_restore(history, "the store's latest commit is an earlier one");
                }
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
            state.fresh_at = Some(asked);
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

    /// Notes that the cluster has refused a request of the feed. Watchers are told once that has lasted for the
    /// timeout of a call, and again each time it has lasted as long once more.
    fn note_refusal(&self, run: u64, error: &Error) {
        if error.kind() == ErrorKind::Unreachable {
            return;
        }
        let Some(mut state) = self.lock_run(run) else { return };
        let now = Instant::now();
        let is_new = state.refusal.is_none();
        let refusal = state.refusal.get_or_insert_with(|| Refusal { error: error.clone(), told: now });
        refusal.error = error.clone();
        let tells = now - refusal.told >= self.cluster.timeout;
        if tells {
            refusal.told = now;
        }
        drop(state);
        if is_new {
            report(|| tracing::warn!(%error, "the cluster refuses the feed of changes"));
        }
        if tells {
            self.sink.feed_refused(error);
        }
    }

    fn end_refusal(&self, run: u64) {
        let ended = self.lock_run(run).and_then(|mut state| state.refusal.take());
        if ended.is_some() {
            report(|| tracing::warn!("the cluster tells of changes again"));
        }
    }

    /// The state of the feed; `None` while it is stopped.
    pub fn feed(&self) -> Option<Feed> {
        let state = locked(&self.state);
        state.tasks.as_ref()?;
        Some(Feed {
            connected_since: state.connected.map(|(since, _)| since),
            member: state.connected.map(|(_, member)| self.cluster.endpoint(member).to_owned()),
            revision: state.seen,
            lag: state.fresh_at.map(|at| at.elapsed()),
            interruptions: state.interruptions,
            refusal: state.refusal.as_ref().map(|refusal| refusal.error.to_string()),
        })
    }

    fn note_fresh(&self, time: Instant) {
        if let Some(cache) = &self.cache {
            cache.note_fresh(time.into_std());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::data::Event;
    use crate::engine::Interest;
    use crate::engine::etcd::client::Address;
    use crate::engine::etcd::layout::Meta;

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

        fn offers(&self, _: &[Arc<Event>]) -> u64 {
            0
        }

        fn restored(&self, _: &Arc<str>, _: Revision) {}

        fn feed_refused(&self, _: &Error) {}

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
        let lineage = Arc::new(Lineage::new(&layout, Asked::default(), 0, Meta::default(), false));
        let sink = Arc::clone(&published) as Arc<dyn Sink>;
        let follower = Follower::new(cluster, layout, log, sink, lineage, None);
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
