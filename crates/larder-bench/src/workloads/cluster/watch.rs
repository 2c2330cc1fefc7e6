//! From a commit to the watcher that waits for it, in another process and in this one.

use std::thread;
use std::time::{Duration, Instant};

use super::super::check;
use super::super::feed_latency::{here, tail, there};
use super::place::{Place, sample};
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::peers::{Contestant, Etcd};
use crate::row::{Row, Unit};
use crate::sample::{Numbers, Sample};

pub const ROWS: &[&str] = &["cluster-watch-set"];

/// How long lies between two puts, at the most.
const PAUSE_US_MAX: u64 = 5_000;

pub fn watch(effort: Effort) -> Outcome<Vec<Row>> {
    let (place, sample) = (Place::get()?, sample(effort));
    let commits = effort.size(1_000, 100);
    let larder = place.larder("watch", &sample)?;
    let there = tail("cluster-watch", there(&larder.store, &place.location("watch"), &sample, commits)?);

    let whole = Figure::new("larder", here(&larder.store, &sample, commits, |commit| commit.called)?);
    let alone = Figure::new("etcd alone", alone(place, &sample, commits)?);
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

/// How many nanoseconds after the call of a put another connection hears of it.
fn alone(place: &Place, sample: &Sample, count: u64) -> Outcome<Vec<f64>> {
    let putting = place.bare_etcd()?;
    let hearing = place.bare_etcd()?;
    let mut stream = hearing.runtime.block_on(hearing.watch())?;
    thread::scope(|scope| {
        let heard = scope.spawn(move || hear(&hearing, &mut stream, count));
        let (mut numbers, mut values) = (Numbers::from(1), sample.values());
        let mut called = Vec::new();
        for _ in 0..count {
            thread::sleep(Duration::from_micros(numbers.below(PAUSE_US_MAX)));
            let key = sample.key(numbers.below(sample.len()));
            called.push(Instant::now());
            putting.set(key, values.of(key))?;
        }
        let heard = heard.join().unwrap_or_else(|_| Err("the thread that watched panicked".into()))?;
        check(heard.len() == called.len())?;
        let late = called.iter().zip(heard).map(|(called, at)| at.saturating_duration_since(*called));
        Ok(late.map(|late| late.as_nanos() as f64).collect())
    })
}

/// When each of so many puts was heard of.
fn hear(etcd: &Etcd, stream: &mut etcd_client::WatchStream, count: u64) -> Outcome<Vec<Instant>> {
    let mut heard = Vec::new();
    while (heard.len() as u64) < count {
        let response = etcd.runtime.block_on(stream.message())?.ok_or("a put was not heard of")?;
        heard.extend(response.events().iter().map(|_| Instant::now()));
    }
    Ok(heard)
}
