//! The loops that all contenders share, so that everything around the work costs them the same.

use std::thread;

use super::check;
use crate::Outcome;
use crate::measure::Contender;
use crate::peers::TimedStore;
use crate::sample::{Numbers, Sample};

/// How many sets grow SQLite's write-ahead log until it is overwritten instead of extended, which is its
/// steady state.
const WARM_UP: u64 = 2_500;

/// The same for each of many threads, whose commits have several sets.
const WARM_UP_EACH: u64 = 600;

/// The fewest sets of each thread per round, so that the threads run at the same time.
const SETS_MIN: u64 = 8;

/// Gets random keys from one thread.
pub fn getting<'a>(name: &str, store: &'a impl TimedStore, sample: &'a Sample) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| get(store, sample, &mut numbers, pieces))
}

/// Sets random keys from one thread, each in its own commit.
pub fn setting<'a>(name: &str, store: &'a impl TimedStore, sample: &'a Sample) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| set(store, sample, &mut numbers, pieces)).warmed_up(WARM_UP)
}

/// Gets random keys from several threads, which share the pieces.
pub fn getting_from<'a>(
    threads: u64,
    name: &str,
    store: &'a (impl TimedStore + Sync),
    sample: &'a Sample,
) -> Contender<'a> {
    Contender::new(name, move |pieces| {
        from_threads(threads, pieces, |_, numbers, share| get(store, sample, numbers, share))
    })
}

/// Sets random keys from several threads, which share the pieces.
pub fn setting_from<'a>(
    threads: u64,
    name: &str,
    store: &'a (impl TimedStore + Sync),
    sample: &'a Sample,
) -> Contender<'a> {
    Contender::new(name, move |pieces| {
        from_threads(threads, pieces, |_, numbers, share| set(store, sample, numbers, share))
    })
    .at_least(threads * SETS_MIN)
    .warmed_up(threads * WARM_UP_EACH)
}

/// Divides pieces of work among threads, and waits for all of them.
pub fn from_threads(
    threads: u64,
    pieces: u64,
    work: impl Fn(usize, &mut Numbers, u64) -> Outcome + Sync,
) -> Outcome {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let work = &work;
                // The first threads take the remainder.
                let share = pieces / threads + u64::from(index < pieces % threads);
                scope.spawn(move || work(index as usize, &mut Numbers::from(index + 1), share))
            })
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a worker thread panicked".into())))
    })
}

pub fn get(store: &impl TimedStore, sample: &Sample, numbers: &mut Numbers, pieces: u64) -> Outcome {
    let mut right = true;
    for _ in 0..pieces {
        let key = sample.key(numbers.below(sample.len()));
        right &= store.get(key, |found| sample.is_right(key, found))? == Some(true);
    }
    check(right)
}

fn set(store: &impl TimedStore, sample: &Sample, numbers: &mut Numbers, pieces: u64) -> Outcome {
    let mut values = sample.values();
    for _ in 0..pieces {
        let key = sample.key(numbers.below(sample.len()));
        store.set(key, values.of(key))?;
    }
    Ok(())
}

/// Reads and checks every value once, which also warms up.
pub fn read_all(store: &impl TimedStore, sample: &Sample) -> Outcome {
    for key in sample.keys() {
        check(store.get(key, |found| sample.is_right(key, found))? == Some(true))?;
    }
    Ok(())
}
