//! When a read transaction stays open for the next read.
//!
//! Beginning and ending a read transaction costs as much as the read of one entry. While nobody commits, the next read
//! would see the same moment. So a connection keeps its transaction, and the next read uses it if the word has not moved.
//!
//! An open read transaction keeps the log from starting over. So the rule is:
//! - It is kept from the second read at the same word on: beside a writer hardly any is.
//! - It is kept only while the log is shorter than what a checkpoint begins with, or wholly copied back.
//! - It ends when it has not been used for a while, when the word has moved, before anything else is done with the
//!   connection, and when a checkpoint of this process wants to start the log over.
//! - It ends once the log is wholly copied back. The next one does not look into the log, and so lets others start it
//!   over.

use super::log_length::frames_to_copy;
use super::wal_index::WalIndex;
use crate::engine::sabotage::{Sabotage, is_planted};

/// What a read transaction shows, and whether it keeps the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    word: u64,
    frames: u32,
    is_copied_back: bool,
}

impl Moment {
    /// The moment of a read that begins now.
    #[inline]
    pub fn now(index: &WalIndex) -> Self {
        // In this order: what is copied back at a word stays copied back.
        let word = index.word();
        let frames = index.frames();
        Self { word, frames, is_copied_back: frames == index.copied_back() }
    }

    /// The last frame of the log that belongs to the moment; `None` where the file has everything.
    pub fn last_frame(self) -> Option<u32> {
        (!self.is_copied_back && !is_planted(Sabotage::WalkerIgnoresLog)).then_some(self.frames)
    }
}

/// Decides which read transactions are kept.
#[derive(Default)]
pub(super) struct Rule {
    /// The word at the last read that found none kept.
    seen: Option<u64>,
}

impl Rule {
    /// Whether to keep the transaction of a read that begins now.
    pub fn keeps(&mut self, now: Moment, index: &WalIndex) -> bool {
        let is_second = self.seen.replace(now.word) == Some(now.word);
        // A little before the next checkpoint.
        is_second && (now.is_copied_back || index.frames() < frames_to_copy() / 40 * 39)
    }
}
