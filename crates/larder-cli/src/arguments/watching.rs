//! What may be written on the command line about what happens: watching, and named cursors.

use clap::{Args, Subcommand};
use larder::Since;

#[derive(Debug, Args)]
pub struct Watch {
    /// The group to watch; without, or with *, all are watched
    pub group: Option<String>,
    /// The key to watch; without, or with *, all are watched
    pub key: Option<String>,
    /// Only groups, or keys of the group, that start with this
    #[arg(long, value_name = "P", conflicts_with = "key")]
    pub prefix: Option<String>,
    /// Begin with what happened after this revision, or at the place of a resume token; 0 is the beginning
    #[arg(long, value_name = "REVISION|TOKEN")]
    pub since: Option<Since>,
    /// Go on after what was printed last time under this name. A new name begins now, or where
    /// --since says; one that is kept goes on whatever --since says, until `larder cursor seek` moves it.
    /// What was printed just before a crash may come again
    #[arg(long, value_name = "NAME")]
    pub cursor: Option<String>,
    /// Begin with every entry that is there, then a line that says so, then what happens
    #[arg(long, conflicts_with_all = ["since", "cursor"])]
    pub snapshot: bool,
}

#[derive(Debug, Subcommand)]
pub enum Cursor {
    /// List the cursors, where they are, and how many changes came since
    List,
    /// Have a cursor go on from another place, back or forth
    Seek(CursorSeek),
    /// Forget a cursor
    Delete(CursorDelete),
}

#[derive(Debug, Args)]
pub struct CursorSeek {
    /// The cursor
    pub name: String,
    /// It goes on after this revision, or at the place of a resume token; 0 is the beginning
    #[arg(value_name = "REVISION|TOKEN")]
    pub since: Since,
}

#[derive(Debug, Args)]
pub struct CursorDelete {
    /// The cursor
    pub name: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
