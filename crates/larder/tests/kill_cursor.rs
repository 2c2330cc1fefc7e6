//! A consumer with a named cursor that is killed at any moment: over all its lives it misses nothing, and
//! what comes again is what it had not acknowledged. `LARDER_KILL_CYCLES=1000` kills it more often than the
//! 30 times of every day.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::path::Path;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;

use larder::{Event, Pattern, Revision, Store};
use outside::{Process, child_task, print_line};

const CURSOR: &str = "consumer";

/// What the consumer says once an acknowledgement has returned.
const ACKNOWLEDGED: &str = "acknowledged";

/// One way to consume.
#[derive(Clone, Copy)]
struct Way {
    /// Of the group `orders` alone, or of everything.
    one_group: bool,
    /// Through `AsyncCursor`.
    awaited: bool,
    /// It acknowledges each event of which the number, since it began, is a multiple of this.
    every: usize,
    /// It writes, too, so that acknowledgements and writes share commits.
    writes: bool,
}

const EACH: Way = Way { one_group: false, awaited: false, every: 1, writes: false };

impl Way {
    fn pattern(self) -> Pattern {
        if self.one_group { Pattern::group("orders") } else { Pattern::all() }
    }
}

/// An event in words, no two of which are the same: no commit of these tests makes two changes alike.
fn told(event: &Event) -> String {
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
            print_line(told(event));
            // Far fewer than it hears, so that there is an end to it.
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

/// How far a writer may go on.
#[derive(Default)]
struct Pace {
    leash: Mutex<Leash>,
    longer: Condvar,
}

#[derive(Default)]
struct Leash {
    /// The latest revision that any consumer has received of.
    received: u64,
    /// It waits where it is so far ahead of that.
    lead: u64,
    over: bool,
}

impl Pace {
    fn keep_ahead(&self, received: u64, lead: u64) {
        let mut leash = self.leash.lock().unwrap();
        leash.received = leash.received.max(received);
        leash.lead = lead;
        self.longer.notify_all();
    }

    /// Whether to write on, after waiting until that is known.
    fn go_on(&self, at: Revision) -> bool {
        let held = |leash: &mut Leash| !leash.over && at.0 >= leash.received + leash.lead;
        !self.longer.wait_while(self.leash.lock().unwrap(), held).unwrap().over
    }
}

/// Ends the writer when it is dropped, also where a test fails.
struct Ending<'a>(&'a Pace);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.leash.lock().unwrap().over = true;
        self.0.longer.notify_all();
    }
}

fn write_at(pace: &Pace, store: &Store) {
    for number in 1.. {
        if !pace.go_on(store.revision().unwrap()) {
            return;
        }
        write(store, number);
    }
}

/// Single sets, batches of several events, deletions of a group; now and then a batch of more events than
/// a consumer reads from the log at once, or has room for.
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

/// Kills a consumer of `test` again and again, each time at another moment, and holds what all of them said
/// against the change log.
fn kill_again_and_again(test: &str, way: Way, cycles: u64) {
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

    // The last one hears the rest.
    let log: Vec<String> =
        common::events_now(&store.watch_from(way.pattern(), 0).unwrap()).iter().map(told).collect();
    let mut process = Process::start(test, &path, "quiet");
    let mut rest: Vec<String> = Vec::new();
    while rest.iter().all(|line| line != log.last().unwrap()) {
        rest.push(process.next_line().expect("the consumer lives until it is killed"));
    }
    drop(process);
    lives.push(rest);
    assert_exact(&lives, &log, way);
    common::verify(&store);
}

/// What a consumer says until it is killed: so many lines later, at whatever it is just doing.
fn one_life(test: &str, path: &Path, pace: &Pace, cycle: u64) -> Vec<String> {
    // Some are far behind and read the log; some are told of each commit as it is made.
    let lead = if cycle.is_multiple_of(2) { 2 } else { 150 };
    pace.keep_ahead(0, lead);
    let mut process = Process::start(test, path, "");
    let mut said: Vec<String> = Vec::new();
    let note = |line: &str| {
        if line != ACKNOWLEDGED {
            pace.keep_ahead(line.split(' ').next().unwrap().parse().unwrap(), lead);
        }
    };
    for _ in 0..(cycle * 7) % 41 {
        let line = process.next_line().expect("the consumer lives until it is killed");
        note(&line);
        said.push(line);
    }
    for _ in 0..(cycle * 7919) % 20_000 {
        std::hint::spin_loop();
    }
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    let last_words = process.remaining_lines();
    last_words.iter().for_each(|line| note(line));
    said.extend(last_words);
    said
}

/// Each life goes on after what the one before had acknowledged, without a gap; where that one was killed
/// in the middle of an acknowledgement, that may or may not have counted.
fn assert_exact(lives: &[Vec<String>], log: &[String], way: Way) {
    let mut starts = vec![0];
    for (number, said) in lives.iter().enumerate() {
        let Some(first) = said.first() else { continue };
        let start = log.iter().position(|line| line == first).expect("what was received is in the log");
        assert!(starts.contains(&start), "life {number} began at {start}, not {starts:?}");
        let (mut next, mut acknowledged) = (start, start);
        for line in said {
            if line == ACKNOWLEDGED {
                acknowledged = next;
            } else {
                assert_eq!(*line, log[next], "life {number}, nothing left out and all in order");
                next += 1;
            }
        }
        starts = vec![acknowledged];
        if (next - start).is_multiple_of(way.every) {
            starts.push(next);
        }
    }
    let last = lives.last().unwrap();
    assert!(last.contains(log.last().unwrap()), "the last life received the end");
}

/// The one side of each test, or the other.
fn run(test: &str, way: Way) {
    match child_task() {
        Some((path, words)) => {
            consume_until_killed(&path, Way { writes: way.writes && words.is_empty(), ..way });
        }
        None => {
            let cycles = std::env::var("LARDER_KILL_CYCLES").map_or(30, |cycles| cycles.parse().unwrap());
            kill_again_and_again(test, way, cycles);
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
