//! Shared by the tests of cluster connections and limits.

// Each test file uses a different part.
#![allow(dead_code)]

pub mod proxy;

use std::time::{Duration, Instant};

use larder::{Error, Options, Store};
use larder_cluster::Cluster;

/// How long a test waits for something before it fails: long enough for an election and a restart.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The timeout of calls that are meant to fail.
pub const SHORT: Duration = Duration::from_millis(1500);

/// A password, of which no message may show any part.
pub const PASSWORD: &str = "Zq7-hush/Zq7?hush";

/// The password as written in a location.
pub const PASSWORD_ENCODED: &str = "Zq7-hush%2FZq7%3Fhush";

/// Whether to skip the tests because etcd is not installed; `tests/cluster.rs` reports that.
pub fn skipped() -> bool {
    !larder_cluster::etcd_is_installed()
}

pub fn options() -> Options {
    Store::options().timeout(SHORT)
}

/// The error of opening a location. Checks that its message shows no part of the password.
#[track_caller]
pub fn refused(location: &str) -> Error {
    let error = match options().connect(location) {
        Ok(_) => panic!("{location} was opened"),
        Err(error) => error,
    };
    let message = format!("{} {error:?}", told(&error));
    assert!(!message.contains("Zq7") && !message.contains("hush"), "{message}");
    error
}

/// What an error says, and what it advises to do.
pub fn told(error: &Error) -> String {
    format!("{error}\n{}", error.advice().unwrap_or_default())
}

/// How many keys a cluster has, of all its users.
pub fn keys(cluster: &Cluster) -> u64 {
    let answer =
        cluster.call("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","count_only":true}"#).unwrap();
    match answer.split_once("\"count\":\"") {
        Some((_, count)) => count.split('"').next().unwrap().parse().unwrap(),
        // The gateway omits a count of zero.
        None => 0,
    }
}

/// Waits until an attempt succeeds, and returns its result.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
