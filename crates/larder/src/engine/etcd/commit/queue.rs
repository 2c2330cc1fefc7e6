//! The queue of commits: callers put commits into it, and one task takes them out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::data::{Error, Result};
use crate::engine::{Commit, Committed};

/// How long the next transaction waits at most for the callers that were just answered.
const GATHER_MAX: Duration = Duration::from_millis(1);
const GATHER_POLL: Duration = Duration::from_micros(20);

/// For how many rounds gathering is skipped at most after it was in vain.
const SKIPPED_ROUNDS_MAX: u32 = 63;

/// A commit in the queue, and where its answer goes.
pub struct QueuedCommit {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Committed>>,
}

/// The callers' end of the queue.
#[derive(Clone)]
pub struct CommitSender(mpsc::UnboundedSender<QueuedCommit>);

impl CommitSender {
    /// Queues a commit at once. The returned future waits for its answer.
    pub fn send(&self, commit: Commit) -> impl Future<Output = Result<Committed>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send(QueuedCommit { commit, reply });
        async move {
            sent.map_err(|_| Error::Closed)?;
            answer.await.map_err(|_| Error::Closed)?
        }
    }
}

/// The committing task's end of the queue.
pub struct CommitQueue {
    incoming: mpsc::UnboundedReceiver<QueuedCommit>,
    /// In the order in which they will be committed.
    pub waiting: VecDeque<QueuedCommit>,
    /// How many commits were waiting when the last ones were answered, including these.
    expected: usize,
    /// Each time gathering is in vain, it is skipped for more rounds: how many the last time, and how many are
    /// left.
    skipped_rounds: (u32, u32),
}

/// Creates an empty queue.
pub fn commit_queue() -> (CommitSender, CommitQueue) {
    let (sender, incoming) = mpsc::unbounded_channel();
    let queue = CommitQueue { incoming, waiting: VecDeque::new(), expected: 0, skipped_rounds: (0, 0) };
    (CommitSender(sender), queue)
}

impl CommitQueue {
    /// Waits for a commit. Returns `false` once no caller can send one.
    pub async fn wait(&mut self) -> bool {
        if self.waiting.is_empty() {
            let Some(queued) = self.incoming.recv().await else { return false };
            self.waiting.push_back(queued);
        }
        self.receive();
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
            self.waiting.push_back(queued);
        }
    }
}
