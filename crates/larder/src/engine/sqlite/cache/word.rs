//! How one learns that somebody has committed, without asking SQLite.

/// What every commit of any process moves, and what can be read at the cost of a load.
pub trait Word: Clone {
    /// A number that differs before and after each commit, and does not come back.
    fn word(&self) -> u64;

    /// The word with what belongs to it, all of one moment. `None` where somebody is writing it just
    /// now, or died while doing so.
    fn mark(&self) -> Option<CommitMark>;

    /// Called after each commit of this process, by whoever still has the write lock.
    fn committed(&self);
}

/// A word, and how it came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitMark {
    pub word: u64,
    /// One more with each commit; it may start over when a log is recovered.
    pub change: u32,
    /// How many pages the log has.
    pub frames: u32,
    /// One more each time the log starts over at its beginning.
    pub restarts: u32,
}

impl CommitMark {
    /// Whether exactly one commit lies between `before` and this.
    pub fn is_next_after(&self, before: &Self) -> bool {
        self.change == before.change.wrapping_add(1)
    }

    /// Whether the log started over after `before`, and nothing else happened: a writer who finds all
    /// of the log folded back does that, just before its commit.
    pub fn is_restart_of(&self, before: &Self) -> bool {
        // After a recovery the count begins at 0, and nothing can be said.
        let same_commit = self.change == before.change && before.change > 0;
        same_commit && self.frames == 0 && self.restarts == before.restarts.wrapping_add(1)
    }
}
