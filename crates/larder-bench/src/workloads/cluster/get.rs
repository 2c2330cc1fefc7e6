//! Linearizable gets of single entries.

use tokio::runtime::Builder;

use super::super::loops::{getting, read_all};
use super::in_flight;
use super::shared::{SharedCluster, rounds, sample};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::row::{Row, Unit};

pub const ROWS: &[&str] = &["cluster-get-64", "cluster-get-256"];
const IN_FLIGHT: [usize; 2] = [64, 256];
const ALONE: &str = "etcd alone";

pub fn get(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let effort = rounds(effort);
    let larder = cluster.larder("get", &sample)?;
    let etcd = cluster.etcd(&sample)?;
    read_all(&larder, &sample)?;
    read_all(&etcd, &sample)?;
    let contenders = vec![getting("larder", &larder, &sample), getting(ALONE, &etcd, &sample)];
    let mut rows = vec![Row::of("cluster-get", Unit::Microseconds, &in_turn(effort, contenders)?)];
    let runtime = Builder::new_current_thread().build()?;
    let store = larder.store.into_async();
    for (id, many) in ROWS.iter().zip(IN_FLIGHT) {
        let contenders = vec![
            in_flight::getting(many, "larder", &runtime, &store, &sample),
            in_flight::getting(many, ALONE, &etcd.runtime, &etcd, &sample),
        ];
        rows.push(Row::of(*id, Unit::PerSecond, &in_turn(effort, contenders)?));
    }
    Ok(rows)
}
