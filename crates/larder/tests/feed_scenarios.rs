//! The scenarios in which the change feeds of other stores have failed over the years. Those that are not
//! here are in `feed.rs`; `docs/guarantees.md` lists them all.
//!
//! `LARDER_SLEEPER_WRITES=1000000` has a watcher sleep longer than the 30,000 writes of every day.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use common::{Bench, PATIENCE, events_now, next_event};
use larder::{Clock, Durability, Error, Event, EventKind, Options, Pattern, Revision, Store, Watcher};
use outside::{Process, errand, say};

/// As many changes as a watcher reads from the log at once.
const PAGE: usize = 512;

/// Sets `count` entries, one commit each.
fn write(store: &Store, count: u64) {
    for number in 0..count {
        store.set("bulk", number.to_string(), "x").unwrap();
    }
}

/// Sets `count` entries in one commit.
fn write_batch(store: &Store, count: usize) -> Revision {
    (0..count).fold(store.batch(), |batch, n| batch.set("batch", format!("{n:05}"), "x")).commit().unwrap()
}

/// A store with a short log, which is pruned by nearly every commit.
fn short_log(options: Options) -> Options {
    options.history(100, 1 << 20).durability(Durability::Relaxed)
}

/// How many writes a watcher sleeps through.
fn sleeper_writes() -> usize {
    std::env::var("LARDER_SLEEPER_WRITES").map_or(30_000, |writes| writes.parse().unwrap())
}

/// A store whose log holds all that a sleeper has to hear.
fn long_log(options: Options) -> Options {
    options.history(2 * sleeper_writes() as u64, 1 << 40).durability(Durability::Relaxed)
}

/// Writes while the watcher sleeps, and then has it hear each write, under the number of its commit.
fn sleep_and_hear(
    store: &Store,
    watcher: &Watcher,
    value: &[u8],
    writes: u64,
    number_of: impl Fn(Revision) -> u64,
) {
    for number in 0..writes {
        store.set("g", (number % 100).to_string(), value).unwrap();
    }
    for number in 0..writes {
        let event = next_event(watcher);
        let key = (number % 100).to_string();
        assert_eq!((number_of(event.revision), event.key), (number + 1, Some(key)));
        assert!(event.value.is_some_and(|heard| heard.as_bytes() == value));
    }
    assert_eq!(events_now(watcher), []);
}

/// Checks what the watcher of a short log gets that was opened at `opened` and has read nothing yet: the
/// very next change, where the log still has it, or else that it is gone, and what comes behind the gap.
/// Whether it was the next change.
#[track_caller]
fn hears_the_next_change_or_of_its_loss(
    bench: &Bench,
    store: &Store,
    watcher: &Watcher,
    opened: Revision,
) -> bool {
    let from = store.stats().unwrap().history_from;
    let latest = store.revision().unwrap();
    let first = watcher.try_recv();
    match &first {
        Ok(Some(event)) => assert_eq!(event.revision, bench.after(opened)),
        Err(Error::Compacted { oldest }) => {
            assert!(from > opened, "told of a gap behind {opened} though the log reaches back to {from}");
            assert_eq!(*oldest, from);
        }
        other => panic!("{other:?}"),
    }
    let behind = bench.commits_up_to(first.as_ref().map_or(from, |_| bench.after(opened)));
    let expected = behind + 1..=bench.number_of(latest);
    assert_eq!(bench.numbers_of(&events_now(watcher)), expected.collect::<Vec<_>>());
    first.is_ok()
}

/// Checks that the batches among the events are complete, each in one piece and in order: their keys are
/// `number of size`, and a watcher of everything hears every number, one of group "odd" each second one.
#[track_caller]
fn assert_whole_batches(bench: &Bench, events: &[Event], batches: usize, step: usize) {
    let mut seen = 0;
    let mut at = 0;
    while at < events.len() {
        let (_, size) = events[at].key.as_ref().unwrap().split_once(" of ").unwrap();
        let size: usize = size.parse().unwrap();
        let expected: Vec<String> =
            (step - 1..size).step_by(step).map(|n| format!("{n} of {size}")).collect();
        let batch = &events[at..(at + expected.len()).min(events.len())];
        let keys: Vec<_> = batch.iter().map(|event| event.key.clone().unwrap()).collect();
        assert_eq!(keys, expected, "in one piece");
        assert!(batch.iter().all(|event| event.revision == batch[0].revision), "of one revision");
        let before = events[at.saturating_sub(1)].revision;
        let in_order = before < batch[0].revision || before == batch[0].revision && bench.combines_commits();
        assert!(at == 0 || in_order, "none twice, and in order");
        at += batch.len();
        seen += 1;
    }
    assert_eq!(seen, batches);
}

on_every_engine! {
    fn a_slow_watcher_delays_no_fast_one_and_misses_nothing(bench: &Bench) {
        // More than the slow one's queue holds.
        let writes = bench.either(2500, 1200);
        let store = bench.open_with(|options| options.durability(Durability::Relaxed));
        let watch = || {
            let watcher = store.watch(Pattern::all()).unwrap();
            assert_eq!(events_now(&watcher), []);
            watcher
        };
        let slow = watch();
        let fast = [watch(), watch()];
        thread::scope(|scope| {
            let (tell, told) = channel();
            for watcher in &fast {
                let tell = tell.clone();
                scope.spawn(move || (0..writes).for_each(|_| tell.send(next_event(watcher).revision).unwrap()));
            }
            for number in 1..=writes {
                let revision = store.set("g", "k", "v").unwrap();
                assert!(revision == Revision(number) || !bench.counts_revisions());
                // All the fast ones have it while the slow one still has its first to read.
                for _ in &fast {
                    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), revision);
                }
            }
        });
        assert_eq!(bench.numbers_of(&events_now(&slow)), (1..=writes).collect::<Vec<_>>());
    }

    fn a_delete_at_the_edge_of_the_log_is_received_or_reported_compacted(bench: &Bench) {
        let bench = bench.with_a_history_of_its_own();
        let store = bench.open_with(short_log);
        let (mut oldest_of_the_log, mut first_to_go) = (0, 0);
        for behind in if bench.prunes_history() { 85..115 } else { 2..6 } {
            let opened = store.set("g", "k", "v").unwrap();
            let watcher = store.watch_from(("g", "*"), opened).unwrap();
            store.delete("g", "k").unwrap();
            write(&store, behind);
            bench.forget_up_to(bench.number_of(opened) + behind % 4);
            let from = store.stats().unwrap().history_from;
            let gone = bench.commits_up_to(from);
            oldest_of_the_log += u32::from(gone == bench.number_of(opened));
            first_to_go += u32::from(gone == bench.number_of(opened) + 1);
            match watcher.try_recv() {
                Ok(Some(event)) => {
                    assert_eq!((event.kind, event.revision), (EventKind::Delete, bench.after(opened)));
                    assert!(gone <= bench.number_of(opened));
                }
                Err(Error::Compacted { oldest }) => {
                    assert_eq!(oldest, from);
                    assert!(gone > bench.number_of(opened), "the log still had it");
                }
                other => panic!("neither heard nor told of: {other:?}"),
            }
            assert_eq!(events_now(&watcher), []);
        }
        assert!(oldest_of_the_log > 0 && first_to_go > 0, "{oldest_of_the_log}, {first_to_go}");
    }

    fn a_watcher_at_the_edge_of_the_log_gets_no_false_compacted_error(bench: &Bench) {
        let bench = bench.with_a_history_of_its_own();
        let store = bench.open_with(short_log);
        let batch = write_batch(&store, PAGE);
        let watchers: Vec<Watcher> =
            (0..if bench.prunes_history() { 30 } else { 3 }).map(|_| store.watch_from(Pattern::all(), 0).unwrap()).collect();
        for watcher in &watchers {
            // All of the page, and nothing that would make it read on.
            (0..PAGE).for_each(|_| assert_eq!(next_event(watcher).revision, batch));
        }
        write(&store, 90);
        let (mut right_at_the_edge, mut behind_it) = (0, 0);
        for (watcher, forgotten) in watchers.iter().zip(0..) {
            write(&store, 1);
            bench.forget_up_to(forgotten);
            let stats = store.stats().unwrap();
            let whole_batch_is_gone = stats.history_changes < bench.number_of(store.revision().unwrap());
            right_at_the_edge += u32::from(whole_batch_is_gone && bench.commits_up_to(stats.history_from) == 1);
            behind_it += u32::from(!hears_the_next_change_or_of_its_loss(&bench, &store, watcher, batch));
        }
        assert!(right_at_the_edge > 0 && behind_it > 0, "{right_at_the_edge}, {behind_it}");
    }

    fn a_watch_can_begin_right_after_the_commit_that_pruned_the_log(bench: &Bench) {
        let bench = bench.with_a_history_of_its_own();
        let store = bench.open_with(|options| short_log(options).history(20, 1 << 20));
        let mut last: Option<Watcher> = None;
        for number in 1..=bench.either(300, 60) {
            let revision = store.set("g", "k", "v").unwrap();
            bench.forget_up_to(number - 1);
            assert_eq!(revision, bench.nth(number));
            if let Some(watcher) = last {
                assert_eq!(bench.numbers_of(&events_now(&watcher)), [number]);
            }
            last = Some(store.watch_from(Pattern::all(), revision).unwrap());
        }
        assert!(store.stats().unwrap().history_changes <= 25);
    }

    fn a_watch_opened_during_pruning_begins_where_asked_or_fails(bench: &Bench) {
        let bench = bench.with_a_history_of_its_own();
        let last = bench.either(3000, 400);
        let store = bench.open_with(short_log);
        thread::scope(|scope| {
            scope.spawn(|| {
                if bench.prunes_history() {
                    return write(&store, last);
                }
                for written in 1..=last / 4 {
                    write(&store, 4);
                    bench.forget_up_to(written * 4 - 3);
                }
            });
            let mut latest = Revision(0);
            while bench.number_of(latest) < last {
                latest = store.revision().unwrap();
                // As old as can be, and as new as can be.
                for after in [store.stats().unwrap().history_from, latest] {
                    match store.watch_from(Pattern::all(), after).map(|watcher| watcher.try_recv()) {
                        Ok(Ok(Some(event))) => {
                            assert_eq!(bench.number_of(event.revision), bench.commits_up_to(after) + 1);
                        }
                        Ok(Ok(None)) => assert_eq!(after, latest, "there is more in the log"),
                        Ok(Err(Error::Compacted { oldest })) | Err(Error::Compacted { oldest }) => {
                            assert!(oldest > after, "{oldest}, {after}");
                        }
                        other => panic!("{:?}", other.map(drop)),
                    }
                }
            }
        });
    }

    fn batches_arrive_whole_and_contiguous_live_and_from_the_log(bench: &Bench) {
        const WRITERS: usize = 3;
        // Of one change, of a few, of more than a page of the log, of more than a queue holds.
        const SIZES: [usize; 8] = [2, 7, 40, 600, 2, 1100, 513, 3];
        let changes = WRITERS * SIZES.iter().sum::<usize>();
        let store = bench.open_with(|options| options.durability(Durability::Relaxed));
        let commit = |size: usize| {
            let group = |number: usize| if number.is_multiple_of(2) { "even" } else { "odd" };
            let key = |number: usize| format!("{number} of {size}");
            (0..size).fold(store.batch(), |batch, n| batch.set(group(n), key(n), "v")).commit().unwrap();
        };
        let asleep = store.watch(Pattern::all()).unwrap();
        let of_a_group = store.watch(Pattern::group("odd")).unwrap();
        assert_eq!((events_now(&asleep), events_now(&of_a_group)), (vec![], vec![]));
        let live = thread::scope(|scope| {
            let awake = store.watch(Pattern::all()).unwrap();
            let hearing = scope.spawn(move || (0..changes).map(|_| next_event(&awake)).collect::<Vec<Event>>());
            for writer in 0..WRITERS {
                scope.spawn(move || (0..SIZES.len()).for_each(|n| commit(SIZES[(n + writer) % SIZES.len()])));
            }
            hearing.join().unwrap()
        });
        assert_whole_batches(bench, &live, WRITERS * SIZES.len(), 1);
        assert_whole_batches(bench, &events_now(&of_a_group), WRITERS * SIZES.len(), 2);
        // The others have heard the very same.
        assert!(events_now(&asleep) == live, "the one that was asleep");
        assert!(events_now(&store.watch_from(Pattern::all(), 0).unwrap()) == live, "the log");
    }

    fn a_watcher_inside_a_batch_receives_the_rest_unless_it_was_pruned(bench: &Bench) {
        const BATCH: usize = 1500;
        let bench = bench.with_a_history_of_its_own();
        let store = bench.open_with(short_log);
        let batch = write_batch(&store, BATCH);
        let watchers: Vec<Watcher> =
            (0..6).map(|_| store.watch_from(Pattern::all(), 0).unwrap()).collect();
        for watcher in &watchers {
            // One of the first page, which is read from the log at once.
            assert_eq!(next_event(watcher).revision, batch);
        }
        let (mut right_at_the_edge, mut told) = (0, 0);
        for (watcher, later) in watchers.iter().zip(1..) {
            write(&store, 1);
            bench.forget_up_to(1);
            let gone = BATCH + later - store.stats().unwrap().history_changes as usize;
            // A cluster forgets a commit as a whole.
            assert!(gone == BATCH || bench.prunes_history(), "{gone}");
            right_at_the_edge += u32::from(gone == PAGE);
            let mut left = BATCH - 1;
            let end = loop {
                match watcher.try_recv() {
                    Ok(Some(event)) if event.revision == batch => left -= 1,
                    end => break end,
                }
            };
            let first_behind = match end {
                Ok(event) => {
                    assert_eq!(left, 0, "half a batch, and no word of it");
                    event.unwrap()
                }
                Err(Error::Compacted { oldest }) => {
                    assert!(gone > PAGE, "it had read all that is gone");
                    assert_eq!((bench.commits_up_to(oldest), left), (1, BATCH - PAGE));
                    told += 1;
                    next_event(watcher)
                }
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(first_behind.revision, bench.after(batch));
            assert_eq!(events_now(watcher).len(), later - 1);
        }
        assert!(right_at_the_edge > 0 || !bench.prunes_history(), "{right_at_the_edge}");
        // In a cluster, who has the commit at hand reads it to its end, and all others are told.
        assert!(told > 0, "{told}");
    }

    fn a_client_that_resumes_from_its_last_revision_misses_and_repeats_nothing(bench: &Bench) {
        let mut store = bench.store();
        let (mut seen, mut heard) = (Revision(0), Vec::new());
        for round in 0..12 {
            write(&store, round % 3);
            let other = bench.beside(&store);
            write_batch(&other, 5);
            let watcher = store.watch_from(Pattern::all(), seen).unwrap();
            write(&store, round % 2);
            for event in events_now(&watcher) {
                assert!(event.revision >= seen);
                seen = event.revision;
                heard.push(event);
            }
            drop((watcher, other));
            if round % 4 == 3 {
                store = bench.reopen(store);
            }
        }
        assert_eq!(heard, events_now(&store.watch_from(Pattern::all(), 0).unwrap()));
        let mut changes: BTreeMap<u64, usize> = BTreeMap::new();
        bench.numbers_of(&heard).into_iter().for_each(|revision| *changes.entry(revision).or_default() += 1);
        assert!(changes.keys().copied().eq(1..=bench.number_of(store.revision().unwrap())), "no commit is missing");
        assert!(changes.values().all(|count| [1, 5].contains(count)), "none is there twice");
    }

    fn a_clock_set_back_affects_only_the_times_of_events(bench: &Bench) {
        let store = bench.store();
        let live = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&live), []);
        let begun = bench.clock.now();
        let mut times = Vec::new();
        for hours in [0, 5, 2, 0, 9, 1] {
            bench.clock.set(begun + Duration::from_secs(3600 * hours));
            times.push(bench.clock.now());
            store.set("g", "k", hours.to_string()).unwrap();
        }
        let heard = events_now(&live);
        assert_eq!(bench.numbers_of(&heard), [1, 2, 3, 4, 5, 6]);
        assert_eq!(heard.iter().map(|event| event.at).collect::<Vec<_>>(), times);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "1");
        let store = bench.reopen(store);
        for after in 0..=6 {
            let from = store.watch_from(Pattern::all(), bench.nth(after)).unwrap();
            assert_eq!(events_now(&from), heard[after as usize..]);
        }
        assert_eq!(store.history("g", "k").unwrap(), heard);
        assert_eq!(store.set("g", "k", "v").unwrap(), bench.nth(7));
    }

    fn a_watcher_idle_during_very_many_writes_receives_them_all_in_order(bench: &Bench) {
        let store = bench.open_with(long_log);
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        // A tenth of it where each is a round trip: more than its queue holds many times over.
        let writes = bench.rounds(sleeper_writes()) as u64;
        sleep_and_hear(&store, &watcher, b"x", writes, |revision| bench.number_of(revision));
    }
}

/// What this process had in memory at the most, where the system is Linux.
fn peak_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// In a process of its own, so that nobody else's memory is counted.
#[test]
fn events_for_an_idle_watcher_do_not_accumulate_in_memory() {
    const WRITTEN_BYTES: usize = 120_000_000;
    if let Some((path, _)) = errand() {
        let store = long_log(Store::options()).open(path).unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        let before = peak_bytes();
        let value = vec![b'x'; WRITTEN_BYTES / sleeper_writes()];
        sleep_and_hear(&store, &watcher, &value, sleeper_writes() as u64, |revision| revision.0);
        let grown = peak_bytes().zip(before).map(|(after, before)| after - before);
        return say(grown.unwrap_or_default());
    }
    let folder = tempfile::tempdir().unwrap();
    let me = "events_for_an_idle_watcher_do_not_accumulate_in_memory";
    let mut process = Process::start(me, &folder.path().join("store.db"), "");
    let grown: usize = process.hear().unwrap().parse().unwrap();
    process.finish();
    assert!(grown < WRITTEN_BYTES / 4, "{grown} bytes");
}
