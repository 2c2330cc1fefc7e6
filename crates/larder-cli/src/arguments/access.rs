//! The options for opening a store: timeout, file system and group access.

use std::time::Duration;

use clap::Args;
use larder::{Options, Store};

/// How long a call may wait, whether a file on an unsafe file system is opened, and the permissions of new files.
#[derive(Clone, Debug, Args)]
pub struct Access {
    /// How long a call may wait for a lock or for a cluster, such as 500ms or 1m; 5s if omitted
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// Let the group of a new store and its backups use them, too
    #[arg(long, global = true)]
    pub group_access: bool,
    /// Open a store on NFS, SMB, virtiofs and the like; safe only while one machine uses it
    #[arg(long, global = true)]
    pub allow_unsafe_file_system: bool,
}

impl Access {
    /// Returns the options of a store with this access.
    pub fn options(&self) -> Options {
        // The command's user owns the store, also where the command works on one namespace.
        let options = Store::options()
            .batch_max(u64::MAX, u64::MAX)
            .group_access(self.group_access)
            .allow_unsafe_file_system(self.allow_unsafe_file_system);
        match self.timeout {
            Some(timeout) => options.timeout(timeout),
            None => options,
        }
    }
}
