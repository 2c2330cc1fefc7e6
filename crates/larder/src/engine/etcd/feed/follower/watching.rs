//! Follows watch after watch: updates the cache, and publishes what each watch brings.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, SystemTime};

use prost::Message;
use tokio::time::{Instant, sleep};

use super::{Follower, State};
use crate::data::{Event, EventKind, Facts, Found, Revision, clock, contained, locked, report};
use crate::engine::etcd::client::{Asked, CallError, KeyState, ReadAt, header_of};
use crate::engine::etcd::feed::assembler::{Assembler, WatchedRevision};
use crate::engine::etcd::layout::StoredEntry;
use crate::engine::etcd::lineage::AskedForKey;

/// How long to pause before a lost watch is reopened.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Follower {
    /// Follows watch after watch.
    pub(super) async fn follow(self: Arc<Self>, run: u64, mut start: i64) {
        let mut pause = PAUSE_MIN;
        loop {
            let (began, from) = (Instant::now(), start);
            let followed = self.follow_watch(run, &mut start).await;
            if let Some(mut state) = self.lock_run(run) {
                state.connected = None;
                state.interruptions += 1;
            }
            match followed {
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
                    let error = self.cluster.error(error);
                    self.note_refusal(run, &error);
                    report(|| tracing::debug!(%error, "the change feed is interrupted"));
                }
            }
            let went_well = start > from || began.elapsed() > PAUSE_MAX;
            pause = if went_well { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            sleep(pause).await;
        }
    }

    /// Follows one watch until it ends or stalls. Moves `start` behind the last revision that it has brought.
    async fn follow_watch(&self, run: u64, start: &mut i64) -> Result<(), CallError> {
        let asked = self.cluster.timeline.ask();
        let history = locked(&self.state).history;
        if self.cluster.timeline.is_over(history) {
            // What the watch would bring does not follow what the last one has brought. The next run begins anew.
            return Ok(());
        }
        let (mut stream, member) = self.cluster.watch(&self.layout.feed(), *start).await?;
        if let Some(mut state) = self.lock_run(run) {
            state.connected = Some((SystemTime::now(), member));
        }
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
            if let Some(header) = response.header().map(header_of) {
                if self.cluster.timeline.is_other(header) {
                    // A call finds out whether the cluster was restored, or the member belongs to a foreign one.
                    let _ = self.read_latest().await;
                    return Ok(());
                }
                self.cluster.timeline.look_at(asked, header, false);
            }
            if response.canceled() {
                return if response.compact_revision() > 0 { Err(CallError::Compacted) } else { Ok(()) };
            }
            match assembler.add(&response) {
                Ok(revisions) => {
                    for watched in revisions {
                        *start = watched.revision.0.cast_signed() + 1;
                        self.check_identity(&watched, history);
                        if let Some(record) = &watched.record {
                            self.cluster.note_commit(history, watched.revision.0.cast_signed(), record);
                        }
                        self.update_cache(&watched);
                        let Some(events) = &watched.events else { continue };
                        let publish = || self.publish(run, watched.revision, events);
                        if contained("what receives commits", publish).is_none() {
                            // The log has what was not published.
                            self.skip_to(run, watched.revision);
                        }
                    }
                }
                Err(detail) => {
                    report(|| tracing::error!(%detail, "the change feed is damaged"));
                    self.log.recent.interrupt();
                    // It is unknown which entries have changed.
                    if let Some(cache) = &self.cache {
                        cache.clear();
                    }
                    self.sink.others_committed();
                }
            }
        }
    }

    /// Notices that another client has given the store another identity, since the cluster was restored.
    fn check_identity(&self, watched: &WatchedRevision, history: Asked) {
        let Some(value) = watched.entries.get(self.lineage.key()) else { return };
        let state = KeyState { revision: watched.revision.0.cast_signed(), value: value.clone() };
        if let Err(error) = self.lineage.learn(&self.cluster, AskedForKey::by_watch(history), &state) {
            report(|| tracing::error!(%error, "the store is gone, or not this larder's any more"));
            self.sink.feed_refused(&error);
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

    pub(super) fn publish(&self, run: u64, revision: Revision, events: &[Arc<Event>]) {
        let Some(state) = self.lock_run(run) else { return };
        let previous = state.seen;
        if revision <= previous {
            return;
        }
        // Before, so that whoever is sent to the log finds it there.
        self.log.recent.add(revision, events);
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
            state.fresh_at = Some(since);
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
    pub(super) fn skip_to(&self, run: u64, revision: Revision) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        let Some(state) = self.lock_run(run) else { return };
        self.log.recent.begin(revision);
        self.advance(revision, state);
        self.sink.others_committed();
    }
}
