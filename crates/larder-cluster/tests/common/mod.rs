//! Shared by the tests of clusters.
#![allow(dead_code)]

use std::time::{Duration, Instant};

/// How long a test waits before it fails: longer than an election takes, even on a busy machine.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Whether to skip a test because etcd is not installed; prints that.
pub fn skipped() -> bool {
    let skipped = !larder_cluster::etcd_is_installed();
    if skipped {
        eprintln!("skipped: etcd is not installed");
    }
    skipped
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process exists, even as a zombie.
pub fn exists(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}
