//! The arguments of `larder watch` and `larder cursor`.

use std::time::Duration;

use clap::{Args, Subcommand};
use larder::Since;

#[derive(Debug, Args)]
pub struct Watch {
    /// The group to watch; all groups if omitted or *
    pub group: Option<String>,
    /// The key to watch; all keys if omitted or *
    pub key: Option<String>,
    /// Only groups, or keys of the group, that start with P
    #[arg(long, value_name = "P", conflicts_with = "key")]
    pub prefix: Option<String>,
    /// Start after this revision or resume token; 0 starts at the beginning
    #[arg(long, value_name = "REVISION|TOKEN")]
    pub since: Option<Since>,
    /// Continue after the last event printed under this name. A new cursor starts now, or at --since.
    /// An existing one ignores --since; move it with `larder cursor seek`. After a crash, the last events
    /// may be printed again
    #[arg(long, value_name = "NAME")]
    pub cursor: Option<String>,
    /// Print every existing entry first, then a marker line, then each change
    #[arg(long, conflicts_with_all = ["since", "cursor"])]
    pub snapshot: bool,
    /// Fail once changes have not come for this time, such as 5m; without it, the command waits for the cluster
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub fail_after: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub enum Cursor {
    /// List the cursors, their positions, and how many changes each is behind
    List,
    /// Move a cursor back or forward
    Seek(CursorSeek),
    /// Delete a cursor
    Delete(CursorDelete),
}

#[derive(Debug, Args)]
pub struct CursorSeek {
    /// The cursor
    pub name: String,
    /// Continue after this revision or resume token; 0 continues from the beginning
    #[arg(value_name = "REVISION|TOKEN")]
    pub since: Since,
}

#[derive(Debug, Args)]
pub struct CursorDelete {
    /// The cursor
    pub name: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}
