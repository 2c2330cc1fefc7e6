//! Calls to the cluster: etcd's own methods, compaction, and who leads.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::member::Member;
use crate::{gateway, json};

/// The timeout of one member's answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the whole cluster may take: long enough for an election.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Up to how many revisions are read one by one instead of with a watch.
const SINGLE_READS_MAX: usize = 16;

/// The method that returns a member's status.
pub(crate) const STATUS: &str = "/v3/maintenance/status";

impl Cluster {
    /// Calls a method of the JSON gateway, such as `/v3/kv/put`, on the first member that answers, and
    /// returns its answer. Bytes are in base64. If the cluster has users, the call is made as root.
    ///
    /// # Errors
    /// When no member answers, or the one that does refuses; the error then has etcd's message.
    pub fn call(&self, path: &str, body: &str) -> io::Result<String> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::NotConnected, "no member runs"));
        for member in self.running() {
            outcome = self.ask(member, path, body, ANSWER);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Calls a method of the JSON gateway on one member.
    ///
    /// # Errors
    /// When the member does not answer within five seconds, or refuses.
    pub fn call_member(&self, member: usize, path: &str, body: &str) -> io::Result<String> {
        self.ask(self.member(member), path, body, ANSWER)
    }

    /// Sets a key without larder.
    ///
    /// # Errors
    /// When no member accepts the write.
    pub fn put(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let body = format!("{{\"key\":{},\"value\":{}}}", json::bytes(key), json::bytes(value));
        self.call("/v3/kv/put", &body).map(drop)
    }

    /// Returns the revisions at which a key was written since its creation and after a given revision, in
    /// order, from etcd's history.
    ///
    /// # Errors
    /// When no member answers, or the history does not reach back that far.
    pub fn writes_of(&self, key: &[u8], after: u64) -> io::Result<Vec<u64>> {
        let number = |answer: &str, field| json::number(answer, field).unwrap_or(0);
        let now = self.call("/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(key)))?;
        let (last, made) = (number(&now, "mod_revision"), number(&now, "create_revision"));
        // Reads a few revisions one by one, from the latest back: a watch from the past begins slowly.
        let (mut few, mut at) = (Vec::new(), last);
        while at > after && few.len() < SINGLE_READS_MAX {
            few.push(at);
            let body = format!("{{\"key\":{},\"revision\":\"{}\"}}", json::bytes(key), at - 1);
            match self.call("/v3/kv/range", &body) {
                Ok(before) if at > made => at = number(&before, "mod_revision"),
                Ok(_) => at = 0,
                // Compacted: only a watch shows whether there are earlier revisions.
                Err(_) => break,
            }
        }
        if at <= after {
            few.reverse();
            return Ok(few);
        }
        let member = self.running().next().ok_or_else(|| io::Error::other("no member runs"))?;
        let body = format!(
            "{{\"create_request\":{{\"key\":{},\"start_revision\":\"{}\"}}}}",
            json::bytes(key),
            made.max(after + 1)
        );
        let mut revisions = Vec::new();
        gateway::follow(member.admin, "/v3/watch", &body, ANSWER, |line| {
            if json::field(line, "canceled") == Some("true") {
                return Err(io::Error::other(line.to_owned()));
            }
            let written = line.split("\"mod_revision\":\"").skip(1);
            revisions.extend(written.filter_map(|rest| rest.split('"').next()?.parse::<u64>().ok()));
            Ok(revisions.last().is_some_and(|revision| *revision >= last))
        })?;
        Ok(revisions)
    }

    /// Compacts the history at the current revision, waits until older revisions are gone, and returns the
    /// revision.
    ///
    /// # Panics
    /// When there is no quorum for twenty seconds.
    pub fn compact(&self) -> u64 {
        retry(|| self.try_compact())
    }

    /// Compacts the history at an earlier revision, like [`compact`](Self::compact).
    ///
    /// # Panics
    /// When there is no quorum for twenty seconds, or the revision is in the future.
    pub fn compact_to(&self, revision: u64) {
        retry(|| self.compact_at(revision));
    }

    fn try_compact(&self) -> io::Result<u64> {
        let read = self.call("/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(b"\0")))?;
        let revision =
            json::number(&read, "revision").ok_or_else(|| io::Error::other("the answer has no revision"))?;
        self.compact_at(revision).map(|()| revision)
    }

    /// Compacts the history at a revision: values overwritten before it are gone. Does nothing if they
    /// already are.
    ///
    /// # Errors
    /// When no member answers, or the revision is in the future.
    pub fn compact_at(&self, revision: u64) -> io::Result<()> {
        let body = format!("{{\"revision\":\"{revision}\",\"physical\":true}}");
        match self.call("/v3/kv/compaction", &body) {
            Err(error) if !error.to_string().contains("has been compacted") => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the leader, as far as the running members know; `None` during an election. If two members
    /// claim to lead, the one with the later term does.
    pub fn leader(&self) -> Option<usize> {
        let statuses: Vec<String> =
            self.running().filter_map(|member| self.ask(member, STATUS, "{}", ANSWER).ok()).collect();
        let latest = statuses.iter().max_by_key(|status| json::number(status, "raftTerm"))?;
        let leader = json::number(latest, "leader")?;
        self.all.iter().position(|member| member.id() == Some(leader))
    }

    /// Calls a method of one member.
    pub(crate) fn ask(
        &self,
        member: &Member,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> io::Result<String> {
        match &self.root {
            // The status needs no login, and logging in takes a quorum.
            Some(root) if path != STATUS => root.call(member, path, body, timeout),
            _ => gateway::call(member.admin, path, body, None, timeout),
        }
    }

    /// The members that are neither killed nor paused.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|member| member.condition().is_running())
    }
}

/// Repeats an attempt to compact until it succeeds.
fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if Instant::now() > deadline => panic!("the cluster cannot be compacted: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}
