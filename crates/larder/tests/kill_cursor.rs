//! A consumer with a named cursor, killed at any moment: over all its lives it misses no event, and receives
//! again only events that it had not acknowledged. `LARDER_KILL_CYCLES=1000` kills it 1,000 times instead of
//! 30.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::path::Path;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;

use larder::{Event, Pattern, Revision, Store};
use outside::{Process, child_task, print_line};

const CURSOR: &str = "consumer";

/// What the consumer prints once an acknowledgement has returned.
const ACKNOWLEDGED: &str = "acknowledged";

/// One way to consume.
#[derive(Clone, Copy)]
struct Way {
    /// It watches only the group `orders`.
    one_group: bool,
    /// It uses `AsyncCursor`.
    awaited: bool,
    /// It acknowledges every nth event.
    every: usize,
    /// It also writes, so that acknowledgements and writes share commits.
    writes: bool,
}

const EACH: Way = Way { one_group: false, awaited: false, every: 1, writes: false };

impl Way {
    fn pattern(self) -> Pattern {
        if self.one_group { Pattern::group("orders") } else { Pattern::all() }
    }
}

/// An event as text. All texts differ, because no commit of these tests makes the same change twice.
fn describe(event: &Event) -> String {
    let key = event.key.as_deref().unwrap_or("-");
    let value = event.value.as_ref().map_or("-", |value| value.as_str().unwrap());
    format!("{} {} {} {key} {value}", event.revision, event.kind.as_str(), event.group)
}

fn consume_until_killed(path: &Path, way: Way) {
    let store = Store::open(path).unwrap();
    let (wishes, wished) = mpsc::channel::<usize>();
    thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            for number in wished {
                store.set("own", (number % 5).to_string(), number.to_string()).unwrap();
            }
        });
        let take = |count: usize, event: &Event| {
            print_line(describe(event));
            // Far fewer writes than events received, so that the consumer can catch up.
            if way.writes && count.is_multiple_of(6) && event.group != "own" {
                wishes.send(count).unwrap();
            }
            count.is_multiple_of(way.every)
        };
        if way.awaited { consume_awaited(store, way, take) } else { consume(store, way, take) }
    });
}

fn consume(store: &Store, way: Way, take: impl Fn(usize, &Event) -> bool) {
    let cursor = store.cursor_on(CURSOR, way.pattern()).unwrap();
    for count in 1.. {
        let event = cursor.recv().unwrap();
        if take(count, &event) {
            cursor.ack(&event).unwrap();
            print_line(ACKNOWLEDGED);
        }
    }
}

fn consume_awaited(store: &Store, way: Way, take: impl Fn(usize, &Event) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut cursor = store.clone().into_async().cursor_on(CURSOR, way.pattern()).await.unwrap();
        for count in 1.. {
            let event = cursor.recv().await.unwrap();
            if take(count, &event) {
                cursor.ack(&event).await.unwrap();
                print_line(ACKNOWLEDGED);
            }
        }
    });
}

/// Keeps the writer from running too far ahead of the consumer.
#[derive(Default)]
struct Pace {
    limit: Mutex<Limit>,
    raised: Condvar,
}

#[derive(Default)]
struct Limit {
    /// The latest revision that any consumer has received.
    received: u64,
    /// The writer waits when it is this many revisions ahead.
    lead: u64,
    over: bool,
}

impl Pace {
    fn keep_ahead(&self, received: u64, lead: u64) {
        let mut limit = self.limit.lock().unwrap();
        limit.received = limit.received.max(received);
        limit.lead = lead;
        self.raised.notify_all();
    }

    /// Waits until the writer may continue; false once the test is over.
    fn may_go_on(&self, at: Revision) -> bool {
        let held = |limit: &mut Limit| !limit.over && at.0 >= limit.received + limit.lead;
        !self.raised.wait_while(self.limit.lock().unwrap(), held).unwrap().over
    }
}

/// Ends the writer when dropped, even if the test fails.
struct Ending<'a>(&'a Pace);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.limit.lock().unwrap().over = true;
        self.0.raised.notify_all();
    }
}

fn write_at(pace: &Pace, store: &Store) {
    for number in 1.. {
        if !pace.may_go_on(store.revision().unwrap()) {
            return;
        }
        write(store, number);
    }
}

/// Single sets, small batches and deletions of a group. Now and then a batch with more events than a consumer
/// reads from the log at once, or than its mailbox holds.
fn write(store: &Store, number: u64) {
    let key = (number % 7).to_string();
    let text = |part: u64| format!("{number}-{part}");
    match number % 8 {
        _ if number % 200 == 40 => {
            let batch = (0..600).fold(store.batch(), |batch, part| {
                batch.set("orders", format!("part-{part}"), text(part)).set("other", "count", text(part))
            });
            batch.commit().unwrap();
        }
        0 | 4 => {
            let batch = store.batch().set("orders", &key, text(0)).set("other", &key, text(1));
            batch
                .set("orders", &key, text(2))
                .delete("other", &key)
                .set("orders", "last", text(3))
                .commit()
                .unwrap();
        }
        3 => drop(store.delete_group("orders").unwrap()),
        5 => {
            let batch = store.batch().set("orders", &key, text(0)).delete_group("orders");
            batch.set("orders", "last", text(1)).commit().unwrap();
        }
        6 => drop(store.set("other", &key, text(0)).unwrap()),
        _ => drop(store.set("orders", &key, text(0)).unwrap()),
    }
}

/// Kills a consumer of `test` repeatedly, at a different moment each time, and compares what all of them
/// printed with the change log.
fn kill_repeatedly(test: &str, way: Way, cycles: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    drop(store.cursor(CURSOR).unwrap());
    let pace = Pace::default();
    let mut lives: Vec<Vec<String>> = thread::scope(|scope| {
        scope.spawn(|| write_at(&pace, &store));
        let _ending = Ending(&pace);
        (0..cycles).map(|cycle| one_life(test, &path, &pace, cycle)).collect()
    });

    // The last consumer receives the rest.
    let log: Vec<String> =
        common::events_now(&store.watch_from(way.pattern(), 0).unwrap()).iter().map(describe).collect();
    let mut process = Process::start(test, &path, "quiet");
    let mut rest: Vec<String> = Vec::new();
    while rest.iter().all(|line| line != log.last().unwrap()) {
        rest.push(process.next_line().expect("the consumer runs until it is killed"));
    }
    drop(process);
    lives.push(rest);
    assert_exact(&lives, &log, way);
    common::verify(&store);
}

/// The lines of one consumer, which is killed after some lines and a short delay, whatever it is doing then.
fn one_life(test: &str, path: &Path, pace: &Pace, cycle: u64) -> Vec<String> {
    // Half of them lag far behind and read the log; the others receive each commit live.
    let lead = if cycle.is_multiple_of(2) { 2 } else { 150 };
    pace.keep_ahead(0, lead);
    let mut process = Process::start(test, path, "");
    let mut printed: Vec<String> = Vec::new();
    let note = |line: &str| {
        if line != ACKNOWLEDGED {
            pace.keep_ahead(line.split(' ').next().unwrap().parse().unwrap(), lead);
        }
    };
    for _ in 0..(cycle * 7) % 41 {
        let line = process.next_line().expect("the consumer runs until it is killed");
        note(&line);
        printed.push(line);
    }
    for _ in 0..(cycle * 7919) % 20_000 {
        std::hint::spin_loop();
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let last_lines = process.remaining_lines();
    last_lines.iter().for_each(|line| note(line));
    printed.extend(last_lines);
    printed
}

/// Checks that each consumer resumes without a gap after the last acknowledged event. An acknowledgement
/// interrupted by the kill may or may not have counted.
fn assert_exact(lives: &[Vec<String>], log: &[String], way: Way) {
    let mut starts = vec![0];
    for (number, printed) in lives.iter().enumerate() {
        let Some(first) = printed.first() else { continue };
        let start = log.iter().position(|line| line == first).expect("a received event that is in the log");
        assert!(starts.contains(&start), "life {number} began at {start}, not {starts:?}");
        let (mut next, mut acknowledged) = (start, start);
        for line in printed {
            if line == ACKNOWLEDGED {
                acknowledged = next;
            } else {
                assert_eq!(*line, log[next], "life {number}: an event is missing or out of order");
                next += 1;
            }
        }
        starts = vec![acknowledged];
        if (next - start).is_multiple_of(way.every) {
            starts.push(next);
        }
    }
    let last = lives.last().unwrap();
    assert!(last.contains(log.last().unwrap()), "the last consumer did not receive the last event");
}

/// Runs the parent or the child side of each test.
fn run(test: &str, way: Way) {
    match child_task() {
        Some((path, words)) => {
            consume_until_killed(&path, Way { writes: way.writes && words.is_empty(), ..way });
        }
        None => {
            let cycles = std::env::var("LARDER_KILL_CYCLES").map_or(30, |cycles| cycles.parse().unwrap());
            kill_repeatedly(test, way, cycles);
        }
    }
}

#[test]
fn a_killed_consumer_misses_nothing_and_receives_again_only_unacknowledged_events() {
    run("a_killed_consumer_misses_nothing_and_receives_again_only_unacknowledged_events", EACH);
}

#[test]
fn a_killed_consumer_of_one_group_resumes_exactly() {
    run("a_killed_consumer_of_one_group_resumes_exactly", Way { one_group: true, ..EACH });
}

#[test]
fn a_killed_consumer_that_also_writes_and_acknowledges_rarely_resumes_exactly() {
    let test = "a_killed_consumer_that_also_writes_and_acknowledges_rarely_resumes_exactly";
    run(test, Way { every: 4, writes: true, ..EACH });
}

#[test]
fn a_killed_async_consumer_resumes_exactly() {
    run("a_killed_async_consumer_resumes_exactly", Way { awaited: true, ..EACH });
}
