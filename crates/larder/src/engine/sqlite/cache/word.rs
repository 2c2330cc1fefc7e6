//! How the cache learns of a commit without asking SQLite.

use crate::engine::sabotage::{Sabotage, is_planted};

/// A number that every commit of any process changes, and that costs a load to read.
pub trait Word: Clone {
    /// The number. It differs before and after each commit, and does not return to an earlier value: see [`CommitMark`].
    fn word(&self) -> u64;

    /// The word and its details, all of one moment. `None` while a process writes it, or where one died while
    /// it did.
    fn mark(&self) -> Option<CommitMark>;

    /// Call this after each commit of this process, while it still holds the write lock.
    fn committed(&self);
}

/// A word, and what SQLite says of the commit that made it.
///
/// # What may come back
/// Between two looks at the header any number of commits, checkpoints and recoveries may have happened. SQLite recovers
/// the log after a process was killed while it wrote the header: it reads all frames again, and counts commits from 0.
/// So what a later header can have in common with an earlier one:
///
/// - *The number of frames and the count of changes*: everything, by accident. Each starts over, the one when the log
///   does, the other at a recovery.
/// - *The count of restarts*: it is half of the salt, which is in the log's own header on the disk from the first commit
///   after a restart on. Until then a recovery undoes the restart. So with other frames than before it is another,
///   except in a log that was removed or emptied: its first commit may choose any number, by chance the earlier one in
///   one of four billion.
/// - *The checksum of the last frame*: it is computed from all frames since the log began, with both halves of the salt.
///   64 bits, so the same checksum means the same frames. A restart leaves it as it was until the next frame.
/// - *The word*: it is the checksum of all of these. The same word means the same header, and a header can return
///   only with the log as it was. The one exception is a header full of zeros, which a recovery makes of an empty log. It
///   returns if the log was written, emptied by a checkpoint, and a process is killed in the very moment in which it
///   writes the header of the empty log. SQLite compares the same bytes to know whether its own page cache is current:
///   a read that goes through SQLite would be as old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitMark {
    pub word: u64,
    /// Grows by one with each commit.
    pub change: u32,
    /// How many pages the log has.
    pub frames: u32,
    /// Grows by one each time the log starts over at its beginning.
    pub restarts: u32,
    /// The checksum of the last frame that was committed, also where the log has started over since. 0 if there was none.
    pub last_frame: u64,
}

impl CommitMark {
    /// Whether this is the commit after `before` that this process has just made, and no other process has committed
    /// since. `frames` is how many pages the log had after the own commit, as SQLite told.
    /// `before` was read with the write lock held.
    ///
    /// It may answer no where it is, which costs a question to SQLite, but never yes where it is not:
    /// - Any later commit makes the log longer, or starts it over once more.
    /// - In a log that was not there before, it is unknown where the count of restarts began. Another process could
    ///   start that log over and be killed, another one recover it, and so many commits follow that both counts are
    ///   equal.
    /// - An own commit that both starts the log over and makes it longer than it was looks like one of others. Frames
    ///   alone do not tell whether it did.
    pub fn is_own_commit_after(&self, before: &Self, frames: u32) -> bool {
        let started_over = before.frames > 0 && frames <= before.frames;
        if is_planted(Sabotage::OwnCommitByCount) {
            return self.change == before.change.wrapping_add(1);
        }
        let is_memory = frames == 0 && self.frames == 0 && before.frames == 0;
        let knows_restarts = is_memory || before.restarts > 0;
        self.change == before.change.wrapping_add(1)
            && self.frames == frames
            && knows_restarts
            && self.restarts == before.restarts.wrapping_add(u32::from(started_over))
    }

    /// Whether the log started over after `before`, and nothing else happened. A writer that finds the whole log
    /// checkpointed does that just before its commit.
    ///
    /// The count of changes proves nothing: after a recovery it may reach the earlier number again. The last frame does.
    /// In a log that never had one, it does not tell apart a log that was emptied and recovered.
    pub fn is_restart_of(&self, before: &Self) -> bool {
        self.frames == 0
            && self.restarts == before.restarts.wrapping_add(1)
            && self.last_frame == before.last_frame
            && before.last_frame > 0
    }
}

#[cfg(test)]
mod tests {
    use super::CommitMark;

    const BEFORE: CommitMark = CommitMark { word: 1, change: 3, frames: 10, restarts: 7, last_frame: 77 };

    fn is_own(mark: CommitMark, frames: u32) -> bool {
        CommitMark { word: 2, last_frame: 78, ..mark }.is_own_commit_after(&BEFORE, frames)
    }

    #[test]
    fn the_commit_that_was_just_made_is_known_whether_or_not_it_started_the_log_over() {
        assert!(is_own(CommitMark { change: 4, frames: 12, ..BEFORE }, 12));
        assert!(is_own(CommitMark { change: 4, frames: 2, restarts: 8, ..BEFORE }, 2));
        // A log that a checkpoint has started over before.
        let empty = CommitMark { frames: 0, ..BEFORE };
        assert!(CommitMark { change: 4, frames: 2, ..empty }.is_own_commit_after(&empty, 2));
        // In memory there is no log.
        let memory = CommitMark { word: 5, change: 5, ..CommitMark::default() };
        assert!(CommitMark { word: 6, change: 6, ..memory }.is_own_commit_after(&memory, 0));
    }

    #[test]
    fn a_commit_of_another_process_after_it_is_not_taken_for_it_whatever_a_recovery_makes_of_the_count() {
        for change in 0..10 {
            // The own commit ended at frame 12, or was the first two frames of a new log.
            assert!(!is_own(CommitMark { change, frames: 14, ..BEFORE }, 12), "{change}");
            assert!(!is_own(CommitMark { change, frames: 12, restarts: 8, ..BEFORE }, 12), "{change}");
            assert!(!is_own(CommitMark { change, frames: 4, restarts: 8, ..BEFORE }, 2), "{change}");
            assert!(!is_own(CommitMark { change, frames: 2, restarts: 9, ..BEFORE }, 2), "{change}");
            // Nobody knows with which number a new log began to count restarts: it may have started over once more.
            let (none, later) = (CommitMark::default(), CommitMark { change, frames: 2, ..BEFORE });
            assert!(!later.is_own_commit_after(&none, 2), "{change}");
        }
        // Where SQLite did not tell, nothing is known.
        assert!(!is_own(CommitMark { change: 4, frames: 12, ..BEFORE }, 0));
    }

    #[test]
    fn a_log_that_started_over_after_another_commit_is_not_taken_for_one_that_only_started_over() {
        let emptied = CommitMark { word: 2, frames: 0, restarts: 8, ..BEFORE };
        assert!(emptied.is_restart_of(&BEFORE));
        // After a recovery the log is the same.
        assert!(CommitMark { change: 0, ..emptied }.is_restart_of(&BEFORE));
        // The count of changes has reached the same number again.
        assert!(!CommitMark { last_frame: 78, ..emptied }.is_restart_of(&BEFORE));
        assert!(!CommitMark { restarts: 9, ..emptied }.is_restart_of(&BEFORE));
        assert!(!CommitMark { frames: 2, ..emptied }.is_restart_of(&BEFORE));
        // A log that was emptied, and recovered without a frame.
        let none = CommitMark::default();
        assert!(!CommitMark { restarts: 1, ..none }.is_restart_of(&none));
    }
}
