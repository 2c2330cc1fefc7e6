//! A store on a cluster: three members on this machine, with their data on the disk. The peer is etcd alone,
//! on the same members, through the same client.

#[cfg(feature = "etcd")]
mod cached;
#[cfg(feature = "etcd")]
mod change;
#[cfg(feature = "etcd")]
mod get;
#[cfg(feature = "etcd")]
mod in_flight;
#[cfg(feature = "etcd")]
mod many;
#[cfg(feature = "etcd")]
mod set;
#[cfg(feature = "etcd")]
mod shared;
#[cfg(feature = "etcd")]
mod watch;

use super::Workload;

/// The prefix of the ids of these workloads and their rows.
pub const PREFIX: &str = "cluster-";

#[cfg(feature = "etcd")]
pub const ALL: [Workload; 10] = [
    Workload::new("cluster-get", get::ROWS, get::get),
    Workload::new("cluster-set", set::ROWS, set::set),
    Workload::new("cluster-cached", &[], cached::cached),
    Workload::new("cluster-watch", watch::ROWS, watch::watch),
    Workload::new("cluster-batch", &[], many::batch),
    Workload::new("cluster-load", &[], many::load),
    Workload::new("cluster-get-all", &[], many::get_all),
    Workload::new("cluster-increment", &[], change::increment),
    Workload::new("cluster-increment-64", &[], change::increment_at_once),
    Workload::new("cluster-transaction", &[], change::transaction),
];
#[cfg(not(feature = "etcd"))]
pub const ALL: [Workload; 0] = [];

/// Whether a workload or a row with this id needs a cluster.
pub fn needs_cluster(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// Why these rows cannot be measured; `None` if they can.
#[cfg(feature = "etcd")]
pub fn unavailable() -> Option<&'static str> {
    let reason = "etcd is not installed; install it, or set LARDER_ETCD to its path";
    (!larder_cluster::etcd_is_installed()).then_some(reason)
}

/// Why these rows cannot be measured.
#[cfg(not(feature = "etcd"))]
pub fn unavailable() -> Option<&'static str> {
    Some("build larder-bench with --features etcd, which needs protoc")
}
