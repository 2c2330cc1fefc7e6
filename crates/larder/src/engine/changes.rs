//! What the change log returns.

use std::sync::Arc;

use crate::data::{Event, LogPosition};

/// One change of the log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Which change of its revision it is, counted from 0.
    pub step: u64,
    pub event: Arc<Event>,
}

/// Consecutive changes of the log, and the position after them. If the last of them is the last of its revision,
/// that position is [`LogPosition::after`] the revision, which stays valid when everything up to it is pruned.
#[derive(Debug)]
pub(crate) struct Changes {
    pub logged: Vec<Logged>,
    pub next: LogPosition,
}
