//! What a log shows is on the disk before anybody reads it.
//!
//! A process that is killed between writing a commit and syncing it, or whose disk fails to confirm it, leaves a whole
//! commit in the log. SQLite takes it up when it recovers the log, and shows it at once, although only the system's memory
//! may have it. If the power were cut then, a reader would have seen what is gone, and its revision would be used again.

use rusqlite::Connection;

use super::raw_file::RawFile;
use super::wal_index::WalIndex;
use crate::engine::sabotage::{Sabotage, is_planted};

/// Syncs the log, if it holds anything that the file itself does not.
pub(super) fn confirm(connection: &Connection, index: &WalIndex) -> rusqlite::Result<()> {
    if index.is_copied_back() || is_planted(Sabotage::LogUnconfirmed) {
        return Ok(());
    }
    RawFile::of_log(connection).map_or(Ok(()), |log| log.sync())
}
