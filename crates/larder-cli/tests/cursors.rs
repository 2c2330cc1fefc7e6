//! Named cursors: `larder watch --cursor` and `larder cursor`.
// Unix only: a Windows console would send Ctrl-C to the test as well.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Answer, Desk};
use larder::Store;
use serde_json::json;

const WATCH: &[&str] = &["watch", "--cursor", "c", "--since", "0"];

/// A store with the keys `1` to `keys`.
fn desk(keys: u64) -> (Desk, Store) {
    let desk = Desk::new();
    let store = desk.store();
    for key in 1..=keys {
        store.set("config", key.to_string(), "v").unwrap();
    }
    (desk, store)
}

/// Returns the revisions of the first lines that a command prints, and its result after Ctrl-C.
fn revisions(mut child: Child, lines: usize) -> (Vec<u64>, Answer) {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let revisions = reader
        .by_ref()
        .lines()
        .take(lines)
        .map(|line| line.unwrap().split('\t').next().unwrap().parse().unwrap())
        .collect();
    interrupt(&child);
    (revisions, Answer::of(child))
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

/// Returns the revisions that a command prints. Asserts that it prints nothing else and exits with 0.
fn printed(desk: &Desk, arguments: &[&str], lines: usize) -> Vec<u64> {
    let (revisions, answer) = revisions(desk.spawn(arguments), lines);
    assert_eq!((answer.code, answer.error.as_str(), answer.text().as_str()), (0, "", ""));
    revisions
}

#[test]
fn a_watch_with_a_cursor_continues_after_the_last_printed_event() {
    let (desk, store) = desk(3);
    assert_eq!(printed(&desk, WATCH, 3), [1, 2, 3]);
    store.set("config", "4", "v").unwrap();
    assert_eq!(printed(&desk, WATCH, 1), [4], "an existing cursor ignores --since");
    store.set("config", "5", "v").unwrap();
    store.set("other", "6", "v").unwrap();
    assert_eq!(printed(&desk, &["watch", "other", "--cursor", "c"], 1), [6]);
    assert_eq!(store.cursors().unwrap()[0].behind, 0);
}

#[test]
fn a_new_cursor_starts_now() {
    let (desk, store) = desk(3);
    let child = desk.spawn(&["watch", "--cursor", "c"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.cursors().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the cursor is never created");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    store.set("config", "4", "v").unwrap();
    let (revisions, answer) = revisions(child, 1);
    assert_eq!((revisions, answer.code), (vec![4], 0));
}

#[test]
fn events_that_could_not_be_printed_are_printed_again() {
    let (desk, store) = desk(3);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = desk.command(WATCH).stdout(writer).spawn().unwrap().wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    assert_eq!(store.cursors().unwrap()[0].behind, 3);
    assert_eq!(printed(&desk, WATCH, 3), [1, 2, 3]);
}

#[test]
fn every_event_of_a_burst_is_acknowledged() {
    let (desk, store) = desk(0);
    drop(store.cursor("c").unwrap());
    let batch = (0..1000).fold(store.batch(), |batch, key| batch.set("config", key.to_string(), "v"));
    batch.commit().unwrap();
    assert_eq!(printed(&desk, WATCH, 1000), [1; 1000]);
    assert_eq!(store.cursors().unwrap()[0].behind, 0);
}

#[test]
fn a_watch_resumes_from_a_token_of_its_own_store_only() {
    let (desk, store) = desk(2);
    let token = desk.json(&["stats"])[0]["token"].as_str().unwrap().to_owned();
    assert_eq!(token, store.token().unwrap().to_string());
    store.set("config", "3", "v").unwrap();
    assert_eq!(printed(&desk, &["watch", "--since", &token], 1), [3]);
    assert_eq!(printed(&desk, &["watch", "--cursor", "c", "--since", &token], 1), [3]);
    let other = Store::in_memory().unwrap().token().unwrap().to_string();
    desk.fails(3, "Check --store", &["watch", "--since", &other]);
    desk.fails(3, "Check --store", &["watch", "--cursor", "new", "--since", &other]);
    assert_eq!(store.cursors().unwrap().len(), 1, "a cursor that cannot start is not created");
    for wrong in ["yesterday", "-1", "@3", "0123@3"] {
        desk.fails(2, "or a resume token", &["watch", &format!("--since={wrong}")]);
        desk.fails(2, "or a resume token", &["cursor", "seek", "c", "--", wrong]);
    }
}

#[test]
fn a_compacted_cursor_warns_and_continues() {
    let desk = Desk::new();
    let store =
        Store::options().history(3, 1 << 20).cursor_bytes_max(0).open(desk.path("larder.db")).unwrap();
    drop(store.cursor("c").unwrap());
    for key in 0..20 {
        store.set("config", key.to_string(), "v").unwrap();
    }
    assert!(store.cursors().unwrap()[0].compacted);
    let (revisions, answer) = revisions(desk.spawn(WATCH), 3);
    assert_eq!((revisions, answer.code), (vec![18, 19, 20], 0));
    let said = "warning: changes were missed\ncaused by: the change log reaches back to revision ";
    assert!(answer.error.starts_with(said), "{}", answer.error);
    assert!(answer.error.ends_with("\nadvice: List what is there now.\n"), "{}", answer.error);
    assert!(!store.cursors().unwrap()[0].compacted);
}

#[test]
fn a_cursor_of_a_restored_store_warns_and_continues() {
    let desk = Desk::new();
    let store = desk.store();
    drop(store.cursor("c").unwrap());
    store.set("config", "1", "v").unwrap();
    store.close().unwrap();
    desk.ok(&["backup", "backup.db"]);
    desk.ok(&["restore", "backup.db"]);
    let (revisions, answer) = revisions(desk.spawn(WATCH), 1);
    assert_eq!((revisions, answer.code), (vec![1], 0));
    assert!(
        answer.error.contains("the store was restored or copied after the cursor \"c\""),
        "{}",
        answer.error
    );
    assert_eq!(answer.error.lines().count(), 3, "once: {}", answer.error);
}

#[test]
fn a_watch_fails_when_its_cursor_is_deleted() {
    let (desk, store) = desk(1);
    let mut child = desk.spawn(WATCH);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    store.delete_cursor("c").unwrap();
    store.set("config", "2", "v").unwrap();
    Answer::of(child).failed(1, "deleted meanwhile", "watch");
}

#[test]
fn cursors_are_listed_moved_and_deleted() {
    let (desk, store) = desk(3);
    assert_eq!(printed(&desk, WATCH, 3), [1, 2, 3]);
    store.set("config", "4", "v").unwrap();
    let listed = desk.json(&["cursor", "list"]).remove(0);
    let moved_at = listed["moved_at"].as_str().unwrap().to_owned();
    let shape = json!({ "name": "c", "revision": 3, "behind": 1, "compacted": false, "moved_at": moved_at, "pattern": "*/*" });
    assert_eq!(listed, shape);
    assert_eq!(desk.json(&["stats"])[0]["cursors"], json!([shape]));
    assert_eq!(desk.ok(&["cursor", "list"]), format!("c\t3\t1\tfalse\t{moved_at}\t*/*\n"));
    assert!(desk.ok(&["stats"]).ends_with(&format!("\ncursor\tc\t3\t1\tfalse\t{moved_at}\t*/*\n")));

    assert_eq!(desk.json(&["cursor", "seek", "c", "2"])[0]["behind"], json!(2));
    assert_eq!(printed(&desk, WATCH, 2), [3, 4]);
    desk.fails(3, "in the future", &["cursor", "seek", "c", "9"]);
    assert_eq!(desk.ok(&["cursor", "delete", "c"]), "1\n");
    assert_eq!(desk.ok(&["cursor", "list"]), "");
    for gone in [&["cursor", "delete", "c"][..], &["cursor", "seek", "c", "0"]] {
        desk.fails(1, "larder cursor list", gone);
    }
    assert_eq!(desk.json(&["stats"])[0]["cursors"], json!([]));
    desk.fails(3, "cannot be a cursor's name", &["watch", "--cursor", "a b"]);
    desk.fails(2, "cannot be used with", &["watch", "--cursor", "c", "--snapshot"]);
}

#[test]
fn a_namespace_has_its_own_cursors_which_are_deleted_with_it() {
    let (desk, store) = desk(1);
    desk.ok(&["--namespace", "t", "set", "p", "k", "v"]);
    assert_eq!(printed(&desk, &[&["--namespace", "t"], WATCH].concat(), 1), [2]);
    assert_eq!(printed(&desk, WATCH, 2), [1, 2]);
    assert_eq!(desk.json(&["--namespace", "t", "cursor", "list"])[0]["name"], "c");
    desk.ok(&["--namespace", "t", "cursor", "seek", "c", "0"]);
    desk.fails(1, "no cursor", &["--namespace", "u", "cursor", "delete", "c"]);
    desk.ok(&["namespace", "delete", "t"]);
    let names: Vec<String> = store.cursors().unwrap().into_iter().map(|cursor| cursor.name).collect();
    assert_eq!(names, ["c"]);

    // A namespace that has only a cursor can be deleted, too.
    drop(store.scoped("t").unwrap().cursor("c").unwrap());
    desk.ok(&["namespace", "delete", "t"]);
    desk.fails(1, "no namespace", &["namespace", "delete", "t"]);
}
