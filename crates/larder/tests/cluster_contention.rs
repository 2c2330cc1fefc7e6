//! Several processes that write one key: each gets its turn.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod clusters;
mod outside;

use std::path::Path;
use std::time::{Duration, Instant};

use clusters::skipped;
use larder::{Error, Store};
use larder_cluster::Cluster;
use outside::{Process, print_line, read_line};

/// How many processes count.
const PROCESSES: usize = 6;

const TEST: &str = "processes_that_count_in_one_key_all_get_their_turn_and_the_sum_is_exact";

/// How long they count. `LARDER_CONTENTION_SECONDS` makes it longer.
fn length() -> Duration {
    let seconds = std::env::var("LARDER_CONTENTION_SECONDS");
    Duration::from_secs(seconds.map_or(4, |seconds| seconds.parse().unwrap()))
}

/// Counts for a while, and prints how often it succeeded and how often it was refused.
fn count(location: &str) {
    let store = Store::connect(location).unwrap();
    print_line("ready");
    assert_eq!(read_line(), "go");
    let until = Instant::now() + length();
    let (mut counted, mut refused) = (0, 0);
    while Instant::now() < until {
        match store.increment("g", "n", 1) {
            Ok(_) => counted += 1,
            Err(Error::Contended { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    print_line(format!("{counted} {refused}"));
}

#[test]
fn processes_that_count_in_one_key_all_get_their_turn_and_the_sum_is_exact() {
    if let Some((_, words)) = outside::child_task() {
        return count(&words[0]);
    }
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let location = cluster.location("counted");
    // They begin with different members, as the processes of different machines may.
    let start = |number| {
        let mut endpoints = cluster.endpoints();
        let members = endpoints.len();
        endpoints.rotate_left(number % members);
        let location = format!("etcd://{}/counted", endpoints.join(","));
        Process::start(TEST, Path::new("/"), &location)
    };
    let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    for process in &mut processes {
        assert_eq!(process.next_line().as_deref(), Some("ready"));
    }
    processes.iter_mut().for_each(|process| process.send_line("go"));
    let (mut counts, mut refused): (Vec<i64>, Vec<i64>) = Default::default();
    for mut process in processes {
        let line = process.next_line().unwrap();
        let (counted, failed) = line.split_once(' ').unwrap();
        counts.push(counted.parse().unwrap());
        refused.push(failed.parse().unwrap());
        process.finish();
    }
    let sum: i64 = counts.iter().sum();
    println!("counted: {counts:?}, {sum} in {:?}; refused: {refused:?}", length());
    let store = Store::connect(&location).unwrap();
    assert_eq!(store.get("g", "n").unwrap().unwrap(), sum.to_string());
    // No process may be kept out for the whole timeout.
    assert!(refused.iter().all(|refused| *refused == 0), "refused: {refused:?}");
    for count in &counts {
        assert!(
            count * 4 * PROCESSES as i64 > sum,
            "one of {PROCESSES} processes got less than a quarter of its part: {counts:?}"
        );
    }
}
