//! What a cluster is to be like.

use std::time::Duration;

use crate::tls::Tls;

/// What a cluster is to be like. The default is what most tests want: three members, in memory, with
/// etcd's own timings, open to everybody on this machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many members; an odd number makes sense.
    pub members: usize,
    /// Keep the data in the folder for temporary files (`TMPDIR`) even where there is a file system in
    /// memory with room enough. Benchmarks want the disk.
    pub on_disk: bool,
    /// Give each member a network namespace of its own, so that members can be [cut
    /// off](crate::Cluster::cut_off) from each other. Not every process may make namespaces:
    /// [`members_can_be_cut_off`](crate::members_can_be_cut_off) tells.
    pub apart: bool,
    /// Let clients talk to it over TLS only.
    pub tls: Option<Tls>,
    /// Names and passwords of users, the first of whom has to be `root`. Where there are any, nobody else
    /// is let in, and all but root may do nothing before they are [granted](crate::Cluster::grant) it.
    pub users: Vec<(String, String)>,
    /// How often the leader lets itself be heard (`--heartbeat-interval`).
    pub heartbeat_interval: Duration,
    /// How long the others wait for it before they elect another (`--election-timeout`).
    pub election_timeout: Duration,
    /// How large a member's data may get before it refuses writes (`--quota-backend-bytes`); etcd's own
    /// figure where there is none.
    pub quota_backend_bytes: Option<u64>,
    /// After how many writes a member takes a snapshot and lets go of its log (`--snapshot-count`);
    /// etcd's own figure where there is none.
    pub snapshot_count: Option<u64>,
    /// What else every member is started with.
    pub extra_args: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            members: 3,
            on_disk: false,
            apart: false,
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
