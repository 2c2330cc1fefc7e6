//! Setting entries while a watcher sleeps; then it wakes, and has to get all of it.

use std::time::{Duration, Instant};

use larder::{Durability, Pattern, Revision, Store, Watcher};

use super::KEYS;
use super::loops::setting;
use crate::Outcome;
use crate::allocations;
use crate::measure::{Effort, Figure, in_turn};
use crate::peers::{Contestant, Larder};
use crate::row::{Row, Unit};
use crate::sample::{Numbers, Sample};
use crate::scratch;
use crate::second_process;
use crate::table::thousands;

pub const ROWS: &[&str] =
    &["watch-behind-relaxed", "watch-behind-events", "watch-behind-heap", "watch-behind-catching-up"];
const MOST: f64 = 1.05;
const HEAP_KIB_MOST: f64 = 1024.0;
const NONE: &str = "larder, no watcher";

/// How often the two stores take turns.
const TURNS: u64 = 100;

/// How long to wait for an event that should be there.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn watch_behind(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    Ok([vec![durable(effort, &sample)?], relaxed(effort, &sample)?].concat())
}

/// What a sleeping watcher costs a set that waits for the disk.
fn durable(effort: Effort, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let in_file = |name: &str| Larder::filled(&folder.path().join(name), sample);
    let (watched, alone) = (in_file("watched.db")?, in_file("alone.db")?);
    second_process::settle(folder.path())?;
    let _sleeper = Sleeper::of(&watched.store, sample)?;
    let contenders = vec![setting("larder", &watched, sample), setting(NONE, &alone, sample)];
    let row = Row::of("watch-behind", Unit::Microseconds, &in_turn(effort.rounds(31), contenders)?);
    let met = row.larder <= MOST * row.peer(NONE)?;
    Ok(row.with_target(format!("within {MOST} × of a set that nobody watches"), met))
}

/// Very many sets; without an fsync each, which would take minutes and hide what a watcher costs.
fn relaxed(effort: Effort, sample: &Sample) -> Outcome<Vec<Row>> {
    let sets = effort.size(1_000_000, 20_000);
    let folder = scratch::folder()?;
    let options = Store::options().durability(Durability::Relaxed).history(2 * sets, 8 << 30);
    let open = |name: &str| Larder::filled_with(&folder.path().join(name), sample, &options);
    let (watched, alone) = (open("watched.db")?, open("alone.db")?);
    second_process::settle(folder.path())?;

    let mut sleeper = Sleeper::of(&watched.store, sample)?;
    let figures = set_in_turn(sample, sets, [("larder", &watched), (NONE, &alone)])?;
    let time = Row::of("watch-behind-relaxed", Unit::Microseconds, &figures);

    let begun = Instant::now();
    let heard = sleeper.hear(sets)?;
    let each = begun.elapsed().as_nanos() as f64 / heard as f64;
    let target = format!("each of {}, in order", thousands(sets as f64));
    let events =
        Row::single("watch-behind-events", "events", heard as f64).with_target(target, heard == sets);
    let catching_up = Figure::new("larder", vec![each]);
    let catching_up = Row::of("watch-behind-catching-up", Unit::Nanoseconds, &[catching_up]);

    // Once more, as counting what is allocated takes time. By now the cache has grown as far as it will.
    let more = sets / 10;
    let (again, allocated) = allocations::during(|| {
        let mut numbers = Numbers::from(2);
        set(&watched, sample, &mut numbers, more)?;
        sleeper.numbers = Numbers::from(2);
        sleeper.hear(more)
    });
    let kib = allocated.peak_bytes as f64 / 1024.0;
    let target =
        format!("at most 1,024 KiB while {} changes wait and are caught up on", thousands(more as f64));
    let met = kib <= HEAP_KIB_MOST && again? == more;
    let heap = Row::single("watch-behind-heap", "KiB of heap", kib).with_target(target, met);
    Ok(vec![time, events, heap, catching_up])
}

/// Sets keys at random in both stores, by turns, and gives what a set took in each turn.
fn set_in_turn(sample: &Sample, sets: u64, stores: [(&str, &Larder); 2]) -> Outcome<[Figure; 2]> {
    let each = sets / TURNS;
    let mut numbers = [Numbers::from(1), Numbers::from(1)];
    let mut turns = [Vec::new(), Vec::new()];
    for turn in 0..TURNS as usize {
        for step in 0..2 {
            let place = (turn + step) % 2;
            let begun = Instant::now();
            set(stores[place].1, sample, &mut numbers[place], each)?;
            turns[place].push(begun.elapsed().as_nanos() as f64 / each as f64);
        }
    }
    let [ours, theirs] = turns;
    Ok([Figure::new(stores[0].0, ours), Figure::new(stores[1].0, theirs)])
}

fn set(larder: &Larder, sample: &Sample, numbers: &mut Numbers, sets: u64) -> Outcome {
    let mut values = sample.values();
    for _ in 0..sets {
        let key = sample.key(numbers.below(sample.len()));
        larder.set(key, values.of(key))?;
    }
    Ok(())
}

/// A watcher, and what it has to hear next.
struct Sleeper<'a> {
    watcher: Watcher,
    sample: &'a Sample,
    numbers: Numbers,
    seen: Revision,
}

impl<'a> Sleeper<'a> {
    fn of(store: &Store, sample: &'a Sample) -> Outcome<Self> {
        let watcher = store.watch(Pattern::all())?;
        // Goes over to live delivery, so that it falls behind by itself.
        watcher.try_recv()?;
        Ok(Self { watcher, sample, numbers: Numbers::from(1), seen: store.revision()? })
    }

    /// Receives so many events, and tells how many there were up to the first that was not the next one.
    fn hear(&mut self, sets: u64) -> Outcome<u64> {
        for heard in 0..sets {
            let Some(event) = self.watcher.recv_timeout(PATIENCE)? else { return Ok(heard) };
            let key = self.sample.key(self.numbers.below(self.sample.len()));
            let is_next = event.revision == self.seen.next()
                && event.key.as_deref() == Some(key.alone())
                && event.value.is_some_and(|value| self.sample.is_right(key, value.as_bytes()));
            if !is_next {
                return Ok(heard);
            }
            self.seen = event.revision;
        }
        Ok(sets)
    }
}
