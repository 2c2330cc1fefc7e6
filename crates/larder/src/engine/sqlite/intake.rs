//! Which commits share one SQLite transaction: a cohort.
//!
//! A cohort takes commits from the queue while its transaction is open. While one party writes alone, it takes all
//! that there is, up to a bound. Once others wait, each takes its share of the cohort. So a write waits for the commit
//! that is being applied and for a share of each other party, whatever they have queued.

use std::sync::{Arc, Mutex};

use smallvec::SmallVec;

use super::queue::Queue;
use super::ticket::Ticket;
use crate::data::{Event, locked};
use crate::engine::{Body, Interest, MUTATION_WEIGHT, Party, Share, Sink, Turn};

/// What one cohort takes at most, unless its first commit is larger: 1,024 small writes, or 2 MiB.
pub(super) const COHORT_WEIGHT_MAX: u64 = 1024 * MUTATION_WEIGHT;

/// What one party takes of a cohort while others wait: 32 small writes, or 64 KiB. A larger commit begins a cohort,
/// after one that it lets go first, or follows when no other party waits.
pub(super) const SHARE_WEIGHT_MAX: u64 = 32 * MUTATION_WEIGHT;

/// What an event weighs for each watcher that it is offered to: a small write takes the time of about 64 of them.
const OFFER_WEIGHT: u64 = MUTATION_WEIGHT / 64;

/// A list that allocates nothing for a single element, which is all it has where one thread writes.
pub(super) type Few<T> = SmallVec<[T; 1]>;

/// What joins a cohort.
pub(super) enum Joined<'a, 'b> {
    Batch(Arc<Ticket>),
    /// The leader's own closure.
    Closure(&'a mut Body<'b>),
}

/// Takes commits from the queue for one cohort.
pub(super) struct Intake<'q, 'a, 'b> {
    queue: &'q Mutex<Queue>,
    sink: &'q dyn Sink,
    own: Option<(&'a Arc<Ticket>, &'a mut Body<'b>)>,
    /// What watchers and callbacks were interested in when the cohort began.
    pub interest: Interest,
    first: Option<Arc<Ticket>>,
    /// The batches that were taken.
    batches: Few<Arc<Ticket>>,
    /// Whether the leader's own closure was taken.
    has_closure: bool,
    taken: Taken,
}

/// What a cohort has taken, by party.
#[derive(Default)]
struct Taken {
    total: u64,
    shares: Few<(Party, u64)>,
}

impl<'q, 'a, 'b> Intake<'q, 'a, 'b> {
    pub fn new(
        queue: &'q Mutex<Queue>,
        sink: &'q dyn Sink,
        own: Option<(&'a Arc<Ticket>, &'a mut Body<'b>)>,
    ) -> Self {
        Self {
            queue,
            sink,
            own,
            interest: Interest::None,
            first: None,
            batches: Few::new(),
            has_closure: false,
            taken: Taken::default(),
        }
    }

    /// Takes the first commit. Returns `None` if there is none that this leader can make.
    pub fn begin(&mut self) -> Option<()> {
        let ticket = {
            let mut queue = locked(self.queue);
            // If all step back, the first of them begins after all.
            let first = self.take(&mut queue);
            first.or_else(|| self.take(&mut queue))?
        };
        self.first = Some(ticket);
        // A watcher that began to listen before a commit was queued is told of it.
        self.interest = self.sink.interest();
        Some(())
    }

    /// Takes the next commit, or returns `None` where the cohort ends.
    pub fn next(&mut self) -> Option<Joined<'a, 'b>> {
        let ticket = self.first.take().or_else(|| {
            let mut queue = locked(self.queue);
            // A watcher may have begun to listen since. What is queued after that begins another cohort.
            let is_heard = self.sink.interest() == self.interest;
            is_heard.then(|| self.take(&mut queue)).flatten()
        })?;
        if let Some((_, body)) = self.own.take_if(|(own, _)| Arc::ptr_eq(own, &ticket)) {
            self.has_closure = true;
            return Some(Joined::Closure(body));
        }
        self.batches.push(Arc::clone(&ticket));
        Some(Joined::Batch(ticket))
    }

    /// Adds what only showed when a batch was applied: that it wrote more to the log than it names, as a touch of a large
    /// value does, and to how many watchers its events will be offered.
    pub fn weigh(&mut self, share: Share, logged_bytes: u64, events: &[Arc<Event>]) {
        let offers = if events.is_empty() { 0 } else { self.sink.offers(events) };
        let more = logged_bytes.saturating_sub(share.weight) + offers * OFFER_WEIGHT;
        if more > 0 {
            self.taken.add(share.party, more);
        }
    }

    /// The batches that were taken, and whether the leader's own closure was.
    pub fn into_taken(mut self) -> (Few<Arc<Ticket>>, bool) {
        // It may have failed before the first was begun.
        if self.first.is_some() {
            drop(self.next());
        }
        (self.batches, self.has_closure)
    }

    fn take(&mut self, queue: &mut Queue) -> Option<Arc<Ticket>> {
        let ticket = queue.take(|ticket, others| self.decide(ticket, others))?;
        self.taken.add(ticket.share.party, ticket.share.weight);
        Some(ticket)
    }

    fn decide(&self, ticket: &Arc<Ticket>, others: bool) -> Turn {
        if ticket.is_closure() {
            let is_own = self.own.as_ref().is_some_and(|(own, _)| Arc::ptr_eq(own, ticket));
            return if is_own { Turn::Take } else { Turn::Stop };
        }
        self.taken.decide(ticket, others)
    }
}

impl Taken {
    fn add(&mut self, party: Party, weight: u64) {
        self.total += weight;
        match self.shares.iter_mut().find(|(of, _)| *of == party) {
            Some((_, taken)) => *taken += weight,
            None => self.shares.push((party, weight)),
        }
    }

    fn decide(&self, ticket: &Ticket, others_wait: bool) -> Turn {
        let (party, weight) = (ticket.share.party, ticket.share.weight);
        if self.shares.is_empty() {
            // A small write that arrived while a large one was committed does not wait for the next large one, too.
            let steps_back = others_wait && weight > SHARE_WEIGHT_MAX && ticket.steps_back();
            return if steps_back { Turn::Pass } else { Turn::Take };
        }
        let taken = self.shares.iter().find(|(of, _)| *of == party).map_or(0, |(_, taken)| *taken);
        let is_alone = !others_wait && self.shares.iter().all(|(of, _)| *of == party);
        if !is_alone && taken + weight > SHARE_WEIGHT_MAX {
            return Turn::Pass;
        }
        if self.total + weight > COHORT_WEIGHT_MAX { Turn::Stop } else { Turn::Take }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Error, Revision};
    use crate::engine::sqlite::InOwnFile;
    use crate::engine::{Commit, Engine, Mutation, Read, Settings, Unheard};

    /// More than one cohort takes.
    const WRITES: u64 = COHORT_WEIGHT_MAX / MUTATION_WEIGHT + 10;

    fn set_of(namespace: &str, key: u64, bytes: usize) -> Commit {
        let (group, key, value) = (format!("{namespace}:g"), key.to_string(), vec![b'v'; bytes].into());
        Mutation::Set { group, key, value, expires_at_ms: None }.into()
    }

    /// A hostile tenant has a thousand watchers, who want all that it writes.
    struct Crowded;

    impl Sink for Crowded {
        fn interest(&self) -> Interest {
            Interest::Some
        }

        fn publish(&self, _: Revision, _: Revision, _: Option<&[Arc<Event>]>) {}

        fn offers(&self, events: &[Arc<Event>]) -> u64 {
            1000 * events.iter().filter(|event| event.group.starts_with("hostile:")).count() as u64
        }

        fn restored(&self, _: &Arc<str>, _: Revision) {}

        fn feed_refused(&self, _: &Error) {}

        fn will_expire(&self, _: i64) {}

        fn others_committed(&self) {}
    }

    /// How many writes of a hostile tenant are in the cohort that begins with the only one of a quiet tenant.
    fn hostile_in_a_cohort(sink: Arc<dyn Sink>, write: impl Fn(u64) -> Commit) -> u64 {
        let engine = InOwnFile::new(&Settings::default(), sink);
        engine.commit(set_of("hostile", 0, 1 << 20)).wait().unwrap();
        let quiet = engine.commit(set_of("quiet", 0, 1));
        let hostile: Vec<_> = (0..WRITES).map(|key| engine.commit(write(key))).collect();
        // It has nothing more to wait for, but others wait beside the hostile one's backlog.
        let other = engine.commit(set_of("other", 0, 1));
        let others: Vec<_> = (0..100).map(|key| engine.commit(set_of("other", key, 1))).collect();
        quiet.wait().unwrap();
        let revision = engine.revision().wait().unwrap().0;
        let of_other = 1 + others.len() as u64;
        let reached = other.wait().unwrap().revision;
        assert!(reached.0 <= revision);
        drop((hostile, others));
        // The large value, the quiet one's, and a share of the other's.
        revision - 2 - of_other.min(SHARE_WEIGHT_MAX / MUTATION_WEIGHT - 1)
    }

    #[test]
    fn writes_that_many_watchers_want_take_more_of_a_share() {
        let write = |key| set_of("hostile", key, 1);
        assert_eq!(hostile_in_a_cohort(Arc::new(Unheard), write), SHARE_WEIGHT_MAX / MUTATION_WEIGHT - 1);
        assert_eq!(hostile_in_a_cohort(Arc::new(Crowded), write), 2);
    }

    #[test]
    fn touches_of_a_large_value_take_the_share_that_they_write_to_the_log() {
        let touch = |key: u64| {
            let expires_at_ms = Some(i64::MAX - i64::try_from(key).unwrap());
            Mutation::Touch { group: "hostile:g".into(), key: "0".into(), expires_at_ms }.into()
        };
        assert_eq!(hostile_in_a_cohort(Arc::new(Unheard), touch), 1);
    }
}
