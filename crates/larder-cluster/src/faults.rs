//! The ways to hurt a member, and to heal it.

use std::io;

use crate::cluster::Cluster;
use crate::member::Condition;

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

    fn change(&self, member: usize, change: impl FnOnce(&mut Condition) -> io::Result<()>) {
        change(&mut self.member(member).condition())
            .unwrap_or_else(|error| panic!("member {member}: {error}"));
    }
}

fn killed() -> io::Result<()> {
    Err(io::Error::other("it is killed; restart it first"))
}
