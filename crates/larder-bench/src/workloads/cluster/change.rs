//! Changing what is there by what it was.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use tokio::runtime::Builder;

use super::super::check;
use super::in_flight::one_by_one;
use super::place::{Place, rounds, sample};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};

const ALONE: &str = "etcd alone, by comparison";

/// The group of what counts.
const COUNTERS: &str = "counters";

pub fn increment(effort: Effort) -> Outcome<Vec<Row>> {
    let (place, sample) = (Place::get()?, sample(effort));
    let (larder, etcd) = (place.larder("increment", &Sample::of(0))?, place.bare_etcd()?);
    let counters = Sample::of(sample.len());
    for key in sample.keys() {
        let zero = |_: Option<&[u8]>| Ok(b"0".to_vec());
        etcd.runtime.block_on(etcd.change(key, zero))?;
    }
    let contenders = vec![
        one_by_one("larder", &counters, |number| {
            larder.store.increment(COUNTERS, counters.key(number).alone(), 1)?;
            Ok(())
        }),
        one_by_one(ALONE, &counters, |number| {
            let plus_one = |value: Option<&[u8]>| {
                let text = std::str::from_utf8(value.unwrap_or(b"0"))?;
                Ok((text.parse::<i64>()? + 1).to_string().into_bytes())
            };
            etcd.runtime.block_on(etcd.change(counters.key(number), plus_one))
        }),
    ];
    Ok(vec![Row::of("cluster-increment", Unit::Microseconds, &in_turn(rounds(effort), contenders)?)])
}

/// One counter, incremented by many at once.
pub fn increment_at_once(effort: Effort) -> Outcome<Vec<Row>> {
    const IN_FLIGHT: usize = 64;
    let place = Place::get()?;
    let larder = place.larder("increment-64", &Sample::of(0))?;
    let runtime = Builder::new_current_thread().build()?;
    let store = larder.store.clone().into_async();
    let mut expected = 0;
    let contender = Contender::new("larder", |pieces| {
        let sums = (0..pieces).map(|_| store.increment(COUNTERS, "one", 1));
        let sums =
            iter(sums).buffer_unordered(IN_FLIGHT).try_fold(0, |most, sum| async move { Ok(sum.max(most)) });
        expected += pieces as i64;
        check(runtime.block_on(sums)? == expected)
    });
    let contender = contender.at_least(IN_FLIGHT as u64 * 4);
    Ok(vec![Row::of("cluster-increment-64", Unit::PerSecond, &in_turn(rounds(effort), vec![contender])?)])
}

/// Transactions that read an entry and set it.
pub fn transaction(effort: Effort) -> Outcome<Vec<Row>> {
    let (place, sample) = (Place::get()?, sample(effort));
    let (larder, etcd) = (place.larder("transaction", &sample)?, place.etcd(&sample)?);
    let contenders = vec![
        one_by_one("larder", &sample, |number| {
            let key = sample.key(number);
            let right = larder.store.transaction(|tx| {
                let Some(value) = tx.get(GROUP, key.alone())? else { return Ok(false) };
                let right = sample.is_right(key, value.as_bytes());
                tx.set(GROUP, key.alone(), value)?;
                Ok(right)
            })?;
            check(right)
        }),
        one_by_one(ALONE, &sample, |number| {
            let key = sample.key(number);
            etcd.runtime.block_on(etcd.change(key, |value| {
                let value = value.unwrap_or_default();
                check(sample.is_right(key, value))?;
                Ok(value.to_vec())
            }))
        }),
    ];
    Ok(vec![Row::of("cluster-transaction", Unit::Microseconds, &in_turn(rounds(effort), contenders)?)])
}
