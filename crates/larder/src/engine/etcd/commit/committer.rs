//! Commits for all threads of a process: a task takes commits from the queue and submits them in cohorts.
//!
//! The task drafts as many queued batches as one etcd transaction holds. Whatever it decides on the way, also
//! that a batch is refused or changes nothing, depends on what the transaction compares, and is only answered
//! once the transaction has confirmed it.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::alone::{CommittedAlone, attempt_alone};
use super::cohort::form_cohort;
use super::fence::Fence;
use super::queue::{CommitQueue, QueuedCommit};
use super::rivals::{EAGER_ATTEMPTS, prepare_to_try_again};
use super::submit::{Submission, submit};
use super::writer_turns::WriterTurns;
use crate::data::{Clock, Error, Event, Result, Revision, clock, panicked, report};
use crate::engine::etcd::client::{CallError, Cluster, ReadAt, Timeline};
use crate::engine::etcd::draft::{
    Applied, Basis, Draft, DraftContext, Knowledge, PendingRecord, StepError, Wanted, fetch,
};
use crate::engine::etcd::feed::Follower;
use crate::engine::{Committed, Interest, Outcome, Sink};

/// How many batches are drafted together at most: about as many as a transaction has operations. A lone writer
/// may nest its operations, and drafts more.
const COHORT_MAX: usize = 128;
const LONE_COHORT_MAX: usize = 1024;

/// How often facts may be missing before the timeout of a call counts. Usually it is once or twice.
const FETCHES_MAX: u32 = 16;

/// The next cohort waits for this part of the time that the last one took, for the callers just answered.
const GATHER_PART: u32 = 4;

/// Commits for all threads of a process.
pub struct Committer {
    pub cluster: Arc<Cluster>,
    pub context: Arc<DraftContext>,
    pub clock: Arc<dyn Clock>,
    pub sink: Arc<dyn Sink>,
    pub follower: Arc<Follower>,
    /// Held while a transaction is drafted and submitted: a process submits one at a time. Taken by those who have their
    /// turn, so that nobody waits for it.
    pub writer: Mutex<Writer>,
    pub turns: Arc<WriterTurns>,
}

/// The state of the process's one writer.
pub struct Writer {
    /// The draft of the next cohort. Its knowledge lasts from one to the next.
    pub draft: Draft,
    pub fence: Fence,
}

impl Writer {
    fn new(context: &Arc<DraftContext>) -> Self {
        let draft = Draft::new(Arc::clone(context), Knowledge::default(), 0);
        Self { draft, fence: Fence::new() }
    }

    /// Forgets what was true before the cluster was restored, if it was.
    pub fn forget_lost_facts(&mut self, timeline: &Timeline) {
        if timeline.is_over(self.fence.history) {
            self.draft.knowledge = Knowledge::default();
            self.fence.switch();
            self.fence.history = timeline.ask();
        }
    }
}

/// A batch in a draft: its outcome, and which changes of the draft are its own.
struct DraftedBatch {
    result: Result<Vec<Outcome>>,
    changes: Range<usize>,
}

/// What drafting a cohort has come to.
enum CohortDraft {
    /// The first batches of the cohort are in the draft.
    Ready(Vec<DraftedBatch>),
    /// Facts were missing and are now fetched.
    Fetched,
    /// The first batch is too large to share a transaction.
    FirstTooLarge,
}

impl Committer {
    pub fn new(
        cluster: Arc<Cluster>,
        context: Arc<DraftContext>,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn Sink>,
        follower: Arc<Follower>,
    ) -> Self {
        let writer = Mutex::new(Writer::new(&context));
        Self { cluster, context, clock, sink, follower, writer, turns: Arc::default() }
    }

    /// Commits what is queued, until no caller can queue anything.
    pub async fn run(self: Arc<Self>, mut queue: CommitQueue) {
        while queue.wait().await {
            let began = Instant::now();
            let Ok(turn) = self.turns.for_batches().await else { return };
            let mut writer = self.writer.lock().await;
            let waiting = queue.waiting.len();
            let committing = AssertUnwindSafe(self.commit_cohort(&mut writer, &mut queue)).catch_unwind();
            if let Err(panic) = committing.await {
                let error = panicked("the task that commits", &*panic);
                report(|| tracing::error!(%error, "the store goes on"));
                // It is unknown what the panic has left behind.
                *writer = Writer::new(&self.context);
                if queue.waiting.len() == waiting {
                    reply_error(queue.waiting.drain(..1), &error);
                }
            }
            drop(writer);
            drop(turn);
            queue.gather(began.elapsed() / GATHER_PART).await;
        }
    }

    /// Commits the first cohort of the queue. At least one commit is answered.
    async fn commit_cohort(&self, writer: &mut Writer, queue: &mut CommitQueue) {
        let began = Instant::now();
        let mut limit = LONE_COHORT_MAX;
        let mut attempts = 0;
        let mut fetches = 0;
        writer.draft.knowledge.forget_spans();
        // The facts about expired entries are keyed by the time, so the time stands still until they are
        // fetched.
        let mut now_ms = match clock::try_now_ms(&*self.clock) {
            Ok(now_ms) => now_ms,
            Err(error) => return reply_error(queue.waiting.drain(..1), &error),
        };
        while !queue.waiting.is_empty() {
            writer.forget_lost_facts(&self.cluster.timeline);
            let past = queue.take_past(&self.cluster.timeline);
            if !past.is_empty() {
                return reply_error(past.into_iter(), &self.restored().await);
            }
            let CommitQueue { waiting, .. } = &mut *queue;
            let Writer { draft, fence } = &mut *writer;
            draft.restart(now_ms);
            let most = limit.min(if draft.basis == Basis::LoneWriter { LONE_COHORT_MAX } else { COHORT_MAX });
            let cohort = form_cohort(waiting, most);
            let drafted = match self.draft_cohort(draft, waiting, cohort).await {
                Ok(CohortDraft::Ready(drafted)) => drafted,
                // If the facts were compacted, they came in several answers of a revision that is gone by now.
                Ok(CohortDraft::Fetched) | Err(CallError::Compacted) => {
                    fetches += 1;
                    if fetches > FETCHES_MAX && began.elapsed() >= self.cluster.timeout {
                        return reply_error(waiting.drain(..cohort), &self.contended(fetches, began));
                    }
                    continue;
                }
                Ok(CohortDraft::FirstTooLarge) => {
                    let Some(queued) = waiting.pop_front() else { return };
                    return self.commit_alone(writer, queued).await;
                }
                Err(error) => return reply_error(waiting.drain(..cohort), &self.cluster.error(error)),
            };
            debug_assert!(!drafted.is_empty(), "the first batch of a cohort is always decided");
            attempts += 1;
            let count = drafted.len();
            match submit(&self.cluster, &self.context, fence, draft).await {
                Ok(Submission::Applied(applied)) => {
                    draft.learn_applied(&applied);
                    let queued = queue.take(count);
                    return self.reply(&writer.draft.record, queued, drafted, &applied);
                }
                Ok(Submission::Stale)
                    if began.elapsed() >= self.cluster.timeout && attempts > EAGER_ATTEMPTS =>
                {
                    return reply_error(waiting.drain(..count), &self.contended(attempts, began));
                }
                Ok(Submission::Stale) => {
                    // It may be that only one batch of the cohort loses to another writer each time.
                    limit = if attempts > EAGER_ATTEMPTS { (count / 2).max(1) } else { limit };
                    prepare_to_try_again(&self.cluster, attempts).await;
                    now_ms = match clock::try_now_ms(&*self.clock) {
                        Ok(now_ms) => now_ms,
                        Err(error) => return reply_error(queue.waiting.drain(..1), &error),
                    };
                }
                // The draft's estimate of its size was a little too low.
                Err(CallError::Refused { error: Error::TooMuchAtOnce { .. }, sent: false }) if count > 1 => {
                    limit = count / 2;
                }
                Err(error) => {
                    return reply_error(waiting.drain(..count), &self.cluster.write_error(error));
                }
            }
        }
    }

    /// The error of a commit to which other writers were faster each time.
    pub fn contended(&self, attempts: u32, began: Instant) -> Error {
        self.cluster.counts.contended.fetch_add(1, Ordering::Relaxed);
        Error::Contended { location: self.cluster.location.clone(), attempts, waited: began.elapsed() }
    }

    /// The error of a commit that names a place in a history that is over.
    async fn restored(&self) -> Error {
        match self.cluster.read_key(&self.context.layout.log(), ReadAt::Linearizable).await {
            Ok((log, _)) => Error::ClusterRestored { latest: Revision(log.revision.cast_unsigned()) },
            Err(error) => self.cluster.error(error),
        }
    }

    /// Drafts as many of the first `cohort` batches as fit. If facts are missing, fetches them instead; then
    /// the cohort has to be drafted again.
    async fn draft_cohort(
        &self,
        draft: &mut Draft,
        waiting: &VecDeque<QueuedCommit>,
        cohort: usize,
    ) -> Result<CohortDraft, CallError> {
        let mut missing: HashSet<Wanted> = HashSet::new();
        if draft.basis == Basis::LoneWriter {
            let marks = [self.context.layout.log(), self.context.layout.quotas()].map(Wanted::Key);
            missing.extend(marks.into_iter().filter(|wanted| !draft.knowledge.has(wanted)));
        }
        let mut drafted: Vec<DraftedBatch> = Vec::new();
        for queued in waiting.iter().take(cohort) {
            let savepoint = draft.savepoint();
            let before = draft.record.len();
            let result = match draft.apply_batch(&queued.commit) {
                Ok(outcomes) => Ok(outcomes),
                Err(StepError::Refused(error)) => {
                    draft.roll_back_writes(savepoint);
                    Err(error)
                }
                Err(StepError::Damaged(detail)) => {
                    draft.roll_back_writes(savepoint);
                    Err(self.cluster.damaged(detail))
                }
                Err(StepError::Missing(facts)) => {
                    draft.roll_back(savepoint);
                    missing.extend(facts);
                    missing.extend(draft.missing_facts(&queued.commit));
                    continue;
                }
                Err(StepError::NeedsOwnRevision) => {
                    draft.roll_back(savepoint);
                    break;
                }
            };
            if draft.excess().is_some() {
                draft.roll_back(savepoint);
                if drafted.is_empty() && missing.is_empty() {
                    return Ok(CohortDraft::FirstTooLarge);
                }
                break;
            }
            drafted.push(DraftedBatch { result, changes: before..draft.record.len() });
        }
        if missing.is_empty() {
            return Ok(CohortDraft::Ready(drafted));
        }
        let missing: Vec<_> = missing.into_iter().collect();
        fetch(&self.cluster, &missing, ReadAt::Serializable, &mut draft.knowledge).await?;
        Ok(CohortDraft::Fetched)
    }

    async fn commit_alone(&self, writer: &mut Writer, queued: QueuedCommit) {
        let began = Instant::now();
        for attempts in 1.. {
            writer.forget_lost_facts(&self.cluster.timeline);
            if queued.is_of_the_past(&self.cluster.timeline) {
                return queued.answer(Err(self.restored().await));
            }
            let now_ms = match clock::try_now_ms(&*self.clock) {
                Ok(now_ms) => now_ms,
                Err(error) => return queued.answer(Err(error)),
            };
            let attempt =
                attempt_alone(&self.cluster, &self.context, &mut writer.fence, &queued.commit, now_ms);
            let result = match attempt.await {
                Ok(None) if began.elapsed() < self.cluster.timeout => {
                    prepare_to_try_again(&self.cluster, attempts).await;
                    continue;
                }
                Ok(None) => Err(self.contended(attempts, began)),
                Ok(Some(CommittedAlone { mut draft, outcomes, applied })) => {
                    draft.teach_applied(&mut writer.draft.knowledge, &applied);
                    let drafted = DraftedBatch { result: Ok(outcomes), changes: 0..draft.record.len() };
                    return self.reply(&draft.record, vec![queued], vec![drafted], &applied);
                }
                Err(error) => Err(error),
            };
            return queued.answer(result);
        }
    }

    /// Answers the callers of commits that were applied, and tells the expiry timer.
    fn reply(
        &self,
        record: &PendingRecord,
        queued: Vec<QueuedCommit>,
        drafted: Vec<DraftedBatch>,
        applied: &Applied,
    ) {
        let events = self.events(record, applied.own_revision());
        let answers: Vec<_> = queued
            .into_iter()
            .zip(drafted)
            .map(|(queued, drafted)| {
                let events = events.get(drafted.changes.clone()).unwrap_or_default().to_vec();
                let revision = if drafted.changes.is_empty() {
                    applied.latest_revision()
                } else {
                    applied.own_revision()
                };
                (queued, drafted.result.map(|outcomes| Committed { revision, outcomes, events }))
            })
            .collect();
        if let Some(at_ms) = record.soonest_expiry_ms() {
            self.sink.will_expire(at_ms);
        }
        let answer = move || {
            for (queued, answer) in answers {
                queued.answer(answer);
            }
        };
        // A caller is answered once its process's watchers have received the commit.
        let received = (!record.is_empty()).then(|| self.follower.wait_for(applied.own_revision()));
        match received.flatten() {
            None => answer(),
            Some(received) => drop(tokio::spawn(async move {
                received.await;
                answer();
            })),
        }
    }

    /// The events of a commit, where callbacks need them.
    pub fn events(&self, record: &PendingRecord, revision: Revision) -> Vec<Arc<Event>> {
        if self.sink.interest() == Interest::Every { record.events(revision) } else { Vec::new() }
    }
}

fn reply_error(queued: impl Iterator<Item = QueuedCommit>, error: &Error) {
    for queued in queued {
        queued.answer(Err(error.clone()));
    }
}
