//! Several processes on one file: they keep every promise that threads of one process keep.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::path::{Path, PathBuf};
use std::time::Duration;

use larder::{Condition, Error, Pattern, Quota, Revision, Store};
use outside::{Process, child_task, print_line, read_line, sqlite};
use tempfile::TempDir;

/// The path of a new store, in a folder that is deleted at the end.
fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

/// Starts `count` processes of one test, and lets them go at the same time.
fn start(test: &str, path: &Path, count: usize) -> Vec<Process> {
    let mut processes: Vec<Process> =
        (0..count).map(|n| Process::start(test, path, &n.to_string())).collect();
    for process in &mut processes {
        assert_eq!(process.next_line().as_deref(), Some("ready"));
    }
    processes.iter_mut().for_each(|process| process.send_line("go"));
    processes
}

/// The child's side of [`start`].
fn wait_for_go() {
    print_line("ready");
    assert_eq!(read_line(), "go");
}

fn increment_often(store: &Store) {
    for _ in 0..40 {
        store.increment("stats", "visits", 1).unwrap();
    }
}

fn set_often(store: &Store, group: &str) {
    for number in 0..30 {
        store.set(group, number.to_string(), "v").unwrap();
    }
}

#[test]
fn increments_of_several_processes_add_up() {
    if let Some((path, _)) = child_task() {
        wait_for_go();
        let store = Store::open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| increment_often(&store));
            }
        });
        return;
    }
    let (_folder, path) = new_path();
    let processes = start("increments_of_several_processes_add_up", &path, 4);
    let store = Store::open(&path).unwrap();
    increment_often(&store);
    processes.into_iter().for_each(Process::finish);
    assert_eq!(store.get("stats", "visits").unwrap().unwrap(), "520");
    assert_eq!(store.revision().unwrap(), Revision(520));
    common::verify(&store);
}

#[test]
fn every_write_acknowledged_in_any_process_is_in_the_log_under_its_revision() {
    if let Some((path, words)) = child_task() {
        wait_for_go();
        let store = Store::open(&path).unwrap();
        for number in 0..60 {
            let revision = match number % 3 {
                0 => store.set(format!("g{}", words[0]), number.to_string(), "v").unwrap(),
                1 => {
                    let batch = store.batch().set("shared", "last", words[0].as_str());
                    batch.set(format!("g{}", words[0]), number.to_string(), "v").commit().unwrap()
                }
                _ => {
                    let group = format!("g{}", words[0]);
                    store.transaction(|tx| tx.set(&group, number.to_string(), "v")).unwrap();
                    store.entry(&group, number.to_string()).unwrap().unwrap().revision
                }
            };
            print_line(format!("{number} {revision}"));
        }
        return;
    }
    let (_folder, path) = new_path();
    let test = "every_write_acknowledged_in_any_process_is_in_the_log_under_its_revision";
    let mut processes = start(test, &path, 3);
    let printed: Vec<Vec<String>> = processes.iter_mut().map(Process::remaining_lines).collect();
    processes.into_iter().for_each(Process::finish);
    let store = Store::open(&path).unwrap();
    let mut revisions = Vec::new();
    for (process, lines) in printed.iter().enumerate() {
        assert_eq!(lines.len(), 60);
        for line in lines {
            let (number, revision) = line.split_once(' ').unwrap();
            let entry = store.entry(format!("g{process}"), number).unwrap().unwrap();
            assert_eq!(entry.revision.to_string(), revision);
            revisions.push(entry.revision.0);
        }
    }
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(1..=180), "a revision is missing or was given twice");
    let mut log: Vec<u64> = common::events_now(&store.watch_from(Pattern::all(), 0).unwrap())
        .iter()
        .map(|event| event.revision.0)
        .collect();
    log.dedup();
    assert!(log.into_iter().eq(1..=180));
    common::verify(&store);
}

#[test]
fn a_quota_is_exact_across_processes() {
    if let Some((path, words)) = child_task() {
        wait_for_go();
        let tenant = Store::open(&path).unwrap().scoped("tenant-42").unwrap();
        let accepted =
            (0..60).filter(|number| match tenant.set("g", format!("{} {number}", words[0]), "v") {
                Ok(_) => true,
                Err(Error::QuotaExceeded { .. }) => false,
                Err(error) => panic!("{error:?}"),
            });
        return print_line(accepted.count());
    }
    let (_folder, path) = new_path();
    let store = Store::open(&path).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    store.set_quota("tenant-42", Quota { max_keys: Some(100), ..Quota::default() }).unwrap();
    let mut processes = start("a_quota_is_exact_across_processes", &path, 3);
    let accepted: u64 =
        processes.iter_mut().map(|process| process.next_line().unwrap().parse::<u64>().unwrap()).sum();
    processes.into_iter().for_each(Process::finish);
    assert_eq!((accepted, tenant.usage().unwrap().keys), (100, 100));
    common::verify(&store);
}

#[test]
fn a_lock_key_is_held_by_one_process_at_a_time() {
    if let Some((path, words)) = child_task() {
        wait_for_go();
        let store = Store::open(&path).unwrap();
        for _ in 0..15 {
            let revision = loop {
                match store.set_if("lock", "job", Condition::Absent, words[0].as_str()) {
                    Ok(revision) => break revision,
                    Err(Error::Conflict { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            };
            // Not with `increment`, so that only the lock keeps other processes from writing in between.
            let n: u64 = store.get("guarded", "n").unwrap().map_or(0, |value| value.parse().unwrap());
            store.set("guarded", "n", (n + 1).to_string()).unwrap();
            assert!(store.delete_if("lock", "job", Condition::Revision(revision)).unwrap());
        }
        return;
    }
    let (_folder, path) = new_path();
    start("a_lock_key_is_held_by_one_process_at_a_time", &path, 3).into_iter().for_each(Process::finish);
    assert_eq!(Store::open(&path).unwrap().get("guarded", "n").unwrap().unwrap(), "45");
}

#[test]
fn a_write_acknowledged_in_one_process_is_visible_in_another_at_once() {
    if let Some((path, _)) = child_task() {
        let store = Store::open(&path).unwrap();
        print_line("ready");
        loop {
            match read_line().as_str() {
                "" => return,
                number => {
                    store.set("g", "k", number).unwrap();
                    print_line("done");
                }
            }
        }
    }
    let (_folder, path) = new_path();
    let store = Store::open(&path).unwrap();
    let mut process =
        Process::start("a_write_acknowledged_in_one_process_is_visible_in_another_at_once", &path, "");
    assert_eq!(process.next_line().unwrap(), "ready");
    for number in 1..=100 {
        process.send_line(&number.to_string());
        assert_eq!(process.next_line().unwrap(), "done");
        assert_eq!(store.get("g", "k").unwrap().unwrap(), number.to_string());
        assert_eq!(store.revision().unwrap(), Revision(number));
        assert_eq!(store.history("g", "k").unwrap().len() as u64, number);
    }
    process.finish();
}

#[test]
fn a_lock_released_in_time_causes_no_error() {
    if let Some((path, _)) = child_task() {
        let connection = sqlite(&path);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        print_line("locked");
        // Waits until the parent has begun to write, and then a little longer.
        read_line();
        std::thread::park_timeout(Duration::from_millis(100));
        return connection.execute_batch("COMMIT").unwrap();
    }
    let (_folder, path) = new_path();
    let store = Store::open(&path).unwrap();
    let test = "a_lock_released_in_time_causes_no_error";
    let mut process = Process::start(test, &path, "");
    assert_eq!(process.next_line().unwrap(), "locked");
    process.send_line("writing");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || match writer % 3 {
                0 => drop(store.set("g", writer.to_string(), "v").unwrap()),
                1 => store.transaction(|tx| tx.set("g", writer.to_string(), "v")).unwrap(),
                _ => drop(store.batch().set("g", writer.to_string(), "v").commit().unwrap()),
            });
        }
        // Readers do not wait at all.
        assert!(store.count("g").unwrap() <= 8);
    });
    process.finish();
    assert_eq!(store.count("g").unwrap(), 8);
}

#[test]
fn past_the_timeout_the_error_names_the_process_that_holds_the_lock() {
    if let Some((path, _)) = child_task() {
        let connection = sqlite(&path);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        print_line("locked");
        read_line();
        return connection.execute_batch("ROLLBACK").unwrap();
    }
    let (_folder, path) = new_path();
    let store = Store::options().timeout(Duration::from_millis(30)).open(&path).unwrap();
    store.set("g", "k", "before").unwrap();
    let test = "past_the_timeout_the_error_names_the_process_that_holds_the_lock";
    let mut process = Process::start(test, &path, "");
    assert_eq!(process.next_line().unwrap(), "locked");
    let holder = process.child.id();
    for result in [
        store.set("g", "k", "v").map(drop),
        store.transaction(|tx| tx.set("g", "k", "v")),
        store.batch().set("g", "k", "v").commit().map(drop),
        store.purge_expired().map(drop),
    ] {
        let error = result.unwrap_err();
        let Error::Busy { waited, holder: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*waited, Duration::from_millis(30));
        let message = error.to_string();
        assert!(message.contains("held the lock"), "{message}");
        let advice = error.advice().unwrap();
        assert!(advice.starts_with("Try again, raise `timeout`, or end "), "{advice}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        if cfg!(target_os = "linux") {
            assert_eq!(*found, Some(holder));
            assert!(message.contains(&format!("process {holder}")), "{message}");
            assert!(advice.ends_with(&format!("process {holder}.")), "{advice}");
        }
    }
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "before", "a reader waits for the lock");
    process.send_line("let go");
    process.finish();
    store.set("g", "k", "afterwards").unwrap();
    assert_eq!(store.revision().unwrap(), Revision(2), "the refused write took a revision");
}

#[test]
fn a_watcher_receives_other_processes_writes_in_commit_order() {
    if let Some((path, _)) = child_task() {
        wait_for_go();
        let store = Store::open(&path).unwrap();
        return set_often(&store, "others");
    }
    let (_folder, path) = new_path();
    let store = Store::open(&path).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    assert_eq!(common::events_now(&watcher), []);
    let processes = start("a_watcher_receives_other_processes_writes_in_commit_order", &path, 2);
    set_often(&store, "own");
    processes.into_iter().for_each(Process::finish);
    // A commit through its own store brings every earlier event with it.
    assert_eq!(store.set("own", "last", "v").unwrap(), Revision(91));
    let received: Vec<u64> = (1..=91).map(|_| common::next_event(&watcher).revision.0).collect();
    assert!(received.into_iter().eq(1..=91));
}

#[test]
fn a_watcher_receives_other_processes_writes_while_its_own_writes_nothing() {
    if let Some((path, words)) = child_task() {
        wait_for_go();
        let store = Store::open(&path).unwrap();
        for number in 0..20 {
            store.set("others", format!("{} {number}", words[0]), "v").unwrap();
            // One at a time, so that each wakes the watcher.
            assert_eq!(read_line(), "on");
        }
        return;
    }
    let (_folder, path) = new_path();
    let store = Store::open(&path).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    let test = "a_watcher_receives_other_processes_writes_while_its_own_writes_nothing";
    let mut processes = start(test, &path, 2);
    for round in 1..=20 {
        for half in [2 * round - 1, 2 * round] {
            assert_eq!(common::next_event(&watcher).revision, Revision(half));
        }
        processes.iter_mut().for_each(|process| process.send_line("on"));
    }
    processes.into_iter().for_each(Process::finish);
    assert_eq!(common::events_now(&watcher), []);
}

#[test]
fn watchers_in_every_process_receive_the_same_complete_feed_in_order() {
    const PROCESSES: usize = 4;
    if let Some((path, words)) = child_task() {
        let store = Store::open(&path).unwrap();
        let watcher = store.watch_from(Pattern::all(), 0).unwrap();
        wait_for_go();
        let rounds: u64 = words[1].parse().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..rounds {
                    if number % 5 == 0 {
                        let batch = store.batch().set("batch", words[0].as_str(), number.to_string());
                        batch.increment("sum", "all", 1).commit().unwrap();
                    } else {
                        store.set(format!("group-{}", words[0]), number.to_string(), "v").unwrap();
                    }
                }
            });
            for _ in 0..rounds * PROCESSES as u64 {
                let mut event = common::next_event(&watcher);
                let mut line = format!("{} {} {:?}", event.revision, event.group, event.key);
                if event.group == "batch" {
                    event = common::next_event(&watcher);
                    line += &format!(" {} {} {:?}", event.revision, event.group, event.key);
                }
                print_line(line);
            }
        });
        assert_eq!(common::events_now(&watcher), []);
        return;
    }
    let rounds: usize = std::env::var("LARDER_FEED_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let (_folder, path) = new_path();
    drop(Store::open(&path).unwrap());
    let test = "watchers_in_every_process_receive_the_same_complete_feed_in_order";
    let mut processes: Vec<Process> =
        (0..PROCESSES).map(|number| Process::start(test, &path, &format!("{number} {rounds}"))).collect();
    for process in &mut processes {
        assert_eq!(process.next_line().as_deref(), Some("ready"));
    }
    processes.iter_mut().for_each(|process| process.send_line("go"));
    let received: Vec<Vec<String>> = std::thread::scope(|scope| {
        let receivers: Vec<_> =
            processes.iter_mut().map(|process| scope.spawn(|| process.remaining_lines())).collect();
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).collect()
    });
    processes.into_iter().for_each(Process::finish);
    assert_eq!(received[0].len(), PROCESSES * rounds);
    for (revision, line) in (1..).zip(&received[0]) {
        assert!(line.starts_with(&format!("{revision} ")), "{line} instead of {revision}");
    }
    for other in &received[1..] {
        assert_eq!(*other, received[0]);
    }
}

#[test]
fn an_entry_expires_once_whichever_process_gets_there_first() {
    if let Some((path, _)) = child_task() {
        wait_for_go();
        let store = Store::options().expiry_timer(false).open(&path).unwrap();
        return print_line(store.purge_expired().unwrap());
    }
    let (_folder, path) = new_path();
    let store = Store::options().expiry_timer(false).open(&path).unwrap();
    for number in 0..50 {
        let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1);
        store.set_until("session", number.to_string(), "v", Some(long_ago)).unwrap();
    }
    let mut processes = start("an_entry_expires_once_whichever_process_gets_there_first", &path, 3);
    let purged: u64 =
        processes.iter_mut().map(|process| process.next_line().unwrap().parse::<u64>().unwrap()).sum();
    processes.into_iter().for_each(Process::finish);
    assert_eq!(purged, 50);
    let log = common::events_now(&store.watch_from(Pattern::all(), 50).unwrap());
    assert_eq!(log.len(), 50);
    common::verify(&store);
}
