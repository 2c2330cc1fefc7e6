//! Replaces a member: the cluster forgets it, and a new one with empty data joins at its address.

use std::io;
use std::sync::atomic::Ordering;
use std::{fs, thread};

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::json;
use crate::saved::data_of;

/// How long the cluster may take to agree to a change: etcd refuses it for some seconds after an election.
const WAIT_MAX: Duration = Duration::from_secs(20);

impl Cluster {
    /// Kills a member and removes it from the cluster (`etcdctl member remove`). Its data is deleted.
    ///
    /// # Errors
    /// When the other members are no quorum, or do not agree for twenty seconds.
    pub fn remove_member(&self, member: usize) -> io::Result<()> {
        let removed = self.member(member);
        let id = removed.id().ok_or_else(|| io::Error::other("its id is unknown; wait until it is ready"))?;
        self.kill(member);
        self.insist("/v3/cluster/member/remove", &format!("{{\"ID\":\"{id}\"}}"), "not found")?;
        removed.set_id(None);
        fs::remove_dir_all(data_of(removed))
    }

    /// Adds a new member at the address of a removed one (`etcdctl member add`), and starts it without data. When this
    /// returns, it may not serve yet: see [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Errors
    /// When the cluster does not agree for twenty seconds, or the member does not start.
    pub fn add_member(&self, member: usize) -> io::Result<()> {
        let added = self.member(member);
        let body = format!("{{\"peerURLs\":[{}]}}", json::text(&format!("http://{}", added.peer)));
        self.insist("/v3/cluster/member/add", &body, "exist")?;
        added.joined.store(true, Ordering::SeqCst);
        added.restart()
    }

    /// Repeats a change of the members until the cluster has agreed, or says that it had agreed before.
    fn insist(&self, path: &str, body: &str, done_before: &str) -> io::Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            match self.call(path, body) {
                Ok(_) => return Ok(()),
                Err(error) if error.to_string().contains(done_before) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
