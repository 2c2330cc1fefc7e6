//! A writer killed at any moment loses no acknowledged write and leaves no half of a commit.
//! `LARDER_KILL_CYCLES=1000` kills it 1,000 times instead of 50.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;
#[path = "../../larder-torture/src/outside/write.rs"]
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use larder::{Durability, ManualClock, Pattern, Quota, Revision, Store};
use outside::{Process, child_task, print_line};
use write::write;

/// How many threads of the killed process write.
const THREADS: u64 = 3;

/// Opens the file that the killed process left. The clock stands still, so nothing expires during the count.
fn open(path: &Path) -> Store {
    let clock = ManualClock::at(SystemTime::now());
    // A short history, so that kills also interrupt pruning.
    Store::options().history(2_000, 1 << 20).clock(clock).open(path).unwrap()
}

/// Writes until it is killed, and prints each acknowledged write: thread, number, revision.
fn write_until_killed(path: &Path, durability: Durability) {
    let store = Store::options().history(2_000, 1 << 20).durability(durability).open(path).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let own = format!("tenant-{thread}:numbers");
                let last = store.get(&own, "last").unwrap().map_or(0, |value| value.parse::<u64>().unwrap());
                for number in last + 1.. {
                    write(store, thread, number).unwrap();
                    let revision = store.entry(&own, "last").unwrap().unwrap().revision;
                    print_line(format!("{thread} {number} {revision}"));
                }
            });
        }
    });
}

/// Kills a writer of `test` repeatedly, at a different moment each time, and checks the file after each.
fn kill_repeatedly(test: &str, cycles: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    store.set_quota("tenant-0", Quota { max_keys: Some(5), ..Quota::default() }).unwrap();
    drop(store);
    let mut before = Revision(0);
    for cycle in 0..cycles {
        let mut process = Process::start(test, &path, "");
        // Kill it after some acknowledged writes and a short delay, whatever it is doing then.
        let mut acknowledged_writes = BTreeMap::new();
        let mut note = |line: String| {
            let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            acknowledged_writes.insert(words[0], (words[1], Revision(words[2])));
        };
        for _ in 0..=(cycle * 7) % 40 {
            note(process.next_line().expect("the writer runs until it is killed"));
        }
        for _ in 0..(cycle * 7919) % 5000 {
            std::hint::spin_loop();
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        // The last line may be cut off.
        process.remaining_lines().into_iter().filter(|line| line.split(' ').count() == 3).for_each(&mut note);
        before = assert_nothing_lost(&path, &acknowledged_writes, before);
    }
}

fn assert_nothing_lost(
    path: &Path,
    acknowledged_writes: &BTreeMap<u64, (u64, Revision)>,
    before: Revision,
) -> Revision {
    let store = open(path);
    assert_eq!(store.check().unwrap(), []);
    common::verify(&store);
    let revision = store.revision().unwrap();
    let mut sum = 0;
    for thread in 0..THREADS {
        let last = store.get(format!("tenant-{thread}:numbers"), "last").unwrap();
        let last: u64 = last.map_or(0, |value| value.parse().unwrap());
        sum += last;
        let Some((number, acknowledged)) = acknowledged_writes.get(&thread) else { continue };
        // The write after the last acknowledged one may or may not have committed.
        assert!(last == *number || last == number + 1, "acknowledged {number}, found {last}");
        assert!(*acknowledged <= revision);
    }
    let all = store.get("sum", "all").unwrap().map_or(0, |value| value.parse().unwrap());
    assert_eq!(all, sum, "half of a commit took effect");
    // The log ends at the store's revision and has every revision since the last check.
    let from = store.stats().unwrap().history_from.max(before);
    let watcher = store.watch_from(Pattern::all(), from).unwrap();
    let mut revisions: Vec<u64> = common::events_now(&watcher).iter().map(|event| event.revision.0).collect();
    revisions.dedup();
    assert!(revisions.iter().copied().take((revision.0 - from.0) as usize).eq(from.0 + 1..=revision.0));
    assert_eq!(store.scoped("tenant-0").unwrap().quota().unwrap().max_keys, Some(5));
    store.revision().unwrap()
}

fn cycles(by_default: u64) -> u64 {
    std::env::var("LARDER_KILL_CYCLES").map_or(by_default, |cycles| cycles.parse().unwrap())
}

#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    if let Some((path, _)) = child_task() {
        return write_until_killed(&path, Durability::Full);
    }
    kill_repeatedly("a_killed_writer_loses_nothing_that_was_acknowledged", cycles(50));
}

#[test]
fn a_killed_relaxed_writer_loses_nothing_while_the_machine_runs() {
    if let Some((path, _)) = child_task() {
        return write_until_killed(&path, Durability::Relaxed);
    }
    let me = "a_killed_relaxed_writer_loses_nothing_while_the_machine_runs";
    kill_repeatedly(me, cycles(50) / 5);
}
