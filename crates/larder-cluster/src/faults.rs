//! Faults of members, and how to heal them.

use std::io;

use crate::cluster::Cluster;
use crate::member::Condition;
use crate::network::Network;

/// Returns whether this process may make the namespaces with which members are cut off from each other.
///
/// # Errors
/// When it may not; the error says why.
pub fn members_can_be_cut_off() -> io::Result<()> {
    Network::new(1).map(drop)
}

impl Cluster {
    /// Kills a member (`SIGKILL`) and waits until it has ended. Its data stays. Killing a dead member does
    /// nothing.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn kill(&self, member: usize) {
        *self.member(member).condition() = Condition::default();
    }

    /// Restarts a member with its address and its data; kills it first if it runs. When this returns, its
    /// ports are open, but it may not serve yet: see [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self, member: usize) {
        self.kill(member);
        self.member(member).restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops a member (`SIGSTOP`), and waits until it has stopped. Its ports stay open, but it does not
    /// answer.
    ///
    /// # Panics
    /// When it is killed.
    pub fn pause(&self, member: usize) {
        self.change(member, |condition| {
            condition.paused = true;
            condition.process.as_mut().map_or_else(killed, |process| process.pause())
        });
    }

    /// Resumes a paused member (`SIGCONT`).
    ///
    /// # Panics
    /// When it is killed.
    pub fn resume(&self, member: usize) {
        self.change(member, |condition| {
            condition.paused = false;
            condition.process.as_mut().map_or_else(killed, |process| process.resume())
        });
    }

    /// Silently drops everything that one member sends to another, from now on. The opposite direction still
    /// works, and both still reach the other members and clients.
    ///
    /// # Panics
    /// When the members have no [networks of their own](crate::Settings::own_networks).
    pub fn cut(&self, from: usize, to: usize) {
        let _both_exist = (self.member(from), self.member(to));
        self.network().cut(from, to).unwrap_or_else(|error| panic!("members {from} and {to}: {error}"));
    }

    /// Cuts a member off from all others, in both directions. Clients still reach it. It serves no
    /// linearizable reads until it is healed, so [`wait_until_ready`](Self::wait_until_ready) would time out.
    ///
    /// # Panics
    /// When the members have no [networks of their own](crate::Settings::own_networks).
    pub fn cut_off(&self, member: usize) {
        for other in (0..self.members()).filter(|other| *other != member) {
            self.cut(member, other);
            self.cut(other, member);
        }
    }

    /// Removes all cuts.
    ///
    /// # Panics
    /// When the members have no [networks of their own](crate::Settings::own_networks).
    pub fn heal(&self) {
        self.network().heal().unwrap_or_else(|error| panic!("{error}"));
    }

    fn network(&self) -> &Network {
        self.network.as_ref().unwrap_or_else(|| {
            panic!("the members have no networks of their own: see Settings::own_networks")
        })
    }

    fn change(&self, member: usize, change: impl FnOnce(&mut Condition) -> io::Result<()>) {
        change(&mut self.member(member).condition())
            .unwrap_or_else(|error| panic!("member {member}: {error}"));
    }
}

fn killed() -> io::Result<()> {
    Err(io::Error::other("it is killed; restart it first"))
}
