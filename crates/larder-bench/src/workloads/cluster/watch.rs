//! The time from a commit to a waiting watcher, in another process and in this one.

use std::thread;
use std::time::{Duration, Instant};

use super::super::check;
use super::super::feed_latency::{here, tail, there};
use super::shared::{SharedCluster, sample};
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::peers::{Etcd, TimedStore};
use crate::row::{Row, Unit};
use crate::sample::{Numbers, Sample};

pub const ROWS: &[&str] = &["cluster-watch-set"];

/// The longest pause between two puts.
const PAUSE_US_MAX: u64 = 5_000;

pub fn watch(effort: Effort) -> Outcome<Vec<Row>> {
    let (cluster, sample) = (SharedCluster::get()?, sample(effort));
    let commits = effort.size(1_000, 100);
    let larder = cluster.larder("watch", &sample)?;
    let there = tail("cluster-watch", there(&larder.store, &cluster.location("watch"), &sample, commits)?);

    let whole = Figure::new("larder", here(&larder.store, &sample, commits, |commit| commit.called)?);
    let alone = Figure::new("etcd alone", alone(cluster, &sample, commits)?);
    let at = |name: &str, figure: &Figure, part: f64| Figure::new(name, vec![figure.at(part)]);
    let whole = [
        at("larder", &whole, 0.99),
        at("half of them", &whole, 0.5),
        at("all of them", &whole, 1.0),
        at("etcd alone", &alone, 0.99),
        at("half of etcd's", &alone, 0.5),
    ];
    Ok(vec![there, Row::of("cluster-watch-set", Unit::Microseconds, &whole)])
}

/// The nanoseconds from the start of each put until another connection has its event.
fn alone(cluster: &SharedCluster, sample: &Sample, count: u64) -> Outcome<Vec<f64>> {
    let putting = cluster.bare_etcd()?;
    let receiving = cluster.bare_etcd()?;
    let mut stream = receiving.runtime.block_on(receiving.watch())?;
    thread::scope(|scope| {
        let received = scope.spawn(move || receive(&receiving, &mut stream, count));
        let (mut numbers, mut values) = (Numbers::from(1), sample.values());
        let mut called = Vec::new();
        for _ in 0..count {
            thread::sleep(Duration::from_micros(numbers.below(PAUSE_US_MAX)));
            let key = sample.key(numbers.below(sample.len()));
            called.push(Instant::now());
            putting.set(key, values.of(key))?;
        }
        let received = received.join().unwrap_or_else(|_| Err("the thread that watched panicked".into()))?;
        check(received.len() == called.len())?;
        let late = called.iter().zip(received).map(|(called, at)| at.saturating_duration_since(*called));
        Ok(late.map(|late| late.as_nanos() as f64).collect())
    })
}

/// When the event of each put was received.
fn receive(etcd: &Etcd, stream: &mut etcd_client::WatchStream, count: u64) -> Outcome<Vec<Instant>> {
    let mut received = Vec::new();
    while (received.len() as u64) < count {
        let response =
            etcd.runtime.block_on(stream.message())?.ok_or("the event of a put was not received")?;
        received.extend(response.events().iter().map(|_| Instant::now()));
    }
    Ok(received)
}
