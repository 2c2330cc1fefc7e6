//! Groups without a history, seen from another process: caches stay right, whoever watches is told, and nothing is
//! stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::path::Path;

use larder::{Durability, Error, History, Pattern, Revision, Store, Watcher};
use outside::{Process, child_task, print_line, read_line, sqlite};

fn open(path: &Path) -> Store {
    Store::options().durability(Durability::Relaxed).open(path).unwrap()
}

/// Receives until there is an order, and prints what came: the keys of events, and `told` with a revision.
fn print_until_order(watcher: &Watcher) {
    loop {
        match watcher.recv() {
            Ok(event) if event.group == "orders" => {
                return print_line(format!("order {}", event.key.unwrap()));
            }
            Ok(event) => print_line(format!("session {}", event.revision)),
            Err(Error::Compacted { oldest }) => print_line(format!("told {oldest}")),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Does what it is told line by line.
fn obey(path: &Path) {
    let store = open(path);
    let all = store.watch(Pattern::all()).unwrap();
    let orders = store.watch(("orders", "*")).unwrap();
    print_line("ready");
    loop {
        let line = read_line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["all"] => print_until_order(&all),
            ["orders"] => print_until_order(&orders),
            ["get", group, key] => {
                print_line(
                    store.get(group, key).unwrap().map_or("nothing".into(), |value| {
                        String::from_utf8(value.as_bytes().to_vec()).unwrap()
                    }),
                );
            }
            _ => return,
        }
    }
}

fn ask(process: &mut Process, line: &str) -> String {
    process.send_line(line);
    process.next_line().expect("an answer")
}

/// What a watcher of the other process printed until it received an order.
fn until_order(process: &mut Process, which: &str) -> Vec<String> {
    let mut lines = vec![ask(process, which)];
    while !lines.last().unwrap().starts_with("order") {
        lines.push(process.next_line().expect("an order"));
    }
    lines
}

#[test]
fn a_watcher_in_another_process_is_told_of_changes_without_a_history_and_gets_all_others() {
    let test = "a_watcher_in_another_process_is_told_of_changes_without_a_history_and_gets_all_others";
    if let Some((path, _)) = child_task() {
        return obey(&path);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    store.set_history("session:", History::NONE).unwrap();
    let own = store.watch(Pattern::all()).unwrap();
    let mut process = Process::start(test, &path, "");
    assert_eq!(process.next_line().unwrap(), "ready");
    for round in 0..20 {
        for number in 0..=round {
            store.set("session:7", "page", number.to_string()).unwrap();
        }
        let sessions = store.revision().unwrap();
        store.set("orders", round.to_string(), "a book").unwrap();
        let lines = until_order(&mut process, "all");
        let (order, before) = lines.split_last().unwrap();
        assert_eq!(*order, format!("order {round}"));
        // The last thing that it was told is of the last of these changes. It may have looked at some of them before.
        assert!(before.iter().all(|line| line.starts_with("told ")), "{before:?}");
        assert_eq!(before.last(), Some(&format!("told {sessions}")), "round {round}");
        assert!(before.len() as u64 <= round + 1, "{before:?}");
        assert_eq!(
            until_order(&mut process, "orders"),
            [format!("order {round}")],
            "it is not told of sessions"
        );
    }
    let received = common::events_now(&own);
    let latest = store.revision().unwrap();
    assert!(
        received.iter().map(|event| event.revision).eq((1..=latest.0).map(Revision)),
        "its own process gets each"
    );
    process.send_line("end");
    process.finish();
}

#[test]
fn caches_of_other_processes_are_right_without_a_history_and_no_value_is_logged() {
    let test = "caches_of_other_processes_are_right_without_a_history_and_no_value_is_logged";
    if let Some((path, _)) = child_task() {
        return obey(&path);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    store.set("session:7", "page", "before").unwrap();
    let mut process = Process::start(test, &path, "");
    assert_eq!(process.next_line().unwrap(), "ready");
    assert_eq!(ask(&mut process, "get session:7 page"), "before");
    store.set_history("session:", History::NONE).unwrap();
    assert_eq!(ask(&mut process, "get session:7 page"), "before");
    for number in 0..100 {
        store.set("session:7", "page", number.to_string()).unwrap();
        assert_eq!(ask(&mut process, "get session:7 page"), number.to_string());
    }
    // More than the names that are kept.
    for number in 0..3000 {
        store.set("session:8", (number % 10).to_string(), number.to_string()).unwrap();
    }
    store.set("session:7", "page", "after").unwrap();
    for number in 0..3000 {
        store.set("session:8", (number % 10).to_string(), number.to_string()).unwrap();
    }
    assert_eq!(ask(&mut process, "get session:7 page"), "after");
    assert_eq!(ask(&mut process, "get session:8 9"), "2999");
    assert!(store.delete("session:7", "page").unwrap());
    assert_eq!(ask(&mut process, "get session:7 page"), "nothing");
    assert!(store.remove_history("session:").unwrap());
    store.set("session:7", "page", "again").unwrap();
    assert_eq!(ask(&mut process, "get session:7 page"), "again");
    process.send_line("end");
    process.finish();
    // Before the history was removed, its names went with it.
    let logged = "SELECT count(*), count(entry_value) FROM changes WHERE group_name GLOB 'session:*'";
    let counts =
        |path: &Path| sqlite(path).query_row(logged, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts(&path), (1, 1));
    store.set_history("session:", History::NONE).unwrap();
    for number in 0..3000 {
        store.set("session:8", "page", number.to_string()).unwrap();
    }
    let (names, values): (i64, i64) = counts(&path);
    assert!(names <= 1024 + 1024 / 64 && values == 0, "{names} names, {values} values");
    assert_eq!(store.stats().unwrap().history_bytes, 0);
    common::verify(&store);
}
