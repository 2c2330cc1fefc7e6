//! Hears of all commits, this process's own too: while somebody watches, or always where there is a near cache.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use prost::Message;

use super::cluster::{Cluster, Trouble, at_most};
use super::fetch::Moment;
use super::layout::{Layout, StoredEntry};
use super::log::{Assembler, Heard, Log};
use super::near_cache::NearCache;
use crate::data::{Event, Facts, Found, Result, Revision, clock};
use crate::engine::Sink;

/// How often one asks how far the store has come, to be sure that nothing is missed.
const PULSE: Duration = Duration::from_millis(1000);

/// How long what the store is known to have may take to be heard of.
const LATE: Duration = Duration::from_secs(2);

/// How long to rest before a lost stream is opened anew.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Follows the feed.
pub(super) struct Follower {
    cluster: Arc<Cluster>,
    layout: Layout,
    log: Arc<Log>,
    sink: Arc<dyn Sink>,
    /// What it keeps fresh.
    cache: Option<Arc<NearCache>>,
    state: Mutex<State>,
    /// The stream seems to stand still.
    stuck: Notify,
}

#[derive(Default)]
struct State {
    tasks: Option<[JoinHandle<()>; 2]>,
    /// How often it was stopped: tells the tasks from those before. One that is aborted goes on to where it waits
    /// next, and the next ones may have begun by then.
    run: u64,
    /// The last commit that was told of.
    seen: Revision,
    /// Who waits for it to come to a commit.
    waiting: Vec<(Revision, oneshot::Sender<()>)>,
    /// A commit that is known to have happened, since when it is.
    expected: Option<(Revision, Instant)>,
}

impl Follower {
    pub fn new(
        cluster: Arc<Cluster>,
        layout: Layout,
        log: Arc<Log>,
        sink: Arc<dyn Sink>,
        cache: Option<Arc<NearCache>>,
    ) -> Self {
        Self { cluster, layout, log, sink, cache, state: Mutex::default(), stuck: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a task of a run; `None` where that was stopped.
    fn lock_in(&self, run: u64) -> Option<MutexGuard<'_, State>> {
        Some(self.lock()).filter(|state| state.run == run)
    }

    fn is_running(&self) -> bool {
        self.lock().tasks.is_some()
    }

    /// Starts following, unless that has begun. From when this returns, no commit goes unheard.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = super::fetch::key(&self.cluster, &self.layout.log(), Moment::Now).await;
        let (log, revision) = log.map_err(|trouble| self.cluster.error(trouble))?;
        let seen = Revision(log.revision.cast_unsigned());
        let mut state = self.lock();
        if state.tasks.is_none() {
            state.seen = seen;
            state.expected = None;
            // So that what comes next is known to be the next.
            self.sink.publish(Revision(0), seen, None);
            if let Some(cache) = &self.cache {
                cache.has_seen(seen);
            }
            let following = tokio::spawn(Arc::clone(self).follow(state.run, revision + 1));
            let asking = tokio::spawn(Arc::clone(self).ask(state.run));
            state.tasks = Some([following, asking]);
        }
        Ok(())
    }

    pub fn stop(&self) {
        let mut state = self.lock();
        state.run += 1;
        for task in state.tasks.take().into_iter().flatten() {
            task.abort();
        }
        // Nobody waits for what will not come.
        state.waiting.clear();
    }

    /// Where a commit has not been told of yet: when it has been. One that takes too long is left to the
    /// log, where every watcher finds it.
    pub fn reach(self: &Arc<Self>, revision: Revision) -> Option<impl Future<Output = ()> + Send + 'static> {
        let mut state = self.lock();
        if state.tasks.is_none() || state.seen >= revision {
            return None;
        }
        let (tell, told) = oneshot::channel();
        state.waiting.push((revision, tell));
        let follower = Arc::clone(self);
        Some(async move {
            if at_most(LATE, told).await.is_none() {
                if let Some(cache) = &follower.cache {
                    cache.require(revision);
                }
                follower.sink.others_committed();
                follower.stuck.notify_one();
            }
        })
    }

    /// Asks now and then how far the store has come: a stream that stands still says nothing.
    async fn ask(self: Arc<Self>, run: u64) {
        let pulse = self.cache.as_ref().map_or(PULSE, |cache| cache.pulse());
        loop {
            let asked = Instant::now();
            let Ok(latest) = self.log.latest(Moment::Now).await else {
                sleep(pulse).await;
                continue;
            };
            self.compare(run, latest, asked);
            sleep(pulse).await;
        }
    }

    /// The store had come so far at a time.
    fn compare(&self, run: u64, latest: Revision, asked: Instant) {
        let Some(mut state) = self.lock_in(run) else { return };
        if latest <= state.seen {
            state.expected = None;
            self.was_fresh_at(asked);
            return;
        }
        let (expected, since) = *state.expected.get_or_insert((latest, asked));
        if expected <= state.seen {
            state.expected = Some((latest, asked));
        } else if since.elapsed() > LATE {
            state.expected = None;
            drop(state);
            self.stuck.notify_one();
        }
    }

    fn was_fresh_at(&self, time: Instant) {
        if let Some(cache) = &self.cache {
            cache.was_fresh_at(time.into_std());
        }
    }

    async fn follow(self: Arc<Self>, run: u64, mut start: i64) {
        let mut pause = PAUSE_MIN;
        loop {
            let (began, from) = (Instant::now(), start);
            if let Err(trouble) = self.follow_stream(run, &mut start).await {
                match trouble {
                    // What was in between is lost to the stream, and perhaps to the log, which will say so.
                    Trouble::Compacted => {
                        if let Ok((log, revision)) =
                            super::fetch::key(&self.cluster, &self.layout.log(), Moment::Now).await
                        {
                            start = revision + 1;
                            self.skip_to(run, Revision(log.revision.cast_unsigned()));
                        }
                    }
                    trouble => {
                        tracing::debug!(error = %self.cluster.error(trouble), "the feed is interrupted")
                    }
                }
            }
            let went_well = start > from || began.elapsed() > PAUSE_MAX;
            pause = if went_well { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            sleep(pause).await;
        }
    }

    /// Follows one stream until it ends or stands still.
    async fn follow_stream(&self, run: u64, start: &mut i64) -> Result<(), Trouble> {
        let (mut stream, member) = self.cluster.watch(&self.layout.feed(), *start).await?;
        let mut assembler = Assembler::new(self.layout.clone());
        loop {
            let response = tokio::select! {
                message = stream.message() => match message {
                    Ok(Some(response)) => response,
                    _ => return Ok(()),
                },
                () = self.stuck.notified() => {
                    self.cluster.turn_from(member);
                    return Ok(());
                }
            };
            if response.canceled() {
                return if response.compact_revision() > 0 { Err(Trouble::Compacted) } else { Ok(()) };
            }
            match assembler.take(&response) {
                Ok(commits) => {
                    for heard in commits {
                        *start = heard.revision.0.cast_signed() + 1;
                        self.freshen(&heard);
                        if let Some(events) = &heard.events {
                            self.tell(run, heard.revision, events);
                        }
                    }
                }
                Err(detail) => {
                    tracing::error!(%detail, "what the feed brings makes no sense");
                    // What became of entries by then is not known, though what comes next may make sense again.
                    if let Some(cache) = &self.cache {
                        cache.clear();
                    }
                    self.sink.others_committed();
                }
            }
        }
    }

    /// Takes over into the cache what has become of entries. Before anybody is told of it: whoever has heard
    /// of a change does not read what was before.
    fn freshen(&self, heard: &Heard) {
        let Some(cache) = &self.cache else { return };
        for (path, value) in &heard.entries {
            let Some((group, key)) = self.layout.entry_names(path) else { continue };
            cache.change(&group, &key, heard.revision, || {
                let StoredEntry { value, expires_at_ms } = StoredEntry::decode(value.clone()?).ok()?;
                Some(Found::new(&group, &key, &value, Facts { revision: heard.revision, expires_at_ms }))
            });
        }
    }

    fn tell(&self, run: u64, revision: Revision, events: &[Arc<Event>]) {
        let Some(state) = self.lock_in(run) else { return };
        let previous = state.seen;
        if revision <= previous {
            return;
        }
        // With the lock held: nothing of a run is told any more once the next one has begun.
        self.sink.publish(previous, revision, Some(events));
        let expiring = events.iter().filter(|event| event.kind == crate::data::EventKind::Set);
        if let Some(at) = expiring.filter_map(|event| event.expires_at).min() {
            self.sink.will_expire(clock::ms(at));
        }
        self.has_come_to(revision, state);
    }

    /// Everything up to a revision was told of.
    fn has_come_to(&self, revision: Revision, mut state: MutexGuard<'_, State>) {
        if let Some(cache) = &self.cache {
            cache.has_seen(revision);
        }
        state.seen = revision;
        if let Some((_, since)) = state.expected.take_if(|(expected, _)| *expected <= revision) {
            self.was_fresh_at(since);
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (reached, waiting) = waiting.into_iter().partition(|(awaited, _)| *awaited <= revision);
        state.waiting = waiting;
        drop(state);
        for (_, tell) in reached {
            let _ = tell.send(());
        }
    }

    /// What came up to a revision was missed, and can only be found in the log, if there.
    fn skip_to(&self, run: u64, revision: Revision) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        let Some(state) = self.lock_in(run) else { return };
        self.has_come_to(revision, state);
        self.sink.others_committed();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::address::Address;
    use super::*;
    use crate::engine::Interest;

    /// The last revision that was published.
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
    fn a_run_that_was_stopped_tells_nothing_and_sets_nothing_back() {
        let address = Address::parse("//127.0.0.1:1/app").unwrap();
        let cluster = Arc::new(Cluster::new(&address, Duration::ZERO).unwrap());
        let layout = Layout::new("app");
        let log = Arc::new(Log::new(Arc::clone(&cluster), layout.clone(), 0));
        let published = Arc::new(Published::default());
        let follower = Follower::new(cluster, layout, log, Arc::clone(&published) as Arc<dyn Sink>, None);
        let at = || (follower.lock().seen, Revision(published.0.load(Ordering::SeqCst)));
        follower.tell(0, Revision(4), &[]);
        assert_eq!(at(), (Revision(4), Revision(4)));

        follower.stop();
        follower.tell(1, Revision(8), &[]);
        follower.tell(0, Revision(9), &[]);
        follower.skip_to(0, Revision(6));
        follower.compare(0, Revision(9), Instant::now());
        assert_eq!(at(), (Revision(8), Revision(8)));
        assert!(follower.lock().expected.is_none());
    }
}
