//! Makes commits, one at a time, and delivers them.
//!
//! Whoever finds nobody at work leads: it makes its own commit, then those that were queued meanwhile, by the turns of
//! their parties. So a commit that nobody competes with is made by its own thread, and no thread has to be woken. A
//! transaction leads while its closure runs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};

use super::delivery::Delivery;
use super::draft::Draft;
use super::index::Hashes;
use super::open_transaction::OpenTransaction;
use super::published::{Judging, Published, Remains};
use super::state::State;
use super::ticket::{Caller, Ticket, Told, Work};
use crate::data::{Clock, ClockWatch, Error, History, Result, caught, clock, locked, unpoisoned};
use crate::engine::{
    Answer, Body, Commit, Committed, Duty, Interest, Mutation, Outcome, Party, Pending, Process, Settings,
    Share, Sink, Transact, Turn, Turns,
};
use crate::rules::LogLimits;

/// How many queued commits a leader makes before it gives the lead to a thread that waits.
const LED_MAX: usize = 64;

/// How long a number is as text, at most.
const NUMBER_LEN_MAX: usize = 20;

/// Takes commits from any number of threads.
pub(super) struct Committer {
    queue: Mutex<Queue>,
    published: ShardedLock<Published>,
    pub hashes: Hashes,
    sink: Arc<dyn Sink>,
    pub clock: Arc<dyn Clock>,
    /// Whether the clock may be believed enough to remove what has expired by it.
    clock_watch: Arc<ClockWatch>,
    pub limits: LogLimits,
    /// Whether a history has a bound of age. Relaxed: a commit that misses a change of it prunes no age this time.
    has_ages: AtomicBool,
    process: Process,
}

#[derive(Default)]
struct Queue {
    /// Whether a thread leads. Nothing waits while none does.
    is_led: bool,
    waiting: Turns<Arc<Ticket>>,
}

impl Committer {
    pub fn new(settings: &Settings, sink: Arc<dyn Sink>) -> Self {
        let clock = Arc::clone(&settings.clock);
        Self {
            queue: Mutex::default(),
            published: ShardedLock::new(Published::new()),
            hashes: Hashes::default(),
            sink,
            clock_watch: Arc::new(ClockWatch::new(Arc::clone(&clock))),
            clock,
            limits: LogLimits::of(settings),
            has_ages: AtomicBool::new(settings.history.age.is_some()),
            process: Process::current(),
        }
    }

    #[inline]
    pub fn read(&self) -> ShardedLockReadGuard<'_, Published> {
        unpoisoned(self.published.read())
    }

    pub fn write(&self) -> ShardedLockWriteGuard<'_, Published> {
        unpoisoned(self.published.write())
    }

    /// The committed state.
    pub fn state(&self) -> Result<State> {
        let published = self.read();
        published.check_open()?;
        Ok(published.state.clone())
    }

    /// Makes a batch at once where nobody is at work, and queues it otherwise.
    pub fn commit(self: &Arc<Self>, commit: Commit) -> Answer<Committed> {
        let ticket = {
            let mut queue = locked(&self.queue);
            if queue.is_led {
                let share = Share::of(&commit);
                let ticket = Arc::new(Ticket::of_batch(commit));
                queue.waiting.push(share.party, Arc::clone(&ticket));
                Ok(ticket)
            } else {
                queue.is_led = true;
                Err(commit)
            }
        };
        match ticket {
            Ok(ticket) => Answer::Pending(Box::new(Queued { committer: Arc::clone(self), ticket })),
            Err(commit) => {
                let _duty = Duty::begin();
                let result = self.run(commit);
                self.hand_over();
                Answer::ready(result)
            }
        }
    }

    /// Runs a closure in a transaction, on the calling thread, when its turn comes.
    pub fn transact(&self, party: Party, body: &mut Body<'_>) -> Result<Committed> {
        self.lead(party);
        let _duty = Duty::begin();
        let (result, panic) = self.run_closure(body);
        if self.process.is_current() {
            self.hand_over();
        }
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Does something while nobody commits.
    pub fn alone<T>(&self, act: impl FnOnce() -> T) -> T {
        self.lead(Party::Several);
        let done = act();
        self.hand_over();
        done
    }

    /// Lets go of everything, once no commit is under way.
    pub fn close(&self) {
        let remains = self.alone(|| self.write().close());
        drop(remains);
    }

    /// Returns when this thread leads.
    fn lead(&self, party: Party) {
        let ticket = {
            let mut queue = locked(&self.queue);
            if !std::mem::replace(&mut queue.is_led, true) {
                return;
            }
            let ticket = Arc::new(Ticket::of_turn());
            queue.waiting.push(party, Arc::clone(&ticket));
            ticket
        };
        // It is told nothing else.
        while !matches!(ticket.wait(), Told::Lead) {}
    }

    /// Makes the commits that were queued, and gives the lead to another thread or to nobody.
    fn hand_over(&self) {
        let _duty = Duty::begin();
        let mut led = 0;
        loop {
            let ticket = {
                let mut queue = locked(&self.queue);
                let Some(ticket) = queue.waiting.take(|_, _| Turn::Take) else {
                    queue.is_led = false;
                    return;
                };
                ticket
            };
            match ticket.take() {
                Work::Batch(commit) => {
                    let result = self.run(commit);
                    led += 1;
                    if led >= LED_MAX && ticket.can_lead() {
                        return ticket.tell(Told::DoneAndLead(result));
                    }
                    ticket.tell(Told::Done(result));
                }
                Work::Turn => return ticket.tell(Told::Lead),
                Work::Taken => {}
            }
        }
    }

    /// Makes a batch.
    fn run(&self, commit: Commit) -> Result<Committed> {
        caught("the thread that commits", || {
            // A watcher that began to listen before the commit was begun is told of it.
            let interest = self.sink.interest();
            let now_ms = clock::try_now_ms(&*self.clock)?;
            let judging = self.judging(now_ms);
            let (outcomes, delivery) = match self.in_place(commit, now_ms, interest, judging)? {
                Ok(made) => made,
                Err(commit) => {
                    let mut draft = Draft::new(self.state()?, now_ms, Arc::clone(&self.clock_watch));
                    let outcomes = draft.batch(commit)?;
                    (outcomes, self.publish(draft, interest, judging))
                }
            };
            Ok(delivery.deliver(&*self.sink, outcomes, interest))
        })
        .and_then(|made| made)
    }

    /// Makes a commit that changes one entry where it is. Readers wait for it, which takes less time than to copy what
    /// they share with it. Gives back what takes longer, or might run code of the program's.
    fn in_place(
        &self,
        commit: Commit,
        now_ms: i64,
        interest: Interest,
        judging: Judging,
    ) -> Result<Result<(Vec<Outcome>, Delivery), Commit>> {
        let [mutation] = &*commit.mutations else { return Ok(Err(commit)) };
        let written = match mutation {
            Mutation::Set { group, key, value, .. } => Some((group, key, value.len())),
            Mutation::Increment { group, key, .. } => Some((group, key, NUMBER_LEN_MAX)),
            Mutation::Delete { .. } | Mutation::Touch { .. } => None,
            _ => return Ok(Err(commit)),
        };
        let mut remains = Remains::default();
        let mut published = self.write();
        published.check_open()?;
        let state = std::mem::take(&mut published.state);
        let mut draft = Draft::new(state, now_ms, Arc::clone(&self.clock_watch));
        if written.is_some_and(|(group, key, size)| !draft.fits_as_stored(group, key, size)) {
            published.state = draft.state;
            return Ok(Err(commit));
        }
        let outcomes = draft.batch(commit);
        let Draft { state, done, .. } = draft;
        published.state = state;
        let outcomes = outcomes?;
        let delivery = Delivery::of(&done, published.revision(), interest);
        published.complete(done, &self.hashes, judging, &mut remains);
        drop(published);
        drop(remains);
        Ok(Ok((outcomes, delivery)))
    }

    /// Makes what a draft has become the committed state.
    fn publish(&self, draft: Draft, interest: Interest, judging: Judging) -> Delivery {
        let Draft { state, done, .. } = draft;
        let delivery = Delivery::of(&done, state.revision, interest);
        let mut published = self.write();
        let mut remains = published.replace(state);
        published.complete(done, &self.hashes, judging, &mut remains);
        let has_age = |bounds: &Option<History>| bounds.is_some_and(|bounds| bounds.age.is_some());
        let has_ages = published.state.histories.iter().any(|kept| has_age(&kept.bounds));
        drop(published);
        self.has_ages.store(has_ages || self.limits.default.age.is_some(), Ordering::Relaxed);
        drop(remains);
        delivery
    }

    /// How the log is judged now. After a leap of the clock nothing is too old.
    fn judging(&self, now_ms: i64) -> Judging {
        let judges_age = self.has_ages.load(Ordering::Relaxed) && self.clock_watch.may_purge();
        Judging { limits: self.limits, now_ms: judges_age.then_some(now_ms) }
    }

    fn run_closure(&self, body: &mut Body<'_>) -> (Result<Committed>, Option<Box<dyn Any + Send>>) {
        let begun = caught("the thread that commits", || {
            let interest = self.sink.interest();
            let now_ms = clock::try_now_ms(&*self.clock)?;
            let draft = Draft::new(self.state()?, now_ms, Arc::clone(&self.clock_watch));
            Ok((interest, draft))
        });
        let (interest, draft) = match begun.and_then(|begun| begun) {
            Ok(begun) => begun,
            Err(error) => return (Err(error), None),
        };
        let transaction = Arc::new(OpenTransaction::new(draft, Arc::clone(&self.clock), self.process));
        let ran = catch_unwind(AssertUnwindSafe(|| body(&(Arc::clone(&transaction) as Arc<dyn Transact>))));
        if !self.process.is_current() {
            // The queue and what receives commits are the parent's, and so may be the lock of the draft.
            std::mem::forget(transaction);
            return (Err(Error::ForkedProcess), ran.err());
        }
        let draft = transaction.finish();
        match (ran, draft) {
            (Ok(Ok(())), Some(draft)) => {
                let committed = caught("the thread that commits", || {
                    let judging = self.judging(draft.now_ms);
                    let delivery = self.publish(draft, interest, judging);
                    delivery.deliver(&*self.sink, Vec::new(), interest)
                });
                (committed, None)
            }
            (Ok(Err(error)), _) => (Err(error), None),
            (Ok(Ok(())), None) => (Err(Error::TransactionOver), None),
            (Err(panic), _) => (Err(Error::Closed), Some(panic)),
        }
    }
}

/// A batch on its way: the pending side of its answer.
struct Queued {
    committer: Arc<Committer>,
    ticket: Arc<Ticket>,
}

impl Queued {
    fn result(&self, told: Told) -> Result<Committed> {
        match told {
            Told::Done(result) => result,
            Told::DoneAndLead(result) => {
                self.committer.hand_over();
                result
            }
            // Only who has a turn is told that.
            Told::Lead => Err(Error::Closed),
        }
    }
}

impl Pending<Committed> for Queued {
    fn wait(self: Box<Self>) -> Result<Committed> {
        let told = self.ticket.wait();
        self.result(told)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        match self.ticket.told_or(|| Caller::Polls(context.waker().clone())) {
            Some(told) => Poll::Ready(self.result(told)),
            None => Poll::Pending,
        }
    }

    fn give_up(&mut self) -> bool {
        self.ticket.give_up()
    }
}

impl Drop for Queued {
    /// A caller that gives up takes its batch away, unless a leader has taken it.
    fn drop(&mut self) {
        self.ticket.give_up();
    }
}

#[cfg(test)]
mod tests;
