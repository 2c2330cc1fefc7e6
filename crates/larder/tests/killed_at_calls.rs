//! A process that is killed at any system call while it upgrades a file, or moves changes between histories: the file
//! is whole, no acknowledged change is lost, and every cursor gets all.
//!
//! Each call takes a process of its own. Every eleventh one is tried; `LARDER_KILL_EVERY=1` tries each.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod common;
mod outside;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use calls::{Traced, killed_at, marked};
use larder::{Durability, Error, Event, History, HistoryInfo, ManualClock, Pattern, Revision, Store};
use outside::{child_task, print_line, sqlite};

/// A page of changes that moves at once, and some more.
const SESSIONS: u64 = 1100;

fn every() -> u64 {
    std::env::var("LARDER_KILL_EVERY").map_or(11, |every| every.parse().unwrap())
}

fn open(path: &Path) -> larder::Result<Store> {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(3600));
    let options =
        Store::options().clock(clock).expiry_timer(false).cache_bytes(0).durability(Durability::Relaxed);
    options.history(100_000, 64 << 20).open(path)
}

/// Kills a process at one call after another, until it ends before that call. Returns how often it was killed.
fn kill_at_each(test: &str, prepared: &Path, check: impl Fn(&Path, Traced)) -> u64 {
    let mut kills = 0;
    for number in (kills..).step_by(every().try_into().unwrap()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        fs::copy(prepared, &path).unwrap();
        let traced = killed_at(test, &path, "", number);
        let is_killed = traced.is_killed;
        check(&path, traced);
        if !is_killed {
            return kills;
        }
        kills += 1;
    }
    kills
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/versions").join(name)
}

/// What a store must have after each step: its log, its histories, and what its cursors get.
#[derive(Debug, PartialEq)]
struct State {
    revision: Revision,
    events: Result<Vec<Event>, Revision>,
    histories: Vec<HistoryInfo>,
    cursors: Vec<(String, Result<Vec<Event>, Revision>)>,
}

/// What a watcher or a cursor gets now, or the first revision of which it was told.
fn received(mut next: impl FnMut() -> larder::Result<Option<Event>>) -> Result<Vec<Event>, Revision> {
    let mut events = Vec::new();
    loop {
        match next() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return Ok(events),
            Err(Error::Compacted { oldest }) => return Err(oldest),
            // The file is a copy.
            Err(Error::Restored { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn state(store: &Store) -> State {
    common::verify(store);
    let events = match store.watch_from(Pattern::all(), 0) {
        Ok(watcher) => received(|| watcher.try_recv()),
        Err(Error::Compacted { oldest }) => Err(oldest),
        Err(error) => panic!("{error:?}"),
    };
    let cursors = store.cursors().unwrap().into_iter().map(|info| {
        let cursor = match info.name.split_once(':') {
            None => store.cursor_on(&info.name, info.pattern).unwrap(),
            Some((namespace, name)) => store.scoped(namespace).unwrap().cursor(name).unwrap(),
        };
        (info.name, received(|| cursor.try_recv()))
    });
    let cursors = cursors.collect();
    let histories = store.histories().unwrap();
    State { revision: store.revision().unwrap(), events, histories, cursors }
}

#[test]
fn an_upgrade_that_is_killed_at_any_call_loses_nothing() {
    let test = "an_upgrade_that_is_killed_at_any_call_loses_nothing";
    if let Some((path, _)) = child_task() {
        marked(|| open(&path).unwrap().close().unwrap());
        return;
    }
    for name in ["version-1.db", "version-1-without-cursors.db"] {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.db");
        fs::copy(fixture(name), &whole).unwrap();
        let expected = state(&open(&whole).unwrap());
        let kills = kill_at_each(test, &fixture(name), |path, traced| {
            // Whatever the file is now, it can be read before anybody mends it, and then written.
            let reader = Store::options().read_only(true).open(path).unwrap();
            assert_eq!(reader.revision().unwrap(), expected.revision);
            common::verify(&reader);
            reader.close().unwrap();
            let store = open(path).unwrap();
            assert_eq!(state(&store), expected, "{name}, {traced:?}");
            store.set("after", "the", "upgrade").unwrap();
            common::verify(&store);
            store.close().unwrap();
            assert_eq!(outside::names(path.parent().unwrap()), ["store.db"]);
            let version: i64 =
                sqlite(path).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert!(version > 1);
        });
        println!("{name}: killed {kills} times");
        assert!(kills * every() >= 50, "{name}: killed {kills} times");
    }
}

/// What is done to the histories, with a write after each, so that there is always one that was acknowledged.
const STEPS: [fn(&Store); 8] = [
    |store| store.set_history("session:", History { changes: 2000, ..History::default() }).unwrap(),
    |store| _ = store.set("orders", "between", "a book").unwrap(),
    |store| store.set_history("session:7", History::default()).unwrap(),
    |store| _ = store.set("session:7", "page", "last").unwrap(),
    |store| assert!(store.remove_history("session:").unwrap()),
    |store| store.set_history("session:8", History::NONE).unwrap(),
    |store| assert!(store.remove_history("session:7").unwrap()),
    |store| store.set_history("", History { changes: 900_000, ..History::default() }).unwrap(),
];

#[test]
fn moving_changes_between_histories_that_is_killed_at_any_call_happens_as_a_whole_or_not_at_all() {
    let test = "moving_changes_between_histories_that_is_killed_at_any_call_happens_as_a_whole_or_not_at_all";
    if let Some((path, _)) = child_task() {
        let store = open(&path).unwrap();
        marked(|| {
            for (step, number) in STEPS.iter().zip(1..) {
                step(&store);
                print_line(number);
            }
            store.close().unwrap();
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let prepared = folder.path().join("prepared.db");
    let store = open(&prepared).unwrap();
    drop(store.cursor_on("mailer", ("orders", "*")).unwrap());
    drop(store.cursor("indexer").unwrap());
    for number in 0..SESSIONS {
        store.set(format!("session:{}", 7 + number % 2), "page", number.to_string()).unwrap();
        if number % 100 == 0 {
            store.set("orders", number.to_string(), "a pen").unwrap();
        }
    }
    store.close().unwrap();
    let whole = folder.path().join("whole.db");
    fs::copy(&prepared, &whole).unwrap();
    let store = open(&whole).unwrap();
    let mut expected = vec![state(&store)];
    for step in STEPS {
        step(&store);
        expected.push(state(&store));
    }
    assert!(expected[5].events.is_ok() && expected[6].events.is_err(), "only then are changes lost");
    let mut reached = [false; STEPS.len() + 1];
    let kills = {
        let reached = std::cell::RefCell::new(&mut reached);
        kill_at_each(test, &prepared, |path, traced| {
            let done = traced.lines.last().map_or(0, |line| line.parse::<usize>().unwrap());
            let found = state(&open(path).unwrap());
            let next = expected.get(done + 1);
            let at = if found == expected[done] { done } else { done + 1 };
            assert!(
                at == done || Some(&found) == next,
                "{done} steps were acknowledged: {traced:?}\n{:#?}",
                found.histories
            );
            reached.borrow_mut()[at] = true;
        })
    };
    println!("killed {kills} times");
    // Some steps take fewer calls than are between two kills.
    let states = reached.into_iter().filter(|reached| *reached).count();
    assert!(reached[0] && states > STEPS.len() / 2, "killed {kills} times, in {reached:?}");
}
