//! What may be written on the command line.

mod mistake;
mod watching;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use larder::Revision;

use crate::formats::Format;
use crate::source;
pub use mistake::mistake;
pub use watching::{Cursor, CursorDelete, CursorSeek, Watch};

const EXAMPLES: &str = "\
Examples:
  larder set config colour blue             keep a value (larder.db is made if need be)
  larder get config colour                  read it again
  larder set session token abc --ttl 24h    keep it for a day
  larder list                               which groups there are
  larder list config                        what is in one of them
  larder export > everything.ndjson         take all of it elsewhere
  larder tour                               see what larder does, in a few seconds

Exit codes, and the kinds of errors that --json names:
  0  done
  1  not found, or a condition does not hold (not_found, conflict)
  2  wrong usage (misuse)
  3  refused: quota, name, size, template, input, permission, history (refused, denied, stale)
  4  the store failed (no_store, busy, unreachable, outcome_unknown, damaged, failed, closed)";

const ABOUT: &str = "\
Keep settings, sessions and each customer's data in one file: groups of keys and values
that can expire, be limited, watched, rendered into templates and taken elsewhere.";

/// A whole command line.
#[derive(Debug, Parser)]
#[command(name = "larder", version, about = ABOUT, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

/// Where to look, and how to answer.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Place {
    /// The store: a file, or etcd://HOST:PORT,…/NAME in a cluster
    #[arg(long, global = true, env = "LARDER_STORE", default_value = "larder.db", value_name = "LOCATION")]
    pub store: String,
    /// See one namespace only: the groups named NS:…, without the NS:
    #[arg(long, global = true, value_name = "NS")]
    pub namespace: Option<String>,
    /// Answer in JSON: one value, or one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a key to a value
    Set(Set),
    /// Print the value of a key, as it is
    Get(Key),
    /// Delete a key, a group, or every group under a prefix
    Delete(Delete),
    /// List the groups, or the entries of one
    List(List),
    /// Count the keys, of one group or of all
    Count(Count),
    /// Give a key a new time to live
    Touch(Touch),
    /// Let a key live for good
    Persist(Key),
    /// Add to a number, and print the sum
    Increment(Increment),
    /// Print each change as it happens, until Ctrl-C
    Watch(Watch),
    /// List the named cursors of `watch`, move one, or forget one
    #[command(subcommand)]
    Cursor(Cursor),
    /// Print the changes of one key that the store still remembers
    History(Key),
    /// Fill in a template with the values of a group
    Render(Render),
    /// Take in entries from a file: all of them or, where anything is wrong, none
    Import(Import),
    /// Write entries to a file or to standard output
    Export(Export),
    /// List namespaces, limit what one may hold, or delete one
    #[command(subcommand)]
    Namespace(Namespace),
    /// Remove what has expired from the file
    Purge,
    /// Print figures about the store
    Stats,
    /// Look for damage
    Check,
    /// Write a copy of the store, as it is now, to a new file
    Backup(Backup),
    /// Copy every entry of one store into another, and follow what changes until it takes over
    Copy(Copy),
    /// See every feature at work, on a store of its own: a file, or beside a store in a cluster
    Tour,
    /// Print the completions for a shell
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
    /// The value; - reads it from standard input. Before one like -x write --
    #[arg(allow_negative_numbers = true)]
    pub value: OsString,
    /// How long it lives, such as 30s, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
    /// Only if there is no such key
    #[arg(long, conflicts_with = "if_revision")]
    pub if_absent: bool,
    /// Only if the key was last written by this revision
    #[arg(long, value_name = "N")]
    pub if_revision: Option<Revision>,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// The group
    pub group: Option<String>,
    /// The key
    pub key: Option<String>,
    /// Delete the group with all its keys
    #[arg(long, requires = "group", conflicts_with_all = ["key", "prefix"])]
    pub all: bool,
    /// Delete every group whose name starts with this
    #[arg(long, value_name = "P", conflicts_with_all = ["group", "key"])]
    pub prefix: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// The group whose entries to list; without, the groups are listed
    pub group: Option<String>,
    /// Only groups, or keys of the group, that start with this
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// The keys only
    #[arg(long, requires = "group")]
    pub keys: bool,
    /// Begin after this group or key
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Count {
    /// The group whose keys to count; without, all are counted
    pub group: Option<String>,
    /// Count the keys of every group whose name starts with this
    #[arg(long, value_name = "P", conflicts_with = "group")]
    pub prefix: Option<String>,
}

#[derive(Debug, Args)]
pub struct Touch {
    /// The group
    pub group: String,
    /// The key
    pub key: String,
    /// How long it lives from now on, such as 30s, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
}

#[derive(Debug, Args)]
pub struct Increment {
    /// The group
    pub group: String,
    /// The key; one that is not there counts as 0
    pub key: String,
    /// How much to add; may be negative
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    pub by: i64,
}

const RENDERING: &str = "\
Example:
  larder render nginx.conf.j2 web --output nginx.conf --watch --exec 'nginx -s reload'

Every value is text: read it with |int, |float, |bool, |fromjson or |split(\",\").

A file that holds the rendering already is left alone, and no command is run for it. One that is
replaced keeps its owner, group, permissions and access list, and a link stays one. With --watch, a
template that is a file is read again for each rendering; where rendering fails, the last good output
stays; what changes while a command runs is rendered when it has ended. SIGTERM ends it as Ctrl-C
does, and the command with it. SIGHUP ends it at once, unless it was started with nohup.";

#[derive(Debug, Args)]
#[command(after_help = RENDERING)]
pub struct Render {
    /// The template, a file; - reads it from standard input
    pub template: PathBuf,
    /// The group whose keys are the names in the template
    pub group: String,
    /// Fail where a name is not there, rather than leave it empty, or where text is taken for a number, a
    /// boolean or a list
    #[arg(long)]
    pub strict: bool,
    /// Write to this file, which is replaced in one step
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Render again when something has changed that the template has read, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Run this, in a shell, each time that the output file was replaced
    #[arg(long, value_name = "COMMAND", requires = "output")]
    pub exec: Option<String>,
    /// Wait until nothing has changed for so long, ten times as long at the most
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "100ms", requires = "watch")]
    pub debounce: Duration,
}

impl Render {
    /// The file that is written to, unless that is standard output.
    pub fn output_file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| !source::is_standard(path))
    }
}

const FORMATS: &str = "\
Formats (from the file's ending, or --format; NDJSON unless said):
  ndjson  one {\"group\", \"key\", \"value\", \"expires_at\"} a line; value_base64 for what is no text
  json    {\"group\": {\"key\": \"value\"}}; objects within become dotted keys, numbers and booleans
          their text, arrays JSON text; null is refused. Bytes and expiries are written as
          {\"$base64\": \"…\", \"$expires_at\": \"…\"} and {\"$value\": \"…\", \"$expires_at\": \"…\"}
  toml    the same, with tables for groups
  env     KEY=\"value\" lines of one group, named with --group. Bytes and control characters are
          written as larder-base64:…; expiries cannot be written, and a warning says so

An entry given twice is an error, but for .env, where the last one counts. With --group, a JSON or
TOML document holds the keys of that group alone.";

#[derive(Debug, Args)]
#[command(after_help = FORMATS)]
pub struct Import {
    /// The file; - is standard input
    pub file: PathBuf,
    /// The format
    #[arg(long)]
    pub format: Option<Format>,
    /// The group that the document's keys go into; of NDJSON, take this group's entries only
    #[arg(long)]
    pub group: Option<String>,
    /// Only groups whose names start with this
    #[arg(long, value_name = "P", conflicts_with = "group")]
    pub prefix: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = FORMATS)]
pub struct Export {
    /// The file, which is replaced in one step; - is standard output
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// The format
    #[arg(long)]
    pub format: Option<Format>,
    /// Only this group
    #[arg(long)]
    pub group: Option<String>,
    /// Only groups whose names start with this
    #[arg(long, value_name = "P", conflicts_with = "group")]
    pub prefix: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Namespace {
    /// List the namespaces, what they hold and what they may hold
    List,
    /// Limit what a namespace may hold; without a limit given, show it
    Quota(Quota),
    /// Delete everything in a namespace, its limits and its cursors
    Delete(NamespaceDelete),
}

#[derive(Debug, Args)]
pub struct Quota {
    /// The namespace
    #[arg(value_name = "NS")]
    pub name: String,
    /// How many keys it may hold; 0 is unlimited
    #[arg(long, value_name = "N")]
    pub max_keys: Option<u64>,
    /// How many groups it may have; 0 is unlimited
    #[arg(long, value_name = "N")]
    pub max_groups: Option<u64>,
    /// How many bytes its keys and values may have; 0 is unlimited
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub struct NamespaceDelete {
    /// The namespace
    #[arg(value_name = "NS")]
    pub name: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The new file; one that exists is left alone
    pub file: PathBuf,
}

const COPYING: &str = "\
Examples:
  larder copy app.db other.db
  larder copy --exact --follow app.db etcd://db1:2379,db2:2379,db3:2379/app

A copy that was interrupted goes on when the same command is given again; so does one that has been
complete, which takes what has changed since. In the end every entry of the source is compared, as it
was at one moment, with what the target holds: the command fails with code 4, and names what differs,
unless all is the same.

With --follow, the changes of the source are applied as they happen, until Enter or Ctrl-C says to
cut over: then what the source has by then is applied and everything is compared. The copy is complete
from the line on that says \"verifying\". To stop without cutting over, press Ctrl-C twice.";

#[derive(Debug, Args)]
#[command(after_help = COPYING)]
pub struct Copy {
    /// The store to copy from; nothing is written to it
    pub from: String,
    /// The store to copy into; what it holds beside stays
    pub to: String,
    /// Go on with what changes in the source, until told to cut over
    #[arg(long)]
    pub follow: bool,
    /// Delete from the target whatever the source does not hold
    #[arg(long)]
    pub exact: bool,
    /// Do not ask before that
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}
