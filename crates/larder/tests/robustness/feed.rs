//! What was heard of the store, by everybody who listened to everything: one list, in order.

use std::collections::{BTreeMap, HashMap};

use super::history::written_places;
use super::linearizability::Call;
use super::listeners::{Listened, Segment};
use super::places::COUNTERS;
use super::record::{Action, Heard, Outcome, Scope};

/// The feed, as all who listened to all of it agree on it.
#[derive(Default)]
pub struct Feed {
    commits: BTreeMap<u64, Vec<Heard>>,
    /// What somebody has heard without a gap: after the first revision, up to the second.
    covered: Vec<(u64, u64)>,
    /// Where each value was set: by group, key and value.
    values: HashMap<(String, String, String), Vec<u64>>,
}

impl Feed {
    /// Puts together what was heard; and says where two have heard different things.
    pub fn new(listened: &[Listened]) -> (Self, Vec<String>) {
        let (mut feed, mut wrong) = (Self::default(), Vec::new());
        let everything = listened.iter().filter(|listened| listened.scope == Scope::All);
        for (who, segment) in
            everything.flat_map(|who| who.segments.iter().map(move |part| (&who.name, part)))
        {
            let Some((after, until)) = segment.whole() else { continue };
            for (revision, events) in commits(segment).into_iter().filter(|(revision, _)| *revision <= until)
            {
                // A cursor may begin in the middle of a commit.
                if revision <= after {
                    continue;
                }
                let known = feed.commits.entry(revision).or_insert_with(|| events.clone());
                if *known != events {
                    wrong.push(format!("{who} heard {events:?}, and another {known:?}"));
                }
            }
            feed.covered.push((after, until));
        }
        // What one has heard the others must have, too: that is found where each is held against the feed.
        feed.join_covered();
        for event in feed.commits.values().flatten() {
            if let (Some(key), Some(value)) = (&event.key, &event.value) {
                let place = (event.group.clone(), key.clone(), value.clone());
                feed.values.entry(place).or_default().push(event.revision);
            }
        }
        (feed, wrong)
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

    /// Whether everything of a revision must have been heard by somebody.
    pub fn covers(&self, revision: u64) -> bool {
        self.covered.iter().any(|(after, until)| *after < revision && revision <= *until)
    }

    /// The parts that somebody has heard without a gap.
    pub fn covered(&self) -> &[(u64, u64)] {
        &self.covered
    }

    pub fn events(&self) -> impl Iterator<Item = &Heard> {
        self.commits.values().flatten()
    }

    pub fn commits(&self) -> usize {
        self.commits.len()
    }

    /// The events of a scope after a revision, up to another.
    pub fn between(&self, scope: &Scope, after: u64, until: u64) -> Vec<&Heard> {
        let commits = self.commits.range(after + 1..=until.max(after + 1)).flat_map(|(_, events)| events);
        commits.filter(|event| event.revision <= until && scope.matches(event)).collect()
    }

    /// Whether what the calls of one place were answered is what the feed says of them.
    pub fn check_calls(&self, group: &str, key: &str, calls: &[Call]) -> Vec<String> {
        let mut wrong = Vec::new();
        for call in calls {
            let value = match &call.action {
                Action::Set(value) | Action::SetIf(_, value) => value.to_string(),
                Action::Mark(mark) => mark.clone(),
                _ => continue,
            };
            for (group, key) in written_places(group, key) {
                let place = (group, key, value.clone());
                let heard = self.values.get(&place).map_or(&[][..], Vec::as_slice);
                let fits = match call.outcome {
                    Outcome::Written(revision) => heard == [revision] || !self.covers(revision),
                    Outcome::Done => heard.len() == 1 || !self.is_whole(),
                    Outcome::Unknown => heard.len() <= 1,
                    _ => heard.is_empty(),
                };
                if !fits {
                    wrong.push(format!("{call:?} was heard of at {heard:?}"));
                }
            }
        }
        if group == COUNTERS {
            wrong.extend(self.check_counter(key, calls));
        }
        wrong.extend(self.check_deletes(group, key, calls));
        wrong
    }

    /// Whether everything was heard by somebody.
    pub fn is_whole(&self) -> bool {
        self.covered.len() == 1
    }

    /// A counter has gone up by one with each increment, once.
    fn check_counter(&self, key: &str, calls: &[Call]) -> Option<String> {
        let heard: Vec<i64> = self
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
        if heard.iter().zip(1..).any(|(heard, wanted)| *heard != wanted) {
            return Some(format!("it does not go up by one: {heard:?}"));
        }
        let fits = (acknowledged..=acknowledged + unknown).contains(&heard.len());
        (!fits).then(|| {
            format!("{acknowledged} increments, {unknown} unknown, and it was heard {} times", heard.len())
        })
    }

    fn check_deletes(&self, group: &str, key: &str, calls: &[Call]) -> Option<String> {
        let is_delete = |call: &&Call| matches!(call.action, Action::Delete | Action::DeleteIf(_));
        let deletes: Vec<_> = calls.iter().filter(is_delete).collect();
        if deletes.is_empty() || !self.is_whole() {
            return None;
        }
        let done = deletes.iter().filter(|call| call.outcome == Outcome::Deleted(true)).count();
        let unknown = deletes.iter().filter(|call| call.outcome == Outcome::Unknown).count();
        let heard = self.events().filter(|event| {
            event.kind == "delete" && event.group == group && event.key.as_deref() == Some(key)
        });
        let heard = heard.count();
        let fits = (done..=done + unknown).contains(&heard);
        (!fits).then(|| format!("{done} were deleted, {unknown} unknown, and {heard} heard of"))
    }
}

/// What was heard, commit by commit.
fn commits(segment: &Segment) -> Vec<(u64, Vec<Heard>)> {
    let mut commits: Vec<(u64, Vec<Heard>)> = Vec::new();
    for event in &segment.heard {
        match commits.last_mut() {
            Some((revision, events)) if *revision == event.revision => events.push(event.clone()),
            _ => commits.push((event.revision, vec![event.clone()])),
        }
    }
    commits
}
