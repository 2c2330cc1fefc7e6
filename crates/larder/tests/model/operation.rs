//! The operations of a sequence, and the strategies that generate them.

use larder::{Quota, Value};
use proptest::prelude::*;
use proptest::{collection, option, sample};

use crate::plain::{EntryName, Step, When};

pub const GROUPS: [&str; 8] = ["", "a", "g", "a:", "a:x", "a:y", "a-b:x", "b:\0"];
pub const KEYS: [&str; 4] = ["", "k", "é", "k\0"];
pub const PREFIXES: [&str; 7] = ["", "a", "a:", "a-", "a:x", "b:", "z"];
pub const NAMESPACES: [&str; 3] = ["a", "a-b", "b"];

/// One operation of a sequence.
#[derive(Clone, Debug)]
pub enum Operation {
    /// One change, through the whole store, or through the scoped store if the group is in a namespace.
    One {
        scoped: bool,
        step: Step,
    },
    Batch {
        requires: Vec<(EntryName, When)>,
        steps: Vec<Step>,
    },
    /// `stubborn` ignores refused steps instead of ending at the first. `abort` rolls back at the end.
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
    /// Takes a snapshot and compares it after each later operation.
    Snapshot,
}

fn entry_name() -> impl Strategy<Value = EntryName> + Clone {
    (sample::select(&GROUPS), sample::select(&KEYS)).prop_map(|(group, key)| EntryName { group, key })
}

fn value() -> impl Strategy<Value = Value> + Clone {
    let values: [&[u8]; 8] =
        [b"", b"1", b"-7", b"12345", b"text", b"9223372036854775807", b"\xff\0", &[b'x'; 40]];
    sample::select(values.map(Value::from).to_vec())
}

fn when() -> impl Strategy<Value = When> + Clone {
    sample::select(&[When::Absent, When::Present, When::Unchanged, When::Changed])
}

/// A step that a batch can have.
fn simple_step() -> impl Strategy<Value = Step> + Clone {
    let by = sample::select(&[1, -1, 0, 1000, i64::MAX, i64::MIN]);
    prop_oneof![
        6 => (entry_name(), value(), option::of(1..12_u64)).prop_map(|(at, value, ttl_ms)| Step::Set { at, value, ttl_ms }),
        2 => (entry_name(), by).prop_map(|(at, by)| Step::Increment { at, by }),
        2 => entry_name().prop_map(|at| Step::Delete { at }),
        1 => sample::select(&GROUPS).prop_map(|group| Step::DeleteGroup { group }),
    ]
}

fn step() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        8 => simple_step(),
        1 => (entry_name(), value(), option::of(1..12_u64))
            .prop_map(|(at, value, in_ms)| Step::SetUntil { at, value, in_ms }),
        2 => (entry_name(), when(), value(), option::of(1..12_u64))
            .prop_map(|(at, when, value, ttl_ms)| Step::SetIf { at, when, value, ttl_ms }),
        1 => (entry_name(), when()).prop_map(|(at, when)| Step::DeleteIf { at, when }),
        1 => (entry_name(), 1..12_u64).prop_map(|(at, ttl_ms)| Step::Touch { at, ttl_ms }),
        1 => entry_name().prop_map(|at| Step::Persist { at }),
        1 => sample::select(&PREFIXES).prop_map(|prefix| Step::DeletePrefix { prefix }),
    ]
}

fn quota() -> impl Strategy<Value = Quota> {
    let limit = |most: u64| prop_oneof![2 => Just(None), 3 => (0..=most).prop_map(Some)];
    (limit(4), limit(2), limit(30)).prop_map(|(max_keys, max_groups, max_bytes)| Quota {
        max_keys,
        max_groups,
        max_bytes,
    })
}

/// The sequences to run.
pub fn sequences() -> impl Strategy<Value = Vec<Operation>> {
    let namespace = || sample::select(&NAMESPACES);
    let operation = prop_oneof![
        12 => (any::<bool>(), step()).prop_map(|(scoped, step)| Operation::One { scoped, step }),
        4 => (collection::vec((entry_name(), when()), 0..2), collection::vec(simple_step(), 0..6))
            .prop_map(|(requires, steps)| Operation::Batch { requires, steps }),
        4 => (collection::vec(step(), 0..6), any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(steps, stubborn, abort)| Operation::Transaction { steps, stubborn, abort }),
        4 => (namespace(), quota()).prop_map(|(namespace, quota)| Operation::SetQuota { namespace, quota }),
        1 => option::of(namespace()).prop_map(|namespace| Operation::Purge { namespace }),
        4 => (1..8_u64).prop_map(|ms| Operation::Advance { ms }),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Snapshot),
    ];
    collection::vec(operation, 1..40)
}
