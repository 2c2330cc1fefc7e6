//! Increments and transactions: writes that depend on the current value.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use tokio::runtime::Builder;

use super::super::check;
use super::in_flight::one_by_one;
use super::shared::{SharedCluster, rounds, sample};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};

const ALONE: &str = "etcd alone, by comparison";

/// The group of the counters.
const COUNTERS: &str = "counters";

pub fn increment(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let (larder, etcd) = (cluster.larder("increment", &Sample::of(0))?, cluster.bare_etcd()?);
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

/// One counter with many concurrent increments.
pub fn increment_at_once(effort: Effort) -> Outcome<Vec<Row>> {
    const IN_FLIGHT: usize = 64;
    let cluster = SharedCluster::get()?;
    let larder = cluster.larder("increment-64", &Sample::of(0))?;
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

/// Transactions that read and set an entry.
pub fn transaction(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let (larder, etcd) = (cluster.larder("transaction", &sample)?, cluster.etcd(&sample)?);
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
