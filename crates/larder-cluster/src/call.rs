//! Questions to the cluster, and the few things that are done through it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::member::Member;
use crate::{gateway, json};

/// How long one member may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the cluster as a whole may take to do something: an election lies within.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many questions are asked rather than a watch begun.
const FEW: usize = 16;

/// The method that tells how a member is.
pub(crate) const STATUS: &str = "/v3/maintenance/status";

impl Cluster {
    /// Calls a method of the JSON gateway, such as `/v3/kv/put`, at the first member that answers, and
    /// returns what it answers. Bytes are base64 there. Where there are users, root is who calls.
    ///
    /// # Errors
    /// When no member answers, or the one that does refuses; then the error has etcd's own words.
    pub fn call(&self, path: &str, body: &str) -> io::Result<String> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::NotConnected, "no member runs"));
        for member in self.well() {
            outcome = self.ask(member, path, body, ANSWER);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Calls a method of the JSON gateway at this member.
    ///
    /// # Errors
    /// When it does not answer within five seconds, or refuses.
    pub fn call_member(&self, member: usize, path: &str, body: &str) -> io::Result<String> {
        self.ask(self.member(member), path, body, ANSWER)
    }

    /// Sets a key, as somebody else's client would.
    ///
    /// # Errors
    /// When no member can write it.
    pub fn put(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let body = format!("{{\"key\":{},\"value\":{}}}", json::bytes(key), json::bytes(value));
        self.call("/v3/kv/put", &body).map(drop)
    }

    /// The revisions at which a key was written since it was made and after this one, in order, as etcd's own
    /// history has them; it must reach back so far.
    ///
    /// # Errors
    /// When no member answers, or the history does not reach back so far.
    pub fn writes_of(&self, key: &[u8], after: u64) -> io::Result<Vec<u64>> {
        let number = |answer: &str, field| json::number(answer, field).unwrap_or(0);
        let now = self.call("/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(key)))?;
        let (last, made) = (number(&now, "mod_revision"), number(&now, "create_revision"));
        // A few are asked for one by one, from the last one back: a watch from before takes its time to begin.
        let (mut few, mut at) = (Vec::new(), last);
        while at > after && few.len() < FEW {
            few.push(at);
            let body = format!("{{\"key\":{},\"revision\":\"{}\"}}", json::bytes(key), at - 1);
            match self.call("/v3/kv/range", &body) {
                Ok(before) if at > made => at = number(&before, "mod_revision"),
                Ok(_) => at = 0,
                // Compacted: only a watch can say whether anything is before it.
                Err(_) => break,
            }
        }
        if at <= after {
            few.reverse();
            return Ok(few);
        }
        let member = self.well().next().ok_or_else(|| io::Error::other("no member runs"))?;
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

    /// Compacts the history at the current revision, which it returns, and waits until what is older is
    /// gone. Once it is gone already, there is nothing to do.
    ///
    /// # Panics
    /// When there is no quorum for twenty seconds.
    pub fn compact(&self) -> u64 {
        insist(|| self.try_compact())
    }

    /// As [`compact`](Self::compact), at an earlier revision.
    ///
    /// # Panics
    /// When there is no quorum for twenty seconds, or no such revision.
    pub fn compact_to(&self, revision: u64) {
        insist(|| self.compact_at(revision));
    }

    fn try_compact(&self) -> io::Result<u64> {
        let read = self.call("/v3/kv/range", &format!("{{\"key\":{}}}", json::bytes(b"\0")))?;
        let revision = json::number(&read, "revision")
            .ok_or_else(|| io::Error::other("an answer without a revision"))?;
        self.compact_at(revision).map(|()| revision)
    }

    /// Compacts the history at a revision: what was written over before it is gone. Once it is gone already,
    /// there is nothing to do.
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

    /// The member that leads, as far as those know that can be asked; none during an election. Of two that
    /// think so, the one with the later term is right.
    pub fn leader(&self) -> Option<usize> {
        let told: Vec<String> =
            self.well().filter_map(|member| self.ask(member, STATUS, "{}", ANSWER).ok()).collect();
        let latest = told.iter().max_by_key(|status| json::number(status, "raftTerm"))?;
        let leader = json::number(latest, "leader")?;
        self.all.iter().position(|member| member.id.get() == Some(&leader))
    }

    /// Asks one member.
    pub(crate) fn ask(
        &self,
        member: &Member,
        path: &str,
        body: &str,
        patience: Duration,
    ) -> io::Result<String> {
        match &self.root {
            // How a member is, it tells everybody. To ask for a token takes a quorum.
            Some(root) if path != STATUS => root.call(member, path, body, patience),
            _ => gateway::call(member.admin, path, body, None, patience),
        }
    }

    /// The members that can be expected to answer.
    pub(crate) fn well(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|member| member.condition().is_well())
    }
}

/// Tries to compact until it is done.
fn insist<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if Instant::now() > deadline => panic!("the cluster cannot be compacted: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}
