//! `larder watch` and `larder history`.
// Unix only: a Windows console would send Ctrl-C to the test as well.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};

use common::{Answer, Desk};
use larder::Store;
use serde_json::{Value, json};

fn desk() -> (Desk, Store) {
    let desk = Desk::new();
    let store = desk.store();
    store.set("config", "colour", "blue").unwrap();
    store.set("config", "bytes", b"\xff").unwrap();
    store.set("other", "k", "v").unwrap();
    store.delete("config", "colour").unwrap();
    store.delete_group("config").unwrap();
    (desk, store)
}

/// Returns the first lines that a command prints, then sends Ctrl-C and asserts that it exits with 0.
fn first_lines(mut child: Child, lines: usize) -> Vec<String> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let read: Vec<String> = reader.by_ref().lines().take(lines).map(Result::unwrap).collect();
    interrupt(&child);
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    read
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

#[test]
fn watch_prints_the_changes_after_a_revision_until_ctrl_c() {
    let (desk, _store) = desk();
    let lines = first_lines(desk.spawn(&["--json", "watch", "--since", "0"]), 5);
    let events: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            let at = event.as_object_mut().unwrap().remove("at").unwrap();
            assert_eq!(at.as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
            event
        })
        .collect();
    let event = |revision, kind, group, key, value: Value| json!({ "revision": revision, "kind": kind, "group": group, "key": key, "value": value, "expires_at": null });
    let mut bytes = event(2, "set", "config", json!("bytes"), Value::Null);
    bytes.as_object_mut().unwrap().remove("value");
    bytes["value_base64"] = json!("/w==");
    assert_eq!(
        events,
        [
            event(1, "set", "config", json!("colour"), json!("blue")),
            bytes,
            event(3, "set", "other", json!("k"), json!("v")),
            event(4, "delete", "config", json!("colour"), Value::Null),
            event(5, "delete_group", "config", Value::Null, Value::Null),
        ]
    );
}

#[test]
fn watch_prints_only_its_group_and_key() {
    let (desk, _store) = desk();
    let kinds = |arguments: &[&str], lines| -> Vec<String> {
        let lines = first_lines(desk.spawn(arguments), lines);
        lines.iter().map(|line| line.split('\t').take(4).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(kinds(&["watch", "other", "--since", "0"], 1), ["3 set other k"]);
    assert_eq!(
        kinds(&["watch", "config", "colour", "--since", "0"], 3),
        ["1 set config colour", "4 delete config colour", "5 delete_group config -"]
    );
    assert_eq!(kinds(&["watch", "*", "k", "--since", "2"], 1), ["3 set other k"]);
    desk.ok(&["--namespace", "t", "set", "p", "k", "v"]);
    assert_eq!(kinds(&["--namespace", "t", "watch", "--since", "0"], 1), ["6 set p k"]);
}

#[test]
fn watch_prints_the_changes_of_other_processes() {
    let (desk, store) = desk();
    drop(store);
    let mut child = desk.spawn(&["watch", "--since", "0"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(5).count(), 5);
    for number in 6..10 {
        desk.ok(&["set", "config", "number", &number.to_string()]);
        assert!(lines.next().unwrap().starts_with(&format!("{number}\tset\tconfig\tnumber\t{number}\t")));
    }
    interrupt(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn watch_with_a_snapshot_prints_the_entries_a_marker_and_then_changes() {
    let (desk, _store) = desk();
    desk.ok(&["set", "config", "size", "10"]);
    let mut child = desk.spawn(&["watch", "--snapshot"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "6\tentry\tconfig\tsize\t10\t-");
    assert_eq!(lines.next().unwrap(), "3\tentry\tother\tk\tv\t-");
    assert_eq!(lines.next().unwrap(), "6\tcurrent");
    desk.ok(&["delete", "config", "size"]);
    assert!(lines.next().unwrap().starts_with("7\tdelete\tconfig\tsize\t"));
    interrupt(&child);
    assert!(child.wait().unwrap().success());

    let json = first_lines(desk.spawn(&["--json", "watch", "other", "--snapshot"]), 2);
    let json: Vec<Value> = json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entry = json!({ "kind": "entry", "revision": 3, "group": "other", "key": "k", "value": "v", "expires_at": null });
    assert_eq!(json, [entry, json!({ "kind": "current", "revision": 7 })]);
}

#[test]
fn watch_prints_the_groups_or_keys_with_a_prefix() {
    let desk = Desk::new();
    for (group, key) in [("web", "host.a"), ("web", "port"), ("web2", "host.a"), ("mail", "host.a")] {
        desk.ok(&["set", group, key, "v"]);
    }
    let keys = |arguments: &[&str], lines| -> Vec<String> {
        let lines = first_lines(desk.spawn(arguments), lines);
        lines.iter().map(|line| line.split('\t').skip(2).take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(keys(&["watch", "--prefix", "web", "--since", "1"], 2), ["web port", "web2 host.a"]);
    assert_eq!(keys(&["watch", "web", "--prefix", "po", "--since", "0"], 1), ["web port"]);
    let snapshot = first_lines(desk.spawn(&["watch", "web", "--prefix", "host.", "--snapshot"]), 2);
    assert_eq!(snapshot, ["1\tentry\tweb\thost.a\tv\t-", "4\tcurrent"]);
    desk.fails(2, "Name the GROUP", &["watch", "*", "--prefix", "host."]);
    desk.fails(2, "cannot be used with", &["watch", "web", "port", "--prefix", "host."]);
}

#[test]
fn watch_prints_expiries() {
    let desk = Desk::new();
    desk.ok(&["set", "session", "token", "abc", "--ttl", "300ms"]);
    let lines = first_lines(desk.spawn(&["watch", "--since", "1"]), 1);
    assert!(lines[0].starts_with("2\texpire\tsession\ttoken\t-\t"), "{lines:?}");
}

#[test]
fn watch_refuses_a_future_revision() {
    let (desk, _store) = desk();
    desk.fails(3, "in the future", &["watch", "--since", "99"]);
}

#[test]
fn history_prints_the_changes_of_one_key() {
    let (desk, _store) = desk();
    let events = desk.json(&["history", "config", "colour"]);
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["set", "delete", "delete_group"]);
    assert_eq!(events[0]["value"], "blue");
    let text = desk.ok(&["history", "config", "colour"]);
    assert!(text.starts_with("1\tset\tconfig\tcolour\tblue\t-\t"), "{text}");
    assert_eq!(desk.ok(&["history", "nowhere", "k"]), "");
}
