//! The ways to hurt a member, and to heal it.

use std::io;

use crate::cluster::Cluster;
use crate::member::Condition;
use crate::network::Network;

/// Whether this process may make the namespaces that it takes to cut members off from each other.
///
/// # Errors
/// When it may not: what stands in the way.
pub fn members_can_be_cut_off() -> io::Result<()> {
    Network::new(1).map(drop)
}

impl Cluster {
    /// Kills a member (`SIGKILL`) and waits until it is gone. Its data stays. Killing a dead member does
    /// nothing.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn kill(&self, member: usize) {
        *self.member(member).condition() = Condition::default();
    }

    /// Starts a member again, with its address and its data, after it was killed; kills it before if need
    /// be. It has opened its ports when this returns, and may still be looking for the others:
    /// [`wait_until_ready`](Self::wait_until_ready) waits for that.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self, member: usize) {
        self.kill(member);
        self.member(member).restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops a member where it stands (`SIGSTOP`), and waits until it does: its ports stay open, and nobody
    /// answers.
    ///
    /// # Panics
    /// When it is killed.
    pub fn pause(&self, member: usize) {
        self.change(member, |condition| {
            condition.paused = true;
            condition.process.as_mut().map_or_else(killed, |process| process.pause())
        });
    }

    /// Lets a member go on that was paused (`SIGCONT`).
    ///
    /// # Panics
    /// When it is killed.
    pub fn resume(&self, member: usize) {
        self.change(member, |condition| {
            condition.paused = false;
            condition.process.as_mut().map_or_else(killed, |process| process.resume())
        });
    }

    /// From now on nothing that one member sends reaches another, and nobody is told. What the other sends
    /// still arrives; both still talk to the rest, and to clients.
    ///
    /// # Panics
    /// When the members do not live [apart](crate::Settings::apart).
    pub fn cut(&self, from: usize, to: usize) {
        let _both_exist = (self.member(from), self.member(to));
        self.network().cut(from, to).unwrap_or_else(|error| panic!("members {from} and {to}: {error}"));
    }

    /// Cuts a member off from all others, both ways. Clients still reach it. It cannot serve a linearizable
    /// read before it is healed, so [`wait_until_ready`](Self::wait_until_ready) would wait in vain.
    ///
    /// # Panics
    /// When the members do not live [apart](crate::Settings::apart).
    pub fn cut_off(&self, member: usize) {
        for other in (0..self.members()).filter(|other| *other != member) {
            self.cut(member, other);
            self.cut(other, member);
        }
    }

    /// Takes all cuts back.
    ///
    /// # Panics
    /// When the members do not live [apart](crate::Settings::apart).
    pub fn heal(&self) {
        self.network().heal().unwrap_or_else(|error| panic!("{error}"));
    }

    fn network(&self) -> &Network {
        self.network.as_ref().unwrap_or_else(|| panic!("the members do not live apart: see Settings::apart"))
    }

    fn change(&self, member: usize, change: impl FnOnce(&mut Condition) -> io::Result<()>) {
        change(&mut self.member(member).condition())
            .unwrap_or_else(|error| panic!("member {member}: {error}"));
    }
}

fn killed() -> io::Result<()> {
    Err(io::Error::other("it is killed; restart it first"))
}
