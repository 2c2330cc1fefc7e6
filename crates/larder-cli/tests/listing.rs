//! The plain and JSON output of `larder list` and `larder count`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Answer, Desk};
use serde_json::json;

fn desk() -> Desk {
    let desk = Desk::new();
    let store = desk.store();
    for (group, key, value) in [
        ("config", "a.1", "one"),
        ("config", "a.2", "t\two\n\\ \u{1b}[31m"),
        ("config", "b", "three"),
        ("other", "k", "v"),
    ] {
        store.set(group, key, value).unwrap();
    }
    store.set("other", "bytes", b"\xff").unwrap();
    desk
}

#[test]
fn a_pipe_gets_one_record_per_line_whatever_the_values() {
    let desk = desk();
    assert_eq!(desk.ok(&["list"]), "config\t3\t27\nother\t2\t8\n");
    assert_eq!(
        desk.ok(&["list", "config"]),
        "a.1\tone\t1\t-\na.2\tt\\two\\n\\\\ \\u{1b}[31m\t2\t-\nb\tthree\t3\t-\n"
    );
    assert_eq!(desk.ok(&["list", "other"]), "bytes\t\\xff\t5\t-\nk\tv\t4\t-\n");
    assert_eq!(desk.ok(&["list", "config", "--keys"]), "a.1\na.2\nb\n");
}

#[test]
fn json_prints_one_object_per_line() {
    let desk = desk();
    let groups = [
        json!({ "name": "config", "keys": 3, "bytes": 27 }),
        json!({ "name": "other", "keys": 2, "bytes": 8 }),
    ];
    assert_eq!(desk.json(&["list"]), groups);
    let entries = [
        json!({ "group": "other", "key": "bytes", "value_base64": "/w==", "revision": 5, "expires_at": null }),
        json!({ "group": "other", "key": "k", "value": "v", "revision": 4, "expires_at": null }),
    ];
    assert_eq!(desk.json(&["list", "other"]), entries);
    assert_eq!(
        desk.json(&["list", "other", "--keys", "--limit", "1"]),
        [json!({ "group": "other", "key": "bytes" })]
    );
}

#[test]
fn prefix_after_and_limit_narrow_a_list() {
    let desk = desk();
    assert_eq!(desk.ok(&["list", "--prefix", "o"]), "other\t2\t8\n");
    assert_eq!(desk.ok(&["list", "--after", "config"]), "other\t2\t8\n");
    assert_eq!(desk.ok(&["list", "--limit", "1"]), "config\t3\t27\n");
    assert_eq!(desk.ok(&["list", "config", "--keys", "--prefix", "a."]), "a.1\na.2\n");
    assert_eq!(desk.ok(&["list", "config", "--keys", "--after", "a.1", "--limit", "1"]), "a.2\n");
    assert_eq!(desk.ok(&["list", "config", "--prefix", "a.", "--limit", "1"]), "a.1\tone\t1\t-\n");
    assert_eq!(desk.ok(&["list", "config", "--after", "a.2"]), "b\tthree\t3\t-\n");
    assert_eq!(desk.ok(&["list", "nowhere"]), "");
}

#[test]
fn count_counts_a_group_a_prefix_or_everything() {
    let desk = desk();
    assert_eq!(desk.ok(&["count"]), "5\n");
    assert_eq!(desk.ok(&["count", "config"]), "3\n");
    assert_eq!(desk.ok(&["count", "--prefix", "oth"]), "2\n");
    assert_eq!(desk.ok(&["count", "nowhere"]), "0\n");
    assert_eq!(desk.json(&["count"]), [json!(5)]);
}

#[test]
fn a_closed_pipe_ends_a_list_without_an_error() {
    let desk = Desk::new();
    let store = desk.store();
    let mut batch = store.batch();
    for number in 0..20_000 {
        batch = batch.set("many", format!("{number:06}"), "a value that takes some room in the pipe");
    }
    batch.commit().unwrap();
    for arguments in [&["list", "many"][..], &["export"], &["--json", "list", "many"]] {
        let mut child = desk.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        assert!(first.contains("000000"), "{first}");
        drop(reader);
        let answer = Answer::of(child);
        assert_eq!((answer.code, answer.error.as_str()), (0, ""), "{arguments:?}");
    }
}
