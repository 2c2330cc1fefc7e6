//! What the tests of clusters have in common.
#![allow(dead_code)]

use std::time::{Duration, Instant};

/// Longer than an election takes, even where two cores build something else meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is no etcd, which the test then says instead of failing.
pub fn skipped() -> bool {
    let skipped = !larder_cluster::etcd_is_installed();
    if skipped {
        eprintln!("skipped: etcd is not installed");
    }
    skipped
}

/// Waits for something to become true.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there, were it only as a zombie.
pub fn is_there(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}
