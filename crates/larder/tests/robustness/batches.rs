//! Kills a client repeatedly, at any point of a large batch or transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use larder::{Store, View};
use larder_cluster::Cluster;

use super::client::open;
use super::common::verify;
use super::number;
use super::outside::{Process, print_line};
use super::random::Random;
use super::record::unix_ms;

const GROUPS: [&str; 5] = ["part", "tenant:part", "tenant:other", "part-too", "\0"];

/// How many keys a batch sets in each group after emptying it.
fn keys(number: u64) -> u64 {
    1 + number % 97
}

/// Writes one batch after another until it is killed. Every key of a batch has the batch's number as its
/// value.
pub fn write_until_killed(words: &[String]) {
    let store = open(&words[0]);
    let first: u64 = words[1].parse().unwrap();
    for number in first.. {
        print_line(number);
        let value = number.to_string();
        if number.is_multiple_of(3) {
            let written = store.transaction(|transaction| {
                for group in GROUPS {
                    transaction.delete_group(group)?;
                    for key in 0..keys(number) {
                        transaction.set(group, key.to_string(), value.as_str())?;
                    }
                }
                Ok(())
            });
            written.unwrap();
        } else {
            let batch = GROUPS.iter().fold(store.batch(), |batch, group| {
                let batch = batch.delete_group(group);
                let set = |batch: larder::Batch, key: u64| batch.set(group, key.to_string(), value.as_str());
                (0..keys(number)).fold(batch, set)
            });
            batch.commit().unwrap();
        }
    }
}

/// The number of the batch in the store, which must be whole; `None` before the first.
fn whole(view: &View) -> Option<u64> {
    let mut found: BTreeMap<&str, (u64, BTreeSet<String>)> = BTreeMap::new();
    for group in GROUPS {
        let entries = view.get_all(group).unwrap();
        let values = entries.iter().map(|(_, value)| value.as_str().unwrap().to_owned()).collect();
        found.insert(group, (entries.len() as u64, values));
    }
    let numbers: BTreeSet<&String> = found.values().flat_map(|(_, values)| values).collect();
    assert!(numbers.len() <= 1, "parts of several batches: {found:?}");
    let number: Option<u64> = numbers.first().map(|number| number.parse().unwrap());
    let wanted = number.map_or(0, keys);
    assert!(found.values().all(|(count, _)| *count == wanted), "a part of a batch: {found:?}");
    number
}

/// Kills clients in the middle of a batch, and checks the store after each.
pub fn run(test: &str) {
    let seed = number("LARDER_ROBUSTNESS_SEED", unix_ms(SystemTime::now()) % 1_000_000);
    let cycles = number("LARDER_KILL_CYCLES", 30);
    eprintln!("LARDER_ROBUSTNESS_SEED={seed} LARDER_KILL_CYCLES={cycles}");
    let mut random = Random::of(seed, &[3]);
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("batches");
    let store = open(&location);
    let (mut done, mut undone) = (0, 0);
    for cycle in 0..cycles {
        let killed_in = one_life(test, &format!("{location} {}", 1 + cycle * 1000), &mut random);
        // A sent batch may still take effect, but at every moment whole.
        for _ in 0..5 {
            let current = whole(&store.snapshot().unwrap());
            assert!(current.is_none_or(|current| current <= killed_in));
        }
        if whole(&store.snapshot().unwrap()) == Some(killed_in) {
            done += 1
        } else {
            undone += 1
        }
        verify_quiet(&store);
    }
    eprintln!("killed during {cycles} batches: {done} committed, {undone} did not");
}

/// Lets a client write a few batches, and returns the batch in which it was killed.
fn one_life(test: &str, words: &str, random: &mut Random) -> u64 {
    let mut process = Process::start(test, Path::new("/"), words);
    let mut last = (Instant::now(), 0);
    let mut one_takes = Duration::ZERO;
    for _ in 0..2 + random.below(4) {
        let number: u64 = process.next_line().expect("the client runs until it is killed").parse().unwrap();
        one_takes = last.0.elapsed();
        last = (Instant::now(), number);
    }
    // Kill it at a random point of the next batch.
    let point = one_takes.mul_f64(random.below(1200) as f64 / 1000.0);
    while last.0.elapsed() < point {
        thread::yield_now();
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    process.remaining_lines().last().map_or(last.1, |line| line.parse().unwrap())
}

/// Verifies the store once no request of the killed client can be in flight.
fn verify_quiet(store: &Store) {
    let before = store.revision().unwrap();
    // This write comes after everything that the dead client had sent.
    store.set("own", "last", before.to_string()).unwrap();
    verify(store);
}
