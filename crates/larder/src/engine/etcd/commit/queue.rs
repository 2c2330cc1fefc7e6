//! The queue of commits: callers put commits into it, and one task takes them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::data::{Error, Result, contained};
use crate::engine::etcd::client::{Asked, Cluster, Timeline};
use crate::engine::{Commit, Committed, Party, Share, Turn, Turns};

/// How long the next transaction waits at most for the callers that were just answered.
const GATHER_MAX: Duration = Duration::from_millis(1);
const GATHER_POLL: Duration = Duration::from_micros(20);

/// For how many rounds gathering is skipped at most after it was in vain.
const SKIPPED_ROUNDS_MAX: u32 = 63;

/// How many commits wait in the order in which they will be committed. The others wait for the turns of their parties.
const WAITING_MAX: usize = 1024;

/// A commit in the queue, and where its answer goes.
pub struct QueuedCommit {
    pub commit: Commit,
    /// Whose turn it waits for.
    pub party: Party,
    /// What was known when it was queued.
    pub asked: Asked,
    /// Whether the store was beginning anew after a restore just then, so that watchers were not told yet.
    pub was_recovering: bool,
    pub reply: oneshot::Sender<Result<Committed>>,
}

impl QueuedCommit {
    /// Answers the caller, unless it has given up.
    pub fn answer(self, result: Result<Committed>) {
        contained("the waker of a task that waits for a commit", || drop(self.reply.send(result)));
    }

    /// Whether it names a place in a history that is over, since the cluster was restored.
    pub fn is_of_the_past(&self, timeline: &Timeline) -> bool {
        (self.was_recovering && self.commit.names_a_position())
            || (timeline.is_over(self.asked)
                && (self.commit.names_a_position() || self.commit.names_a_revision()))
    }
}

/// The callers' end of the queue.
#[derive(Clone)]
pub struct CommitSender {
    sender: mpsc::UnboundedSender<QueuedCommit>,
    cluster: Arc<Cluster>,
}

impl CommitSender {
    /// Queues a commit at once. The returned future waits for its answer.
    pub fn send(&self, commit: Commit) -> impl Future<Output = Result<Committed>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let timeline = &self.cluster.timeline;
        // In this order, so that a restore that is noticed in between counts.
        let asked = timeline.ask();
        let was_recovering = timeline.is_recovering();
        let party = Share::of(&commit).party;
        let sent = self.sender.send(QueuedCommit { commit, party, asked, was_recovering, reply });
        async move {
            sent.map_err(|_| Error::Closed)?;
            answer.await.map_err(|_| Error::Closed)?
        }
    }
}

/// The committing task's end of the queue.
pub struct CommitQueue {
    incoming: mpsc::UnboundedReceiver<QueuedCommit>,
    /// What waits for the turns of its parties.
    turns: Turns<QueuedCommit>,
    /// In the order in which they will be committed.
    pub waiting: VecDeque<QueuedCommit>,
    /// How many commits were waiting when the last ones were answered, including these.
    expected: usize,
    /// Each time gathering is in vain, it is skipped for more rounds: how many the last time, and how many are
    /// left.
    skipped_rounds: (u32, u32),
}

/// Creates an empty queue.
pub fn commit_queue(cluster: Arc<Cluster>) -> (CommitSender, CommitQueue) {
    let (sender, incoming) = mpsc::unbounded_channel();
    let (turns, waiting) = (Turns::default(), VecDeque::new());
    let queue = CommitQueue { incoming, turns, waiting, expected: 0, skipped_rounds: (0, 0) };
    (CommitSender { sender, cluster }, queue)
}

impl CommitQueue {
    /// Waits for a commit. Returns `false` once no caller can send one.
    pub async fn wait(&mut self) -> bool {
        self.receive();
        if self.waiting.is_empty() {
            let Some(queued) = self.incoming.recv().await else { return false };
            self.turns.push(queued.party, queued);
            self.receive();
        }
        // A caller that gave up before its commit was begun no longer wants it.
        self.waiting.retain(|queued| !queued.reply.is_closed());
        true
    }

    /// Takes out the first `count` commits, which are about to be answered.
    pub fn take(&mut self, count: usize) -> Vec<QueuedCommit> {
        self.receive();
        self.expected = self.waiting.len();
        self.waiting.drain(..count).collect()
    }

    /// Takes out the commits that name a place in a history that is over.
    pub fn take_past(&mut self, timeline: &Timeline) -> Vec<QueuedCommit> {
        let (past, waiting) =
            self.waiting.drain(..).partition::<Vec<_>, _>(|queued| queued.is_of_the_past(timeline));
        self.waiting = waiting.into();
        past
    }

    /// Waits a little for the callers that were just answered. They often commit again at once, and one
    /// transaction for all takes hardly longer than one for half of them.
    pub async fn gather(&mut self, time_max: Duration) {
        let expected = std::mem::take(&mut self.expected);
        self.receive();
        let missing = expected.saturating_sub(self.waiting.len());
        if expected <= 1 || missing == 0 {
            return;
        }
        let (last, left) = &mut self.skipped_rounds;
        if *left > 0 {
            *left -= 1;
            return;
        }
        let last = *last;
        let until = Instant::now() + time_max.min(GATHER_MAX);
        while self.waiting.len() < expected && Instant::now() < until {
            // The runtime's timer is too coarse for this, and spinning would keep the callers from a core.
            std::thread::sleep(GATHER_POLL);
            yield_now().await;
            self.receive();
        }
        let in_vain = expected.saturating_sub(self.waiting.len()) > missing / 2;
        let rounds = if in_vain { (2 * last + 1).min(SKIPPED_ROUNDS_MAX) } else { 0 };
        self.skipped_rounds = (rounds, rounds);
    }

    fn receive(&mut self) {
        while let Ok(queued) = self.incoming.try_recv() {
            self.turns.push(queued.party, queued);
        }
        while self.waiting.len() < WAITING_MAX
            && let Some(queued) = self.turns.take(|_, _| Turn::Take)
        {
            self.waiting.push_back(queued);
        }
    }
}
