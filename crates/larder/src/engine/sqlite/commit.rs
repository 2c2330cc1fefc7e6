//! Group commit: many callers, one SQLite transaction, one `fsync`.
//!
//! Each caller queues what it wants to commit. The first to find no leader leads: it takes a cohort from the
//! queue, applies each batch in turn, commits once, publishes to the sink, hands the lead to the next caller
//! that waits, and wakes the others with their results. Each waiter sleeps on its own thread, so handing over
//! wakes one thread and not all.

use std::collections::VecDeque;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::thread::{self, Thread};

use super::cohort::{Cohort, Few, Results, run_in};
use super::ticket::{Caller, Ticket, Told};
use super::writer::Writer;
use crate::data::{Error, Result, locked};
use crate::engine::{Answer, Body, Commit, Committed, Pending, Sink};

/// How many batches one cohort takes. A bound, so that the first of them does not wait forever.
const COHORT_MAX: usize = 1024;

/// Takes commits from any number of threads.
pub(super) struct Committer {
    queue: Mutex<Queue>,
    /// Guards the connection that writes, for the leader, and for readers of a store in memory, which has
    /// one connection. `None` once the store is closed.
    writer: Mutex<Option<Box<Writer>>>,
    sink: Arc<dyn Sink>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    /// Only under this lock is the lead taken and given up.
    lead: Lead,
    /// The thread that leads for callers that only poll. It starts with the first of them.
    standby: Option<Thread>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lead {
    #[default]
    Nobody,
    /// A caller leads, or was told to.
    Taken,
    /// The standby was told to lead, and has not begun.
    Called,
}

impl Queue {
    /// Takes the lead, if nobody has it.
    fn try_lead(&mut self) -> bool {
        let is_free = self.lead == Lead::Nobody;
        if is_free {
            self.lead = Lead::Taken;
        }
        is_free
    }

    /// Gives the lead to the standby.
    fn call_standby(&mut self, committer: &Arc<Committer>) -> io::Result<()> {
        match &self.standby {
            Some(thread) => thread.unpark(),
            None => {
                let committer = Arc::downgrade(committer);
                let spawned = thread::Builder::new()
                    .name("larder-commit".into())
                    .spawn(move || stand_by(&committer))?;
                self.standby = Some(spawned.thread().clone());
            }
        }
        self.lead = Lead::Called;
        Ok(())
    }
}

/// Leads whenever it is called, until the store is gone.
fn stand_by(committer: &Weak<Committer>) {
    while let Some(committer) = committer.upgrade() {
        let is_called = {
            let mut queue = locked(&committer.queue);
            let is_called = queue.lead == Lead::Called;
            if is_called {
                queue.lead = Lead::Taken;
            }
            is_called
        };
        if is_called {
            committer.lead(None);
        } else {
            drop(committer);
            // Returns at once if it was called in between, or if the store is gone.
            thread::park();
        }
    }
}

impl Committer {
    pub fn new(writer: Writer, sink: Arc<dyn Sink>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), writer: Mutex::new(Some(Box::new(writer))), sink })
    }

    /// The connection that writes, between two commits.
    pub fn writer(&self) -> MutexGuard<'_, Option<Box<Writer>>> {
        locked(&self.writer)
    }

    /// Queues a batch. A thread that waits for the answer may have to lead.
    pub fn commit(self: &Arc<Self>, commit: Commit) -> Answer<Committed> {
        let ticket = Arc::new(Ticket::of_batch(commit));
        locked(&self.queue).waiting.push_back(Arc::clone(&ticket));
        Answer::Pending(Box::new(Queued { committer: Arc::clone(self), ticket }))
    }

    /// Runs a closure in a transaction, on the calling thread, when its turn comes.
    pub fn transact(self: &Arc<Self>, body: &mut Body<'_>) -> Result<Committed> {
        let ticket = Arc::new(Ticket::of_closure());
        let mut leads = {
            let mut queue = locked(&self.queue);
            queue.waiting.push_back(Arc::clone(&ticket));
            queue.try_lead()
        };
        loop {
            if leads && let Some(result) = self.lead(Some((&ticket, &mut *body))) {
                return result;
            }
            // Its turn comes when it is at the front of the queue. With more batches before it than one cohort
            // takes, that is only now, although it has led once already.
            leads = matches!(ticket.wait(), Told::Lead);
        }
    }

    fn wait(self: &Arc<Self>, ticket: &Arc<Ticket>) -> Result<Committed> {
        {
            let mut queue = locked(&self.queue);
            locked(&ticket.slot).caller = Caller::Waits(thread::current());
            if queue.try_lead() {
                drop(queue);
                self.lead(None);
            }
        }
        loop {
            match ticket.wait() {
                Told::Done(result) => return result,
                Told::Lead => drop(self.lead(None)),
            }
        }
    }

    /// Leads one cohort, with the leader's own closure if it has one, and hands over. Returns the closure's
    /// result.
    fn lead<'b>(
        self: &Arc<Self>,
        mut own: Option<(&Arc<Ticket>, &mut Body<'b>)>,
    ) -> Option<Result<Committed>> {
        let mine = own.as_ref().map(|(ticket, _)| Arc::clone(ticket));
        let cohort = self.take_cohort(mine.as_ref(), own.as_mut().map(|(_, body)| &mut **body));
        if cohort.is_empty() {
            // Another leader has taken what was queued.
            self.hand_over();
            return None;
        }
        let results = self.run(cohort);
        // While leading, so in the order of revisions.
        for closed in &results.closed {
            self.sink.publish(closed.revision.previous(), closed.revision, closed.events.as_deref());
        }
        if let Some(at_ms) = results.soonest_ms {
            self.sink.will_expire(at_ms);
        }
        self.hand_over();
        for (ticket, result) in results.batches {
            ticket.tell(Told::Done(result));
        }
        if let Some(panic) = results.panic {
            resume_unwind(panic);
        }
        results.closure
    }

    /// Takes what is queued, up to the first closure of another thread.
    fn take_cohort<'a, 'b>(
        &self,
        mine: Option<&Arc<Ticket>>,
        mut body: Option<&'a mut Body<'b>>,
    ) -> Cohort<'a, 'b> {
        let mut cohort = Cohort { batches_before: Few::new(), closure: None, batches_after: Few::new() };
        let mut queue = locked(&self.queue);
        for _ in 0..COHORT_MAX {
            let Some(ticket) = queue.waiting.pop_front() else { break };
            if mine.is_some_and(|mine| Arc::ptr_eq(mine, &ticket)) {
                cohort.closure = body.take();
            } else if ticket.is_closure() {
                queue.waiting.push_front(ticket);
                break;
            } else if cohort.closure.is_none() {
                cohort.batches_before.push(ticket);
            } else {
                cohort.batches_after.push(ticket);
            }
        }
        cohort
    }

    /// Gives the lead to a caller that waits, or else to the standby, or else to nobody.
    fn hand_over(self: &Arc<Self>) {
        let mut queue = locked(&self.queue);
        let waits = |ticket: &&Arc<Ticket>| matches!(locked(&ticket.slot).caller, Caller::Waits(_));
        // Only its own thread can lead a closure at the front. Any caller that waits can lead batches.
        let next = match queue.waiting.front() {
            Some(front) if front.is_closure() => Some(front),
            _ => queue.waiting.iter().find(waits),
        };
        if let Some(next) = next {
            next.tell(Told::Lead);
            return;
        }
        queue.lead = Lead::Nobody;
        // Only polled tickets need the standby. The others take the lead with their first poll.
        let polls = |ticket: &Arc<Ticket>| matches!(locked(&ticket.slot).caller, Caller::Polls(_));
        if queue.waiting.iter().any(polls)
            && let Err(error) = queue.call_standby(self)
        {
            // The next commit takes them along.
            tracing::error!(%error, "no thread to commit what is waiting");
        }
    }

    fn run(&self, cohort: Cohort<'_, '_>) -> Results {
        let mut writer = locked(&self.writer);
        let has_closure = cohort.closure.is_some();
        let tickets: Few<Arc<Ticket>> =
            cohort.batches_before.iter().chain(&cohort.batches_after).cloned().collect();
        let result = match writer.as_ref().map(|writer| writer.stopped.clone()) {
            None => Err(Error::Closed),
            Some(Some(stopped)) => Err(stopped),
            Some(None) => run_in(&mut writer, cohort, self.sink.interest()),
        };
        result.unwrap_or_else(|error| Results {
            batches: tickets.into_iter().map(|ticket| (ticket, Err(error.clone()))).collect(),
            closure: has_closure.then_some(Err(error)),
            panic: None,
            closed: Few::new(),
            soonest_ms: None,
        })
    }
}

/// A batch on its way: the pending side of its answer.
struct Queued {
    committer: Arc<Committer>,
    ticket: Arc<Ticket>,
}

impl Pending<Committed> for Queued {
    fn wait(self: Box<Self>) -> Result<Committed> {
        self.committer.wait(&self.ticket)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        let mut queue = locked(&self.committer.queue);
        {
            let mut slot = locked(&self.ticket.slot);
            match slot.told.take() {
                Some(Told::Done(result)) => return Poll::Ready(result),
                // A future cannot lead. The lead goes to a caller that waits, or to the standby.
                Some(Told::Lead) | None => slot.caller = Caller::Polls(context.waker().clone()),
            }
        }
        if queue.lead == Lead::Nobody
            && let Err(error) = queue.call_standby(&self.committer)
        {
            let location = "the system".to_owned();
            return Poll::Ready(Err(Error::Storage { location, source: Arc::new(error) }));
        }
        Poll::Pending
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if let Some(standby) = &locked(&self.queue).standby {
            standby.unpark();
        }
    }
}

impl Drop for Queued {
    /// A caller that gives up takes its batch out of the queue, unless a leader has taken it.
    fn drop(&mut self) {
        if self.ticket.is_untaken() {
            locked(&self.committer.queue).waiting.retain(|ticket| !Arc::ptr_eq(ticket, &self.ticket));
        }
        locked(&self.ticket.slot).caller = Caller::Absent;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::data::Revision;
    use crate::engine::sqlite::SqliteEngine;
    use crate::engine::sqlite::cache::Word;
    use crate::engine::{Engine, Mutation, Settings, Unheard};

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn engine() -> SqliteEngine {
        SqliteEngine::in_memory(&Settings::default(), Arc::new(Unheard)).unwrap().engine
    }

    fn set(key: &str) -> Commit {
        let (group, key) = ("g".to_owned(), key.to_owned());
        Mutation::Set { group, key, value: "v".into(), expires_at_ms: None }.into()
    }

    #[test]
    fn answers_that_are_awaited_commit_without_holding_up_the_awaiting_thread() {
        let engine = engine();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut answers: Vec<_> =
            (0..100).map(|number| Box::pin(engine.commit(set(&number.to_string())))).collect();
        let mut revisions = Vec::new();
        while !answers.is_empty() {
            answers.retain_mut(|answer| match answer.as_mut().poll(&mut context) {
                Poll::Ready(result) => {
                    revisions.push(result.unwrap().revision);
                    false
                }
                Poll::Pending => true,
            });
            if !answers.is_empty() {
                thread::park();
            }
        }
        revisions.sort();
        assert_eq!(revisions, (1..=100).map(Revision).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_in_flight_when_the_standby_begins_is_one_commit() {
        let engine = engine();
        let commits = || engine.cache.word().unwrap().word();
        let answers: Vec<_> = (0..256).map(|number| engine.commit(set(&number.to_string()))).collect();
        let before = commits();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        for answer in answers {
            let mut answer = Box::pin(answer);
            while answer.as_mut().poll(&mut context).is_pending() {
                thread::park();
            }
        }
        assert_eq!(commits(), before + 1);
    }

    #[test]
    fn a_transaction_behind_more_batches_than_a_group_takes_gets_its_turn() {
        let engine = engine();
        let answers: Vec<_> =
            (0..COHORT_MAX + 10).map(|number| engine.commit(set(&number.to_string()))).collect();
        let done = engine.transact(&mut |_| Ok(())).unwrap();
        assert_eq!(done.revision, Revision(COHORT_MAX as u64 + 10));
        for (answer, revision) in answers.into_iter().zip(1..) {
            assert_eq!(answer.wait().unwrap().revision, Revision(revision));
        }
    }

    #[test]
    fn an_answer_that_is_dropped_commits_nothing_and_holds_nobody_up() {
        let engine = engine();
        drop(engine.commit(set("dropped")));
        let kept = engine.commit(set("kept")).wait().unwrap();
        assert_eq!(kept.revision, Revision(1));
    }
}
