//! The loops that every contender runs through, so that what surrounds the work costs all alike.

use std::thread;

use super::check;
use crate::Outcome;
use crate::measure::Contender;
use crate::peers::Contestant;
use crate::sample::{Numbers, Sample};

/// So many sets fill a write-ahead log of SQLite's to where it begins anew, and is overwritten rather
/// than grown: the state in which it stays.
const WARM_UP: u64 = 2_500;

/// The same for each of many threads, whose commits take several sets.
const WARM_UP_EACH: u64 = 600;

/// How many sets each of many threads does in a round at the least: they have to meet each other.
const SETS_MIN: u64 = 8;

/// Gets keys at random, from one thread.
pub fn getting<'a>(name: &str, contestant: &'a impl Contestant, sample: &'a Sample) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| get(contestant, sample, &mut numbers, pieces))
}

/// Sets keys at random, from one thread, each in a commit of its own.
pub fn setting<'a>(name: &str, contestant: &'a impl Contestant, sample: &'a Sample) -> Contender<'a> {
    let mut numbers = Numbers::from(1);
    Contender::new(name, move |pieces| set(contestant, sample, &mut numbers, pieces)).warmed_up(WARM_UP)
}

/// Gets keys at random, from several threads; the pieces are shared out among them.
pub fn getting_from<'a>(
    threads: u64,
    name: &str,
    contestant: &'a (impl Contestant + Sync),
    sample: &'a Sample,
) -> Contender<'a> {
    Contender::new(name, move |pieces| {
        from_threads(threads, pieces, |_, numbers, share| get(contestant, sample, numbers, share))
    })
}

/// Sets keys at random, from several threads; the pieces are shared out among them.
pub fn setting_from<'a>(
    threads: u64,
    name: &str,
    contestant: &'a (impl Contestant + Sync),
    sample: &'a Sample,
) -> Contender<'a> {
    Contender::new(name, move |pieces| {
        from_threads(threads, pieces, |_, numbers, share| set(contestant, sample, numbers, share))
    })
    .at_least(threads * SETS_MIN)
    .warmed_up(threads * WARM_UP_EACH)
}

/// Shares pieces of work out among threads, and waits for all of them.
pub fn from_threads(
    threads: u64,
    pieces: u64,
    work: impl Fn(usize, &mut Numbers, u64) -> Outcome + Sync,
) -> Outcome {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|place| {
                let work = &work;
                // The first ones take what cannot be shared out.
                let share = pieces / threads + u64::from(place < pieces % threads);
                scope.spawn(move || work(place as usize, &mut Numbers::from(place + 1), share))
            })
            .collect();
        running.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread that did a share of the work panicked".into()))
        })
    })
}

pub fn get(contestant: &impl Contestant, sample: &Sample, numbers: &mut Numbers, pieces: u64) -> Outcome {
    let mut right = true;
    for _ in 0..pieces {
        let key = sample.key(numbers.below(sample.len()));
        right &= contestant.get(key, |found| sample.is_right(key, found))? == Some(true);
    }
    check(right)
}

fn set(contestant: &impl Contestant, sample: &Sample, numbers: &mut Numbers, pieces: u64) -> Outcome {
    let mut values = sample.values();
    for _ in 0..pieces {
        let key = sample.key(numbers.below(sample.len()));
        contestant.set(key, values.of(key))?;
    }
    Ok(())
}

/// Reads everything once: warms up, and looks at every value.
pub fn read_all(contestant: &impl Contestant, sample: &Sample) -> Outcome {
    for key in sample.keys() {
        check(contestant.get(key, |found| sample.is_right(key, found))? == Some(true))?;
    }
    Ok(())
}
