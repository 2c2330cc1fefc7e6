//! Setting entries while a watcher is idle, and then receiving all of its events.

use std::time::{Duration, Instant};

use larder::{Durability, Pattern, Revision, Store, Watcher};

use super::KEYS;
use super::loops::setting;
use crate::Outcome;
use crate::allocations;
use crate::measure::{Effort, Figure, in_turn};
use crate::peers::{Larder, TimedStore};
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

/// How long to wait for an event before the run fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

pub fn watch_behind(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    Ok([vec![durable(effort, &sample)?], relaxed(effort, &sample)?].concat())
}

/// The cost of an idle watcher for a durable set.
fn durable(effort: Effort, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let in_file = |name: &str| Larder::filled(&folder.path().join(name), sample);
    let (watched, alone) = (in_file("watched.db")?, in_file("alone.db")?);
    second_process::sync_files(folder.path())?;
    let _idle = IdleWatcher::of(&watched.store, sample)?;
    let contenders = vec![setting("larder", &watched, sample), setting(NONE, &alone, sample)];
    let row = Row::of("watch-behind", Unit::Microseconds, &in_turn(effort.rounds(31), contenders)?);
    let met = row.larder <= MOST * row.peer(NONE)?;
    Ok(row.with_target(format!("within {MOST} × of a set that nobody watches"), met))
}

/// Very many sets, without an fsync each: that would take minutes and hide the watcher's cost.
fn relaxed(effort: Effort, sample: &Sample) -> Outcome<Vec<Row>> {
    let sets = effort.size(1_000_000, 20_000);
    let folder = scratch::folder()?;
    let options = Store::options().durability(Durability::Relaxed).history(2 * sets, 8 << 30);
    let open = |name: &str| Larder::filled_with(&folder.path().join(name), sample, &options);
    let (watched, alone) = (open("watched.db")?, open("alone.db")?);
    second_process::sync_files(folder.path())?;

    let mut idle = IdleWatcher::of(&watched.store, sample)?;
    let figures = set_in_turn(sample, sets, [("larder", &watched), (NONE, &alone)])?;
    let time = Row::of("watch-behind-relaxed", Unit::Microseconds, &figures);

    let begun = Instant::now();
    let received = idle.receive(sets)?;
    let each = begun.elapsed().as_nanos() as f64 / received as f64;
    let target = format!("each of {}, in order", thousands(sets as f64));
    let events =
        Row::single("watch-behind-events", "events", received as f64).with_target(target, received == sets);
    let catching_up = Figure::new("larder", vec![each]);
    let catching_up = Row::of("watch-behind-catching-up", Unit::Nanoseconds, &[catching_up]);

    // A second run, because counting allocations takes time. By now the cache has reached its size.
    let more = sets / 10;
    let (again, allocated) = allocations::during(|| {
        let mut numbers = Numbers::from(2);
        set(&watched, sample, &mut numbers, more)?;
        idle.numbers = Numbers::from(2);
        idle.receive(more)
    });
    let kib = allocated.peak_bytes as f64 / 1024.0;
    let target =
        format!("at most 1,024 KiB while {} changes wait and are caught up on", thousands(more as f64));
    let met = kib <= HEAP_KIB_MOST && again? == more;
    let heap = Row::single("watch-behind-heap", "KiB of heap", kib).with_target(target, met);
    Ok(vec![time, events, heap, catching_up])
}

/// Sets random keys in both stores by turns, and returns the time per set in each turn.
fn set_in_turn(sample: &Sample, sets: u64, stores: [(&str, &Larder); 2]) -> Outcome<[Figure; 2]> {
    let each = sets / TURNS;
    let mut numbers = [Numbers::from(1), Numbers::from(1)];
    let mut turns = [Vec::new(), Vec::new()];
    for turn in 0..TURNS as usize {
        for step in 0..2 {
            let index = (turn + step) % 2;
            let begun = Instant::now();
            set(stores[index].1, sample, &mut numbers[index], each)?;
            turns[index].push(begun.elapsed().as_nanos() as f64 / each as f64);
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

/// An idle watcher, and the events it must receive.
struct IdleWatcher<'a> {
    watcher: Watcher,
    sample: &'a Sample,
    numbers: Numbers,
    seen: Revision,
}

impl<'a> IdleWatcher<'a> {
    fn of(store: &Store, sample: &'a Sample) -> Outcome<Self> {
        let watcher = store.watch(Pattern::all())?;
        // Makes the watcher live, so that the writes make it lag.
        watcher.try_recv()?;
        Ok(Self { watcher, sample, numbers: Numbers::from(1), seen: store.revision()? })
    }

    /// Receives `sets` events, and returns how many of them were right before the first wrong one.
    fn receive(&mut self, sets: u64) -> Outcome<u64> {
        for received in 0..sets {
            let Some(event) = self.watcher.recv_timeout(WAIT_MAX)? else { return Ok(received) };
            let key = self.sample.key(self.numbers.below(self.sample.len()));
            let is_next = event.revision == self.seen.next()
                && event.key.as_deref() == Some(key.alone())
                && event.value.is_some_and(|value| self.sample.is_right(key, value.as_bytes()));
            if !is_next {
                return Ok(received);
            }
            self.seen = event.revision;
        }
        Ok(sets)
    }
}
