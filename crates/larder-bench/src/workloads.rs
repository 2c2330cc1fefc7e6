//! What is timed. Unless a row says otherwise: values of 100 bytes, one group of 10,000 keys, a store
//! in a file, durable writes.

mod count;
mod get;
mod quota;
mod set;

use larder::Store;

use crate::Outcome;
use crate::measure::Effort;
use crate::report::Row;

type Workload = fn(Effort) -> Outcome<Vec<Row>>;

/// Every workload, by the id of its row.
pub const ALL: [(&str, Workload); 8] = [
    ("get-miss", get::miss),
    ("get-all", get::all),
    ("set-1", set::one_thread),
    ("set-scoped", set::scoped),
    ("set-64", set::many_threads),
    ("set-memory", set::in_memory),
    ("count", count::count),
    ("quota", quota::quota),
];

const GROUP: &str = "bench";
const KEYS: u64 = 10_000;

fn key(number: u64) -> String {
    format!("key-{number:08}")
}

/// A hundred bytes that tell which key they belong to.
fn value(number: u64) -> String {
    format!("{number:-<100}")
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Puts `keys` keys into a group, in transactions of 10,000.
fn fill(store: &Store, group: &str, keys: u64) -> Outcome {
    for first in (0..keys).step_by(10_000) {
        store.transaction(|tx| {
            (first..keys.min(first + 10_000)).try_for_each(|number| tx.set(group, key(number), value(number)))
        })?;
    }
    Ok(())
}

/// Fails unless a contender read what it should have.
fn check(right: bool) -> Outcome {
    if right { Ok(()) } else { Err("a contender read something else than was written".into()) }
}
