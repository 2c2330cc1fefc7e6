//! The faults that are made while the clients run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use larder::Store;

use super::crew::Crew;
use super::eras::Eras;
use super::operations::{Kept, Operation};
use super::place::Place;
use super::random::Random;
use super::record::{last_received, now_ns};

/// How long the cluster may take to serve again after a fault is healed.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

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

use Fault::{
    Compact, CompactWithoutOne, CutOffAll, CutOffLeader, CutOffOne, CutOneWay, KillAll, KillLeader, KillOne,
    KillTwo, MuteLeader, PauseLeader, PauseOne, PauseTwo,
};

const ANYWHERE: [Fault; 9] =
    [KillOne, KillLeader, KillTwo, KillAll, PauseOne, PauseLeader, PauseTwo, Compact, CompactWithoutOne];
const CUTS: [Fault; 5] = [CutOffOne, CutOffLeader, CutOffAll, CutOneWay, MuteLeader];

/// Makes one fault or operation after another, by turns.
pub struct Faults<'a> {
    pub place: &'a Place,
    pub crew: &'a Crew<'a>,
    pub random: Random,
    store: &'a Store,
    own_networks: bool,
    began: Instant,
    /// The faults left in this round: in each round every kind comes once.
    left: Vec<Fault>,
    operations_left: Vec<Operation>,
    pub made: BTreeMap<String, u64>,
    pub eras: Eras,
    /// Listeners that were not told what they had to be.
    pub untold: Vec<String>,
    pub kept: Option<Kept>,
}

impl<'a> Faults<'a> {
    pub fn new(
        place: &'a Place,
        crew: &'a Crew<'a>,
        store: &'a Store,
        random: Random,
        own_networks: bool,
    ) -> Self {
        Self {
            place,
            crew,
            random,
            store,
            own_networks,
            began: Instant::now(),
            left: Vec::new(),
            operations_left: Vec::new(),
            made: BTreeMap::new(),
            eras: Eras::default(),
            untold: Vec::new(),
            kept: None,
        }
    }

    /// Makes faults until `end`, and then waits until all members serve.
    pub fn make_until(&mut self, end: Instant) {
        self.rest(end, 500, 1000);
        for turn in 0.. {
            if Instant::now() >= end {
                break;
            }
            let made = if turn % 2 == 0 { self.make_next_operation(end) } else { self.make_next(end) };
            let Some(name) = made else { continue };
            *self.made.entry(name).or_default() += 1;
            // Without waiting, the next fault comes before the cluster has recovered.
            if self.random.percent(60) {
                self.place.cluster.wait_until_ready(WAIT_MAX).unwrap();
            }
            self.rest(end, 300, 2500);
        }
        self.place.cluster.wait_until_ready(WAIT_MAX).unwrap();
    }

    fn make_next(&mut self, end: Instant) -> Option<String> {
        if self.left.is_empty() {
            self.left.extend(ANYWHERE);
            self.left.extend(CUTS.iter().filter(|_| self.own_networks));
            self.left.retain(is_wanted);
        }
        if self.left.is_empty() {
            return None;
        }
        let index = self.random.below(self.left.len() as u64) as usize;
        let fault = self.left.swap_remove(index);
        self.make(fault, end);
        Some(format!("{fault:?}"))
    }

    fn make_next_operation(&mut self, end: Instant) -> Option<String> {
        if self.operations_left.is_empty() {
            self.operations_left = self.operations();
            self.operations_left.retain(is_wanted);
        }
        if self.operations_left.is_empty() {
            return None;
        }
        let index = self.random.below(self.operations_left.len() as u64) as usize;
        let operation = self.operations_left.swap_remove(index);
        eprintln!("{:>8.1?} {operation:?}", self.began.elapsed());
        self.operate(operation, end);
        Some(format!("{operation:?}"))
    }

    fn make(&mut self, fault: Fault, end: Instant) {
        let cluster = &self.place.cluster;
        let one = match fault {
            KillLeader | PauseLeader | CutOffLeader | MuteLeader => cluster.leader(),
            _ => None,
        };
        let one = one.unwrap_or_else(|| self.random.below(cluster.members() as u64) as usize);
        let other = (one + 1 + self.random.below(cluster.members() as u64 - 1) as usize) % cluster.members();
        let all = 0..cluster.members();
        eprintln!("{:>8.1?} fault: {fault:?}, member {one}", self.began.elapsed());
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
        members.iter().for_each(|member| self.place.cluster.kill(*member));
        self.last(end);
        members.iter().for_each(|member| self.place.cluster.restart(*member));
    }

    fn pause(&mut self, members: &[usize], end: Instant) {
        members.iter().for_each(|member| self.place.cluster.pause(*member));
        self.last(end);
        members.iter().for_each(|member| self.place.cluster.resume(*member));
    }

    fn leave_cut(&mut self, end: Instant) {
        self.last(end);
        self.place.cluster.heal();
    }

    /// Compacts the history up to now, after the observer has received it: events that no listener received
    /// could not be checked. The other listeners may lag.
    fn compact(&mut self) {
        let latest = self.received_by_observer();
        self.eras.compactions.push((latest, now_ns()));
        self.place.cluster.compact_to(latest);
    }

    /// The latest revision, once the observer has received everything up to it.
    pub fn received_by_observer(&self) -> u64 {
        let deadline = Instant::now() + WAIT_MAX;
        let latest = loop {
            match self.store.revision() {
                Ok(revision) => break revision.0,
                Err(error) => assert!(Instant::now() < deadline, "no revision: {error}"),
            }
        };
        let observer = self.crew.observer_journal();
        while last_received(&observer).is_none_or(|received| received < latest) {
            assert!(Instant::now() < deadline, "the observer has not received revision {latest}");
            std::thread::sleep(Duration::from_millis(5));
        }
        latest
    }

    /// Waits while a fault lasts: sometimes longer than any call's timeout.
    fn last(&mut self, end: Instant) {
        if self.random.percent(25) { self.rest(end, 5000, 8000) } else { self.rest(end, 500, 4000) }
    }

    /// Sleeps for a random time: the length of faults and pauses is part of the trial, not a wait for
    /// something.
    pub fn rest(&mut self, end: Instant, least_ms: u64, most_ms: u64) {
        let rest = Duration::from_millis(least_ms + self.random.below(most_ms - least_ms));
        std::thread::sleep(rest.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Whether `LARDER_ROBUSTNESS_ONLY` names this kind of fault or operation. If it is not set, all kinds are made.
fn is_wanted(kind: &impl fmt::Debug) -> bool {
    let name = format!("{kind:?}");
    match std::env::var("LARDER_ROBUSTNESS_ONLY") {
        Ok(only) => only.split(',').any(|wanted| wanted == name),
        Err(_) => true,
    }
}
