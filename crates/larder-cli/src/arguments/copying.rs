//! The arguments of the commands that take entries from one place to another.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use larder::Location;

use super::Selection;
use crate::formats::Format;

const FORMATS: &str = "\
Formats (chosen by --format or the file name; NDJSON by default):
  ndjson  one {\"group\", \"key\", \"value\", \"expires_at\"} per line; value_base64 for binary values
  json    {\"group\": {\"key\": \"value\"}}; nested objects become dotted keys, numbers and booleans
          become text, arrays become JSON text; null is an error. Bytes and expiries are written as
          {\"$base64\": \"…\", \"$expires_at\": \"…\"} and {\"$value\": \"…\", \"$expires_at\": \"…\"};
          keys with these names are written with dots: {\"key.$value\": \"…\"}
  toml    the same, with tables for groups
  env     KEY=value lines of the group that --group names. Only keys that are valid shell variables
          can be exported. Bytes, control characters, and values that readers of such files disagree
          about are written as larder-base64:…, with a warning; expiries are dropped, with a warning.
          Quotes are written where they are needed; docker run --env-file takes them as part of the
          value. On import, a value that a shell would expand is refused, and a line that a shell
          would read differently gets a warning

A duplicate entry is an error, except in .env, where the last one wins. A name that appears twice in a
JSON object is an error. A dotted name and a nested object or table mean the same key.";

#[derive(Debug, Args)]
#[command(after_help = FORMATS)]
pub struct Import {
    /// The file; - reads standard input
    pub file: PathBuf,
    /// The format
    #[arg(long)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub selection: Selection,
    /// Import N entries at a time, instead of all or none. An import that is stopped says how to go on
    #[arg(long, value_name = "N")]
    pub batch: Option<NonZeroUsize>,
    /// Leave out the first N entries, which an earlier run has imported
    #[arg(long, value_name = "N", requires = "batch", default_value_t = 0)]
    pub skip: usize,
    /// Refuse a file of more bytes than that: all of it is read before anything is imported
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    pub max_bytes: u64,
}

#[derive(Debug, Args)]
#[command(after_help = FORMATS)]
pub struct Export {
    /// The file, replaced atomically; - writes to standard output
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// The format
    #[arg(long)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub selection: Selection,
    /// With --namespace: export groups with names such as other:settings, too. Import the file with
    /// --namespace, or they become groups of the namespace "other"
    #[arg(long)]
    pub for_namespace: bool,
}

const COPYING: &str = "\
Examples:
  larder copy app.db other.db
  larder copy --exact --follow app.db etcd://db1:2379,db2:2379,db3:2379/app

Run the same command again to resume an interrupted copy, or to bring a finished one up to date.
At the end, every entry in a snapshot of the source is compared with the target. If any differs, the
command names it and fails with exit code 4.

With --follow, changes of the source are applied as they happen, until Enter or Ctrl-C cuts over.
Then the remaining changes are applied and every entry is compared. The copy is complete once the
stage is \"verifying\". To stop without cutting over, press Ctrl-C twice.

A copy that is not complete has lifted quotas of the target. The next run restores them or sets those of
the source. If there is to be no next run, give the copy up with --abandon once it has ended.";

#[derive(Debug, Args)]
#[command(
    after_help = COPYING,
    override_usage = "larder copy [OPTIONS] <FROM> <TO>\n       larder copy [OPTIONS] --abandon <TO>"
)]
pub struct Copy {
    /// The store to copy from; it is only read
    pub from: Location,
    /// The store to copy into; its other entries stay
    #[arg(required_unless_present = "abandon")]
    pub to: Option<Location>,
    /// Apply changes of the source as they happen, until Enter or Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// Fail once changes could not be followed for this time, such as 5m; without it, the copy waits
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "follow")]
    pub fail_after: Option<Duration>,
    /// Delete the entries of the target that the source does not have
    #[arg(long)]
    pub exact: bool,
    /// Give up the unfinished copies into a store: the quotas that they have lifted are restored, and what was
    /// copied stays. Name that store alone
    #[arg(long, conflicts_with_all = ["to", "follow", "exact"])]
    pub abandon: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

impl Copy {
    /// Returns the store that is written to: the last one that is named.
    pub fn target(&self) -> &Location {
        self.to.as_ref().unwrap_or(&self.from)
    }
}
