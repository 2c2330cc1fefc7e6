//! How the cache learns of a commit without asking SQLite.

/// A number that every commit of any process changes, and that costs a load to read.
pub trait Word: Clone {
    /// The number. It differs before and after each commit, and never returns to an earlier value.
    fn word(&self) -> u64;

    /// The word and its details, all of one moment. `None` while a process writes it, or where one died while
    /// it did.
    fn mark(&self) -> Option<CommitMark>;

    /// Call this after each commit of this process, while it still holds the write lock.
    fn committed(&self);
}

/// A word, and what SQLite says of the commit that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitMark {
    pub word: u64,
    /// Grows by one with each commit. It may start over when a log is recovered.
    pub change: u32,
    /// How many pages the log has.
    pub frames: u32,
    /// Grows by one each time the log starts over at its beginning.
    pub restarts: u32,
}

impl CommitMark {
    /// Whether exactly one commit lies between `before` and this.
    pub fn is_next_after(&self, before: &Self) -> bool {
        self.change == before.change.wrapping_add(1)
    }

    /// Whether the log started over after `before`, and nothing else happened. A writer that finds the whole log
    /// checkpointed does that just before its commit.
    pub fn is_restart_of(&self, before: &Self) -> bool {
        // After a recovery the count begins at 0 and proves nothing.
        let same_commit = self.change == before.change && before.change > 0;
        same_commit && self.frames == 0 && self.restarts == before.restarts.wrapping_add(1)
    }
}
