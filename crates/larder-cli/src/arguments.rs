//! The command line: its commands, arguments and help.

mod access;
mod copying;
mod mistake;
mod selection;
mod upkeep;
mod watching;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use larder::{Location, Revision};

use crate::log::Level;
use crate::source;
pub use access::Access;
pub use copying::{Copy, Export, Import};
pub use mistake::mistake;
pub use selection::Selection;
pub use upkeep::{Backup, Check, Restore, Retention, RetentionRemove, RetentionSet};
pub use watching::{Cursor, CursorDelete, CursorSeek, Watch};

const EXAMPLES: &str = "\
Examples:
  larder set config colour blue             set a value (creates larder.db if it does not exist)
  larder get config colour                  print it
  larder set session token abc --ttl 24h    set a value that expires after a day
  larder list                               list the groups
  larder list config                        list the entries of one group
  larder export > everything.ndjson         export every entry
  larder tour                               see every feature at work, in a few seconds

Exit codes, and the kinds of errors that --json names:
  0  done
  1  not found, or a condition does not hold (not_found, conflict)
  2  wrong usage (misuse)
  3  refused: quota, name, size, template, input, permission, history (refused, denied, stale)
  4  the store failed (no_store, busy, unreachable, outcome_unknown, damaged, failed, closed)

A command that reads many entries leaves out those of a cluster that cannot be read, with a warning for
each, and ends with 4: what it puts out is right, and not all. `render` puts out nothing then.";

const ABOUT: &str = "\
An embedded key-value store in one file, for settings, sessions and per-tenant data.
Entries can expire, be watched, rendered into templates, exported and imported.";

/// A parsed command line.
#[derive(Debug, Parser)]
#[command(name = "larder", version, about = ABOUT, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command: which store, which namespace, which output.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Place {
    /// The store: a file, or etcd://HOST:PORT,…/NAME on a cluster
    // The help would show the value of the variable, which may hold a password.
    #[arg(
        long,
        global = true,
        env = "LARDER_STORE",
        hide_env_values = true,
        default_value = "larder.db",
        value_name = "LOCATION"
    )]
    pub store: Location,
    /// Work in one namespace: the groups named NS:…, shown without the NS:
    #[arg(long, global = true, value_name = "NS")]
    pub namespace: Option<String>,
    #[command(flatten, next_help_heading = "Global options")]
    pub access: Access,
    /// Print JSON: one value, or one object per line; on standard error, one object per error or warning
    #[arg(long, global = true)]
    pub json: bool,
    /// What the library logs to standard error: this level and what is worse
    #[arg(
        long,
        global = true,
        env = "LARDER_LOG",
        value_name = "LEVEL",
        default_value = "warn",
        ignore_case = true
    )]
    pub log: Level,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a key to a value
    Set(Set),
    /// Print the value of a key, byte for byte
    Get(Key),
    /// Delete a key, a group, or every group under a prefix
    Delete(Delete),
    /// List the groups, or the entries of one
    List(List),
    /// Count the keys of one group or of all
    Count(Count),
    /// Give a key a new time to live
    Touch(Touch),
    /// Remove the expiry of a key
    Persist(Key),
    /// Add to a number and print the sum
    Increment(Increment),
    /// Print each change as it happens, until Ctrl-C
    Watch(Watch),
    /// List, move or delete the named cursors of `watch`
    #[command(subcommand)]
    Cursor(Cursor),
    /// Print the changes of one key that are still in the change log
    History(Key),
    /// List or set how much of the change log is kept for which groups
    #[command(subcommand)]
    Retention(Retention),
    /// Render a template with the values of a group
    Render(Render),
    /// Import entries from a file: all of them or, on any error, none; or in batches
    Import(Import),
    /// Export entries to a file or to standard output
    Export(Export),
    /// List namespaces, set quotas, or delete a namespace
    #[command(subcommand)]
    Namespace(Namespace),
    /// Delete expired entries
    Purge,
    /// Print statistics of the store
    Stats,
    /// Check the store for damage, and repair what can be rebuilt from the entries
    Check(Check),
    /// Give the space that the store does not need back to the system
    #[command(after_help = upkeep::COMPACTING)]
    Compact,
    /// Tell every client that the cluster was restored from a snapshot; run it after each restore
    Restored,
    /// Back up the store to a file
    Backup(Backup),
    /// Replace the store, which nobody may have open, by a backup
    Restore(Restore),
    /// Copy one store into another, and optionally follow its changes until cut-over
    Copy(Copy),
    /// Show every feature at work, on a temporary store
    Tour,
    /// Print the completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
pub struct Key {
    /// The group
    pub group: String,
    /// The key
    pub key: String,
}

#[derive(Debug, Args)]
pub struct Set {
    /// The group
    pub group: String,
    /// The key
    pub key: String,
    /// The value; - reads standard input. Write -- before a value that starts with a hyphen
    #[arg(allow_negative_numbers = true)]
    pub value: OsString,
    /// Expire after this time, such as 30s, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
    /// Only if the key does not exist
    #[arg(long, conflicts_with = "if_revision")]
    pub if_absent: bool,
    /// Only if revision N was the last to write the key
    #[arg(long, value_name = "N")]
    pub if_revision: Option<Revision>,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// The group
    pub group: Option<String>,
    /// The key
    pub key: Option<String>,
    /// Delete the group with all its keys; with an empty --prefix, everything
    #[arg(long, conflicts_with = "key")]
    pub all: bool,
    /// Delete every group whose name starts with P
    #[arg(long, value_name = "P", conflicts_with_all = ["group", "key"])]
    pub prefix: Option<String>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// The group whose entries to list; lists the groups if omitted
    pub group: Option<String>,
    /// Only groups, or keys of the group, that start with P
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// Print only the keys
    #[arg(long, requires = "group")]
    pub keys: bool,
    /// Start after this group or key
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// List at most N
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Count {
    /// The group whose keys to count; counts all keys if omitted
    pub group: Option<String>,
    /// Count the keys of every group whose name starts with P
    #[arg(long, value_name = "P", conflicts_with = "group")]
    pub prefix: Option<String>,
}

#[derive(Debug, Args)]
pub struct Touch {
    /// The group
    pub group: String,
    /// The key
    pub key: String,
    /// Expire after this time, counted from now, such as 30s, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
}

#[derive(Debug, Args)]
pub struct Increment {
    /// The group
    pub group: String,
    /// The key; a missing one counts as 0
    pub key: String,
    /// The number to add; may be negative
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    pub by: i64,
}

const RENDERING: &str = "\
Example:
  larder render nginx.conf.j2 web --output nginx.conf --watch --exec 'nginx -s reload'

Every value is text: convert it with |int, |float, |bool, |fromjson or |split(\",\").

If the file already has the rendered content, it is not written and the command does not run. A
replaced file keeps its owner, group, permissions and access list. A symbolic link stays a link.

A key of the group that cannot be read (on a cluster) would be shown as empty, so the command ends with 4
then and puts out nothing.

With --watch, the template file is read again for each rendering. If rendering fails, the last good
output stays. Changes made while the command runs are rendered after it ends. SIGTERM stops larder
like Ctrl-C, and stops the command too. SIGHUP ends larder at once, unless it was started with nohup.";

#[derive(Debug, Args)]
#[command(after_help = RENDERING)]
pub struct Render {
    /// The template file; - reads standard input
    pub template: PathBuf,
    /// The group whose keys are the variables of the template
    pub group: String,
    /// Fail on a missing variable instead of leaving it empty, and on text used as a number, a boolean or a
    /// list
    #[arg(long)]
    pub strict: bool,
    /// Write to this file, replacing it atomically
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Render again when an entry that the template reads changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Run this shell command each time the output file is replaced
    #[arg(long, value_name = "COMMAND", requires = "output")]
    pub exec: Option<String>,
    /// Wait until nothing has changed for this time, but at most ten times as long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "100ms", requires = "watch")]
    pub debounce: Duration,
    /// Fail once changes have not come for this time, such as 5m; without it, the command waits for the cluster
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "watch")]
    pub fail_after: Option<Duration>,
}

impl Render {
    /// Returns the output file; `None` for standard output.
    pub fn output_file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| !source::is_standard(path))
    }
}

#[derive(Debug, Subcommand)]
pub enum Namespace {
    /// List the namespaces with their usage and quotas
    List,
    /// Set the quota of a namespace; shows it if no limit is given
    Quota(Quota),
    /// Delete a namespace with its entries, quota, cursors and histories
    Delete(NamespaceDelete),
}

#[derive(Debug, Args)]
pub struct Quota {
    /// The namespace
    #[arg(value_name = "NS")]
    pub name: String,
    /// The most keys it may hold; 0 means unlimited
    #[arg(long, value_name = "N")]
    pub max_keys: Option<u64>,
    /// The most groups it may hold; 0 means unlimited
    #[arg(long, value_name = "N")]
    pub max_groups: Option<u64>,
    /// The most bytes its keys and values may take; 0 means unlimited
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub struct NamespaceDelete {
    /// The namespace
    #[arg(value_name = "NS")]
    pub name: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
