//! What the change log returns.

use std::sync::Arc;

use crate::data::{Event, LogPosition, Pattern, Revision};

/// One change of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Which change of its revision it is, counted from 0.
    pub step: u64,
    pub event: Arc<Event>,
}

/// Consecutive changes of the log, and the position after them. If there are no more, that is the position after the
/// latest commit. If the last of them is the last of its revision, it is [`LogPosition::after`] the revision, which stays valid when everything up to it is pruned.
#[derive(Debug)]
pub(crate) struct Changes {
    pub logged: Vec<Logged>,
    pub next: LogPosition,
    /// The store's latest commit when the log was read.
    pub latest: Revision,
}

/// What a reader of the log asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRead<'a> {
    pub after: LogPosition,
    /// The reader knows already that changes up to here may be missing.
    pub told: LogPosition,
    /// The reader has every later change at hand, so it does not matter whether the log has lost it.
    pub at_hand_after: LogPosition,
    /// The most changes to return.
    pub max: usize,
    /// An engine may leave out changes that this does not select. The reader filters what it gets.
    pub pattern: &'a Pattern,
}

impl<'a> LogRead<'a> {
    /// A read by a reader that was never told of a gap.
    pub fn after(after: LogPosition, max: usize, pattern: &'a Pattern) -> Self {
        let told = LogPosition::after(Revision(0));
        Self { after, told, at_hand_after: LogPosition::MAX, max, pattern }
    }
}

/// What the store remembers under the name of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredCursor {
    pub position: LogPosition,
    pub pattern: Pattern,
}
