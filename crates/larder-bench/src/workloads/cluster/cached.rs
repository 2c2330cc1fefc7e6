//! Getting an entry of a cluster from the near cache.

use larder::{Consistency, Options};

use super::super::loops::{getting, read_all};
use super::shared::{SharedCluster, sample};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::Larder;
use crate::row::{Row, Unit};
use crate::scratch;

const HERE: &str = "larder, a file's get-hit";

/// The most it may take, as a multiple of a cached get of a file.
const TIMES_MOST: f64 = 2.0;

pub fn cached(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let options = Options::default().consistency(Consistency::Cached);
    let near = Larder::on_cluster(&cluster.location("cached"), &sample, &options)?;
    let folder = scratch::folder()?;
    let here = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    read_all(&near, &sample)?;
    read_all(&here, &sample)?;
    let contenders = vec![getting("larder", &near, &sample), getting(HERE, &here, &sample)];
    let row = Row::of("cluster-cached", Unit::Nanoseconds, &in_turn(effort, contenders)?);
    let met = row.larder <= TIMES_MOST * row.peer(HERE)?;
    Ok(vec![row.with_target("within 2 × of a file's get-hit", met)])
}
