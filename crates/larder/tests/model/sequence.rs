//! Sequences of operations, and how one is run on a store and on the plain model side by side.

use std::collections::BTreeMap;
use std::time::SystemTime;

use larder::{
    Clock, Condition, Durability, Error, EventKind, Pattern, Quota, Result, Revision, Snapshot, Store,
    Transaction, Value, View,
};
use proptest::prelude::*;
use proptest::{collection, option, sample};

use crate::common::{Bench, events_now, ms, namespace_of, verify};
use crate::plain::{Place, Plain, Refusal, Row, Step, When};

const GROUPS: [&str; 8] = ["", "a", "g", "a:", "a:x", "a:y", "a-b:x", "b:\0"];
const KEYS: [&str; 4] = ["", "k", "é", "k\0"];
const PREFIXES: [&str; 7] = ["", "a", "a:", "a-", "a:x", "b:", "z"];
const NAMESPACES: [&str; 3] = ["a", "a-b", "b"];

/// What a sequence is made of.
#[derive(Clone, Debug)]
pub enum Operation {
    /// By the whole store, or by the namespace's where the group has one.
    One {
        scoped: bool,
        step: Step,
    },
    Batch {
        requires: Vec<(Place, When)>,
        steps: Vec<Step>,
    },
    /// Ends at the first refused step, or ignores those; and is given up in the end, or not.
    Transaction {
        steps: Vec<Step>,
        stubborn: bool,
        abort: bool,
    },
    SetQuota {
        namespace: &'static str,
        quota: Quota,
    },
    Purge {
        namespace: Option<&'static str>,
    },
    Advance {
        ms: u64,
    },
    Reopen,
    /// Holds on to a moment, to be looked at again after each operation.
    Snapshot,
}

fn place() -> impl Strategy<Value = Place> + Clone {
    (sample::select(&GROUPS), sample::select(&KEYS)).prop_map(|(group, key)| Place { group, key })
}

fn value() -> impl Strategy<Value = Value> + Clone {
    let values: [&[u8]; 8] =
        [b"", b"1", b"-7", b"12345", b"text", b"9223372036854775807", b"\xff\0", &[b'x'; 40]];
    sample::select(values.map(Value::from).to_vec())
}

fn when() -> impl Strategy<Value = When> + Clone {
    sample::select(&[When::Absent, When::Present, When::Unchanged, When::Changed])
}

/// What a batch takes.
fn simple_step() -> impl Strategy<Value = Step> + Clone {
    let by = sample::select(&[1, -1, 0, 1000, i64::MAX, i64::MIN]);
    prop_oneof![
        6 => (place(), value(), option::of(1..12_u64)).prop_map(|(at, value, ttl_ms)| Step::Set { at, value, ttl_ms }),
        2 => (place(), by).prop_map(|(at, by)| Step::Increment { at, by }),
        2 => place().prop_map(|at| Step::Delete { at }),
        1 => sample::select(&GROUPS).prop_map(|group| Step::DeleteGroup { group }),
    ]
}

fn step() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        8 => simple_step(),
        2 => (place(), when(), value()).prop_map(|(at, when, value)| Step::SetIf { at, when, value }),
        1 => (place(), when()).prop_map(|(at, when)| Step::DeleteIf { at, when }),
        1 => (place(), 1..12_u64).prop_map(|(at, ttl_ms)| Step::Touch { at, ttl_ms }),
        1 => place().prop_map(|at| Step::Persist { at }),
        1 => sample::select(&PREFIXES).prop_map(|prefix| Step::DeletePrefix { prefix }),
    ]
}

fn quota() -> impl Strategy<Value = Quota> {
    let limit = |most: u64| prop_oneof![2 => Just(None), 3 => (0..=most).prop_map(Some)];
    (limit(5), limit(3), limit(60)).prop_map(|(max_keys, max_groups, max_bytes)| Quota {
        max_keys,
        max_groups,
        max_bytes,
    })
}

/// The sequences that are tried.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let namespace = || sample::select(&NAMESPACES);
    let operation = prop_oneof![
        12 => (any::<bool>(), step()).prop_map(|(scoped, step)| Operation::One { scoped, step }),
        4 => (collection::vec((place(), when()), 0..2), collection::vec(simple_step(), 0..6))
            .prop_map(|(requires, steps)| Operation::Batch { requires, steps }),
        4 => (collection::vec(step(), 0..6), any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(steps, stubborn, abort)| Operation::Transaction { steps, stubborn, abort }),
        2 => (namespace(), quota()).prop_map(|(namespace, quota)| Operation::SetQuota { namespace, quota }),
        1 => option::of(namespace()).prop_map(|namespace| Operation::Purge { namespace }),
        4 => (1..8_u64).prop_map(|ms| Operation::Advance { ms }),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Snapshot),
    ];
    collection::vec(operation, 1..40)
}

/// A store and what it should be.
struct Pair<'a> {
    bench: &'a Bench,
    store: Store,
    /// The same data, opened a second time where the engine can.
    beside: Store,
    plain: Plain,
    /// What all events up to now make of an empty store, with what has expired and is still stored.
    replayed: BTreeMap<(String, String), Row>,
    replayed_to: u64,
    began: SystemTime,
    /// How many operations were made.
    turn: usize,
    held: Option<(Snapshot, Plain)>,
}

/// Runs a sequence, and compares everything after each operation.
pub fn run(bench: &Bench, operations: &[Operation]) {
    let open = || bench.open_with(|options| options.durability(Durability::Relaxed));
    let store = open();
    let beside = if bench.persists() { open() } else { store.clone() };
    let (plain, replayed, began) = (Plain::default(), BTreeMap::new(), bench.clock.now());
    let mut pair = Pair { bench, store, beside, plain, replayed, replayed_to: 0, began, turn: 0, held: None };
    for operation in operations {
        pair.operate(operation);
        pair.turn += 1;
        pair.replay();
        pair.compare();
    }
    verify(&pair.store);
}

impl Pair<'_> {
    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::One { scoped, step } => {
                let expected = self.plain.clone().judged_step(step);
                let namespace = namespace_of(step.group()).filter(|_| *scoped);
                let told = match namespace {
                    None => perform(&self.store, step, |group| group, &self.plain),
                    Some(name) => {
                        let tenant = self.store.scoped(name).unwrap();
                        perform(&tenant, step, |group| &group[name.len() + 1..], &self.plain)
                    }
                };
                assert_told(&told, &expected.map(|(_, outcome)| outcome));
                let changed = self.plain.judged_step(step).is_ok_and(|(changed, _)| changed);
                self.plain.revision += u64::from(changed);
            }
            Operation::Batch { requires, steps } => {
                let mut batch = self.store.batch();
                for (at, when) in requires {
                    batch = batch.require(at.group, at.key, condition(&self.plain, at, *when));
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
                assert_told(&batch.commit().map(|revision| revision.0), &expected.map(|_| revision));
            }
            Operation::Transaction { steps, stubborn, abort } => self.transact(steps, *stubborn, *abort),
            Operation::SetQuota { namespace, quota } => {
                self.store.scoped(namespace).unwrap().set_quota(*quota).unwrap();
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
                self.bench.advance_ms(*ms);
                self.plain.advance(*ms);
                if let Some((_, plain)) = &mut self.held {
                    plain.advance(*ms);
                }
            }
            Operation::Reopen if self.bench.persists() => {
                self.held = None;
                self.store.close().unwrap();
                self.store = std::mem::replace(
                    &mut self.beside,
                    self.bench.open_with(|options| options.durability(Durability::Relaxed)),
                );
            }
            Operation::Reopen => {}
            Operation::Snapshot => self.held = Some((self.store.snapshot().unwrap(), self.plain.clone())),
        }
    }

    fn transact(&mut self, steps: &[Step], stubborn: bool, abort: bool) {
        let mut plain = self.plain.clone();
        let mut any = false;
        let mut given_up = None;
        let done = self.store.transaction(|tx: &Transaction| {
            for step in steps {
                let told = perform_in(tx, step, &plain);
                let expected = plain.judged_step(step);
                assert_told(&told, &expected.clone().map(|(_, outcome)| outcome));
                any |= expected.as_ref().is_ok_and(|(changed, _)| *changed);
                if let (Err(refusal), false) = (expected, stubborn) {
                    given_up = Some(refusal);
                    return told.map(drop);
                }
            }
            compare_view(tx, "", &plain, self.began);
            if abort { Err(Error::other("given up")) } else { Ok(()) }
        });
        match given_up {
            Some(refusal) => assert_told(&done, &Err(refusal)),
            None if abort => assert_eq!(done.unwrap_err().to_string(), "given up"),
            None => {
                done.unwrap();
                plain.revision += u64::from(any);
                self.plain = plain;
            }
        }
    }

    /// Reads on in the change log, and makes of it what a watcher would.
    fn replay(&mut self) {
        let from = Revision(self.replayed_to);
        let events = events_now(&self.beside.watch_from(Pattern::all(), from).unwrap());
        let mut revision = from.0;
        let now = self.plain.now;
        for event in events {
            // At most one commit since the last look.
            revision = from.0 + 1;
            assert_eq!((event.revision.0, event.at), (revision, self.began + ms(now)));
            let is_live = |row: &Row| row.expires_at.is_none_or(|at| at > now);
            let expires_at = event.expires_at.map(|at| since(self.began, at));
            let key = event.key.clone().map(|key| (event.group.clone(), key));
            match event.kind {
                EventKind::Set => {
                    let row = Row { value: event.value.unwrap(), expires_at, revision };
                    let old = self.replayed.insert(key.unwrap(), row);
                    assert!(old.is_none_or(|old| is_live(&old)), "what has expired is told to have first");
                }
                EventKind::Delete => {
                    let old = self.replayed.remove(&key.unwrap());
                    assert!(event.value.is_none() && is_live(&old.expect("a deleted entry was there")));
                }
                EventKind::DeleteGroup => {
                    let before = self.replayed.len();
                    self.replayed.retain(|(group, _), row| *group != event.group || !is_live(row));
                    assert!(key.is_none() && self.replayed.len() < before, "a deleted group had something");
                }
                EventKind::Expire => {
                    let old = self.replayed.remove(&key.unwrap()).expect("what expires is told once");
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
        // By turns, since that is where the time goes.
        let store = if self.turn.is_multiple_of(2) { &self.store } else { &self.beside };
        assert_eq!(store.revision().unwrap().0, self.plain.revision);
        compare_view(store, "", &self.plain, self.began);
        let turns = NAMESPACES.iter().enumerate();
        for (_, name) in turns.filter(|(index, _)| self.turn % NAMESPACES.len() == *index) {
            let tenant = self.store.scoped(name).unwrap();
            let prefix = format!("{name}:");
            compare_view(&tenant, &prefix, &self.plain, self.began);
            assert_eq!(tenant.usage().unwrap(), self.plain.usage(&prefix));
            assert_eq!(tenant.quota().unwrap(), self.plain.quota(name));
        }
        let told = self.beside.namespaces().unwrap();
        let told: Vec<_> = told.into_iter().map(|info| (info.name, info.usage, info.quota)).collect();
        let all = NAMESPACES
            .map(|name| (name.to_owned(), self.plain.usage(&format!("{name}:")), self.plain.quota(name)));
        let expected: Vec<_> = all
            .into_iter()
            .filter(|(_, usage, quota)| usage.keys > 0 || *quota != Quota::default())
            .collect();
        assert_eq!(told, expected);
        if let Some((snapshot, plain)) = self.held.as_ref().filter(|_| self.turn.is_multiple_of(3)) {
            compare_view(snapshot, "", plain, self.began);
        }
    }
}

/// Makes a change by a store's or a transaction's method of the same name, and returns its outcome.
macro_rules! by_method {
    ($on:expr, $step:expr, $name:expr, $plain:expr) => {
        match $step {
            Step::Set { at, value, ttl_ms: None } => $on.set($name(at.group), at.key, value).map(|_| 1),
            Step::Set { at, value, ttl_ms: Some(ttl_ms) } => {
                $on.set_with_ttl($name(at.group), at.key, value, ms(*ttl_ms)).map(|_| 1)
            }
            Step::SetIf { at, when, value } => {
                $on.set_if($name(at.group), at.key, condition($plain, at, *when), value).map(|_| 1)
            }
            Step::Touch { at, ttl_ms } => $on.touch($name(at.group), at.key, ms(*ttl_ms)).map(i64::from),
            Step::Persist { at } => $on.persist($name(at.group), at.key).map(i64::from),
            Step::Increment { at, by } => $on.increment($name(at.group), at.key, *by),
            Step::Delete { at } => $on.delete($name(at.group), at.key).map(i64::from),
            Step::DeleteIf { at, when } => {
                $on.delete_if($name(at.group), at.key, condition($plain, at, *when)).map(i64::from)
            }
            Step::DeleteGroup { group } => $on.delete_group($name(group)).map(|count| count as i64),
            Step::DeletePrefix { prefix } => $on.delete_prefix($name(prefix)).map(|count| count as i64),
        }
    };
}

fn perform<S>(
    store: &Store<S>,
    step: &Step,
    name: impl Fn(&'static str) -> &'static str,
    plain: &Plain,
) -> Result<i64> {
    by_method!(store, step, name, plain)
}

fn perform_in(tx: &Transaction, step: &Step, plain: &Plain) -> Result<i64> {
    by_method!(tx, step, |group| group, plain)
}

fn condition(plain: &Plain, at: &Place, when: When) -> Condition {
    let revision = plain.rows.get(&at.owned()).map_or(0, |row| row.revision);
    match when {
        When::Absent => Condition::Absent,
        When::Present => Condition::Present,
        When::Unchanged => Condition::Revision(Revision(revision)),
        When::Changed => Condition::Revision(Revision(revision + 1)),
    }
}

#[track_caller]
fn assert_told<T: PartialEq + std::fmt::Debug>(told: &Result<T>, expected: &Result<T, Refusal>) {
    let agree = match (told, expected) {
        (Ok(told), Ok(expected)) => told == expected,
        (Err(Error::Conflict { .. }), Err(Refusal::Conflict)) => true,
        (Err(Error::NotANumber { .. }), Err(Refusal::NotANumber)) => true,
        (Err(Error::Overflow { .. }), Err(Refusal::Overflow)) => true,
        (Err(Error::QuotaExceeded { namespace, resource, limit, wanted }), Err(Refusal::Quota(over))) => {
            over.contains(&(namespace.clone(), *resource, *limit, *wanted))
        }
        _ => false,
    };
    assert!(agree, "told {told:?}, expected {expected:?}");
}

fn since(began: SystemTime, at: SystemTime) -> u64 {
    at.duration_since(began).unwrap().as_millis() as u64
}

/// Holds a view against the model; the view's names come without `scope`. Every read is held, but of
/// each moment only one group is asked in all ways.
fn compare_view(view: &View, scope: &str, plain: &Plain, began: SystemTime) {
    let turn = plain.revision + plain.now;
    for (full, prefix) in PREFIXES.iter().filter_map(|full| Some((full, full.strip_prefix(scope)?))) {
        assert_eq!(view.count_all(prefix).unwrap(), plain.usage(full).keys, "count_all {full:?}");
        let told = view.groups(prefix).unwrap();
        let told: Vec<_> = told.iter().map(|group| (group.name.as_str(), group.keys, group.bytes)).collect();
        let groups = plain.groups();
        let within = groups.iter().filter(|(name, _)| name.starts_with(full));
        let expected: Vec<_> =
            within.map(|(name, usage)| (&name[scope.len()..], usage.keys, usage.bytes)).collect();
        assert_eq!(told, expected, "groups {full:?}");
    }
    let groups = GROUPS.iter().enumerate();
    for (index, full, group) in
        groups.filter_map(|(index, full)| Some((index, full, full.strip_prefix(scope)?)))
    {
        let expected = plain.group(full);
        let told: Vec<_> = view.entries(group).unwrap().map(Result::unwrap).collect();
        let rows: Vec<_> = told
            .iter()
            .map(|entry| {
                let expires_at = entry.expires_at.map(|at| since(began, at));
                (
                    entry.key.as_str(),
                    Row { value: entry.value.clone(), expires_at, revision: entry.revision.0 },
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
            let entry = told.iter().find(|entry| entry.key == key);
            assert_eq!(view.entry(group, key).unwrap().as_ref(), entry);
            assert_eq!(view.get(group, key).unwrap(), entry.map(|entry| entry.value.clone()));
            assert_eq!(view.exists(group, key).unwrap(), entry.is_some());
            let page = view.page(group, Some(key), 1).unwrap();
            let mut after = told.iter().filter(|entry| entry.key.as_str() > key);
            assert_eq!(page.entries.first(), after.next());
            assert_eq!(page.next, after.next().and(page.entries.first()).map(|entry| entry.key.clone()));
        }
        let rest: Vec<_> = told.into_iter().skip(1).take(2).collect();
        assert_eq!(view.get_page(group, 1, 2).unwrap(), rest);
    }
}
