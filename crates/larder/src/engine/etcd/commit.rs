//! Group commit: many callers, one transaction of the cluster's.
//!
//! Callers queue what they want to commit; a task takes what is queued, drafts as much of it as one
//! transaction of etcd's may hold, and makes it. Everything that is decided on the way (what is refused, what
//! changes nothing) is decided by what the transaction compares, so that it is as true as what is written.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse};
use prost::Message;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Trouble};
use super::draft::{Draft, Hitch, Plan};
use super::fence::{Fencing, Verdict, find, random};
use super::fetch::{Moment, fetch, kept};
use super::follower::Follower;
use super::knowledge::{Kept, Knowledge, Wanted};
use super::layout::{Layout, Record};
use super::log::event;
use crate::clock::{self, Clock};
use crate::engine::{Commit, Committed, Interest, Mutation, Sink};
use crate::{Error, Event, Result, Revision};

/// How many batches are drafted together at the most: a transaction holds about as many operations, or, where
/// nobody else writes, more.
const GROUP_MAX: usize = 128;
const GROUP_MAX_ALONE: usize = 1024;

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

/// A batch, and who waits for it.
pub(super) struct Ticket {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Committed>>,
}

/// One batch of a draft: what came of it, and which of the draft's changes are its own.
struct Drafted {
    result: Result<Vec<i64>>,
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

/// What the cluster made of a draft.
pub(super) struct Done {
    /// The cluster's revision of it.
    pub revision: i64,
    /// The store's latest commit before it, where the answer that says so was not lost.
    pub before: Option<Revision>,
}

impl Done {
    /// The store's latest commit where this one has changed nothing.
    pub fn latest(&self) -> Revision {
        self.before.unwrap_or(Revision(self.revision.cast_unsigned()))
    }
}

pub(super) enum Outcome {
    Done(Done),
    /// Somebody else was faster.
    Overtaken,
}

impl Outcome {
    /// It turns out to have happened. The store's latest commit before it is only of interest where nothing
    /// has changed.
    fn happened(revision: i64) -> Self {
        Self::Done(Done { revision, before: None })
    }
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
    pub async fn run(self: Arc<Self>, mut incoming: mpsc::UnboundedReceiver<Ticket>) {
        let mut waiting = VecDeque::new();
        while let Some(ticket) = incoming.recv().await {
            waiting.push_back(ticket);
            while !waiting.is_empty() {
                while let Ok(ticket) = incoming.try_recv() {
                    waiting.push_back(ticket);
                }
                // Who has given up before it was begun with wants it no more.
                waiting.retain(|ticket: &Ticket| !ticket.reply.is_closed());
                let mut writing = self.writing.lock().await;
                self.commit_some(&mut writing, &mut waiting).await;
            }
        }
    }

    /// Commits the first few of those that wait: at least one of them is answered.
    async fn commit_some(&self, writing: &mut Writing, waiting: &mut VecDeque<Ticket>) {
        let began = Instant::now();
        let mut most_of_all = GROUP_MAX_ALONE;
        let mut attempts = 0;
        // What has expired is asked for by the time, so the time stands still until that is there.
        let mut now_ms = clock::now_ms(&*self.clock);
        while !waiting.is_empty() {
            let Writing { draft, fencing } = &mut *writing;
            draft.reset(now_ms);
            let most = most_of_all.min(if draft.of_one_moment { GROUP_MAX_ALONE } else { GROUP_MAX });
            let drafted = match self.draft(draft, waiting, most).await {
                Ok(Drafting::Done(drafted)) => drafted,
                Ok(Drafting::Again) => continue,
                // What was asked for came in several answers, of a moment that is forgotten meanwhile.
                Err(Trouble::Compacted) => continue,
                Ok(Drafting::FirstAlone) => {
                    let Some(ticket) = waiting.pop_front() else { return };
                    return self.commit_alone(writing, ticket).await;
                }
                Err(trouble) => {
                    // Nothing was sent.
                    let error = self.cluster.error(trouble);
                    let count = waiting.len().min(most);
                    return answer_all(waiting.drain(..count), &error);
                }
            };
            debug_assert!(!drafted.is_empty(), "the first of a draft is always decided");
            attempts += 1;
            let count = drafted.len();
            match self.make(fencing, draft).await {
                Ok(Outcome::Done(done)) => {
                    let tickets: Vec<_> = waiting.drain(..count).collect();
                    return self.tell(&mut writing.draft, tickets, drafted, &done);
                }
                Ok(Outcome::Overtaken)
                    if began.elapsed() >= self.cluster.timeout && attempts > PATIENT_ATTEMPTS =>
                {
                    let error = self.contended(attempts, began);
                    return answer_all(waiting.drain(..count), &error);
                }
                Ok(Outcome::Overtaken) => {
                    // Perhaps only one of them is always overtaken.
                    most_of_all = if attempts > PATIENT_ATTEMPTS { (count / 2).max(1) } else { most_of_all };
                    pause(attempts).await;
                    now_ms = clock::now_ms(&*self.clock);
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
        for ticket in waiting.iter().take(most) {
            let entries = ticket
                .commit
                .requirements
                .iter()
                .map(|requirement| Wanted::Key(self.layout.entry(&requirement.group, &requirement.key)));
            let mutations = ticket.commit.mutations.iter().flat_map(|mutation| draft.foreseen(mutation));
            needs.extend(entries.chain(mutations).filter(|wanted| !draft.knowledge.has(wanted)));
        }
        let mut drafted: Vec<Drafted> = Vec::new();
        let mut told: HashSet<(&str, &str)> = HashSet::new();
        if needs.is_empty() {
            for ticket in waiting.iter().take(most) {
                // All in the draft share a revision. Who is told it may make a condition of it, which must not
                // hold where somebody else has written the same entry since.
                if written(&ticket.commit).any(|entry| told.contains(&entry)) {
                    break;
                }
                if is_told_its_revision(&ticket.commit) {
                    told.extend(written(&ticket.commit));
                }
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
                    // What is known to others goes on from here.
                    writing.draft.knowledge = Knowledge::default();
                    return self.tell(&mut draft, vec![ticket], vec![drafted], &done);
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
    ) -> Result<Option<(Draft, Vec<i64>, Done)>> {
        let error = |trouble| self.cluster.error(trouble);
        let (mut draft, revision) = Draft::of_now(&self.cluster, &self.layout).await.map_err(error)?;
        draft.now_ms = clock::now_ms(&*self.clock);
        draft.grace_ms = writing.draft.grace_ms;
        let outcomes = loop {
            let mark = draft.mark();
            match draft.batch(commit) {
                Ok(outcomes) => break outcomes,
                Err(Hitch::Needs(mut needs)) => {
                    draft.forget(mark);
                    needs.extend(commit.mutations.iter().flat_map(|mutation| draft.foreseen(mutation)));
                    needs.retain(|wanted| !draft.knowledge.has(wanted));
                    match fetch(&self.cluster, &needs, Moment::At(revision), &mut draft.knowledge).await {
                        Ok(_) => {}
                        // The moment is forgotten meanwhile. A later one will do as well.
                        Err(Trouble::Compacted) => return Ok(None),
                        Err(trouble) => return Err(error(trouble)),
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
            Outcome::Done(done) => Some((draft, outcomes, done)),
            Outcome::Overtaken => None,
        })
    }

    /// Has the cluster make what was drafted.
    pub async fn make(&self, fencing: &mut Fencing, draft: &mut Draft) -> Result<Outcome, Trouble> {
        let Plan { mut compares, operations, mut asks, asked, changes, as_a_whole } = draft.plan();
        let log = self.layout.log().to_vec();
        let fence = fencing.key(&self.layout);
        // What writes nothing can be asked for any number of times.
        let fenced = !operations.is_empty() || fencing.unsettled;
        if fenced && fencing.revision().is_none() {
            let (kept, _) = super::fetch::key(&self.cluster, &fence, Moment::Now).await?;
            fencing.learn(&kept);
        }
        let mut acts = vec![TxnOp::get(log.clone(), Some(GetOptions::new().with_keys_only()))];
        acts.extend(operations);
        if !changes.is_empty() {
            let record = Record { at_ms: draft.at_ms, changes };
            acts.push(TxnOp::put(log, record.encode_to_vec(), None));
        }
        if fenced {
            let (compare, act) = fencing.next(&self.layout);
            compares.push(compare);
            acts.push(act);
        }
        asks.push(TxnOp::get(fence.to_vec(), None));
        let transaction = Txn::new().when(compares).and_then(acts).or_else(asks);
        let unsettled_before = fencing.unsettled;
        fencing.unsettled |= fenced;
        let answered = match self.cluster.transact(&transaction).await {
            Ok(answered) => answered,
            Err(trouble) => {
                if fenced && matches!(trouble, Trouble::Refused { error: Error::Full { .. }, .. }) {
                    let done = self.made_all_the_same(fencing).await.map_err(Trouble::after_sending)?;
                    if let Some(revision) = done {
                        return Ok(Outcome::happened(revision));
                    }
                }
                if trouble.is_unsent() {
                    fencing.unsettled = unsettled_before;
                }
                return Err(trouble);
            }
        };
        let revision = answered.response.header().map_or(0, |header| header.revision());
        let mut responses = answered.response.op_responses().into_iter().map(found);
        if answered.response.succeeded() {
            let latest = responses.next().unwrap_or(Kept::NOTHING).revision;
            if fenced {
                fencing.moved(revision);
            }
            let before = Some(Revision(latest.cast_unsigned()));
            return Ok(Outcome::Done(Done { revision, before }));
        }
        let mut found: Vec<_> = responses.collect();
        let at_fence = found.pop().unwrap_or(Kept::NOTHING);
        if fenced {
            match fencing.judge(&at_fence) {
                // Nothing else of it is under way.
                Verdict::NotYet if !answered.resent => {}
                Verdict::Overrun { .. } if !answered.resent => fencing.move_on(),
                verdict => {
                    let settled = self.settle(fencing, verdict).await;
                    if let Some(revision) = settled.map_err(Trouble::after_sending)? {
                        return Ok(Outcome::happened(revision));
                    }
                }
            }
        }
        draft.knowledge.forget_spans();
        for (key, kept) in asked.into_iter().zip(found) {
            draft.knowledge.learn(key, kept, revision);
        }
        if as_a_whole {
            draft.knowledge.interrupted_at(Revision(revision.cast_unsigned()));
        }
        Ok(Outcome::Overtaken)
    }

    /// Whether a transaction has happened, and at which revision, that was refused for want of space: where it
    /// gives out just then, etcd does what it is asked for and then says that it cannot.
    async fn made_all_the_same(&self, fencing: &mut Fencing) -> Result<Option<i64>, Trouble> {
        let (kept, _) = super::fetch::key(&self.cluster, &fencing.key(&self.layout), Moment::Now).await?;
        match fencing.judge(&kept) {
            Verdict::NotYet => Ok(None),
            verdict => self.settle(fencing, verdict).await,
        }
    }

    /// Finds out whether the last transaction has happened, of which more than one copy was sent, and sees to it
    /// that none happens later: a copy that is still on its way may find that its comparisons hold again, since a
    /// key that was absent, and was not in between, is again as it was. Returns its revision, if it has happened.
    async fn settle(&self, fencing: &mut Fencing, verdict: Verdict) -> Result<Option<i64>, Trouble> {
        let (fence, last) = (fencing.key(&self.layout), fencing.last());
        let since = match verdict {
            Verdict::Happened(revision) => return Ok(Some(revision)),
            // Another writer has moved the fence, which shuts out what is under way.
            Verdict::Overrun { since } => since,
            Verdict::NotYet => {
                let since = fencing.revision().unwrap_or_default();
                let (compare, act) = fencing.next(&self.layout);
                let moving = Txn::new().when([compare]).and_then([act]);
                let answered = self.cluster.transact(&moving).await?;
                if answered.response.succeeded() {
                    fencing.moved(answered.response.header().map_or(0, |header| header.revision()));
                    return Ok(None);
                }
                // Somebody has moved it: a copy, another writer, or this very request, sent twice.
                since
            }
        };
        // The fence's history still says who has.
        let happened = find(&self.cluster, &fence, since, last).await?;
        fencing.move_on();
        Ok(happened)
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
        match self.follower.reach(Revision(done.revision.cast_unsigned())).filter(|_| changed) {
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
    /// A draft on what lies in the cluster now, at the revision that is returned.
    pub async fn of_now(cluster: &Cluster, layout: &Layout) -> Result<(Self, i64), Trouble> {
        let mut draft = Self::new(layout.clone(), Knowledge::default());
        let wanted = [Wanted::Key(layout.log()), Wanted::Key(layout.quotas())];
        let revision = fetch(cluster, &wanted, Moment::Now, &mut draft.knowledge).await?;
        draft.of_one_moment = true;
        Ok((draft, revision))
    }

    /// Applies a batch: several mutations are judged by what they leave behind.
    fn batch(&mut self, commit: &Commit) -> super::draft::Step<Vec<i64>> {
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

/// The entries that are there after a batch because it has written them.
fn written(commit: &Commit) -> impl Iterator<Item = (&str, &str)> {
    commit.mutations.iter().filter_map(|mutation| match mutation {
        Mutation::Set { group, key, .. }
        | Mutation::Touch { group, key, .. }
        | Mutation::Increment { group, key, .. } => Some((&**group, &**key)),
        _ => None,
    })
}

/// Whether a caller learns the revision of what it has written: not by a single increment or touch, of which
/// any number may share one.
fn is_told_its_revision(commit: &Commit) -> bool {
    !matches!(commit.mutations.as_slice(), [Mutation::Increment { .. } | Mutation::Touch { .. }])
}

fn found(response: TxnOpResponse) -> Kept {
    match response {
        TxnOpResponse::Get(mut found) => found.take_kvs().into_iter().next().map_or(Kept::NOTHING, kept),
        _ => Kept::NOTHING,
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
