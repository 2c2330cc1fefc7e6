//! What the tests of the cluster's connections and limits have in common.

// Each test file uses another part of it.
#![allow(dead_code)]

pub mod proxy;

use std::time::{Duration, Instant};

use larder::{Error, Options, Store};
use larder_cluster::Cluster;

/// How long a bounded wait lasts before it is given up: an election and a restart lie within.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a call may take that is meant to fail.
pub const SHORT: Duration = Duration::from_millis(1500);

/// A password that no message may have any part of.
pub const PASSWORD: &str = "Zq7-hush/Zq7?hush";

/// The same in a location.
pub const PASSWORD_ENCODED: &str = "Zq7-hush%2FZq7%3Fhush";

/// Whether there is no etcd to test with; `tests/cluster.rs` says so.
pub fn left_out() -> bool {
    !larder_cluster::etcd_is_installed()
}

pub fn options() -> Options {
    Store::options().timeout(SHORT)
}

/// The error that opening a store fails with. Its message has nothing of the password.
#[track_caller]
pub fn refused(location: &str) -> Error {
    let error = match options().connect(location) {
        Ok(_) => panic!("{location} can be opened"),
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

/// How many keys there are in a cluster, whosever they are.
pub fn keys(cluster: &Cluster) -> u64 {
    let answer =
        cluster.call("/v3/kv/range", r#"{"key":"AA==","range_end":"AA==","count_only":true}"#).unwrap();
    match answer.split_once("\"count\":\"") {
        Some((_, count)) => count.split('"').next().unwrap().parse().unwrap(),
        // The gateway leaves out what is zero.
        None => 0,
    }
}

/// Waits until something succeeds, and returns what it gives.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
