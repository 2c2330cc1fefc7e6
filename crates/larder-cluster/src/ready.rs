//! Waiting for the cluster to serve.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::call::STATUS;
use crate::cluster::Cluster;
use crate::json;
use crate::member::Member;

/// How long one question may wait. Shorter than the patience of all, so that one member that hangs does
/// not use it up.
const ANSWER: Duration = Duration::from_secs(2);

impl Cluster {
    /// Waits until every member that runs serves a linearizable read, for which it needs a quorum. Members
    /// that are killed or paused are not waited for.
    ///
    /// # Errors
    /// When it takes longer than this, when no member runs, or when one has ended by itself; then the
    /// error quotes what it said.
    pub fn wait_until_ready(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        let mut waiting: Vec<&Member> = self.well().collect();
        if waiting.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "no member runs"));
        }
        loop {
            let mut last = None;
            waiting.retain(|member| match self.serves(member) {
                Ok(()) => false,
                Err(error) => {
                    last = Some(error);
                    true
                }
            });
            let Some(last) = last else { return Ok(()) };
            if let Some(ended) = waiting.iter().find(|member| member.has_ended()) {
                return Err(ended.failure("has ended"));
            }
            if Instant::now() > deadline {
                let failure = waiting[0].failure(&format!("does not serve after {patience:?}: {last}"));
                return Err(io::Error::new(io::ErrorKind::TimedOut, failure));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for a linearizable read. Only once there is a leader: without one, etcd 3.4 lets the question,
    /// and every later one, wait for seconds.
    fn serves(&self, member: &Member) -> io::Result<()> {
        let status = self.ask(member, STATUS, "{}", ANSWER)?;
        if json::number(&status, "leader").is_none_or(|leader| leader == 0) {
            return Err(io::Error::other("there is no leader"));
        }
        if let Some(id) = json::number(&status, "member_id") {
            member.id.get_or_init(|| id);
        }
        self.ask(member, "/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(b"\0")), ANSWER).map(drop)
    }
}
