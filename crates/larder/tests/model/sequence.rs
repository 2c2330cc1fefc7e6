//! Runs a sequence on a store and on the model, side by side.

use std::collections::BTreeMap;
use std::time::SystemTime;

use larder::{
    Clock, Condition, Durability, Error, EventKind, Pattern, Quota, Result, Revision, Snapshot, Store,
    Transaction, View,
};

use crate::common::{Rig, events_now, ms, namespace_of, verify};
use crate::operation::{GROUPS, KEYS, NAMESPACES, Operation, PREFIXES};
use crate::plain::{EntryName, Plain, Refusal, Row, Step, When};

/// A store and its model.
struct Pair<'a> {
    rig: &'a Rig,
    store: Store,
    /// A second handle of the same data, if the engine can share.
    other: Store,
    plain: Plain,
    /// The result of applying every event so far to an empty map, including expired entries that are still
    /// stored.
    replayed: BTreeMap<(String, String), Row>,
    replayed_to: u64,
    began: SystemTime,
    /// How many operations have run.
    turn: usize,
    held: Option<(Snapshot, Plain)>,
}

/// Runs a sequence and compares everything after each operation.
pub fn run(rig: &Rig, operations: &[Operation]) {
    let open = || rig.open_with(|options| options.durability(Durability::Relaxed));
    let store = open();
    let other = if rig.promises.can_be_opened_again { open() } else { store.clone() };
    let (plain, replayed, began) = (Plain::default(), BTreeMap::new(), rig.clock.now());
    let mut pair = Pair { rig, store, other, plain, replayed, replayed_to: 0, began, turn: 0, held: None };
    for operation in operations {
        pair.operate(operation);
        pair.turn += 1;
        pair.replay();
        // On a cluster, a full comparison takes a hundred round trips.
        if rig.promises.answers_locally || pair.turn.is_multiple_of(5) {
            pair.compare();
        }
    }
    pair.compare();
    verify(&pair.store);
}

impl Pair<'_> {
    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::One { scoped, step } => {
                let expected = self.plain.clone().checked_step(step);
                let namespace = namespace_of(step.group()).filter(|_| *scoped);
                let until = |in_ms| self.rig.clock.now() + ms(in_ms);
                let answer = match namespace {
                    None => perform(&self.store, step, |group| group, &self.expected(), until),
                    Some(name) => {
                        let tenant = self.store.scoped(name).unwrap();
                        let own = |group: &'static str| &group[name.len() + 1..];
                        perform(&tenant, step, own, &self.expected(), until)
                    }
                };
                assert_answer(&answer, &expected.map(|(_, outcome)| outcome));
                let changed = self.plain.checked_step(step).is_ok_and(|(changed, _)| changed);
                self.plain.revision += u64::from(changed);
            }
            Operation::Batch { requires, steps } => {
                let mut batch = self.store.batch();
                for (at, when) in requires {
                    batch = batch.require(at.group, at.key, condition(&self.expected(), at, *when));
                }
                for step in steps {
                    batch = match step {
                        Step::Set { at, value, ttl_ms: None } => batch.set(at.group, at.key, value),
                        Step::Set { at, value, ttl_ms: Some(ttl) } => {
                            batch.set_with_ttl(at.group, at.key, value, ms(*ttl))
                        }
                        Step::Increment { at, by } => batch.increment(at.group, at.key, *by),
                        Step::Delete { at } => batch.delete(at.group, at.key),
                        Step::DeleteGroup { group } => batch.delete_group(group),
                        other => unreachable!("no step of a batch: {other:?}"),
                    };
                }
                let expected = self.plain.batch(requires, steps);
                self.plain.revision += u64::from(expected == Ok(true));
                let revision = self.plain.revision;
                let answer = batch.commit().map(|revision| self.rig.number_of(revision));
                assert_answer(&answer, &expected.map(|_| revision));
            }
            Operation::Transaction { steps, stubborn, abort } => self.transact(steps, *stubborn, *abort),
            Operation::SetQuota { namespace, quota } => {
                self.store.set_quota(namespace, *quota).unwrap();
                let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
                let (max_keys, max_groups) = (limit(quota.max_keys), limit(quota.max_groups));
                self.plain
                    .quotas
                    .insert(namespace, Quota { max_keys, max_groups, max_bytes: limit(quota.max_bytes) });
            }
            Operation::Purge { namespace } => {
                let prefix = namespace.map(|name| format!("{name}:")).unwrap_or_default();
                let due = self.replayed.iter().filter(|((group, _), row)| {
                    group.starts_with(&prefix) && row.expires_at.is_some_and(|at| at <= self.plain.now)
                });
                let due = due.count() as u64;
                let purged = match namespace {
                    None => self.store.purge_expired(),
                    Some(name) => self.store.scoped(name).unwrap().purge_expired(),
                };
                assert_eq!(purged.unwrap(), due);
                self.plain.revision += u64::from(due > 0);
            }
            Operation::Advance { ms } => {
                self.rig.advance_ms(*ms);
                self.plain.advance(*ms);
                if let Some((_, plain)) = &mut self.held {
                    plain.advance(*ms);
                }
            }
            Operation::Reopen if self.rig.promises.can_be_opened_again => {
                self.held = None;
                self.store.close().unwrap();
                self.store = std::mem::replace(
                    &mut self.other,
                    self.rig.open_with(|options| options.durability(Durability::Relaxed)),
                );
            }
            Operation::Reopen => {}
            Operation::Snapshot => self.held = Some((self.store.snapshot().unwrap(), self.plain.clone())),
        }
    }

    /// The revisions of entries; 0 for an absent entry.
    fn expected(&self) -> impl Fn(&EntryName) -> Revision {
        |at| self.rig.revision(self.plain.rows.get(&at.owned()).map_or(0, |row| row.revision))
    }

    fn transact(&mut self, steps: &[Step], stubborn: bool, abort: bool) {
        let mut plain = self.plain.clone();
        let mut any = false;
        let mut given_up = None;
        let until = |in_ms| self.rig.clock.now() + ms(in_ms);
        let done = self.store.transaction(|tx: &Transaction| {
            for step in steps {
                let answer = perform_in(tx, step, &within(self.rig, tx, &plain), until);
                let expected = plain.checked_step(step);
                assert_answer(&answer, &expected.clone().map(|(_, outcome)| outcome));
                any |= expected.as_ref().is_ok_and(|(changed, _)| *changed);
                if let (Err(refusal), false) = (expected, stubborn) {
                    given_up = Some(refusal);
                    return answer.map(drop);
                }
            }
            compare_view(tx, "", &plain, self.began, |revision| self.rig.number_in_transaction(revision));
            if abort { Err(Error::other("given up")) } else { Ok(()) }
        });
        match given_up {
            Some(refusal) => assert_answer(&done, &Err(refusal)),
            None if abort => assert_eq!(done.unwrap_err().to_string(), "given up"),
            None => {
                done.unwrap();
                plain.revision += u64::from(any);
                self.plain = plain;
            }
        }
    }

    /// Reads new events from the change log and applies them, like a watcher.
    fn replay(&mut self) {
        let from = self.rig.revision(self.replayed_to);
        let events = events_now(&self.other.watch_from(Pattern::all(), from).unwrap());
        let mut revision = self.replayed_to;
        let now = self.plain.now;
        for event in events {
            // There is at most one new commit.
            revision = self.replayed_to + 1;
            assert_eq!((self.rig.number_of(event.revision), event.at), (revision, self.began + ms(now)));
            let is_live = |row: &Row| row.expires_at.is_none_or(|at| at > now);
            let expires_at = event.expires_at.map(|at| since(self.began, at));
            let key = event.key.clone().map(|key| (event.group.clone(), key));
            match event.kind {
                EventKind::Set => {
                    let row = Row { value: event.value.unwrap(), expires_at, revision };
                    let old = self.replayed.insert(key.unwrap(), row);
                    assert!(
                        old.is_none_or(|old| is_live(&old)),
                        "an expired entry was overwritten without an Expire event"
                    );
                }
                EventKind::Delete => {
                    let old = self.replayed.remove(&key.unwrap());
                    assert!(event.value.is_none() && is_live(&old.expect("a deleted entry that existed")));
                }
                EventKind::DeleteGroup => {
                    let before = self.replayed.len();
                    self.replayed.retain(|(group, _), row| *group != event.group || !is_live(row));
                    assert!(key.is_none() && self.replayed.len() < before, "an empty group was deleted");
                }
                EventKind::Expire => {
                    let old = self
                        .replayed
                        .remove(&key.unwrap())
                        .expect("an expired entry that was not removed before");
                    assert!(!is_live(&old) && old.expires_at == expires_at && event.value.is_none());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(revision, self.plain.revision);
        self.replayed_to = revision;
        let live = self.replayed.iter().filter(|(_, row)| row.expires_at.is_none_or(|at| at > now));
        assert!(live.eq(&self.plain.rows), "{:?} {:?}", self.replayed, self.plain.rows);
    }

    fn compare(&self) {
        // Alternates, because comparing takes most of the time.
        let store = if self.turn.is_multiple_of(2) { &self.store } else { &self.other };
        let number_of = |revision: Revision| self.rig.number_of(revision);
        assert_eq!(number_of(store.revision().unwrap()), self.plain.revision);
        compare_view(store, "", &self.plain, self.began, number_of);
        let turns = NAMESPACES.iter().enumerate();
        for (_, name) in turns.filter(|(index, _)| self.turn % NAMESPACES.len() == *index) {
            let tenant = self.store.scoped(name).unwrap();
            let prefix = format!("{name}:");
            compare_view(&tenant, &prefix, &self.plain, self.began, number_of);
            assert_eq!(tenant.usage().unwrap(), self.plain.usage(&prefix));
            assert_eq!(tenant.quota().unwrap(), self.plain.quota(name));
        }
        let answer = self.other.namespaces().unwrap();
        let answer: Vec<_> = answer.into_iter().map(|info| (info.name, info.usage, info.quota)).collect();
        let all = NAMESPACES
            .map(|name| (name.to_owned(), self.plain.usage(&format!("{name}:")), self.plain.quota(name)));
        let expected: Vec<_> = all
            .into_iter()
            .filter(|(_, usage, quota)| usage.keys > 0 || *quota != Quota::default())
            .collect();
        assert_eq!(answer, expected);
        if let Some((snapshot, plain)) = self.held.as_ref().filter(|_| self.turn.is_multiple_of(3)) {
            compare_view(snapshot, "", plain, self.began, number_of);
        }
    }
}

macro_rules! plainly {
    ($on:expr, |$store:ident| $call:expr) => {{
        let $store = $on;
        $call
    }};
}

fn perform<S>(
    store: &Store<S>,
    step: &Step,
    name: impl Fn(&'static str) -> &'static str,
    revision: &impl Fn(&EntryName) -> Revision,
    until: impl Fn(u64) -> SystemTime,
) -> Result<i64> {
    by_method!(plainly, store, step, name, |at, when| condition(revision, at, when), until)
}

fn perform_in(
    tx: &Transaction,
    step: &Step,
    revision: &impl Fn(&EntryName) -> Revision,
    until: impl Fn(u64) -> SystemTime,
) -> Result<i64> {
    by_method!(plainly, tx, step, |group| group, |at, when| condition(revision, at, when), until)
}

/// The revisions of entries as a transaction should see them; 0 for an absent entry. Where the transaction's
/// own revision is unknown, it is read from what the transaction wrote.
fn within(rig: &Rig, tx: &Transaction, plain: &Plain) -> impl Fn(&EntryName) -> Revision {
    move |at| {
        let number = plain.rows.get(&at.owned()).map_or(0, |row| row.revision);
        if number <= plain.revision || rig.promises.revisions_are_consecutive {
            return rig.revision(number);
        }
        let revision = tx.entry(at.group, at.key).unwrap().unwrap().revision;
        let before = rig.revision(plain.revision);
        assert!(revision > before, "{revision} is not after {before}, the latest commit");
        revision
    }
}

fn condition(revision: &impl Fn(&EntryName) -> Revision, at: &EntryName, when: When) -> Condition {
    let revision = revision(at);
    match when {
        When::Absent => Condition::Absent,
        When::Present => Condition::Present,
        When::Unchanged => Condition::Revision(revision),
        When::Changed => Condition::Revision(revision.next()),
    }
}

#[track_caller]
fn assert_answer<T: PartialEq + std::fmt::Debug>(answer: &Result<T>, expected: &Result<T, Refusal>) {
    let agree = match (answer, expected) {
        (Ok(answer), Ok(expected)) => answer == expected,
        (Err(error), Err(refusal)) => refusal.is(error),
        _ => false,
    };
    assert!(agree, "answer {answer:?}, expected {expected:?}");
}

fn since(began: SystemTime, at: SystemTime) -> u64 {
    at.duration_since(began).unwrap().as_millis() as u64
}

/// Compares every read of a view with the model. The view's names come without `scope`. To save time, each
/// call makes every kind of read on only one group.
fn compare_view(
    view: &View,
    scope: &str,
    plain: &Plain,
    began: SystemTime,
    number_of: impl Fn(Revision) -> u64,
) {
    let turn = plain.revision + plain.now;
    for (full, prefix) in PREFIXES.iter().filter_map(|full| Some((full, full.strip_prefix(scope)?))) {
        assert_eq!(view.count_all(prefix).unwrap(), plain.usage(full).keys, "count_all {full:?}");
        let answer = view.groups(prefix).unwrap();
        let answer: Vec<_> =
            answer.iter().map(|group| (group.name.as_str(), group.keys, group.bytes)).collect();
        let groups = plain.groups();
        let within = groups.iter().filter(|(name, _)| name.starts_with(full));
        let expected: Vec<_> =
            within.map(|(name, usage)| (&name[scope.len()..], usage.keys, usage.bytes)).collect();
        assert_eq!(answer, expected, "groups {full:?}");
    }
    let groups = GROUPS.iter().enumerate();
    for (index, full, group) in
        groups.filter_map(|(index, full)| Some((index, full, full.strip_prefix(scope)?)))
    {
        let expected = plain.group(full);
        let answer: Vec<_> = view.entries(group).unwrap().map(Result::unwrap).collect();
        let rows: Vec<_> = answer
            .iter()
            .map(|entry| {
                let expires_at = entry.expires_at.map(|at| since(began, at));
                (
                    entry.key.as_str(),
                    Row { value: entry.value.clone(), expires_at, revision: number_of(entry.revision) },
                )
            })
            .collect();
        assert!(
            rows.iter().map(|(key, row)| (*key, row)).eq(expected.iter().map(|(key, row)| (*key, *row))),
            "{rows:?} {expected:?}"
        );
        assert_eq!(view.count(group).unwrap(), expected.len() as u64);
        if index as u64 != turn % GROUPS.len() as u64 {
            continue;
        }
        assert!(view.keys(group).unwrap().map(Result::unwrap).eq(expected.keys().copied()));
        let all = view.get_all(group).unwrap();
        assert!(all.iter().eq(expected.iter().map(|(key, row)| (*key, row.value.clone()))));
        assert_eq!(view.group_exists(group).unwrap(), !expected.is_empty());
        for key in KEYS {
            let entry = answer.iter().find(|entry| entry.key == key);
            assert_eq!(view.entry(group, key).unwrap().as_ref(), entry);
            assert_eq!(view.get(group, key).unwrap(), entry.map(|entry| entry.value.clone()));
            assert_eq!(view.exists(group, key).unwrap(), entry.is_some());
            let page = view.page(group, Some(key), 1).unwrap();
            let mut after = answer.iter().filter(|entry| entry.key.as_str() > key);
            assert_eq!(page.entries.first(), after.next());
            assert_eq!(page.next, after.next().and(page.entries.first()).map(|entry| entry.key.clone()));
        }
        let rest: Vec<_> = answer.into_iter().skip(1).take(2).collect();
        assert_eq!(view.get_page(group, 1, 2).unwrap(), rest);
    }
}
