//! A cluster and its addresses.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use crate::member::Member;
use crate::network::Network;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::start::start;
use crate::users::Root;

/// An etcd cluster on this machine. Dropping it kills all members and deletes their data. If the process
/// dies, in any way, the same happens a moment later.
///
/// Methods that make or heal a fault panic on failure, because a test could do nothing else.
pub struct Cluster {
    // Dropped in this order: members before their data.
    pub(crate) all: Vec<Member>,
    /// The user as which this crate acts, if the cluster has users.
    pub(crate) root: Option<Root>,
    /// The network between members, if they have networks of their own.
    pub(crate) network: Option<Network>,
    pub(crate) scratch: Scratch,
}

impl Cluster {
    /// Starts three members and waits until each of them serves a linearizable read.
    ///
    /// # Errors
    /// When etcd is not installed or does not start; the error then quotes its log.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&Settings::default())
    }

    /// Starts a cluster with other settings, and waits until each member serves a linearizable read.
    ///
    /// # Errors
    /// When etcd is not installed or does not start with these settings; the error then quotes its log.
    pub fn start_with(settings: &Settings) -> io::Result<Self> {
        start(settings)
    }

    /// Returns the cluster that the tests of one process share. The first call starts it, and it ends with
    /// the process. Tests that make faults need a cluster of their own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start().unwrap_or_else(|error| panic!("the shared cluster did not start: {error}"))
        })
    }

    /// Returns the address of each member for clients, such as `127.0.0.1:21007`.
    pub fn endpoints(&self) -> Vec<String> {
        self.all.iter().map(|member| member.client.to_string()).collect()
    }

    /// Returns the location of a store, such as `etcd://127.0.0.1:21007,127.0.0.1:21008,127.0.0.1:21009/app`.
    pub fn location(&self, name: &str) -> String {
        format!("etcd://{}/{name}", self.endpoints().join(","))
    }

    /// Returns the number of members, including killed ones.
    pub fn members(&self) -> usize {
        self.all.len()
    }

    /// Returns a member's process id; `None` while it is killed.
    pub fn process_id(&self, member: usize) -> Option<u32> {
        self.member(member).condition().process.as_ref().map(Process::id)
    }

    /// Returns the path of a member's log.
    pub fn log(&self, member: usize) -> &Path {
        &self.member(member).log
    }

    /// Returns the folder with the members' data and logs, which is deleted with the cluster.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn member(&self, member: usize) -> &Member {
        self.all
            .get(member)
            .unwrap_or_else(|| panic!("there is no member {member}: the cluster has {}", self.all.len()))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}
