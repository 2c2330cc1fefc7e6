//! The settings of a cluster.

use std::time::Duration;

use crate::tls::Tls;

/// The settings of a cluster. The default suits most tests: three members in memory, with etcd's default
/// timings and no authentication.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The number of members, preferably odd.
    pub members: usize,
    /// Keep the data in `TMPDIR` even if a file system in memory has enough space. Benchmarks need the disk.
    pub on_disk: bool,
    /// Give each member its own network namespace, so that members can be [cut off](crate::Cluster::cut_off)
    /// from each other. Not every process may make namespaces: see
    /// [`members_can_be_cut_off`](crate::members_can_be_cut_off).
    pub own_networks: bool,
    /// Accept clients over TLS only.
    pub tls: Option<Tls>,
    /// Names and passwords of users, beginning with `root`. If there are any, every client must log in, and
    /// users other than root have only the permissions they are [granted](crate::Cluster::grant).
    pub users: Vec<(String, String)>,
    /// How often the leader sends heartbeats (`--heartbeat-interval`).
    pub heartbeat_interval: Duration,
    /// How long followers wait for a heartbeat before they elect another leader (`--election-timeout`).
    pub election_timeout: Duration,
    /// The size of a member's data at which it refuses writes (`--quota-backend-bytes`); `None` for etcd's
    /// default.
    pub quota_backend_bytes: Option<u64>,
    /// After how many writes a member takes a snapshot and truncates its log (`--snapshot-count`); `None` for
    /// etcd's default.
    pub snapshot_count: Option<u64>,
    /// Further arguments for every member.
    pub extra_args: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: 3,
            on_disk: false,
            own_networks: false,
            tls: None,
            users: Vec::new(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            quota_backend_bytes: None,
            snapshot_count: None,
            extra_args: Vec::new(),
        }
    }
}
