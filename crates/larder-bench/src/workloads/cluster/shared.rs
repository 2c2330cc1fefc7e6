//! The cluster that all workloads of a run share.

use std::sync::OnceLock;

use larder::Options;
use larder_cluster::{Cluster, Settings};

use crate::Outcome;
use crate::measure::Effort;
use crate::peers::{Etcd, Larder};
use crate::sample::Sample;

/// The size of the usual group.
const KEYS: u64 = super::super::KEYS;

pub struct SharedCluster {
    _members: Cluster,
    /// The leader's endpoint comes first: asking a follower takes one more step, and which member leads is
    /// random.
    endpoints: Vec<String>,
}

impl SharedCluster {
    /// The cluster. The first call starts it, and it ends with the process.
    pub fn get() -> Outcome<&'static Self> {
        static SHARED: OnceLock<Result<SharedCluster, String>> = OnceLock::new();
        let cluster = SHARED.get_or_init(|| Self::start().map_err(|error| error.to_string()));
        Ok(cluster.as_ref().map_err(String::as_str)?)
    }

    fn start() -> Outcome<Self> {
        let members = Cluster::start_with(&Settings { on_disk: true, ..Settings::default() })?;
        let mut endpoints = members.endpoints();
        for number in 0..endpoints.len() {
            if Etcd::connect(&endpoints[number])?.leads()? {
                endpoints.swap(0, number);
            }
        }
        Ok(Self { _members: members, endpoints })
    }

    /// The location of a workload's store.
    pub fn location(&self, workload: &str) -> String {
        format!("etcd://{}/{workload}", self.endpoints.join(","))
    }

    /// A workload's store with a sample; its reads are linearizable.
    pub fn larder(&self, workload: &str, sample: &Sample) -> Outcome<Larder> {
        Larder::on_cluster(&self.location(workload), sample, &Options::default())
    }

    /// etcd alone with a sample, on the member that larder asks.
    pub fn etcd(&self, sample: &Sample) -> Outcome<Etcd> {
        Etcd::filled(&self.endpoints[0], sample)
    }

    /// etcd alone, on the member that larder asks.
    pub fn bare_etcd(&self) -> Outcome<Etcd> {
        Etcd::connect(&self.endpoints[0])
    }
}

/// Longer rounds than on a single machine, because a set takes milliseconds.
pub fn rounds(effort: Effort) -> Effort {
    effort.longer(2)
}

/// The usual sample; a smaller one in a quick run.
pub fn sample(effort: Effort) -> Sample {
    Sample::of(effort.size(KEYS, 1_000))
}
