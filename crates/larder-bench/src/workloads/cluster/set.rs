//! Durable sets: a majority of members has each on the disk when it returns.

use tokio::runtime::Builder;

use super::super::check;
use super::super::loops::read_all;
use super::in_flight::{self, one_by_one, putting_together};
use super::shared::{SharedCluster, rounds, sample};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{TRANSACTION, TimedStore};
use crate::row::{Row, Unit};

pub const ROWS: &[&str] = &["cluster-set-64", "cluster-set-256", "cluster-set-1024"];
const IN_FLIGHT: [usize; 3] = [64, 256, 1024];
const ALONE: &str = "etcd alone, put by put";
const TOGETHER: &str = "etcd alone, puts in transactions by hand";

/// By what factor larder's sets must outnumber etcd's puts, from how many in flight.
const TIMES_LEAST: f64 = 3.0;
const TIMES_LEAST_FROM: usize = 256;

pub fn set(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let effort = rounds(effort);
    let larder = cluster.larder("set", &sample)?;
    let etcd = cluster.etcd(&sample)?;
    let (mut ours, mut theirs) = (sample.values(), sample.values());
    let contenders = vec![
        one_by_one("larder", &sample, |number| {
            let key = sample.key(number);
            larder.set(key, ours.of(key))
        }),
        one_by_one(ALONE, &sample, |number| {
            let key = sample.key(number);
            etcd.set(key, theirs.of(key))
        }),
    ];
    let mut rows = vec![Row::of("cluster-set", Unit::Microseconds, &in_turn(effort, contenders)?)];
    let runtime = Builder::new_current_thread().build()?;
    let store = larder.store.clone().into_async();
    for (id, many) in ROWS.iter().zip(IN_FLIGHT) {
        let contenders = vec![
            in_flight::setting(many, "larder", &runtime, &store, &sample),
            in_flight::setting(many, ALONE, &etcd.runtime, &etcd, &sample),
            putting_together(many, many.min(TRANSACTION), TOGETHER, &etcd, &sample),
        ];
        let row = Row::of(*id, Unit::PerSecond, &in_turn(effort, contenders)?);
        if many < TIMES_LEAST_FROM {
            rows.push(row);
            continue;
        }
        let met = row.larder >= TIMES_LEAST * row.peer(ALONE)?;
        rows.push(row.with_target("3 × as many as etcd alone, put by put", met));
    }
    read_all(&larder, &sample)?;
    read_all(&etcd, &sample)?;
    check(larder.store.count(crate::sample::GROUP)? == sample.len())?;
    Ok(rows)
}
