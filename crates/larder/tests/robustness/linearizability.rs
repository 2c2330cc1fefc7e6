//! Linearizability: whether the calls on one key, with their answers, could have happened one after another.
//!
//! The search is Wing and Gong's, with Lowe's cache of failed states. It looks for an order of the calls,
//! each between its begin and its return, in which every answer is the one that a register gives. A call
//! whose answer was lost may come anywhere after its begin, or not at all. Revisions narrow the search: an
//! answer with a revision fits only one state, and a write has a greater revision than the value it
//! overwrites. A read that fits is taken at once, so many reads that overlap cost no more than a few.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::record::{Action, Outcome, Requirement};

/// The search ends after this many steps, which counts as a failure.
const STEPS_MAX: usize = 4_000_000;

/// A call and its outcome.
#[derive(Clone)]
pub struct Call {
    /// The client, its life, and the number of the call.
    pub caller: String,
    /// The earliest moment at which it may have taken effect.
    pub begin_ns: u64,
    /// When it was made. What its process had written by then has taken effect before it, also where it may show an older
    /// state than that of this moment.
    pub asked_ns: u64,
    /// `None` if the answer was lost.
    pub end_ns: Option<u64>,
    /// When the caller waited no longer, with an answer or without.
    pub over_ns: u64,
    pub action: Action,
    pub outcome: Outcome,
}

impl Call {
    /// Whether it has certainly changed something.
    pub fn has_written(&self) -> bool {
        matches!(self.outcome, Outcome::Written(_) | Outcome::Done | Outcome::Sum(_) | Outcome::Deleted(true))
    }

    /// The client and its life.
    fn process(&self) -> &str {
        self.caller.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, begin_ns, end_ns, action, outcome, .. } = self;
        let end_ns = end_ns.map_or("…".into(), |end_ns| end_ns.to_string());
        write!(f, "{caller} from {begin_ns} to {end_ns}: {action:?}, {outcome:?}")
    }
}

/// The state of a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// The value, and its revision if that is known.
    entry: Option<(i64, Option<u64>)>,
    /// The last known revision of a write; the next write has a greater one.
    floor: u64,
}

impl State {
    /// The state after a call, if this state gives the call's answer.
    pub fn after(&self, call: &Call) -> Option<Self> {
        let lost = call.outcome == Outcome::Unknown;
        match (&call.action, &call.outcome) {
            (Action::Read, Outcome::Found(found)) => self.showing(*found),
            (Action::Set(value), outcome) => self.written(*value, outcome),
            (Action::SetIf(requirement, _), Outcome::Conflict(actual)) => {
                self.meeting(*actual).filter(|_| !holds(*requirement, *actual))
            }
            (Action::DeleteIf(revision), Outcome::Conflict(actual)) => {
                self.meeting(*actual).filter(|_| *actual != Some(*revision))
            }
            (Action::SetIf(requirement, value), outcome) => {
                self.required(*requirement)?.written(*value, outcome)
            }
            (Action::Delete, Outcome::Deleted(was_there)) => {
                (self.entry.is_some() == *was_there).then(|| self.without())
            }
            (Action::Delete, Outcome::Unknown) => Some(self.without()),
            (Action::DeleteIf(revision), Outcome::Deleted(true) | Outcome::Unknown) => {
                Some(self.required(Requirement::Revision(*revision))?.without())
            }
            (Action::Increment(by), outcome) => {
                let sum = self.entry.map_or(0, |(value, _)| value) + by;
                match outcome {
                    Outcome::Sum(answer) if *answer == sum => self.written(sum, &Outcome::Unknown),
                    Outcome::Unknown => self.written(sum, &Outcome::Unknown),
                    _ => None,
                }
            }
            _ if lost => Some(self.clone()),
            _ => None,
        }
    }

    fn written(&self, value: i64, outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Written(revision) => (*revision > self.floor)
                .then_some(Self { entry: Some((value, Some(*revision))), floor: *revision }),
            Outcome::Unknown | Outcome::Done => Some(Self { entry: Some((value, None)), floor: self.floor }),
            _ => None,
        }
    }

    fn without(&self) -> Self {
        Self { entry: None, floor: self.floor }
    }

    /// Notes the revision of the value, if it can be this one.
    fn with_revision(&self, revision: u64) -> Option<Self> {
        match self.entry {
            Some((_, Some(known))) => (known == revision).then(|| self.clone()),
            Some((value, None)) => (revision > self.floor)
                .then_some(Self { entry: Some((value, Some(revision))), floor: revision }),
            None => None,
        }
    }

    fn showing(&self, found: Option<(i64, Option<u64>)>) -> Option<Self> {
        match (self.entry, found) {
            (None, None) => Some(self.clone()),
            (Some((value, _)), Some((answer, revision))) if value == answer => match revision {
                Some(revision) => self.with_revision(revision),
                None => Some(self.clone()),
            },
            _ => None,
        }
    }

    fn meeting(&self, actual: Option<u64>) -> Option<Self> {
        match actual {
            None => self.entry.is_none().then(|| self.clone()),
            Some(revision) => self.with_revision(revision),
        }
    }

    fn required(&self, requirement: Requirement) -> Option<Self> {
        match requirement {
            Requirement::Absent => self.entry.is_none().then(|| self.clone()),
            Requirement::Present => self.entry.is_some().then(|| self.clone()),
            Requirement::Revision(revision) => self.with_revision(revision),
        }
    }
}

fn holds(requirement: Requirement, actual: Option<u64>) -> bool {
    match requirement {
        Requirement::Absent => actual.is_none(),
        Requirement::Present => actual.is_some(),
        Requirement::Revision(revision) => actual == Some(revision),
    }
}

/// A partial order: the calls in it, and the state of the register after them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Node {
    /// All answered calls before this index are in the order.
    prefix: usize,
    /// So are these later ones.
    ahead: Vec<u32>,
    /// So are these calls whose answer was lost.
    lost: Vec<u32>,
    state: State,
    /// The state before the lost calls, if the order ends with some. They are useful only if the next
    /// answered call would not fit without them.
    before_lost: Option<State>,
}

impl Node {
    /// Whether an answered call is in the order.
    fn has(&self, index: u32) -> bool {
        (index as usize) < self.prefix || self.ahead.binary_search(&index).is_ok()
    }
}

struct Frame {
    node: Node,
    /// What to try next: answered calls first, because all of them must be in the order.
    candidates: Vec<Candidate>,
    asked_lost: bool,
}

#[derive(Clone, Copy)]
enum Candidate {
    Answered(u32),
    Lost(u32),
}

struct Search {
    answered: Vec<Call>,
    lost: Vec<Call>,
    /// For each answered call with a revision, the call with the revision before it.
    previous: HashMap<u32, u32>,
    /// For each of these calls, the reads that have found a lower revision, and not one that another call wrote later.
    reads_before: HashMap<u32, Vec<u32>>,
    /// For each read from memory, the writes that its process had made.
    writes_before: HashMap<u32, Vec<u32>>,
    visited: HashSet<Node>,
    furthest: usize,
    /// The longest partial order found.
    stuck: Option<Node>,
}

/// Finds an order that begins with an absent entry, or returns how far one was found.
pub fn check(calls: Vec<Call>) -> Result<(), String> {
    check_from(None, 0, calls)
}

/// Finds an order that begins with an entry, or its absence, at a revision.
pub fn check_from(entry: Option<(i64, u64)>, floor: u64, calls: Vec<Call>) -> Result<(), String> {
    let first = State { entry: entry.map(|(value, revision)| (value, Some(revision))), floor };
    let (mut answered, mut lost): (Vec<_>, Vec<_>) =
        calls.into_iter().partition(|call| call.end_ns.is_some());
    answered.sort_by_key(|call| call.begin_ns);
    // An unanswered read changes nothing.
    lost.retain(|call| !matches!(call.action, Action::Read | Action::Latest));
    lost.sort_by_key(|call| call.begin_ns);
    let mut revisions: Vec<(u64, u32)> = Vec::new();
    for (index, call) in (0..).zip(&answered) {
        if let Outcome::Written(revision) = call.outcome {
            revisions.push((revision, index));
        }
    }
    revisions.sort_unstable();
    let mut reads_before: HashMap<u32, Vec<u32>> = HashMap::new();
    for (index, call) in (0..).zip(&answered) {
        let Outcome::Found(Some((_, Some(found)))) = call.outcome else { continue };
        if let Some((_, write)) = revisions.get(revisions.partition_point(|(revision, _)| *revision <= found))
        {
            reads_before.entry(*write).or_default().push(index);
        }
    }
    let mut writes_before: HashMap<u32, Vec<u32>> = HashMap::new();
    for (index, read) in (0..).zip(&answered).filter(|(_, call)| call.begin_ns < call.asked_ns) {
        let is_own = |call: &Call| {
            call.has_written()
                && call.process() == read.process()
                && call.end_ns.is_some_and(|end_ns| end_ns <= read.asked_ns)
        };
        let own = (0..).zip(&answered).filter(|(_, call)| is_own(call)).map(|(own, _)| own);
        writes_before.insert(index, own.collect());
    }
    let previous = revisions.windows(2).map(|pair| (pair[1].1, pair[0].1)).collect();
    let (visited, furthest, stuck) = (HashSet::new(), 0, None);
    Search { answered, lost, previous, reads_before, writes_before, visited, furthest, stuck }.run(first)
}

impl Search {
    fn run(mut self, first: State) -> Result<(), String> {
        let first = Node { prefix: 0, ahead: Vec::new(), lost: Vec::new(), state: first, before_lost: None };
        let mut stack = vec![self.frame(first)];
        let mut steps = 0;
        while let Some(frame) = stack.last_mut() {
            if frame.node.prefix == self.answered.len() {
                return Ok(());
            }
            let candidate = match frame.candidates.pop() {
                Some(candidate) => candidate,
                None if !frame.asked_lost => {
                    frame.asked_lost = true;
                    frame.candidates = self.lost_candidates(&frame.node);
                    continue;
                }
                None => {
                    stack.pop();
                    continue;
                }
            };
            steps += 1;
            if steps > STEPS_MAX {
                return Err(self.report("no order was found in reasonable time"));
            }
            let Some(next) = self.step(&frame.node, candidate) else { continue };
            if next.prefix + next.ahead.len() > self.furthest || self.stuck.is_none() {
                self.furthest = next.prefix + next.ahead.len();
                self.stuck = Some(next.clone());
            }
            if self.visited.insert(next.clone()) {
                let frame = self.frame(next);
                stack.push(frame);
            }
        }
        Err(self.report("there is no order"))
    }

    fn frame(&self, node: Node) -> Frame {
        if let Some(index) = self.fitting_read(&node) {
            return Frame { node, candidates: vec![Candidate::Answered(index)], asked_lost: true };
        }
        let mut candidates: Vec<_> =
            self.open(&node).into_iter().map(|index| (self.answered[index as usize].end_ns, index)).collect();
        // Popped from the end, so the call that returned first is tried first.
        candidates.sort_by(|left, right| right.cmp(left));
        let candidates = candidates.into_iter().map(|(_, index)| Candidate::Answered(index)).collect();
        Frame { node, candidates, asked_lost: false }
    }

    /// An answered call that may come next and changes nothing, if there is one. Nothing else need be tried: wherever an
    /// order has it, it is still an order when this call comes now.
    fn fitting_read(&self, node: &Node) -> Option<u32> {
        self.open(node).into_iter().find(|index| {
            let is_write = self.answered[*index as usize].has_written();
            !is_write
                && self.step(node, Candidate::Answered(*index)).is_some_and(|next| next.state == node.state)
        })
    }

    /// The answered calls that may come next: those that began before any other remaining call returned.
    fn open(&self, node: &Node) -> Vec<u32> {
        let mut open = Vec::new();
        let mut until = u64::MAX;
        for (index, call) in self.answered.iter().enumerate().skip(node.prefix) {
            if call.begin_ns > until {
                break;
            }
            if node.ahead.binary_search(&(index as u32)).is_err() {
                open.push(index as u32);
                until = until.min(call.end_ns.unwrap_or(u64::MAX));
            }
        }
        open
    }

    fn lost_candidates(&self, node: &Node) -> Vec<Candidate> {
        let open = self.open(node);
        let ends = open.iter().filter_map(|index| self.answered[*index as usize].end_ns);
        let until = ends.min().unwrap_or(u64::MAX);
        let fits = |index: &u32| {
            let call = &self.lost[*index as usize];
            // Overwriting another lost write would make that one useless.
            let is_blind = matches!(call.action, Action::Set(_) | Action::Delete);
            if is_blind && node.before_lost.is_some() {
                return false;
            }
            // A call that changes nothing need not be in the order.
            node.lost.binary_search(index).is_err()
                && node.state.after(call).is_some_and(|after| after != node.state)
        };
        let began = self.lost.iter().take_while(|call| call.begin_ns <= until).count();
        let mut fitting: Vec<u32> = (0..began as u32).filter(fits).collect();
        // Of several equal calls, the first is as good as any.
        let mut seen: Vec<&Action> = Vec::new();
        fitting.retain(|index| {
            let action = &self.lost[*index as usize].action;
            let is_new = !seen.contains(&action);
            seen.push(action);
            is_new
        });
        fitting.into_iter().map(Candidate::Lost).collect()
    }

    fn step(&self, node: &Node, candidate: Candidate) -> Option<Node> {
        match candidate {
            Candidate::Answered(index) => {
                let call = &self.answered[index as usize];
                let state = node.state.after(call)?;
                // Writes come in the order of their revisions.
                if self.previous.get(&index).is_some_and(|previous| !node.has(*previous)) {
                    return None;
                }
                let reads = self.reads_before.get(&index);
                if reads.is_some_and(|reads| reads.iter().any(|read| !node.has(*read))) {
                    return None;
                }
                let writes = self.writes_before.get(&index);
                if writes.is_some_and(|writes| writes.iter().any(|write| !node.has(*write))) {
                    return None;
                }
                if node.before_lost.as_ref().is_some_and(|before| before.after(call).is_some()) {
                    return None;
                }
                let (mut prefix, mut ahead) = (node.prefix, node.ahead.clone());
                ahead.insert(ahead.partition_point(|other| *other < index), index);
                let whole = ahead.iter().zip(prefix as u32..).take_while(|(have, want)| **have == *want);
                let whole = whole.count();
                ahead.drain(..whole);
                prefix += whole;
                Some(Node { prefix, ahead, lost: node.lost.clone(), state, before_lost: None })
            }
            Candidate::Lost(index) => {
                let state = node.state.after(&self.lost[index as usize])?;
                let mut lost = node.lost.clone();
                lost.insert(lost.partition_point(|other| *other < index), index);
                let before_lost = Some(node.before_lost.clone().unwrap_or_else(|| node.state.clone()));
                Some(Node { lost, state, before_lost, ..node.clone() })
            }
        }
    }

    fn report(&self, what: &str) -> String {
        let Some(node) = &self.stuck else {
            return format!("{what}, not even of the first calls: {:#?}", self.answered.iter().take(5));
        };
        let open: Vec<_> = self.open(node).iter().map(|index| &self.answered[*index as usize]).collect();
        let last: Vec<_> = self.answered[..node.prefix].iter().rev().take(6).collect();
        let lost: Vec<_> = self.lost_candidates(node).into_iter().take(8).collect();
        let lost: Vec<_> = lost
            .iter()
            .filter_map(|candidate| match candidate {
                Candidate::Lost(index) => Some(&self.lost[*index as usize]),
                Candidate::Answered(_) => None,
            })
            .collect();
        format!(
            "{what}: {} of {} calls are in order, then the register may be {:?}, and none of these fits: {open:#?}\nlost: {lost:#?}\nbefore: {last:#?}",
            self.furthest,
            self.answered.len(),
            node.state
        )
    }
}
