//! Shared by the tests of cluster connections and limits.

// Each test file uses a different part.
#![allow(dead_code)]

pub mod answers;
pub mod proxy;

use std::io::{Read, Write};
use std::net::TcpStream;
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

/// The requests by which another cluster gets the keys of the store `app`.
pub fn puts_of_app(cluster: &Cluster) -> Vec<String> {
    let range = r#"{"key":"YXBwLw==","range_end":"YXBwMA=="}"#;
    let keys = cluster.call("/v3/kv/range", range).unwrap();
    let put = |pair: &str| {
        let field = |name: &str| pair.split_once(name).and_then(|(_, rest)| rest.split('"').next());
        let (key, value) = (pair.split('"').nth(1).unwrap(), field("\"value\":\"").unwrap_or_default());
        format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}")
    };
    keys.split("{\"key\":").skip(1).map(put).collect()
}

/// How many requests of a method, such as `Watch`, the members have counted.
pub fn requests(cluster: &Cluster, method: &str) -> u64 {
    let counted = |endpoint: String| {
        let mut member = TcpStream::connect(&endpoint).unwrap();
        write!(member, "GET /metrics HTTP/1.0\r\nHost: {endpoint}\r\n\r\n").unwrap();
        let mut metrics = String::new();
        member.read_to_string(&mut metrics).unwrap();
        let name = format!("grpc_server_started_total{{grpc_method=\"{method}\",");
        let line = metrics.lines().find(|line| line.starts_with(&name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
    };
    cluster.endpoints().into_iter().map(counted).sum()
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
