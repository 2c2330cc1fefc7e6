//! How long the write-ahead log becomes while a thread reads a large group again and again, and another one writes.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::Store;

use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::peers::{Larder, TimedStore};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Numbers, Sample};
use crate::scratch;

pub const ROWS: &[&str] = &["log-bounded-set"];

const VALUE_BYTES: usize = 1024;
const MIB: f64 = 1_048_576.0;
const LOG_MOST: f64 = 64.0;

/// How much longer than alone a set may take.
const TIMES_MOST: f64 = 1.2;

/// How often the length of the log is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub fn log_bounded(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::with_values(KEYS, VALUE_BYTES);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let beside = Duration::from_secs(effort.size(60, 2));
    let mut numbers = Numbers::from(1);
    let before = write(&larder, &sample, &mut numbers, beside / 4, &AtomicU64::new(0))?;
    let longest = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let with_reader = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&larder.store, sample.len(), &is_over));
        let written = write(&larder, &sample, &mut numbers, beside, &longest);
        is_over.store(true, Ordering::Relaxed);
        let was_read = reader.join().unwrap_or_else(|_| Err("the reader panicked".into()));
        was_read.and(written)
    })?;
    // On two cores the reader takes one of them from the writer and its checkpoints. So does a thread that only computes.
    let is_over = AtomicBool::new(false);
    let beside_computing = thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = Numbers::from(2);
            while !is_over.load(Ordering::Relaxed) {
                black_box(numbers.below(2));
            }
        });
        let written = write(&larder, &sample, &mut numbers, beside / 4, &AtomicU64::new(0));
        is_over.store(true, Ordering::Relaxed);
        written
    })?;
    let after = write(&larder, &sample, &mut numbers, beside / 4, &AtomicU64::new(0))?;
    let mib = longest.into_inner() as f64 / MIB;
    let log = Row::single("log-bounded", "MiB of log", mib)
        .with_target(format!("under 64 MiB in {} s", beside.as_secs()), mib < LOG_MOST);
    let alone = (before + after) / 2.0;
    let figures = [
        Figure::new("larder", vec![with_reader]),
        Figure::new("larder, no reader", vec![alone]),
        Figure::new("larder, beside a thread that computes", vec![beside_computing]),
    ];
    let set = Row::of("log-bounded-set", Unit::Microseconds, &figures)
        .with_target("within 1.2 × of a set without the reader", with_reader <= TIMES_MOST * alone);
    Ok(vec![log, set])
}

/// Sets entries for a while. Returns how long one took, in nanoseconds, and notes the longest log.
fn write(
    larder: &Larder,
    sample: &Sample,
    numbers: &mut Numbers,
    during: Duration,
    longest: &AtomicU64,
) -> Outcome<f64> {
    let begun = Instant::now();
    let (mut sets, mut looked) = (0_u32, begun);
    let mut values = sample.values();
    while begun.elapsed() < during {
        let key = sample.key(numbers.below(sample.len()));
        larder.set(key, values.of(key))?;
        sets += 1;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            longest.fetch_max(larder.store.stats()?.wal_bytes, Ordering::Relaxed);
        }
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(sets))
}

fn read(store: &Store, keys: u64, is_over: &AtomicBool) -> Outcome {
    while !is_over.load(Ordering::Relaxed) {
        check(store.get_all(GROUP)?.len() as u64 == keys)?;
    }
    Ok(())
}
