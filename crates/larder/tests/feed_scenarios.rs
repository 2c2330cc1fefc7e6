//! Scenarios in which the change feeds of other stores have failed over the years. `docs/guarantees.md` lists
//! all of them; some are in `feed.rs`.
//!
//! `LARDER_SLEEPER_WRITES=1000000` makes the idle watcher miss a million writes instead of 30,000.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use common::{Rig, WAIT_MAX, events_now, next_event};
use larder::{Clock, Durability, Error, Event, EventKind, Options, Pattern, Revision, Store, Watcher};
use outside::{Process, child_task, print_line};

/// How many changes a watcher reads from the log at once.
const PAGE: usize = 512;

/// Sets `count` entries, one commit each.
fn write(store: &Store, count: u64) {
    for number in 0..count {
        store.set("bulk", number.to_string(), "x").unwrap();
    }
}

/// Makes more bytes of changes than a client of a cluster keeps of what its feed has brought, if `count` is 70 or more.
fn write_large(store: &Store, count: u64) {
    for number in 0..count {
        store.set("bulk", number.to_string(), vec![b'x'; 64 << 10]).unwrap();
    }
}

/// Sets `count` entries in one commit.
fn write_batch(store: &Store, count: usize) -> Revision {
    (0..count).fold(store.batch(), |batch, n| batch.set("batch", format!("{n:05}"), "x")).commit().unwrap()
}

/// Options for a log so short that nearly every commit prunes it.
fn short_log(options: Options) -> Options {
    options.history(100, 1 << 20).durability(Durability::Relaxed)
}

/// How many writes happen while the watcher is idle.
fn idle_writes() -> usize {
    std::env::var("LARDER_SLEEPER_WRITES").map_or(30_000, |writes| writes.parse().unwrap())
}

/// Options for a log that keeps every event the idle watcher has not received.
fn long_log(options: Options) -> Options {
    options.history(2 * idle_writes() as u64, 1 << 40).durability(Durability::Relaxed)
}

/// Writes while the watcher is idle, then receives every write and checks the number of its commit.
fn write_then_receive(
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
        assert!(event.value.is_some_and(|received| received.as_bytes() == value));
    }
    assert_eq!(events_now(watcher), []);
}

/// Checks what a watcher opened at `opened` receives first: the very next change if the log still has it,
/// otherwise `Compacted` and then the change after the gap. Returns whether it was the next change.
#[track_caller]
fn receives_the_next_change(rig: &Rig, store: &Store, watcher: &Watcher, opened: Revision) -> bool {
    let from = store.stats().unwrap().history_from;
    let latest = store.revision().unwrap();
    let first = watcher.try_recv();
    match &first {
        Ok(Some(event)) => assert_eq!(event.revision, rig.after(opened)),
        Err(Error::Compacted { oldest }) => {
            assert!(from > opened, "Compacted after {opened}, but the log reaches back to {from}");
            assert_eq!(*oldest, from);
        }
        other => panic!("{other:?}"),
    }
    let behind = rig.commits_up_to(first.as_ref().map_or(from, |_| rig.after(opened)));
    let expected = behind + 1..=rig.number_of(latest);
    assert_eq!(rig.numbers_of(&events_now(watcher)), expected.collect::<Vec<_>>());
    first.is_ok()
}

/// Checks that the events are whole batches, each contiguous and in order. The keys of a batch are `number of
/// size`. A watcher of everything receives every number (`step` 1), one of group "odd" every second (`step`
/// 2).
#[track_caller]
fn assert_whole_batches(rig: &Rig, events: &[Event], batches: usize, step: usize) {
    let mut seen = 0;
    let mut at = 0;
    while at < events.len() {
        let (_, size) = events[at].key.as_ref().unwrap().split_once(" of ").unwrap();
        let size: usize = size.parse().unwrap();
        let expected: Vec<String> =
            (step - 1..size).step_by(step).map(|n| format!("{n} of {size}")).collect();
        let batch = &events[at..(at + expected.len()).min(events.len())];
        let keys: Vec<_> = batch.iter().map(|event| event.key.clone().unwrap()).collect();
        assert_eq!(keys, expected, "contiguous");
        assert!(batch.iter().all(|event| event.revision == batch[0].revision), "one revision");
        let before = events[at.saturating_sub(1)].revision;
        let in_order = before < batch[0].revision
            || before == batch[0].revision && rig.promises.concurrent_writes_share_commits;
        assert!(at == 0 || in_order, "in order, none twice");
        at += batch.len();
        seen += 1;
    }
    assert_eq!(seen, batches);
}

on_every_engine! {
    fn a_slow_watcher_delays_no_fast_one_and_misses_nothing(rig: &Rig) {
        // More than the slow one's mailbox holds.
        let writes = rig.writes(2500, 1200);
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let watch = || {
            let watcher = store.watch(Pattern::all()).unwrap();
            assert_eq!(events_now(&watcher), []);
            watcher
        };
        let slow = watch();
        let fast = [watch(), watch()];
        thread::scope(|scope| {
            let (sender, received) = channel();
            for watcher in &fast {
                let sender = sender.clone();
                scope.spawn(move || (0..writes).for_each(|_| sender.send(next_event(watcher).revision).unwrap()));
            }
            for number in 1..=writes {
                let revision = store.set("g", "k", "v").unwrap();
                assert!(revision == Revision(number) || !rig.promises.revisions_are_consecutive);
                // Every fast watcher has it while the slow one has not read its first event.
                for _ in &fast {
                    assert_eq!(received.recv_timeout(WAIT_MAX).unwrap(), revision);
                }
            }
        });
        assert_eq!(rig.numbers_of(&events_now(&slow)), (1..=writes).collect::<Vec<_>>());
    }

    fn a_delete_at_the_edge_of_the_log_is_received_or_reported_compacted(rig: &Rig) {
        let rig = rig.with_own_history();
        let store = rig.open_with(short_log);
        let (mut oldest_of_the_log, mut first_to_go) = (0, 0);
        for behind in if rig.promises.prunes_its_log { 85..115 } else { 2..6 } {
            let opened = store.set("g", "k", "v").unwrap();
            let watcher = store.watch_from(("g", "*"), opened).unwrap();
            store.delete("g", "k").unwrap();
            write(&store, behind);
            rig.compact_up_to(rig.number_of(opened) + behind % 4);
            let from = store.stats().unwrap().history_from;
            let gone = rig.commits_up_to(from);
            oldest_of_the_log += u32::from(gone == rig.number_of(opened));
            first_to_go += u32::from(gone == rig.number_of(opened) + 1);
            let is_gone = gone > rig.number_of(opened);
            let check = |received: Result<Option<Event>, Error>, may_be_in_memory: bool| match received {
                Ok(Some(event)) => {
                    assert_eq!((event.kind, event.revision), (EventKind::Delete, rig.after(opened)));
                    assert!(!is_gone || may_be_in_memory);
                }
                Err(Error::Compacted { oldest }) => {
                    assert_eq!(oldest, from);
                    assert!(is_gone, "Compacted, but the log still had the delete");
                }
                other => panic!("neither the delete nor Compacted: {other:?}"),
            };
            // One that was there before may still have it in memory, or the feed that it keeps open.
            check(watcher.try_recv(), true);
            assert_eq!(events_now(&watcher), []);
            drop(watcher);
            check(store.watch_from(("g", "*"), opened).and_then(|late| late.try_recv()), false);
        }
        assert!(oldest_of_the_log > 0 && first_to_go > 0, "{oldest_of_the_log}, {first_to_go}");
    }

    fn a_watcher_at_the_edge_of_the_log_gets_no_false_compacted_error(rig: &Rig) {
        let rig = rig.with_own_history();
        // Longer than what a watcher holds in memory while it reads the log.
        let store = rig.open_with(|options| short_log(options).history(1984, 1 << 20));
        let batch = write_batch(&store, PAGE);
        let watchers: Vec<Watcher> =
            (0..if rig.promises.prunes_its_log { 60 } else { 3 }).map(|_| store.watch_from(Pattern::all(), 0).unwrap()).collect();
        for watcher in &watchers {
            // All of one page, and nothing that would make it read another.
            (0..PAGE).for_each(|_| assert_eq!(next_event(watcher).revision, batch));
        }
        match rig.promises.prunes_its_log {
            true => write(&store, 1974),
            false => write_large(&store, 90),
        }
        let (mut right_at_the_edge, mut behind_it) = (0, 0);
        for (watcher, forgotten) in watchers.iter().zip(0..) {
            write(&store, 1);
            rig.compact_up_to(forgotten);
            let stats = store.stats().unwrap();
            let whole_batch_is_gone = stats.history_changes < rig.number_of(store.revision().unwrap());
            right_at_the_edge += u32::from(whole_batch_is_gone && rig.commits_up_to(stats.history_from) == 1);
            behind_it += u32::from(!receives_the_next_change(&rig, &store, watcher, batch));
        }
        assert!(right_at_the_edge > 0 && behind_it > 0, "{right_at_the_edge}, {behind_it}");
    }

    fn a_watch_can_begin_right_after_the_commit_that_pruned_the_log(rig: &Rig) {
        let rig = rig.with_own_history();
        let store = rig.open_with(|options| short_log(options).history(20, 1 << 20));
        let mut last: Option<Watcher> = None;
        for number in 1..=rig.writes(300, 60) {
            let revision = store.set("g", "k", "v").unwrap();
            rig.compact_up_to(number - 1);
            assert_eq!(revision, rig.revision(number));
            if let Some(watcher) = last {
                assert_eq!(rig.numbers_of(&events_now(&watcher)), [number]);
            }
            last = Some(store.watch_from(Pattern::all(), revision).unwrap());
        }
        assert!(store.stats().unwrap().history_changes <= 25);
    }

    fn a_watch_opened_during_pruning_begins_where_asked_or_fails(rig: &Rig) {
        let rig = rig.with_own_history();
        let last = rig.writes(3000, 400);
        let store = rig.open_with(short_log);
        thread::scope(|scope| {
            scope.spawn(|| {
                if rig.promises.prunes_its_log {
                    return write(&store, last);
                }
                for written in 1..=last / 4 {
                    write(&store, 4);
                    rig.compact_up_to(written * 4 - 3);
                }
            });
            let mut latest = Revision(0);
            while rig.number_of(latest) < last {
                latest = store.revision().unwrap();
                // From the oldest possible revision, and from the newest.
                for after in [store.stats().unwrap().history_from, latest] {
                    match store.watch_from(Pattern::all(), after).map(|watcher| watcher.try_recv()) {
                        Ok(Ok(Some(event))) => {
                            assert_eq!(rig.number_of(event.revision), rig.commits_up_to(after) + 1);
                        }
                        Ok(Ok(None)) => assert_eq!(after, latest, "the log has more"),
                        Ok(Err(Error::Compacted { oldest })) | Err(Error::Compacted { oldest }) => {
                            assert!(oldest > after, "{oldest}, {after}");
                        }
                        other => panic!("{:?}", other.map(drop)),
                    }
                }
            }
        });
    }

    fn batches_arrive_whole_and_contiguous_live_and_from_the_log(rig: &Rig) {
        const WRITERS: usize = 3;
        // A few changes, more than a page of the log, more than a mailbox holds.
        const SIZES: [usize; 8] = [2, 7, 40, 600, 2, 1100, 513, 3];
        let changes = WRITERS * SIZES.iter().sum::<usize>();
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let commit = |size: usize| {
            let group = |number: usize| if number.is_multiple_of(2) { "even" } else { "odd" };
            let key = |number: usize| format!("{number} of {size}");
            (0..size).fold(store.batch(), |batch, n| batch.set(group(n), key(n), "v")).commit().unwrap();
        };
        let idle = store.watch(Pattern::all()).unwrap();
        let of_a_group = store.watch(Pattern::group("odd")).unwrap();
        assert_eq!((events_now(&idle), events_now(&of_a_group)), (vec![], vec![]));
        let live = thread::scope(|scope| {
            let active = store.watch(Pattern::all()).unwrap();
            let receiving = scope.spawn(move || (0..changes).map(|_| next_event(&active)).collect::<Vec<Event>>());
            for writer in 0..WRITERS {
                scope.spawn(move || (0..SIZES.len()).for_each(|n| commit(SIZES[(n + writer) % SIZES.len()])));
            }
            receiving.join().unwrap()
        });
        assert_whole_batches(rig, &live, WRITERS * SIZES.len(), 1);
        assert_whole_batches(rig, &events_now(&of_a_group), WRITERS * SIZES.len(), 2);
        // The idle watcher and the log deliver the same events.
        assert!(events_now(&idle) == live, "the idle watcher");
        assert!(events_now(&store.watch_from(Pattern::all(), 0).unwrap()) == live, "the log");
    }

    fn a_watcher_inside_a_batch_receives_the_rest_unless_it_was_pruned(rig: &Rig) {
        const BATCH: usize = 1500;
        let rig = rig.with_own_history();
        let store = rig.open_with(short_log);
        let batch = write_batch(&store, BATCH);
        let watchers: Vec<Watcher> =
            (0..6).map(|_| store.watch_from(Pattern::all(), 0).unwrap()).collect();
        for watcher in &watchers {
            // The first event makes it read one page from the log.
            assert_eq!(next_event(watcher).revision, batch);
        }
        let (mut right_at_the_edge, mut compacted) = (0, 0);
        for (watcher, later) in watchers.iter().zip(1..) {
            write(&store, 1);
            rig.compact_up_to(1);
            let gone = BATCH + later - store.stats().unwrap().history_changes as usize;
            assert!(gone == BATCH || rig.promises.pruning_splits_commits, "{gone}");
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
                    assert_eq!(left, 0, "half a batch and no error");
                    event.unwrap()
                }
                Err(Error::Compacted { oldest }) => {
                    assert!(gone > PAGE, "Compacted, but it had read every pruned change");
                    assert_eq!((rig.commits_up_to(oldest), left), (1, BATCH - PAGE));
                    compacted += 1;
                    next_event(watcher)
                }
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(first_behind.revision, rig.after(batch));
            assert_eq!(events_now(watcher).len(), later - 1);
        }
        assert!(right_at_the_edge > 0 || !rig.promises.pruning_splits_commits, "{right_at_the_edge}");
        // On a cluster, a watcher that already holds the commit reads it to its end; the others get the
        // error.
        assert!(compacted > 0, "{compacted}");
    }

    fn a_client_that_resumes_from_its_last_revision_misses_and_repeats_nothing(rig: &Rig) {
        let mut store = rig.store();
        let (mut seen, mut received) = (Revision(0), Vec::new());
        for round in 0..12 {
            write(&store, round % 3);
            let other = rig.second_handle(&store);
            write_batch(&other, 5);
            let watcher = store.watch_from(Pattern::all(), seen).unwrap();
            write(&store, round % 2);
            for event in events_now(&watcher) {
                assert!(event.revision >= seen);
                seen = event.revision;
                received.push(event);
            }
            drop((watcher, other));
            if round % 4 == 3 {
                store = rig.reopen(store);
            }
        }
        assert_eq!(received, events_now(&store.watch_from(Pattern::all(), 0).unwrap()));
        let mut changes: BTreeMap<u64, usize> = BTreeMap::new();
        rig.numbers_of(&received).into_iter().for_each(|revision| *changes.entry(revision).or_default() += 1);
        assert!(changes.keys().copied().eq(1..=rig.number_of(store.revision().unwrap())), "a commit is missing");
        assert!(changes.values().all(|count| [1, 5].contains(count)), "an event came twice");
    }

    fn a_clock_set_back_affects_only_the_times_of_events(rig: &Rig) {
        let store = rig.store();
        let live = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&live), []);
        let begun = rig.clock.now();
        let mut times = Vec::new();
        for hours in [0, 5, 2, 0, 9, 1] {
            rig.clock.set(begun + Duration::from_secs(3600 * hours));
            times.push(rig.clock.now());
            store.set("g", "k", hours.to_string()).unwrap();
        }
        let received = events_now(&live);
        assert_eq!(rig.numbers_of(&received), [1, 2, 3, 4, 5, 6]);
        assert_eq!(received.iter().map(|event| event.at).collect::<Vec<_>>(), times);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "1");
        let store = rig.reopen(store);
        for after in 0..=6 {
            let from = store.watch_from(Pattern::all(), rig.revision(after)).unwrap();
            assert_eq!(events_now(&from), received[after as usize..]);
        }
        assert_eq!(store.history("g", "k").unwrap(), received);
        assert_eq!(store.set("g", "k", "v").unwrap(), rig.revision(7));
    }

    fn a_watcher_idle_during_very_many_writes_receives_them_all_in_order(rig: &Rig) {
        let store = rig.open_with(long_log);
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        // Even a tenth of it is many times what its mailbox holds.
        let writes = rig.repetitions(idle_writes()) as u64;
        write_then_receive(&store, &watcher, b"x", writes, |revision| rig.number_of(revision));
    }
}

/// This process's peak memory, on Linux.
fn peak_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// Runs in its own process, so that only its memory counts.
#[test]
fn events_for_an_idle_watcher_do_not_accumulate_in_memory() {
    const WRITTEN_BYTES: usize = 120_000_000;
    if let Some((path, _)) = child_task() {
        let store = long_log(Store::options()).open(path).unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        let before = peak_bytes();
        let value = vec![b'x'; WRITTEN_BYTES / idle_writes()];
        write_then_receive(&store, &watcher, &value, idle_writes() as u64, |revision| revision.0);
        let grown = peak_bytes().zip(before).map(|(after, before)| after - before);
        return print_line(grown.unwrap_or_default());
    }
    let folder = tempfile::tempdir().unwrap();
    let me = "events_for_an_idle_watcher_do_not_accumulate_in_memory";
    let mut process = Process::start(me, &folder.path().join("store.db"), "");
    let grown: usize = process.next_line().unwrap().parse().unwrap();
    process.finish();
    assert!(grown < WRITTEN_BYTES / 4, "{grown} bytes");
}
