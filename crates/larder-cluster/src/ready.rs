//! Waits for the cluster to serve.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::call::STATUS;
use crate::cluster::Cluster;
use crate::json;
use crate::member::Member;

/// The timeout of one request: shorter than the whole wait, so that one member that hangs does not use it up.
const ANSWER: Duration = Duration::from_secs(2);

impl Cluster {
    /// Waits until every running member serves a linearizable read, which takes a quorum. Skips members that
    /// are killed or paused.
    ///
    /// # Errors
    /// When the timeout passes, when no member runs, or when a member has ended by itself; the error then
    /// quotes its log.
    pub fn wait_until_ready(&self, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let mut waiting: Vec<&Member> = self.running().collect();
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
                let failure = waiting[0].failure(&format!("does not serve after {timeout:?}: {last}"));
                return Err(io::Error::new(io::ErrorKind::TimedOut, failure));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes a linearizable read, but only if there is a leader: without one, etcd 3.4 delays this request
    /// and every later one for seconds.
    fn serves(&self, member: &Member) -> io::Result<()> {
        let status = self.ask(member, STATUS, "{}", ANSWER)?;
        if json::number(&status, "leader").is_none_or(|leader| leader == 0) {
            return Err(io::Error::other("there is no leader"));
        }
        if let Some(id) = json::number(&status, "member_id") {
            member.set_id(Some(id));
        }
        self.ask(member, "/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(b"\0")), ANSWER).map(drop)
    }
}
