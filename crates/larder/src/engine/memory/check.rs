//! Looks for damage, and corrects it. Nothing but a fault of larder or of the machine's memory can cause any.

use super::index::{Hashes, Index};
use super::log::{Log, Part, bytes_of};
use super::published::Published;
use super::state::State;
use crate::data::namespace::is_namespace;
use crate::data::{Event, EventKind, Finding, FindingKind, Found, LogPosition, Repair, Repaired, Revision};
use std::collections::HashMap;

impl Published {
    /// What is wrong.
    pub fn check(&self, hashes: &Hashes) -> Vec<Finding> {
        let anew = self.state.recounted();
        let mut findings: Vec<Option<Finding>> = vec![
            Finding::of(FindingKind::ExpiryIndex, faults_of_expiries(&self.state, &anew)),
            Finding::of(FindingKind::GroupTally, faults_of_groups(&self.state, &anew)),
            Finding::of(FindingKind::NamespaceTally, faults_of_namespaces(&self.state, &anew)),
            Finding::of(FindingKind::Unreadable, faults_of_index(&self.state, &self.index, hashes)),
            Finding::of(FindingKind::EntryAhead, ahead(&self.state)),
            Finding::of(FindingKind::CursorAhead, cursors_ahead(&self.state)),
            Finding::of(FindingKind::InvalidName, invalid_names(&self.state)),
        ];
        findings.extend(faults_of_log(&self.log));
        findings.push(Finding::of(FindingKind::LogMismatch, mismatches(&self.state, &self.log)));
        findings.into_iter().flatten().collect()
    }

    /// Corrects what can be derived from the entries, if anything of it is wrong.
    pub fn repair(&mut self, hashes: &Hashes, repair: Repair) -> Repaired {
        let found = self.check(hashes);
        // The index of names, for which there is no other kind, is derived as well.
        let is_derived = |kind| repair.covers(kind) || kind == FindingKind::Unreadable;
        let (covered, rest): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|finding| is_derived(finding.kind));
        if !covered.is_empty() {
            self.state = self.state.recounted();
            self.index = Index::of(&self.state, hashes);
        }
        Repaired::new(covered, rest)
    }
}

fn named(found: &Found) -> String {
    format!("{:?} in group {:?}", found.key(), found.group())
}

fn faults_of_expiries(state: &State, anew: &State) -> Vec<String> {
    let names =
        |state: &State| -> Vec<_> { state.due.iter().map(|due| (due.at_ms, named(&due.found))).collect() };
    let (stored, right) = (names(state), names(anew));
    if stored == right {
        Vec::new()
    } else {
        vec![format!("{} expiries instead of {}", stored.len(), right.len())]
    }
}

fn faults_of_groups(state: &State, anew: &State) -> Vec<String> {
    let tallies = |state: &State| -> HashMap<_, _> {
        state.groups.iter().map(|group| (group.name.clone(), (group.keys, group.bytes))).collect()
    };
    differences(&tallies(state), &tallies(anew))
}

fn faults_of_namespaces(state: &State, anew: &State) -> Vec<String> {
    let tallies = |state: &State| -> HashMap<_, _> {
        let all = state.namespaces.iter();
        all.map(|namespace| (namespace.name.clone(), (namespace.usage, namespace.quota))).collect()
    };
    differences(&tallies(state), &tallies(anew))
}

/// Names what is not the same in both.
fn differences<T: PartialEq + std::fmt::Debug>(
    stored: &HashMap<std::sync::Arc<str>, T>,
    right: &HashMap<std::sync::Arc<str>, T>,
) -> Vec<String> {
    let wrong = right.iter().filter(|(name, tally)| stored.get(*name) != Some(tally));
    let wrong =
        wrong.map(|(name, tally)| format!("{name:?} has {:?} instead of {tally:?}", stored.get(name)));
    let extra = stored.keys().filter(|name| !right.contains_key(*name));
    let mut all: Vec<String> =
        wrong.chain(extra.map(|name| format!("{name:?} has a tally and no key"))).collect();
    all.sort();
    all
}

fn faults_of_index(state: &State, index: &Index, hashes: &Hashes) -> Vec<String> {
    let is_missing = |found: &&Found| {
        let hash = hashes.of(found.group(), found.key());
        index.get(hash, found.group(), found.key()).is_none_or(|other| !other.is_same(found))
    };
    let entries = state.entries.iter().map(|row| &row.0);
    let mut faults: Vec<String> = entries.filter(is_missing).map(named).collect();
    if faults.is_empty() && index.len() != state.entries.len() {
        faults.push(format!("{} entries are found by name, of {}", index.len(), state.entries.len()));
    }
    faults
}

fn ahead(state: &State) -> Vec<String> {
    let entries = state.entries.iter().map(|row| &row.0);
    entries.filter(|found| found.facts().revision > state.revision).map(named).collect()
}

fn cursors_ahead(state: &State) -> Vec<String> {
    let ahead = state.cursors.iter().filter(|cursor| cursor.position.revision > state.revision);
    ahead.map(|cursor| format!("{:?}", cursor.name)).collect()
}

fn invalid_names(state: &State) -> Vec<String> {
    let invalid = state.namespaces.iter().filter(|namespace| !is_namespace(&namespace.name));
    invalid.map(|namespace| format!("namespace {:?}", namespace.name)).collect()
}

fn faults_of_log(log: &Log) -> Vec<Option<Finding>> {
    let gaps = |part: &Part| {
        let kept = part.last.number - part.pruned.number;
        let mut before = LogPosition::after(Revision(0));
        let in_order =
            part.changes.iter().all(|change| std::mem::replace(&mut before, change.place()) < change.place());
        (kept != part.changes.len() as u64 || !in_order).then(|| format!("history {:?}", part.prefix))
    };
    let totals = |part: &Part| {
        let mut total = part.pruned.bytes;
        let is_right = |change: &super::log::Change| {
            total += bytes_of(&change.event);
            change.bytes == total
        };
        let all_right = part.changes.iter().all(is_right);
        (!all_right || total != part.last.bytes).then(|| format!("history {:?}", part.prefix))
    };
    vec![
        Finding::of(FindingKind::LogGap, log.parts.iter().filter_map(gaps)),
        Finding::of(FindingKind::LogTotals, log.parts.iter().filter_map(totals)),
    ]
}

/// Entries that are not what the latest change of their key says.
fn mismatches(state: &State, log: &Log) -> Vec<String> {
    let mut wrong = Vec::new();
    for part in &log.parts {
        let mut latest: HashMap<(&str, &str), &Event> = HashMap::new();
        for event in part.changes.iter().map(|change| &*change.event) {
            match &event.key {
                Some(key) => drop(latest.insert((&event.group, key), event)),
                None => latest.retain(|(group, _), _| *group != event.group),
            }
        }
        let is_wrong = |((group, key), event): &(&(&str, &str), &&Event)| {
            let found = state.find(group, key);
            match event.kind {
                EventKind::Set => found.is_none_or(|found| found.facts().revision != event.revision),
                _ => found.is_some(),
            }
        };
        let found = latest.iter().filter(is_wrong);
        wrong.extend(found.map(|((group, key), _)| format!("{key:?} in group {group:?}")));
    }
    wrong.sort();
    wrong
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::MemoryEngine;
    use super::*;
    use crate::data::Quota;
    use crate::engine::{Commit, Engine, Mutation, Settings, Unheard};

    /// A store with an example of everything, and what a check finds after `damage`, before and after a repair.
    fn findings(damage: impl FnOnce(&mut Published)) -> (Vec<FindingKind>, Vec<FindingKind>) {
        let engine = MemoryEngine::open(&Settings::default(), Arc::new(Unheard), |_, _| Ok(())).engine;
        let set = |group: &str, key: &str, expires_at_ms| Mutation::Set {
            group: group.into(),
            key: key.into(),
            value: "v".into(),
            expires_at_ms,
        };
        let all = vec![
            set("g", "a", None),
            set("t:g", "b", Some(i64::MAX - 1)),
            set("t:g", "c", None),
            Mutation::SetQuota {
                namespace: "t".into(),
                quota: Quota { max_keys: Some(9), ..Quota::default() },
            },
        ];
        engine.commit(Commit::from(all)).wait().unwrap();
        engine.commit(Mutation::Delete { group: "g".into(), key: "a".into() }.into()).wait().unwrap();
        damage(&mut engine.committer.write());
        let kinds = |findings: Vec<Finding>| findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
        let found = kinds(engine.check().wait().unwrap());
        engine.repair(Repair::default()).wait().unwrap();
        (found, kinds(engine.check().wait().unwrap()))
    }

    #[test]
    fn a_store_in_memory_is_sound_and_a_check_finds_each_kind_of_damage() {
        use FindingKind as K;
        assert_eq!(findings(|_| {}), (vec![], vec![]));
        let tally = findings(|published| {
            published.state.groups.change(|_| std::cmp::Ordering::Equal, |group| group.keys += 1)
        });
        assert_eq!(tally, (vec![K::GroupTally], vec![]));
        let usage = |published: &mut Published| {
            published
                .state
                .namespaces
                .change(|_| std::cmp::Ordering::Equal, |namespace| namespace.usage.bytes += 1);
        };
        assert_eq!(findings(usage), (vec![K::NamespaceTally], vec![]));
        let expiry =
            |published: &mut Published| drop(published.state.due.remove(|_| std::cmp::Ordering::Equal));
        assert_eq!(findings(expiry), (vec![K::ExpiryIndex], vec![]));
        assert_eq!(findings(|published| published.index = Index::default()), (vec![K::Unreadable], vec![]));
        let gap = |published: &mut Published| drop(published.log.parts[0].changes.pop_back());
        assert!(findings(gap).0.contains(&K::LogGap));
        assert!(findings(|published| published.log.parts[0].changes[1].bytes += 1).0.contains(&K::LogTotals));
        assert!(findings(|published| published.state.revision = Revision(0)).0.contains(&K::EntryAhead));
    }
}
