//! How much of the log is kept, and when it is pruned.

use crate::data::History;
use crate::engine::Settings;

/// How many changes a commit prunes at least where the log is too long.
pub(crate) const PRUNE_MIN: u64 = 256;

/// How much the log keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// The store's own history, if none was set.
    pub default: History,
    /// How many bytes a part may have for the sake of cursors.
    pub cursor_bytes_max: u64,
}

impl LogLimits {
    pub fn of(settings: &Settings) -> Self {
        Self { default: settings.history, cursor_bytes_max: settings.cursor_bytes_max }
    }
}

/// When the log is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A commit: the parts that it has added to.
    Commit,
    /// A commit that has moved a cursor, or a purge: every part.
    Every,
}
