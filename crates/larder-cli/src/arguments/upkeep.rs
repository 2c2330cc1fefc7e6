//! The arguments of the commands that look after a store: its change log, checks, backups.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

const RETENTION: &str = "\
Example:
  larder retention set session: --changes 1000

The changes of a group count towards the history with the longest prefix that its name starts with, and
no history shortens another. The prefix \"\" is for all groups that have no longer one. What a named cursor
has yet to acknowledge is kept longer.

With --none, nobody can read the changes of these groups later. Watchers in the process that writes
receive them. All others that match such a group are told that they missed something.";

#[derive(Debug, Subcommand)]
pub enum Retention {
    /// List the histories with their limits and sizes
    List,
    /// Give the groups of a prefix a history of their own, or change its limits
    Set(RetentionSet),
    /// Remove the history of a prefix; its changes go to the history that its groups belong to then
    Remove(RetentionRemove),
}

#[derive(Debug, Args)]
#[command(after_help = RETENTION)]
pub struct RetentionSet {
    /// What the names of the groups start with
    pub prefix: String,
    /// Keep at most N changes (100000 if it is new)
    #[arg(long, value_name = "N")]
    pub changes: Option<u64>,
    /// Keep at most N bytes of changes (67108864 if it is new)
    #[arg(long, value_name = "N")]
    pub bytes: Option<u64>,
    /// Keep changes no longer than this, such as 24h or 7d; 0s is for any time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub age: Option<Duration>,
    /// Keep nothing
    #[arg(long, conflicts_with_all = ["changes", "bytes", "age"])]
    pub none: bool,
}

#[derive(Debug, Args)]
pub struct RetentionRemove {
    /// What the names of the groups start with
    pub prefix: String,
}

pub(super) const COMPACTING: &str = "\
Examples:
  larder stats
  larder compact

A file does not shrink when entries are deleted: new ones use their space, which `larder stats` calls free_bytes. This
writes the file anew without it. Other processes may use the store meanwhile: readers go on, and writers wait, up to
their timeout. It needs as much free disk space as the entries and the change log take, beside the file, and the same
again where SQLITE_TMPDIR says, or else in /var/tmp. On a cluster, its operators do this with `etcdctl defrag`.";

const CHECKING: &str = "\
Examples:
  larder check
  larder check --repair

Counts everything again, and compares indexes and the change log with the entries. It says what it finds, with
names, and what to do about each. Damage is exit code 4; a table of another program is only mentioned.

With --repair, tallies and indexes are rebuilt from the entries: first in a copy beside the file, and if that is
sound and has the same entries, in the store, in one transaction. Other processes may use the store meanwhile. No
entry is changed, except that --delete-unreadable deletes those of a cluster that cannot be read.";

#[derive(Debug, Args)]
#[command(after_help = CHECKING)]
pub struct Check {
    /// Rebuild tallies and indexes from the entries
    #[arg(long)]
    pub repair: bool,
    /// Also drop indexes and triggers of other programs on larder's tables
    #[arg(long, requires = "repair")]
    pub drop_foreign: bool,
    /// Also delete entries of a cluster that hold what larder does not write; what can be read stays
    #[arg(long, requires = "repair")]
    pub delete_unreadable: bool,
}

const BACKING_UP: &str = "\
Examples:
  larder backup backup.db
  larder backup --keep 7 daily.db           daily.000001.db and so on; the newest seven stay

A backup is made while others read and write. It is a store like any other.";

#[derive(Debug, Args)]
#[command(after_help = BACKING_UP)]
pub struct Backup {
    /// The new file; an existing file is not overwritten
    pub file: PathBuf,
    /// Open the new file and check it as `larder check` does
    #[arg(long)]
    pub verify: bool,
    /// Replace an older backup of that name, once the new one is complete
    #[arg(long, conflicts_with = "keep")]
    pub force: bool,
    /// Add a number to the name, verify the backup, and delete older ones of that name but the newest N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
}

const RESTORING: &str = "\
Example:
  larder --store app.db restore backup.db

The backup is checked first, and stays as it is. The store is replaced at once. Resume tokens of
before the restore are refused afterwards, and each named cursor says once that it was restored.";

#[derive(Debug, Args)]
#[command(after_help = RESTORING)]
pub struct Restore {
    /// The backup
    pub backup: PathBuf,
    /// Keep the old file, as STORE.before-restore
    #[arg(long)]
    pub keep_old: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}
