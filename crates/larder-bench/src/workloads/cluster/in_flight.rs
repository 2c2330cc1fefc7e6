//! Loops that keep many calls in flight from one task.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use tokio::runtime::Runtime;

use super::super::check;
use crate::Outcome;
use crate::measure::Contender;
use crate::peers::{AsyncTimedStore, Etcd};
use crate::sample::{Numbers, Sample};

/// How often the queue is filled, at least, in a round.
const TURNS_MIN: u64 = 4;

/// Gets random keys.
pub fn getting<'a>(
    in_flight: usize,
    name: &str,
    runtime: &'a Runtime,
    store: &'a impl AsyncTimedStore,
    sample: &'a Sample,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| {
        let gets = (0..pieces).map(|_| {
            let key = sample.key(numbers.below(sample.len()));
            async move { check(store.get(key, |found| sample.is_right(key, found)).await? == Some(true)) }
        });
        runtime.block_on(iter(gets).buffer_unordered(in_flight).try_collect::<()>())
    })
    .at_least(in_flight as u64 * TURNS_MIN)
}

/// Sets random keys, one per call.
pub fn setting<'a>(
    in_flight: usize,
    name: &str,
    runtime: &'a Runtime,
    store: &'a impl AsyncTimedStore,
    sample: &'a Sample,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| {
        let mut values = sample.values();
        let sets = (0..pieces).map(|_| {
            let key = sample.key(numbers.below(sample.len()));
            store.set(key, values.of(key).to_vec())
        });
        runtime.block_on(iter(sets).buffer_unordered(in_flight).try_collect::<()>())
    })
    .at_least(in_flight as u64 * TURNS_MIN)
    .warmed_up(in_flight as u64 * TURNS_MIN)
}

/// Puts random keys in transactions of fixed size, with enough transactions in flight for the number of keys
/// in flight.
pub fn putting_together<'a>(
    in_flight: usize,
    together: usize,
    name: &str,
    etcd: &'a Etcd,
    sample: &'a Sample,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| {
        let mut values = sample.values();
        let transactions = (0..pieces).step_by(together).map(|first| {
            // etcd refuses a key twice in one transaction.
            let mut chosen: Vec<u64> = Vec::with_capacity(together);
            while (chosen.len() as u64) < (pieces - first).min(together as u64) {
                let number = numbers.below(sample.len());
                if !chosen.contains(&number) {
                    chosen.push(number);
                }
            }
            let pairs: Vec<_> = chosen
                .into_iter()
                .map(|number| {
                    let key = sample.key(number);
                    (key, values.of(key).to_vec())
                })
                .collect();
            etcd.put_all(pairs.into_iter())
        });
        let at_once = (in_flight / together).max(1);
        etcd.runtime.block_on(iter(transactions).buffer_unordered(at_once).try_collect::<()>())
    })
    .at_least(in_flight as u64 * TURNS_MIN)
}

/// Makes sequential calls with random keys.
pub fn one_by_one<'a>(
    name: &str,
    sample: &'a Sample,
    mut call: impl FnMut(u64) -> Outcome + 'a,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| (0..pieces).try_for_each(|_| call(numbers.below(sample.len()))))
}
