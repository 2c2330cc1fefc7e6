//! What the process needs at one moment.

use std::fs;
use std::io;
use std::time::Duration;

use larder::Store;
use serde::Serialize;

use super::work::Outcome;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    pub seconds: f64,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    pub threads: u64,
    /// The size of the file, in bytes.
    pub file: u64,
    /// The size of its write-ahead log, in bytes.
    pub log: u64,
    /// Live keys.
    pub keys: u64,
}

pub fn take(store: &Store, at: Duration) -> Outcome<Sample> {
    let stats = store.stats()?;
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(Sample {
        seconds: at.as_secs_f64(),
        memory: field(&status, "VmRSS:")? << 10,
        descriptors: fs::read_dir("/proc/self/fd")?.count() as u64,
        threads: field(&status, "Threads:")?,
        file: stats.file_bytes,
        log: stats.wal_bytes,
        keys: stats.keys,
    })
}

/// A number of `/proc/self/status`.
fn field(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
}
