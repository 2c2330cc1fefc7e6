//! The cluster that a run measures.

use std::sync::OnceLock;

use larder::Options;
use larder_cluster::{Cluster, Settings};

use crate::Outcome;
use crate::measure::Effort;
use crate::peers::{Etcd, Larder};
use crate::sample::Sample;

/// The usual group.
const KEYS: u64 = super::super::KEYS;

pub struct Place {
    _cluster: Cluster,
    /// The leader's is the first: whoever asks another member waits for one more step, and who leads is
    /// chance.
    endpoints: Vec<String>,
}

impl Place {
    /// The cluster, started when the first asks for it. It goes with the process.
    pub fn get() -> Outcome<&'static Self> {
        static PLACE: OnceLock<Result<Place, String>> = OnceLock::new();
        let place = PLACE.get_or_init(|| Self::start().map_err(|error| error.to_string()));
        Ok(place.as_ref().map_err(String::as_str)?)
    }

    fn start() -> Outcome<Self> {
        let cluster = Cluster::start_with(&Settings { on_disk: true, ..Settings::default() })?;
        let mut endpoints = cluster.endpoints();
        for number in 0..endpoints.len() {
            if Etcd::connect(&endpoints[number])?.leads()? {
                endpoints.swap(0, number);
            }
        }
        Ok(Self { _cluster: cluster, endpoints })
    }

    /// Where the store of a workload is.
    pub fn location(&self, workload: &str) -> String {
        format!("etcd://{}/{workload}", self.endpoints.join(","))
    }

    /// Where the store of a workload is, on which larder asks for linearizable reads.
    pub fn larder(&self, workload: &str, sample: &Sample) -> Outcome<Larder> {
        Larder::on_cluster(&self.location(workload), sample, &Options::default())
    }

    /// etcd alone, at the member that larder asks.
    pub fn etcd(&self, sample: &Sample) -> Outcome<Etcd> {
        Etcd::filled(&self.endpoints[0], sample)
    }

    /// etcd alone, without keys of its own.
    pub fn bare_etcd(&self) -> Outcome<Etcd> {
        Etcd::connect(&self.endpoints[0])
    }
}

/// Longer rounds than those of a single machine: a set takes milliseconds.
pub fn rounds(effort: Effort) -> Effort {
    effort.longer(2)
}

/// The usual sample, a smaller one where it has to be quick.
pub fn sample(effort: Effort) -> Sample {
    Sample::of(effort.size(KEYS, 1_000))
}
