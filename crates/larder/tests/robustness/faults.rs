//! The faults that are made while the clients run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use larder::Store;
use larder_cluster::Cluster;

use super::random::Random;
use super::record::{last_received, now_ns};

/// How long the cluster may take to serve again after a fault is healed.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// One member is killed and restarted.
    KillOne,
    /// The leader is killed and restarted.
    KillLeader,
    /// Two members are killed, so there is no quorum.
    KillTwo,
    KillAll,
    /// One member is stopped, and resumed later.
    PauseOne,
    PauseLeader,
    PauseTwo,
    /// One member and the others cannot reach each other.
    CutOffOne,
    CutOffLeader,
    /// No member can reach any other.
    CutOffAll,
    /// One member cannot reach one other.
    CutOneWay,
    /// The leader cannot reach the others, but they can reach it.
    MuteLeader,
    /// The history up to now is compacted.
    Compact,
    /// The history is compacted while a member is down, so that it must receive the whole state.
    CompactWithoutOne,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

use Fault::{
    Compact, CompactWithoutOne, CutOffAll, CutOffLeader, CutOffOne, CutOneWay, KillAll, KillLeader, KillOne,
    KillTwo, MuteLeader, PauseLeader, PauseOne, PauseTwo,
};

const ANYWHERE: [Fault; 9] =
    [KillOne, KillLeader, KillTwo, KillAll, PauseOne, PauseLeader, PauseTwo, Compact, CompactWithoutOne];
const CUTS: [Fault; 5] = [CutOffOne, CutOffLeader, CutOffAll, CutOneWay, MuteLeader];

/// Makes one fault after another.
pub struct Faults<'a> {
    cluster: &'a Cluster,
    random: Random,
    store: &'a Store,
    /// The observer's journal.
    observer: PathBuf,
    own_networks: bool,
    began: Instant,
    /// The faults left in this round: in each round every kind comes once.
    left: Vec<Fault>,
    pub made: BTreeMap<Fault, u64>,
    /// Each compaction: the revision, and when it began.
    pub compactions: Vec<(u64, u64)>,
}

impl<'a> Faults<'a> {
    pub fn new(
        cluster: &'a Cluster,
        store: &'a Store,
        observer: PathBuf,
        random: Random,
        own_networks: bool,
    ) -> Self {
        let (began, left) = (Instant::now(), Vec::new());
        let (made, compactions) = (BTreeMap::new(), Vec::new());
        Self { cluster, random, store, observer, own_networks, began, left, made, compactions }
    }

    /// Makes faults until `end`, and then waits until all members serve.
    pub fn make_until(&mut self, end: Instant) {
        self.rest(end, 500, 1000);
        while Instant::now() < end {
            let fault = self.next();
            *self.made.entry(fault).or_default() += 1;
            self.make(fault, end);
            // Without waiting, the next fault comes before the cluster has recovered.
            if self.random.percent(60) {
                self.cluster.wait_until_ready(WAIT_MAX).unwrap();
            }
            self.rest(end, 300, 2500);
        }
        self.cluster.wait_until_ready(WAIT_MAX).unwrap();
    }

    fn next(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left.extend(ANYWHERE);
            self.left.extend(CUTS.iter().filter(|_| self.own_networks));
        }
        let index = self.random.below(self.left.len() as u64) as usize;
        self.left.swap_remove(index)
    }

    fn make(&mut self, fault: Fault, end: Instant) {
        let cluster = self.cluster;
        let one = match fault {
            KillLeader | PauseLeader | CutOffLeader | MuteLeader => cluster.leader(),
            _ => None,
        };
        let one = one.unwrap_or_else(|| self.random.below(cluster.members() as u64) as usize);
        let other = (one + 1 + self.random.below(cluster.members() as u64 - 1) as usize) % cluster.members();
        let all = 0..cluster.members();
        eprintln!("{:>8.1?} fault: {fault}, member {one}", self.began.elapsed());
        match fault {
            KillOne | KillLeader => self.kill(&[one], end),
            KillTwo => self.kill(&[one, other], end),
            KillAll => self.kill(&all.collect::<Vec<_>>(), end),
            PauseOne | PauseLeader => self.pause(&[one], end),
            PauseTwo => self.pause(&[one, other], end),
            CutOffOne | CutOffLeader => {
                cluster.cut_off(one);
                self.leave_cut(end);
            }
            CutOffAll => {
                all.for_each(|member| cluster.cut_off(member));
                self.leave_cut(end);
            }
            CutOneWay => {
                cluster.cut(one, other);
                self.leave_cut(end);
            }
            MuteLeader => {
                all.filter(|member| *member != one).for_each(|member| cluster.cut(one, member));
                self.leave_cut(end);
            }
            Compact => self.compact(),
            CompactWithoutOne => {
                cluster.kill(one);
                cluster.wait_until_ready(WAIT_MAX).unwrap();
                self.compact();
                self.rest(end, 500, 3000);
                self.compact();
                cluster.restart(one);
            }
        }
    }

    fn kill(&mut self, members: &[usize], end: Instant) {
        members.iter().for_each(|member| self.cluster.kill(*member));
        self.last(end);
        members.iter().for_each(|member| self.cluster.restart(*member));
    }

    fn pause(&mut self, members: &[usize], end: Instant) {
        members.iter().for_each(|member| self.cluster.pause(*member));
        self.last(end);
        members.iter().for_each(|member| self.cluster.resume(*member));
    }

    fn leave_cut(&mut self, end: Instant) {
        self.last(end);
        self.cluster.heal();
    }

    /// Compacts the history up to now, after the observer has received it: events that no listener received
    /// could not be checked. The other listeners may lag.
    fn compact(&mut self) {
        let deadline = Instant::now() + WAIT_MAX;
        let latest = loop {
            match self.store.revision() {
                Ok(revision) => break revision.0,
                Err(error) => assert!(Instant::now() < deadline, "no revision: {error}"),
            }
        };
        while last_received(&self.observer).is_none_or(|received| received < latest) {
            assert!(Instant::now() < deadline, "the observer has not received revision {latest}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.compactions.push((latest, now_ns()));
        self.cluster.compact_to(latest);
    }

    /// Waits while a fault lasts: sometimes longer than any call's timeout.
    fn last(&mut self, end: Instant) {
        if self.random.percent(25) { self.rest(end, 5000, 8000) } else { self.rest(end, 500, 4000) }
    }

    /// Sleeps for a random time: the length of faults and pauses is part of the trial, not a wait for
    /// something.
    fn rest(&mut self, end: Instant, least_ms: u64, most_ms: u64) {
        let rest = Duration::from_millis(least_ms + self.random.below(most_ms - least_ms));
        std::thread::sleep(rest.min(end.saturating_duration_since(Instant::now())));
    }
}
