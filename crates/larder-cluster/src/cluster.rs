//! A cluster, and where it is.

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

/// An etcd cluster on this machine. Dropping it kills all members and removes their data; when the process
/// dies, however it dies, the same happens a moment later.
///
/// Methods that hurt or heal a member panic when that cannot be done, since a test has nothing better to
/// do then.
pub struct Cluster {
    // Dropped in this order: the members go before their data does.
    pub(crate) all: Vec<Member>,
    /// The user in whose name the harness acts, where there are users.
    pub(crate) root: Option<Root>,
    /// What lies between members that can be cut off from each other.
    pub(crate) network: Option<Network>,
    pub(crate) scratch: Scratch,
}

impl Cluster {
    /// Starts three members and waits until each of them serves a linearizable read.
    ///
    /// # Errors
    /// When there is no etcd, or it does not start; then the error quotes what it said.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&Settings::default())
    }

    /// Starts a cluster of another kind, and waits until each member serves a linearizable read.
    ///
    /// # Errors
    /// When there is no etcd, or it does not start with these settings; then the error quotes what it said.
    pub fn start_with(settings: &Settings) -> io::Result<Self> {
        start(settings)
    }

    /// The cluster that the tests of one process share, started when the first asks for it. It dies with
    /// the process. Tests that hurt members want a cluster of their own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start().unwrap_or_else(|error| panic!("the shared cluster does not start: {error}"))
        })
    }

    /// Where clients find each member: `127.0.0.1:21007`.
    pub fn endpoints(&self) -> Vec<String> {
        self.all.iter().map(|member| member.client.to_string()).collect()
    }

    /// Where a store of this name is: `etcd://127.0.0.1:21007,127.0.0.1:21008,127.0.0.1:21009/app`.
    pub fn location(&self, name: &str) -> String {
        format!("etcd://{}/{name}", self.endpoints().join(","))
    }

    /// How many members there are, dead ones included.
    pub fn members(&self) -> usize {
        self.all.len()
    }

    /// The process that a member is, to be measured or looked at; none while it is killed.
    pub fn process_id(&self, member: usize) -> Option<u32> {
        self.member(member).condition().process.as_ref().map(Process::id)
    }

    /// The file that a member writes what it has to say to.
    pub fn log(&self, member: usize) -> &Path {
        &self.member(member).log
    }

    /// The folder that holds the members' data and logs; it goes with the cluster.
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
