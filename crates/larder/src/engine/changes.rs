//! What the change log returns.

use std::sync::Arc;

use crate::data::{Event, LogPosition};

/// A change in its place.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Which change of its revision it is, counted from 0.
    pub step: u64,
    pub event: Arc<Event>,
}

/// Some changes from the log, and the place after them. Where the last of them is the last of its
/// revision, that place is [`LogPosition::after`] the revision, which stays good when all up to it is
/// pruned.
#[derive(Debug)]
pub(crate) struct Changes {
    pub logged: Vec<Logged>,
    pub next: LogPosition,
}
