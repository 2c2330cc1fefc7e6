//! Group commit: many callers, one transaction of the cluster's.
//!
//! Callers queue what they want to commit; a task takes what is queued, drafts as much of it as one
//! transaction of etcd's may hold, and makes it. Everything that is decided on the way (what is refused, what
//! changes nothing) is decided by what the transaction compares, so that it is as true as what is written.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Trouble};
use super::draft::{Draft, Hitch};
use super::fence::{Fencing, random};
use super::fetch::{Moment, fetch};
use super::follower::Follower;
use super::group::{Queue, Ticket, together};
use super::knowledge::{Knowledge, Wanted};
use super::layout::Layout;
use super::log::event;
use super::make::{Done, Made};
use crate::data::{Clock, Error, Event, Result, Revision, clock};
use crate::engine::{Commit, Committed, Interest, Outcome, Requirement, Sink};

/// How many batches are drafted together at the most: a transaction holds about as many operations, or, where
/// nobody else writes, more.
const GROUP_MAX: usize = 128;
const GROUP_MAX_ALONE: usize = 1024;

/// How often something may have been unknown before the time of a call counts. Mostly it is once or twice.
const ASKED_MAX: u32 = 16;

/// How much longer than a commit takes may be waited for those whom it has answered, one part in so many.
const GATHERING_PART: u32 = 4;

/// From how many attempts on fewer are made together, and a pause is made in between.
const PATIENT_ATTEMPTS: u32 = 2;
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Commits for all threads of one process.
pub(super) struct Committer {
    pub cluster: Arc<Cluster>,
    pub layout: Layout,
    pub clock: Arc<dyn Clock>,
    pub sink: Arc<dyn Sink>,
    pub follower: Arc<Follower>,
    /// Held by whoever commits: one transaction of the process is under way at a time.
    pub writing: Mutex<Writing>,
}

/// What the one who commits has.
pub(super) struct Writing {
    pub draft: Draft,
    pub fencing: Fencing,
}

/// One batch of a draft: what came of it, and which of the draft's changes are its own.
struct Drafted {
    result: Result<Vec<Outcome>>,
    changes: Range<usize>,
}

/// What became of the attempt to draft what waits.
enum Drafting {
    /// The first so many are in the draft.
    Done(Vec<Drafted>),
    /// Something was not known, and is now.
    Again,
    /// The first is too much to be one of several.
    FirstAlone,
}

impl Committer {
    pub fn new(
        cluster: Arc<Cluster>,
        layout: Layout,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn Sink>,
        follower: Arc<Follower>,
        grace_ms: i64,
    ) -> Self {
        let mut draft = Draft::new(layout.clone(), Knowledge::default());
        draft.grace_ms = grace_ms;
        let writing = Mutex::new(Writing { draft, fencing: Fencing::new() });
        Self { cluster, layout, clock, sink, follower, writing }
    }

    /// Commits what comes in, until nobody can send anything any more.
    pub async fn run(self: Arc<Self>, incoming: mpsc::UnboundedReceiver<Ticket>) {
        let mut queue = Queue::new(incoming);
        while queue.is_wanted().await {
            let began = Instant::now();
            let mut writing = self.writing.lock().await;
            self.commit_some(&mut writing, &mut queue).await;
            drop(writing);
            queue.gather(began.elapsed() / GATHERING_PART).await;
        }
    }

    /// Commits the first few of those that wait: at least one of them is answered.
    async fn commit_some(&self, writing: &mut Writing, queue: &mut Queue) {
        let began = Instant::now();
        let mut most_of_all = GROUP_MAX_ALONE;
        let mut attempts = 0;
        let mut asked = 0;
        writing.draft.knowledge.forget_spans();
        // What has expired is asked for by the time, so the time stands still until that is there.
        let mut now_ms = clock::now_ms(&*self.clock);
        while !queue.waiting.is_empty() {
            let Queue { waiting, .. } = &mut *queue;
            let Writing { draft, fencing } = &mut *writing;
            draft.reset(now_ms);
            let most = most_of_all.min(if draft.of_one_moment { GROUP_MAX_ALONE } else { GROUP_MAX });
            let most = together(waiting, most);
            let drafted = match self.draft(draft, waiting, most).await {
                Ok(Drafting::Done(drafted)) => drafted,
                // Or what was asked for came in several answers, of a moment that is forgotten meanwhile.
                Ok(Drafting::Again) | Err(Trouble::Compacted) => {
                    asked += 1;
                    if asked > ASKED_MAX && began.elapsed() >= self.cluster.timeout {
                        let error = self.contended(asked, began);
                        return answer_all(waiting.drain(..most), &error);
                    }
                    continue;
                }
                Ok(Drafting::FirstAlone) => {
                    let Some(ticket) = waiting.pop_front() else { return };
                    return self.commit_alone(writing, ticket).await;
                }
                Err(trouble) => {
                    // Nothing was sent.
                    let error = self.cluster.error(trouble);
                    return answer_all(waiting.drain(..most), &error);
                }
            };
            debug_assert!(!drafted.is_empty(), "the first of a draft is always decided");
            attempts += 1;
            let count = drafted.len();
            match self.make(fencing, draft).await {
                Ok(Made::Done(done)) => {
                    let tickets = queue.take(count);
                    return self.tell(&mut writing.draft, tickets, drafted, &done);
                }
                Ok(Made::Overtaken)
                    if began.elapsed() >= self.cluster.timeout && attempts > PATIENT_ATTEMPTS =>
                {
                    let error = self.contended(attempts, began);
                    return answer_all(waiting.drain(..count), &error);
                }
                Ok(Made::Overtaken) => {
                    // Perhaps only one of them is always overtaken.
                    most_of_all = if attempts > PATIENT_ATTEMPTS { (count / 2).max(1) } else { most_of_all };
                    pause(attempts).await;
                    now_ms = clock::now_ms(&*self.clock);
                }
                // Together they are more than a request may have, by a little.
                Err(Trouble::Refused { error: Error::TooMuchAtOnce { .. }, sent: false }) if count > 1 => {
                    most_of_all = count / 2;
                }
                Err(trouble) => {
                    let error = self.cluster.write_error(trouble);
                    return answer_all(waiting.drain(..count), &error);
                }
            }
        }
    }

    pub fn contended(&self, attempts: u32, began: Instant) -> Error {
        Error::Contended { location: self.cluster.location.clone(), attempts, waited: began.elapsed() }
    }

    /// Drafts as many batches as fit into an empty draft. Where something was not known it is asked for, and all is to be
    /// drafted again.
    async fn draft(
        &self,
        draft: &mut Draft,
        waiting: &VecDeque<Ticket>,
        most: usize,
    ) -> Result<Drafting, Trouble> {
        let mut needs: HashSet<Wanted> = HashSet::new();
        if draft.of_one_moment {
            let whole = [self.layout.log(), self.layout.quotas()].map(Wanted::Key);
            needs.extend(whole.into_iter().filter(|wanted| !draft.knowledge.has(wanted)));
        }
        let mut drafted: Vec<Drafted> = Vec::new();
        for ticket in waiting.iter().take(most) {
            let mark = draft.mark();
            let before = draft.changes().len();
            let result = match draft.batch(&ticket.commit) {
                Ok(outcomes) => Ok(outcomes),
                Err(Hitch::Refused(error)) => {
                    draft.take_back(mark);
                    Err(error)
                }
                Err(Hitch::Damaged(detail)) => {
                    draft.take_back(mark);
                    Err(self.cluster.damaged(detail))
                }
                Err(Hitch::Needs(more)) => {
                    draft.forget(mark);
                    needs.extend(more);
                    needs.extend(draft.unknown_of(&ticket.commit));
                    continue;
                }
                Err(Hitch::TooEarly) => {
                    draft.forget(mark);
                    break;
                }
            };
            if draft.excess().is_some() {
                draft.forget(mark);
                if drafted.is_empty() && needs.is_empty() {
                    return Ok(Drafting::FirstAlone);
                }
                break;
            }
            drafted.push(Drafted { result, changes: before..draft.changes().len() });
        }
        if needs.is_empty() {
            return Ok(Drafting::Done(drafted));
        }
        let needs: Vec<_> = needs.into_iter().collect();
        fetch(&self.cluster, &needs, Moment::AboutNow, &mut draft.knowledge).await?;
        Ok(Drafting::Again)
    }

    /// Commits a batch that is larger than others may be, from what is read of one moment.
    async fn commit_alone(&self, writing: &mut Writing, ticket: Ticket) {
        let began = Instant::now();
        for attempts in 1.. {
            let result = match self.attempt_alone(writing, &ticket.commit).await {
                Ok(None) if began.elapsed() < self.cluster.timeout => {
                    pause(attempts).await;
                    continue;
                }
                Ok(None) => Err(self.contended(attempts, began)),
                Ok(Some((mut draft, outcomes, done))) => {
                    let drafted = Drafted { result: Ok(outcomes), changes: 0..draft.changes().len() };
                    // What it has written is known to those that follow.
                    draft.knowledge = std::mem::take(&mut writing.draft.knowledge);
                    self.tell(&mut draft, vec![ticket], vec![drafted], &done);
                    writing.draft.knowledge = draft.knowledge;
                    return;
                }
                Err(error) => Err(error),
            };
            return drop(ticket.reply.send(result));
        }
    }

    async fn attempt_alone(
        &self,
        writing: &mut Writing,
        commit: &Commit,
    ) -> Result<Option<(Draft, Vec<Outcome>, Done)>> {
        let mut draft = Draft::of_one_moment(self.layout.clone());
        draft.now_ms = clock::now_ms(&*self.clock);
        draft.grace_ms = writing.draft.grace_ms;
        let outcomes = loop {
            let mark = draft.mark();
            match draft.batch(commit) {
                Ok(outcomes) => break outcomes,
                Err(Hitch::Needs(needs)) => {
                    draft.forget(mark);
                    let mut needs: HashSet<_> = needs.into_iter().collect();
                    needs.extend(draft.unknown_of(commit));
                    match draft.ask(&self.cluster, needs.into_iter().collect()).await {
                        Ok(()) => {}
                        // The moment is forgotten meanwhile. A later one will do as well.
                        Err(Trouble::Compacted) => return Ok(None),
                        Err(trouble) => return Err(self.cluster.error(trouble)),
                    }
                }
                Err(hitch) => return Err(self.cluster.hitch(hitch)),
            }
        };
        if let Some((what, wanted, limit)) = draft.excess() {
            return Err(Error::TooMuchAtOnce {
                location: self.cluster.location.clone(),
                what,
                wanted,
                limit,
            });
        }
        let made = self.make(&mut writing.fencing, &mut draft).await;
        Ok(match made.map_err(|trouble| self.cluster.write_error(trouble))? {
            Made::Done(done) => Some((draft, outcomes, done)),
            Made::Overtaken => None,
        })
    }

    /// Takes over what was written, and tells everybody.
    fn tell(&self, draft: &mut Draft, tickets: Vec<Ticket>, drafted: Vec<Drafted>, done: &Done) {
        let events = self.events(draft, done.revision);
        let soonest_ms = draft.soonest_ms;
        let changed = draft.has_changes();
        draft.settle(done);
        let answers: Vec<_> = tickets
            .into_iter()
            .zip(drafted)
            .map(|(ticket, drafted)| {
                let of_its_own = events.get(drafted.changes.clone()).unwrap_or_default().to_vec();
                let revision = if drafted.changes.is_empty() {
                    done.latest()
                } else {
                    Revision(done.revision.cast_unsigned())
                };
                let answer =
                    drafted.result.map(|outcomes| Committed { revision, outcomes, events: of_its_own });
                (ticket, answer)
            })
            .collect();
        if let Some(at_ms) = soonest_ms {
            self.sink.will_expire(at_ms);
        }
        let answer = move || {
            for (ticket, answer) in answers {
                let _ = ticket.reply.send(answer);
            }
        };
        // A watcher of this process has heard of a commit before its caller goes on.
        let revision = Revision(done.revision.cast_unsigned());
        match changed.then(|| self.follower.reach(revision)).flatten() {
            None => answer(),
            Some(reached) => drop(tokio::spawn(async move {
                reached.await;
                answer();
            })),
        }
    }

    /// The events of a draft, where somebody must be given them.
    pub fn events(&self, draft: &Draft, revision: i64) -> Vec<Arc<Event>> {
        if self.sink.interest() != Interest::Every {
            return Vec::new();
        }
        let event = |change| Arc::new(event(change, None, Revision(revision.cast_unsigned()), draft.at_ms));
        draft.changes().iter().map(event).collect()
    }
}

impl Draft {
    /// Asks for what a draft of one moment needs, as it was at that moment, which is that of the first answer.
    pub async fn ask(&mut self, cluster: &Cluster, mut needs: Vec<Wanted>) -> Result<(), Trouble> {
        let moment = self.moment.map_or(Moment::Now, Moment::At);
        if self.moment.is_none() {
            needs.extend([self.layout.log(), self.layout.quotas()].map(Wanted::Key));
        }
        self.moment = Some(fetch(cluster, &needs, moment, &mut self.knowledge).await?);
        Ok(())
    }

    /// What a batch will certainly ask for and is not known.
    fn unknown_of(&self, commit: &Commit) -> Vec<Wanted> {
        let required = commit.requirements.iter().map(|Requirement { group, key, .. }| (group, key));
        let required = required.map(|(group, key)| Wanted::Key(self.layout.entry(group, key)));
        let foreseen = commit.mutations.iter().flat_map(|mutation| self.foreseen(mutation));
        required.chain(foreseen).filter(|wanted| !self.knowledge.has(wanted)).collect()
    }

    /// Applies a batch: several mutations are judged by what they leave behind.
    fn batch(&mut self, commit: &Commit) -> super::draft::Step<Vec<Outcome>> {
        for requirement in &commit.requirements {
            self.require(requirement)?;
        }
        if commit.mutations.len() > 1 {
            self.before = Some(Default::default());
        }
        let outcomes = commit.mutations.iter().map(|mutation| self.apply(mutation)).collect::<Result<_, _>>();
        let judged = outcomes.and_then(|outcomes| self.judge().map(|()| outcomes));
        self.before = None;
        judged
    }
}

fn answer_all(tickets: impl Iterator<Item = Ticket>, error: &Error) {
    for ticket in tickets {
        let _ = ticket.reply.send(Err(error.clone()));
    }
}

/// Rests for a random time before another attempt, so that those who get in each other's way do so no longer.
pub(super) async fn pause(attempts: u32) {
    if attempts > PATIENT_ATTEMPTS {
        let most =
            PAUSE_MAX.min(Duration::from_millis(1) * 2_u32.saturating_pow(attempts - PATIENT_ATTEMPTS));
        sleep(most.mul_f64((random() % 1000) as f64 / 1000.0)).await;
    }
}
