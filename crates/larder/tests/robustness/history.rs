//! The calls of all clients, and the checks that their answers are possible.

use std::collections::{BTreeMap, HashMap};

use super::client::{CACHE_AGE_MAX, CACHED};
use super::feed::Feed;
use super::linearizability::{self, Call};
use super::record::{Action, Outcome, Record};
use super::targets::{ALL, COUNTERS, REGISTERS, TOGETHER};

/// Calls, by group and key.
pub type Calls = BTreeMap<(String, String), Vec<Call>>;

/// The calls of all clients.
#[derive(Default)]
pub struct History {
    pub calls: Calls,
    pub returned: u64,
    /// How many calls failed, by reason.
    pub failed: BTreeMap<String, u64>,
    pub unknown: u64,
    /// Calls during which the client was killed.
    pub cut_short: u64,
}

impl History {
    /// Adds the calls of one life of a client, which ended at `over_ns`.
    pub fn add(&mut self, client: u64, life: u64, over_ns: u64, records: &[Record]) {
        let mut returns: HashMap<u64, (u64, Outcome)> = HashMap::new();
        for record in records {
            if let Record::Return { id, at_ns, outcome } = record {
                returns.insert(*id, (*at_ns, outcome.clone()));
            }
        }
        let mut own: Calls = BTreeMap::new();
        for record in records {
            let Record::Call { id, at_ns, group, key, action } = record else { continue };
            let (end_ns, over_ns, outcome) = match returns.remove(id) {
                None => {
                    self.cut_short += 1;
                    (None, over_ns, Outcome::Unknown)
                }
                Some((over_ns, Outcome::Unknown)) => {
                    self.unknown += 1;
                    (None, over_ns, Outcome::Unknown)
                }
                Some((end_ns, outcome)) => {
                    self.returned += 1;
                    (Some(end_ns), end_ns, outcome)
                }
            };
            if let Outcome::Failed(reason) = &outcome {
                *self.failed.entry(reason.clone()).or_default() += 1;
            }
            let caller = format!("{client}.{life} {id}");
            let call = Call {
                caller,
                begin_ns: *at_ns,
                asked_ns: *at_ns,
                end_ns,
                over_ns,
                action: action.clone(),
                outcome,
            };
            own.entry((group.clone(), key.clone())).or_default().push(call);
        }
        for (entry, mut calls) in own {
            if client == CACHED && entry.0 == REGISTERS {
                date_back(&mut calls);
            }
            self.calls.entry(entry).or_default().extend(calls);
        }
    }
}

/// What is read from memory may have been so a while ago, but not before the last write of the same process took effect.
/// That may have been long before it returned.
fn date_back(calls: &mut [Call]) {
    let own: Vec<Call> = calls.iter().filter(|call| call.has_written()).cloned().collect();
    for call in calls.iter_mut().filter(|call| call.action == Action::Read) {
        let had_returned = |own: &&Call| own.end_ns.is_some_and(|end_ns| end_ns <= call.asked_ns);
        let written = own.iter().filter(had_returned).map(|own| own.begin_ns).max().unwrap_or_default();
        call.begin_ns = written.max(call.asked_ns - CACHE_AGE_MAX.as_nanos() as u64);
    }
}

/// Checks the calls of an era against each other: they begin with what the era began with.
pub fn check_order(calls: &Calls, feed: &Feed) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((group, key), calls) in calls {
        if ![REGISTERS, COUNTERS, TOGETHER[0].0].contains(&&**group) {
            continue;
        }
        // What has failed has not happened: it has no entry in the order.
        let happened = calls.iter().filter(|call| !matches!(call.outcome, Outcome::Failed(_)));
        let first = if key == ALL { TOGETHER[0] } else { (&**group, &**key) };
        let first = feed.entry_at_fork(first.0, first.1);
        let ordered = linearizability::check_from(first, feed.fork(), happened.cloned().collect());
        if let Err(reason) = ordered {
            wrong.push(format!("{group} {key}: {reason}"));
        }
    }
    wrong.extend(check_real_time(calls));
    wrong
}

/// A call that begins after another has returned has the greater revision, whatever entries they concern.
fn check_real_time(calls: &Calls) -> Option<String> {
    let mut revisions: Vec<(u64, u64, u64, &Call)> = Vec::new();
    for call in calls.values().flatten() {
        let revision = match call.outcome {
            Outcome::Written(revision) | Outcome::Latest(revision) => revision,
            _ => continue,
        };
        if let Some(end_ns) = call.end_ns {
            revisions.push((call.begin_ns, end_ns, revision, call));
        }
    }
    revisions.sort_by_key(|(begin_ns, ..)| *begin_ns);
    let mut by_end = revisions.clone();
    by_end.sort_by_key(|(_, end_ns, ..)| *end_ns);
    let mut ended = by_end.into_iter().peekable();
    let mut latest: Option<(u64, &Call)> = None;
    for (begin_ns, _, revision, call) in revisions {
        while let Some((_, _, before, earlier)) = ended.next_if(|(_, end_ns, ..)| *end_ns < begin_ns) {
            if latest.is_none_or(|(latest, _)| before > latest) {
                latest = Some((before, earlier));
            }
        }
        // What asks for the latest revision may be revisions the same; what writes is given a new one.
        let may_be_same = call.action == Action::Latest;
        if let Some((before, earlier)) = latest
            && (revision < before || (revision == before && !may_be_same))
        {
            return Some(format!(
                "{call:?} has revision {revision}, and began after {earlier:?} had {before}"
            ));
        }
    }
    None
}

/// The entries in the feed that a call on this entry writes.
pub fn written_entries(group: &str, key: &str) -> Vec<(String, String)> {
    if key == ALL {
        return TOGETHER.iter().map(|(group, key)| ((*group).to_owned(), (*key).to_owned())).collect();
    }
    vec![(group.to_owned(), key.to_owned())]
}
