//! The loops of those who keep many calls under way, from one task.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use tokio::runtime::Runtime;

use super::super::check;
use crate::Outcome;
use crate::measure::Contender;
use crate::peers::{Awaited, Etcd};
use crate::sample::{Numbers, Sample};

/// How often the queue is filled in a round at the least.
const TURNS_MIN: u64 = 4;

/// Gets keys at random.
pub fn getting<'a>(
    in_flight: usize,
    name: &str,
    runtime: &'a Runtime,
    contestant: &'a impl Awaited,
    sample: &'a Sample,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| {
        let gets = (0..pieces).map(|_| {
            let key = sample.key(numbers.below(sample.len()));
            async move {
                check(contestant.get(key, |found| sample.is_right(key, found)).await? == Some(true))
            }
        });
        runtime.block_on(iter(gets).buffer_unordered(in_flight).try_collect::<()>())
    })
    .at_least(in_flight as u64 * TURNS_MIN)
}

/// Sets keys at random, each by itself.
pub fn setting<'a>(
    in_flight: usize,
    name: &str,
    runtime: &'a Runtime,
    contestant: &'a impl Awaited,
    sample: &'a Sample,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| {
        let mut values = sample.values();
        let sets = (0..pieces).map(|_| {
            let key = sample.key(numbers.below(sample.len()));
            contestant.set(key, values.of(key).to_vec())
        });
        runtime.block_on(iter(sets).buffer_unordered(in_flight).try_collect::<()>())
    })
    .at_least(in_flight as u64 * TURNS_MIN)
    .warmed_up(in_flight as u64 * TURNS_MIN)
}

/// Puts keys at random in transactions of so many, as many of them under way as make up what is in flight.
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
            // etcd takes no key twice.
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

/// One call after the other, of something that is given the numbers of keys at random.
pub fn one_by_one<'a>(
    name: &str,
    sample: &'a Sample,
    mut call: impl FnMut(u64) -> Outcome + 'a,
) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| (0..pieces).try_for_each(|_| call(numbers.below(sample.len()))))
}
