//! The calls of all clients, and the checks that their answers are possible.

use std::collections::{BTreeMap, HashMap};

use super::feed::Feed;
use super::linearizability::{self, Call};
use super::record::{Action, Outcome, Record};
use super::targets::{ALL, COUNTERS, REGISTERS, TOGETHER};

/// The calls of all clients, by group and key.
#[derive(Default)]
pub struct History {
    calls: BTreeMap<(String, String), Vec<Call>>,
    pub returned: u64,
    /// How many calls failed, by reason.
    pub failed: BTreeMap<String, u64>,
    pub unknown: u64,
    /// Calls during which the client was killed.
    pub cut_short: u64,
}

impl History {
    /// Adds the calls of one life of a client.
    pub fn add(&mut self, client: u64, life: u64, records: &[Record]) {
        let mut returns: HashMap<u64, (u64, Outcome)> = HashMap::new();
        for record in records {
            if let Record::Return { id, at_ns, outcome } = record {
                returns.insert(*id, (*at_ns, outcome.clone()));
            }
        }
        for record in records {
            let Record::Call { id, at_ns, group, key, action } = record else { continue };
            let (end_ns, outcome) = match returns.remove(id) {
                None => {
                    self.cut_short += 1;
                    (None, Outcome::Unknown)
                }
                Some((_, Outcome::Unknown)) => {
                    self.unknown += 1;
                    (None, Outcome::Unknown)
                }
                Some((end_ns, outcome)) => {
                    self.returned += 1;
                    (Some(end_ns), outcome)
                }
            };
            if let Outcome::Failed(reason) = &outcome {
                *self.failed.entry(reason.clone()).or_default() += 1;
            }
            let call = Call {
                caller: format!("{client}.{life} {id}"),
                begin_ns: *at_ns,
                end_ns,
                action: action.clone(),
                outcome,
            };
            self.calls.entry((group.clone(), key.clone())).or_default().push(call);
        }
    }

    /// Returns every inconsistency.
    pub fn check(&self, feed: &Feed) -> Vec<String> {
        let mut wrong = Vec::new();
        for (entry, calls) in &self.calls {
            let (group, key) = entry;
            if [REGISTERS, COUNTERS, TOGETHER[0].0].contains(&&**group) {
                // What has failed has not happened: it has no entry in the order.
                let happened = calls.iter().filter(|call| !matches!(call.outcome, Outcome::Failed(_)));
                if let Err(reason) = linearizability::check(happened.cloned().collect()) {
                    wrong.push(format!("{group} {key}: {reason}"));
                }
            }
            wrong.extend(
                feed.check_calls(group, key, calls).into_iter().map(|what| format!("{group} {key}: {what}")),
            );
        }
        wrong.extend(self.check_real_time());
        wrong
    }

    /// A call that begins after another has returned has the greater revision, whatever entries they concern.
    fn check_real_time(&self) -> Option<String> {
        let mut revisions: Vec<(u64, u64, u64, &Call)> = Vec::new();
        for call in self.calls.values().flatten() {
            let revision = match call.outcome {
                Outcome::Written(revision) | Outcome::Latest(revision) => revision,
                _ => continue,
            };
            if let Some(end_ns) = call.end_ns {
                revisions.push((call.begin_ns, end_ns, revision, call));
            }
        }
        check_real_time(revisions)
    }
}

fn check_real_time(mut revisions: Vec<(u64, u64, u64, &Call)>) -> Option<String> {
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
