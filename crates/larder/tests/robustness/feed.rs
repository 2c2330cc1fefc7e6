//! The feed: one ordered list of the events that the listeners of everything received.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::history::written_entries;
use super::linearizability::Call;
use super::listeners::{Listener, Segment};
use super::record::{Action, Outcome, ReceivedEvent, Scope};
use super::targets::COUNTERS;

/// The events that all listeners of everything agree on, from the beginning of the trial up to the end of an era.
#[derive(Default)]
pub struct Feed {
    commits: BTreeMap<u64, Arc<Vec<ReceivedEvent>>>,
    /// The last revision that the era has in common with the one that it continues.
    fork: u64,
    /// Whether no era follows. What the others had committed last, no listener may have received.
    is_last: bool,
    /// The ranges that some listener received without a gap: after the first revision, up to the second.
    covered: Vec<(u64, u64)>,
    /// Where each value was set: by group, key and value.
    values: HashMap<(String, String, String), Vec<u64>>,
}

impl Feed {
    /// Merges what the listeners received in an era, and reports where two of them received different events. An era
    /// that continues another one from a revision on has a part of its feed.
    pub fn new(
        listeners: &[Listener],
        era: usize,
        is_last: bool,
        continued: Option<(&Self, u64)>,
    ) -> (Self, Vec<String>) {
        let (mut feed, mut wrong) = (Self { is_last, ..Self::default() }, Vec::new());
        let everything = listeners.iter().filter(|listener| listener.scope == Scope::All);
        for (name, segment) in everything
            .flat_map(|listener| listener.settled(era).map(move |segment| (&listener.name, segment)))
        {
            let Some((after, until)) = segment.whole() else { continue };
            for (revision, events) in commits(segment).into_iter().filter(|(revision, _)| *revision <= until)
            {
                // A cursor may begin inside a commit.
                if revision <= after {
                    continue;
                }
                let known = feed.commits.entry(revision).or_insert_with(|| Arc::new(events.clone()));
                if **known != events {
                    wrong.push(format!("{name} received {events:?}, and another listener {known:?}"));
                }
            }
            feed.covered.push((after, until));
        }
        if let Some((before, begin)) = continued {
            feed.continue_from(before, begin);
        }
        // Events that some listener lacks are found when each is compared with the feed.
        feed.join_covered();
        for event in feed.commits.values().flat_map(|events| events.iter()) {
            if let (Some(key), Some(value)) = (&event.key, &event.value) {
                let entry = (event.group.clone(), key.clone(), value.clone());
                feed.values.entry(entry).or_default().push(event.revision);
            }
        }
        (feed, wrong)
    }

    /// Finds how much the era has in common with the one that it continues, and takes that over.
    fn continue_from(&mut self, before: &Self, begin: u64) {
        let (former, own) = (before.commits.range(begin + 1..), self.commits.range(begin + 1..));
        let common = former.zip(own).take_while(|(former, own)| former == own);
        self.fork = common.last().map_or(begin, |((revision, _), _)| *revision);
        let fork = self.fork;
        self.commits = self.commits.split_off(&(fork + 1));
        self.commits
            .extend(before.commits.range(..=fork).map(|(revision, events)| (*revision, Arc::clone(events))));
        self.covered.retain(|(after, _)| *after >= begin);
        let shared = before.covered.iter().filter(|(after, _)| *after < fork);
        self.covered.extend(shared.map(|(after, until)| (*after, fork.min(*until))));
    }

    fn join_covered(&mut self) {
        self.covered.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (after, until) in self.covered.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if after <= *end => *end = until.max(*end),
                _ => joined.push((after, until)),
            }
        }
        self.covered = joined;
    }

    /// Whether some listener must have received everything of a revision.
    pub fn covers(&self, revision: u64) -> bool {
        self.covered.iter().any(|(after, until)| *after < revision && revision <= *until)
    }

    /// The ranges that some listener received without a gap.
    pub fn covered(&self) -> &[(u64, u64)] {
        &self.covered
    }

    pub fn events(&self) -> impl Iterator<Item = &ReceivedEvent> {
        self.commits.values().flat_map(|events| events.iter())
    }

    /// The last revision that the era has in common with the one that it continues; 0 if it continues none.
    pub fn fork(&self) -> u64 {
        self.fork
    }

    /// Whether an event is of this era and not of the one before.
    pub fn has_own(&self, event: &ReceivedEvent) -> bool {
        event.revision > self.fork
            && self.commits.get(&event.revision).is_some_and(|events| events.contains(event))
    }

    /// The value of an entry with which the era began, and its revision.
    pub fn entry_at_fork(&self, group: &str, key: &str) -> Option<(i64, u64)> {
        let shared = self.events().take_while(|event| event.revision <= self.fork);
        let last = shared.filter(|event| event.group == group && event.key.as_deref() == Some(key)).last()?;
        Some((last.value.as_ref()?.parse().ok()?, last.revision))
    }

    /// Whether a write that got a revision is there, or nobody could know.
    pub fn may_have_written(&self, group: &str, key: &str, value: &str, revision: u64) -> bool {
        !self.covers(revision)
            || written_entries(group, key).into_iter().all(|(group, key)| {
                let received = self.values.get(&(group, key, value.to_owned()));
                received.is_some_and(|revisions| *revisions == [revision])
            })
    }

    /// Whether a write of a unique value took effect before the era began.
    pub fn began_with(&self, group: &str, key: &str, value: &str) -> bool {
        written_entries(group, key).into_iter().any(|(group, key)| {
            let received = self.values.get(&(group, key, value.to_owned()));
            received.is_some_and(|revisions| revisions.iter().any(|revision| *revision <= self.fork))
        })
    }

    /// The events of each commit, and its revision.
    pub fn by_commit(&self) -> impl Iterator<Item = (&[ReceivedEvent], u64)> {
        self.commits.iter().map(|(revision, events)| (events.as_slice(), *revision))
    }

    pub fn commits(&self) -> usize {
        self.commits.len()
    }

    /// The events of a scope after one revision, up to another.
    pub fn between(&self, scope: &Scope, after: u64, until: u64) -> Vec<&ReceivedEvent> {
        let commits = self.commits.range(after + 1..=until.max(after + 1));
        let events = commits.flat_map(|(_, events)| events.iter());
        events.filter(|event| event.revision <= until && scope.matches(event)).collect()
    }

    /// Checks the answers of one entry's calls against the feed.
    pub fn check_calls(&self, group: &str, key: &str, calls: &[Call]) -> Vec<String> {
        let mut wrong = Vec::new();
        for call in calls {
            let Some(value) = call.action.unique_value() else { continue };
            for (group, key) in written_entries(group, key) {
                let entry = (group, key, value.clone());
                let received = self.values.get(&entry).map_or(&[][..], Vec::as_slice);
                let fits = match call.outcome {
                    Outcome::Written(revision) => received == [revision] || !self.covers(revision),
                    Outcome::Done => received.len() == 1 || (received.is_empty() && !self.has_end()),
                    Outcome::Unknown => received.len() <= 1,
                    _ => received.is_empty(),
                };
                if !fits {
                    wrong.push(format!("{call:?} is in the feed at {received:?}"));
                }
            }
        }
        if group == COUNTERS {
            wrong.extend(self.check_counter(key, calls));
        }
        wrong.extend(self.check_deletes(group, key, calls));
        wrong
    }

    /// Whether the ranges cover everything.
    pub fn is_whole(&self) -> bool {
        self.covered.len() == 1
    }

    /// Whether everything was received, up to the last commit.
    fn has_end(&self) -> bool {
        self.is_whole() && self.is_last
    }

    /// Checks that each increment raised a counter by one, once.
    fn check_counter(&self, key: &str, calls: &[Call]) -> Option<String> {
        let received: Vec<i64> = self
            .events()
            .filter(|event| event.group == COUNTERS && event.key.as_deref() == Some(key))
            .filter_map(|event| event.value.as_ref()?.parse().ok())
            .collect();
        let (mut sums, mut unknown) = (Vec::new(), 0);
        for call in calls {
            match call.outcome {
                Outcome::Sum(sum) => sums.push(sum),
                Outcome::Unknown => unknown += 1,
                _ => {}
            }
        }
        let acknowledged = sums.len();
        sums.sort_unstable();
        sums.dedup();
        if sums.len() != acknowledged {
            return Some("two increments have the same sum".into());
        }
        if !self.is_whole() {
            return None;
        }
        if received.iter().zip(1..).any(|(received, wanted)| *received != wanted) {
            return Some(format!("it does not go up by one: {received:?}"));
        }
        let least = if self.is_last { acknowledged } else { 0 };
        let fits = (least..=acknowledged + unknown).contains(&received.len());
        (!fits)
            .then(|| format!("{acknowledged} increments, {unknown} unknown, but {} events", received.len()))
    }

    fn check_deletes(&self, group: &str, key: &str, calls: &[Call]) -> Option<String> {
        let is_delete = |call: &&Call| matches!(call.action, Action::Delete | Action::DeleteIf(_));
        let deletes: Vec<_> = calls.iter().filter(is_delete).collect();
        if deletes.is_empty() || !self.is_whole() {
            return None;
        }
        let done = deletes.iter().filter(|call| call.outcome == Outcome::Deleted(true)).count();
        let unknown = deletes.iter().filter(|call| call.outcome == Outcome::Unknown).count();
        let received = self.events().filter(|event| {
            event.kind == "delete" && event.group == group && event.key.as_deref() == Some(key)
        });
        let received = received.count();
        let least = if self.is_last { done } else { 0 };
        let fits = (least..=done + unknown).contains(&received);
        (!fits).then(|| format!("{done} deletes, {unknown} unknown, but {received} events"))
    }
}

/// The received events, by commit.
fn commits(segment: &Segment) -> Vec<(u64, Vec<ReceivedEvent>)> {
    let mut commits: Vec<(u64, Vec<ReceivedEvent>)> = Vec::new();
    for event in &segment.events {
        match commits.last_mut() {
            Some((revision, events)) if *revision == event.revision => events.push(event.clone()),
            _ => commits.push((event.revision, vec![event.clone()])),
        }
    }
    commits
}
