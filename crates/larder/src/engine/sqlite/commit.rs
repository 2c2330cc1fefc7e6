//! Group commit: many callers, one SQLite transaction, one `fsync`.
//!
//! Each caller queues what it wants to commit. The first to find no leader leads: it takes a cohort from the
//! queue, applies each batch in turn, commits once, publishes to the sink, hands the lead to the next caller
//! that waits, and wakes the others with their results. Each waiter sleeps on its own thread, so handing over
//! wakes one thread and not all.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::thread;

use super::checkpoint::Checkpointer;
use super::cohort::{Results, run_in};
use super::intake::Intake;
use super::queue::{Lead, Next, Queue};
use super::ticket::{Caller, Ticket, Told, Wake};
use super::writer::Writer;
use super::writer_slot::WriterSlot;
use crate::data::{Error, Result, contained, locked, report};
use crate::engine::{Answer, Body, Commit, Committed, Duty, Party, Pending, Sink};

/// Takes commits from any number of threads.
pub(super) struct Committer {
    queue: Mutex<Queue>,
    /// The connection that writes.
    pub writer: Arc<WriterSlot>,
    /// `None` where SQLite checkpoints by itself.
    checkpointer: Option<Checkpointer>,
    sink: Arc<dyn Sink>,
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
    pub fn new(
        writer: Arc<WriterSlot>,
        checkpointer: Option<Checkpointer>,
        sink: Arc<dyn Sink>,
    ) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), writer, checkpointer, sink })
    }

    /// Takes the writer away, so that nothing is committed any more: waits for the thread that commits, and for a
    /// checkpoint. `None` if it was taken before.
    pub fn close(&self) -> Option<Box<Writer>> {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.stop();
        }
        // Those still in the queue find no connection, and get an error.
        self.writer.close()
    }

    /// Queues a batch. A thread that waits for the answer may have to lead.
    pub fn commit(self: &Arc<Self>, commit: Commit) -> Answer<Committed> {
        let ticket = Arc::new(Ticket::of_batch(commit));
        locked(&self.queue).push(Arc::clone(&ticket));
        Answer::Pending(Box::new(Queued { committer: Arc::clone(self), ticket }))
    }

    /// Runs a closure in a transaction, on the calling thread, when its turn comes.
    pub fn transact(self: &Arc<Self>, party: Party, body: &mut Body<'_>) -> Result<Committed> {
        let ticket = Arc::new(Ticket::of_closure(party));
        let mut leads = {
            let mut queue = locked(&self.queue);
            queue.push(Arc::clone(&ticket));
            queue.try_lead()
        };
        loop {
            if leads && let Some(result) = self.lead(Some((&ticket, &mut *body))) {
                return result;
            }
            // Its turn comes when it is at the front of the queue. If the cohort was full before that, it is only now,
            // although it has led once already.
            leads = matches!(ticket.wait(), Told::Lead);
        }
    }

    fn wait(self: &Arc<Self>, ticket: &Arc<Ticket>) -> Result<Committed> {
        {
            let mut queue = locked(&self.queue);
            let mut slot = locked(&ticket.slot);
            // It may have been in the cohort of another.
            if let Some(Told::Done(result)) = slot.told.take() {
                return result;
            }
            slot.caller = Caller::Waits(thread::current());
            drop(slot);
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
    fn lead<'b>(self: &Arc<Self>, own: Option<(&Arc<Ticket>, &mut Body<'b>)>) -> Option<Result<Committed>> {
        let _duty = Duty::begin();
        let intake = Intake::new(&self.queue, &*self.sink, own);
        let Some(results) = self.run(intake) else {
            // Another leader has taken what was queued.
            self.hand_over();
            return None;
        };
        if self.writer.is_forked() {
            // The queue and what receives commits are the parent's, which goes on by itself.
            if let Some(panic) = results.panic {
                resume_unwind(panic);
            }
            return results.closure;
        }
        // While leading, so in the order of revisions.
        let published = contained("what receives commits", || {
            for closed in &results.closed {
                self.sink.publish(closed.revision.previous(), closed.revision, closed.events.as_deref());
            }
            if let Some(at_ms) = results.soonest_ms {
                self.sink.will_expire(at_ms);
            }
        });
        if published.is_none() {
            // The log has what was not published.
            contained("what receives commits", || self.sink.others_committed());
        }
        self.hand_over();
        // A task that is woken finds all that it waits for, so those who wait for several commits are woken less often.
        let wakes: Vec<_> =
            results.batches.into_iter().map(|(ticket, result)| ticket.leave(Told::Done(result))).collect();
        wakes.into_iter().for_each(Wake::wake);
        if let Some(panic) = results.panic {
            resume_unwind(panic);
        }
        results.closure
    }

    /// Gives the lead to the caller whose turn is next, or to the standby, or to nobody.
    fn hand_over(self: &Arc<Self>) {
        let mut queue = locked(&self.queue);
        match queue.next() {
            Next::Caller(ticket) => ticket.tell(Told::Lead),
            // Those who come later take the lead when they wait or poll.
            Next::Nobody => queue.lead = Lead::Nobody,
            Next::Standby => {
                if let Err(error) = self.call_standby(&mut queue) {
                    // The next commit takes them along.
                    queue.lead = Lead::Nobody;
                    report(|| tracing::error!(%error, "no thread to commit what is waiting"));
                }
            }
        }
    }

    /// Gives the lead to the standby.
    fn call_standby(self: &Arc<Self>, queue: &mut Queue) -> io::Result<()> {
        match &queue.standby {
            Some(thread) => thread.unpark(),
            None => {
                let committer = Arc::downgrade(self);
                let spawned = thread::Builder::new()
                    .name("larder-commit".into())
                    .spawn(move || stand_by(&committer))?;
                queue.standby = Some(spawned.thread().clone());
            }
        }
        queue.lead = Lead::Called;
        Ok(())
    }

    /// Commits a cohort. Returns `None` if there is nothing that this leader can commit.
    fn run(&self, mut intake: Intake<'_, '_, '_>) -> Option<Results> {
        intake.begin()?;
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.let_catch_up();
        }
        let result = self.writer.lease().and_then(|mut lease| {
            let result = run_in(&mut lease, &mut intake);
            if let (Some(checkpointer), Some(writer)) = (&self.checkpointer, &mut lease.writer) {
                checkpointer.after_commit(writer);
            }
            result
        });
        Some(result.unwrap_or_else(|error| Results::failed(intake, &error)))
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
            && let Err(error) = self.committer.call_standby(&mut queue)
        {
            let location = "the system".to_owned();
            return Poll::Ready(Err(Error::Storage { location, source: Arc::new(error) }));
        }
        Poll::Pending
    }

    fn give_up(&mut self) -> bool {
        self.ticket.take_batch().is_some()
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
    /// A caller that gives up takes its batch away, unless a leader has taken it. The next leader drops the ticket.
    fn drop(&mut self) {
        drop(self.ticket.take_batch());
        locked(&self.ticket.slot).caller = Caller::Absent;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Wake, Waker};
    use std::thread::Thread;

    use super::*;
    use crate::data::Revision;
    use crate::engine::sqlite::InOwnFile;
    use crate::engine::sqlite::intake::{COHORT_WEIGHT_MAX, SHARE_WEIGHT_MAX};
    use crate::engine::{Engine, MUTATION_WEIGHT, Mutation, Read, Settings, Unheard};

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn engine() -> InOwnFile {
        InOwnFile::new(&Settings::default(), Arc::new(Unheard))
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
        let answers: Vec<_> = (0..256).map(|number| engine.commit(set(&number.to_string()))).collect();
        let before = engine.commits();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        for answer in answers {
            let mut answer = Box::pin(answer);
            while answer.as_mut().poll(&mut context).is_pending() {
                thread::park();
            }
        }
        assert_eq!(engine.commits(), before + 1);
    }

    /// More than one cohort takes.
    const BATCHES: u64 = COHORT_WEIGHT_MAX / MUTATION_WEIGHT + 10;

    #[test]
    fn a_transaction_behind_more_batches_than_a_group_takes_gets_its_turn() {
        let engine = engine();
        let answers: Vec<_> = (0..BATCHES).map(|number| engine.commit(set(&number.to_string()))).collect();
        let done = engine.transact(Party::Plain, &mut |_| Ok(())).unwrap();
        assert_eq!(done.revision, Revision(BATCHES));
        for (answer, revision) in answers.into_iter().zip(1..) {
            assert_eq!(answer.wait().unwrap().revision, Revision(revision));
        }
    }

    fn set_of(namespace: &str, key: u64, bytes: usize) -> Commit {
        let (group, key, value) = (format!("{namespace}:g"), key.to_string(), vec![b'v'; bytes].into());
        Mutation::Set { group, key, value, expires_at_ms: None }.into()
    }

    #[test]
    fn a_write_waits_for_no_more_than_a_share_of_what_another_tenant_has_queued() {
        let engine = engine();
        let hostile: Vec<_> = (0..2 * BATCHES).map(|key| engine.commit(set_of("hostile", key, 1))).collect();
        let quiet: Vec<_> = (0..3).map(|key| engine.commit(set_of("quiet", key, 1))).collect();
        let before = engine.commits();
        // By turns: each waits for one write of the other.
        for (answer, place) in quiet.into_iter().zip([2, 4, 6]) {
            assert_eq!(answer.wait().unwrap().revision, Revision(place));
        }
        // In one cohort, which ended when each had its share.
        assert_eq!(engine.commits(), before + 1);
        assert!(engine.revision().wait().unwrap().0 <= 3 + SHARE_WEIGHT_MAX / MUTATION_WEIGHT);
        let mut last = Revision(0);
        for answer in hostile {
            let revision = answer.wait().unwrap().revision;
            assert!(revision > last, "the writes of one tenant keep their order");
            last = revision;
        }
    }

    #[test]
    fn a_large_write_of_one_tenant_joins_no_cohort_of_another_and_is_not_put_off_for_ever() {
        let engine = engine();
        let large = |key| engine.commit(set_of("hostile", key, 1 << 20));
        let answers = [large(0), large(1)];
        let small = [engine.commit(set_of("quiet", 0, 1)), engine.commit(set_of("quiet", 1, 1))];
        let revisions = small.map(|answer| answer.wait().unwrap().revision);
        // The first large one let them go first, and begins the next cohort. What is queued meanwhile joins that one.
        assert_eq!(revisions, [Revision(1), Revision(2)]);
        assert_eq!(engine.revision().wait().unwrap(), Revision(2));
        let later = [engine.commit(set_of("quiet", 2, 1)), large(2)];
        assert_eq!(answers.map(|answer| answer.wait().unwrap().revision), [Revision(3), Revision(5)]);
        assert_eq!(later.map(|answer| answer.wait().unwrap().revision), [Revision(4), Revision(6)]);
    }

    #[test]
    fn a_commit_of_several_tenants_keeps_its_place_among_theirs() {
        let engine = engine();
        let batch = |value: &str| {
            let set = |namespace: &str| Mutation::Set {
                group: format!("{namespace}:g"),
                key: "k".into(),
                value: value.to_owned().into(),
                expires_at_ms: None,
            };
            Commit::from(vec![set("a"), set("b")])
        };
        let single = |key| engine.commit(set_of("a", key, 1));
        let answers = [
            single(1),
            single(2),
            engine.commit(batch("first")),
            engine.commit(set_of("b", 3, 1)),
            engine.commit(batch("second")),
        ];
        let revisions = answers.map(|answer| answer.wait().unwrap().revision.0);
        assert_eq!(revisions, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn an_answer_that_is_dropped_commits_nothing_and_holds_nobody_up() {
        let engine = engine();
        drop(engine.commit(set("dropped")));
        let kept = engine.commit(set("kept")).wait().unwrap();
        assert_eq!(kept.revision, Revision(1));
    }
}
