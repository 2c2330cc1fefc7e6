//! The workloads. Unless a row says otherwise: values of 100 bytes, one group of 10,000 keys, a store in a
//! file, durable writes.

mod bytes;
mod change_log;
pub mod cluster;
mod count;
mod expire;
mod feed_latency;
mod gathered;
mod get_all;
mod get_hit;
mod get_miss;
mod get_shared;
mod get_threads;
mod get_with;
mod growth;
mod log_bounded;
mod loops;
mod memory;
mod open;
mod page;
mod quota;
mod sessions;
mod set;
mod set_pipelined;
mod set_threads;
mod small_scans;
mod stream;
mod table_layout;
mod tenants;
mod value_sizes;
mod watch_behind;
mod watch_many;
mod whole_groups;

use crate::Outcome;
use crate::measure::Effort;
use crate::row::Row;

/// Work that produces one or more rows.
pub struct Workload {
    pub id: &'static str,
    /// The ids of its further rows.
    pub more: &'static [&'static str],
    pub run: fn(Effort) -> Outcome<Vec<Row>>,
}

impl Workload {
    const fn new(
        id: &'static str,
        more: &'static [&'static str],
        run: fn(Effort) -> Outcome<Vec<Row>>,
    ) -> Self {
        Self { id, more, run }
    }
}

/// Every workload: those of one machine, then those of a cluster.
pub fn all() -> impl Iterator<Item = Workload> {
    LOCAL.into_iter().chain(cluster::ALL)
}

/// First the workloads with a target, then those without.
const LOCAL: [Workload; 35] = [
    Workload::new("get-hit", &[], get_hit::get_hit),
    Workload::new("get-hit-threads", get_threads::ROWS, get_threads::get_threads),
    Workload::new("get-with-threads", get_with::ROWS, get_with::get_with),
    Workload::new("get-hit-shared", &[], get_shared::get_shared),
    Workload::new("get-miss", &[], get_miss::get_miss),
    Workload::new("set-1", &[], set::set),
    Workload::new("set-64", &[], set_threads::set_threads),
    Workload::new("set-pipelined", &[], set_pipelined::set_pipelined),
    Workload::new("gathered-set-1", gathered::ROWS, gathered::gathered),
    Workload::new("set-memory", &[], memory::set),
    Workload::new("snapshot-memory", memory::SNAPSHOTS, memory::snapshots),
    Workload::new("get-all", get_all::ROWS, get_all::get_all),
    Workload::new("get-all-10", small_scans::ROWS, small_scans::small_scans),
    Workload::new("get-all-hit", whole_groups::ROWS, whole_groups::whole_groups),
    Workload::new("stream", stream::ROWS, stream::stream),
    Workload::new("page-deep", &[], page::page),
    Workload::new("count", &[], count::count),
    Workload::new("quota", quota::ROWS, quota::quota),
    Workload::new("watch-many", watch_many::ROWS, watch_many::watch_many),
    Workload::new("watch-behind", watch_behind::ROWS, watch_behind::watch_behind),
    Workload::new("feed-latency", feed_latency::ROWS, feed_latency::feed_latency),
    Workload::new("sessions", sessions::ROWS, sessions::sessions),
    Workload::new("expire", expire::ROWS, expire::expire),
    Workload::new("open", open::ROWS, open::open),
    Workload::new("growth", growth::ROWS, growth::growth),
    Workload::new("log-bounded", log_bounded::ROWS, log_bounded::log_bounded),
    Workload::new("set-scoped", &[], set::scoped),
    Workload::new("tenants", tenants::ROWS, tenants::tenants),
    Workload::new("get-hit-sizes", value_sizes::GET_HIT, value_sizes::get_hit),
    Workload::new("get-miss-sizes", value_sizes::GET_MISS, value_sizes::get_miss),
    Workload::new("set-1-sizes", value_sizes::SET, value_sizes::set),
    Workload::new("get-memory", &[], memory::get),
    Workload::new("bytes", bytes::ROWS, bytes::bytes),
    Workload::new("change-log", change_log::ROWS, change_log::change_log),
    Workload::new("table-layout", table_layout::ROWS, table_layout::table_layout),
];

/// The size of the usual group.
const KEYS: u64 = 10_000;

/// Fails unless a contender read what was written.
fn check(right: bool) -> Outcome {
    if right { Ok(()) } else { Err("a contender read something other than what was written".into()) }
}
