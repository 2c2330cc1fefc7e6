//! Calls with many entries.

use std::hint::black_box;

use super::super::check;
use super::in_flight::one_by_one;
use super::shared::{SharedCluster, rounds, sample};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::TimedStore;
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Key, Sample};

const ALONE: &str = "etcd alone";

/// The number of entries of a batch.
const BATCH: u64 = 100;

/// Batches that set many adjacent entries.
pub fn batch(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let (larder, etcd) = (cluster.larder("batch", &sample)?, cluster.etcd(&sample)?);
    let from = |number: u64| {
        let first = number.min(sample.len() - BATCH);
        (first..first + BATCH).map(|number| sample.key(number))
    };
    let (mut ours, mut theirs) = (sample.values(), sample.values());
    let contenders = vec![
        one_by_one("larder", &sample, |number| {
            let batch = from(number).fold(larder.store.batch(), |batch, key| {
                batch.set(GROUP, key.alone(), ours.of(key).to_vec())
            });
            batch.commit()?;
            Ok(())
        }),
        one_by_one(ALONE, &sample, |number| {
            let pairs = from(number).map(|key: Key<'_>| (key, theirs.of(key).to_vec()));
            etcd.runtime.block_on(etcd.put_all(pairs))
        }),
    ];
    Ok(vec![Row::of("cluster-batch", Unit::Milliseconds, &in_turn(rounds(effort), contenders)?)])
}

/// Filling an empty store batch by batch, like a program that moves to a cluster.
pub fn load(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let (larder, etcd) = (cluster.larder("load", &Sample::of(0))?, cluster.bare_etcd()?);
    let contenders = vec![
        Contender::new("larder", |pieces| (0..pieces).try_for_each(|_| larder.load(&sample)))
            .before(|| Ok(larder.store.delete_group(GROUP).map(drop)?))
            .at_most(1),
        Contender::new("etcd alone, one transaction after the other", |pieces| {
            (0..pieces).try_for_each(|_| etcd.fill(&sample))
        })
        .at_most(1),
    ];
    let figures = in_turn(effort, contenders)?;
    check(larder.store.count(GROUP)? == sample.len())?;
    let entries = sample.len() as f64;
    let per_entry: Vec<_> = figures.into_iter().map(|figure| figure.divided_by(entries)).collect();
    Ok(vec![Row::of("cluster-load", Unit::PerSecond, &per_entry)])
}

pub fn get_all(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let (larder, etcd) = (cluster.larder("get-all", &sample)?, cluster.etcd(&sample)?);
    let found = larder.store.get_all(GROUP)?;
    check(found.len() as u64 == sample.len())?;
    for (key, (name, value)) in sample.keys().zip(&found) {
        check(key.alone() == name && sample.is_right(key, value.as_bytes()))?;
    }
    let contenders = vec![
        Contender::new("larder", |pieces| {
            (0..pieces)
                .try_for_each(|_| check(black_box(larder.store.get_all(GROUP)?).len() as u64 == sample.len()))
        }),
        Contender::new(ALONE, |pieces| {
            (0..pieces).try_for_each(|_| {
                let strings = black_box(etcd.runtime.block_on(etcd.all())?);
                check(strings.len() as u64 == sample.len())
            })
        }),
    ];
    Ok(vec![Row::of("cluster-get-all", Unit::Milliseconds, &in_turn(rounds(effort), contenders)?)])
}
