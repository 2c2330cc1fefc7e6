//! Commands on single entries: set, get, delete, touch, persist, purge and increment.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::{Duration, SystemTime};

use common::Desk;
use serde_json::{Value, json};

#[test]
fn a_value_is_printed_byte_for_byte() {
    let desk = Desk::new();
    assert_eq!(desk.ok(&["set", "config", "colour", "blue"]), "1\n");
    assert_eq!(desk.ok(&["get", "config", "colour"]), "blue");
    desk.ok(&["set", "", "", ""]);
    assert_eq!(desk.ok(&["get", "", ""]), "");

    let bytes: Vec<u8> = (0..=255).chain([b'\n']).collect();
    assert_eq!(desk.run_with_input(&["set", "config", "bytes", "-"], &bytes).code, 0);
    assert_eq!(desk.run(&["get", "config", "bytes"]).out, bytes);
}

#[test]
fn values_that_begin_with_a_hyphen_can_be_set() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "offset", "-5"]);
    desk.ok(&["set", "config", "flag", "--", "--verbose"]);
    assert_eq!(desk.ok(&["get", "config", "offset"]), "-5");
    assert_eq!(desk.ok(&["get", "config", "flag"]), "--verbose");
}

#[cfg(unix)]
#[test]
fn a_value_on_the_command_line_may_be_binary() {
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::new();
    let mut command = desk.command(&["set", "config", "bytes"]);
    command.arg(std::ffi::OsStr::from_bytes(b"\xff\x01"));
    assert!(command.status().unwrap().success());
    assert_eq!(desk.run(&["get", "config", "bytes"]).out, b"\xff\x01");
}

#[test]
fn json_prints_an_entry_as_documented() {
    let desk = Desk::new();
    assert_eq!(desk.json(&["set", "config", "colour", "blue"]), [json!({ "revision": 1 })]);
    let entry =
        json!({ "group": "config", "key": "colour", "value": "blue", "revision": 1, "expires_at": null });
    assert_eq!(desk.json(&["get", "config", "colour"]), [entry]);
    desk.run_with_input(&["set", "config", "bytes", "-"], b"\xff\x00");
    let entry = json!({ "group": "config", "key": "bytes", "value_base64": "/wA=", "revision": 2, "expires_at": null });
    assert_eq!(desk.json(&["get", "config", "bytes"]), [entry]);
}

#[test]
fn a_missing_entry_exits_with_code_1_and_a_one_line_error() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    desk.fails(1, "no key \"size\"", &["get", "config", "size"]);
    desk.fails(1, "no key", &["delete", "config", "size"]);
    desk.fails(1, "no key", &["touch", "config", "size", "--ttl", "1h"]);
    desk.fails(1, "no key", &["persist", "config", "size"]);
    desk.fails(1, "no group", &["delete", "nowhere", "--all"]);
    desk.fails(1, "no group", &["delete", "--prefix", "nowhere"]);
    desk.fails(1, "no namespace", &["namespace", "delete", "nowhere"]);
}

#[test]
fn a_failed_condition_exits_with_code_1_and_changes_nothing() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue", "--if-absent"]);
    desk.fails(1, "revision 1", &["set", "config", "colour", "red", "--if-absent"]);
    desk.fails(1, "revision 1", &["set", "config", "colour", "red", "--if-revision", "7"]);
    desk.fails(1, "is not there", &["set", "config", "size", "1", "--if-revision", "1"]);
    assert_eq!(desk.ok(&["get", "config", "colour"]), "blue");
    assert_eq!(desk.ok(&["set", "config", "colour", "green", "--if-revision", "1", "--ttl", "1h"]), "2\n");
    assert!(desk.store().entry("config", "colour").unwrap().unwrap().expires_at.is_some());
}

#[test]
fn a_ttl_can_be_set_renewed_and_removed() {
    let desk = Desk::new();
    let expiry = |desk: &Desk| desk.store().entry("session", "token").unwrap().unwrap().expires_at;
    desk.ok(&["set", "session", "token", "abc", "--ttl", "24h"]);
    let day = SystemTime::now() + Duration::from_secs(24 * 3600);
    let set = expiry(&desk).unwrap();
    assert!(set <= day && set + Duration::from_secs(60) > day);

    assert_eq!(desk.ok(&["touch", "session", "token", "--ttl", "7d"]), "");
    assert!(expiry(&desk).unwrap() > set);
    let touched = &desk.json(&["touch", "session", "token", "--ttl", "1h"])[0];
    let at = touched["expires_at"].as_str().unwrap();
    assert!(at.len() == "2026-01-01T00:00:00.000Z".len() && at.ends_with('Z'), "{at}");
    assert_eq!(touched["value"], "abc");

    desk.ok(&["persist", "session", "token"]);
    assert_eq!(expiry(&desk), None);
    assert_eq!(desk.json(&["persist", "session", "token"])[0]["expires_at"], Value::Null);

    desk.fails(3, "longer than zero", &["set", "session", "token", "x", "--ttl", "0s"]);
    desk.fails(3, "longer than zero", &["touch", "session", "token", "--ttl", "0s"]);
    desk.fails(2, "--ttl", &["set", "session", "token", "x", "--ttl", "soon"]);
    desk.ok(&["set", "session", "token", "x", "--ttl", "3000years"]);
    desk.ok(&["--json", "list", "session"]);
}

#[test]
fn purge_deletes_expired_entries_and_reads_do_not() {
    let desk = Desk::new();
    let past = SystemTime::now() - Duration::from_secs(1);
    desk.store().set_until("session", "token", "abc", Some(past)).unwrap();
    let revision = desk.store().revision().unwrap();
    desk.fails(1, "no key", &["get", "session", "token"]);
    assert_eq!(desk.ok(&["list"]), "");
    assert_eq!(desk.store().revision().unwrap(), revision);
    assert_eq!(desk.ok(&["purge"]), "1\n");
    assert_eq!(desk.json(&["purge"]), [json!({ "purged": 0 })]);
}

#[test]
fn increment_prints_the_sum_and_refuses_values_that_are_not_numbers() {
    let desk = Desk::new();
    assert_eq!(desk.ok(&["increment", "stats", "visits"]), "1\n");
    assert_eq!(desk.ok(&["increment", "stats", "visits", "41"]), "42\n");
    assert_eq!(desk.ok(&["increment", "stats", "visits", "-2"]), "40\n");
    assert_eq!(desk.json(&["increment", "stats", "visits"]), [json!(41)]);
    desk.ok(&["set", "stats", "word", "many"]);
    desk.fails(3, "whole number", &["increment", "stats", "word"]);
    desk.ok(&["set", "stats", "most", "9223372036854775807"]);
    desk.fails(3, "64-bit", &["increment", "stats", "most"]);
    desk.fails(2, "BY", &["increment", "stats", "visits", "much"]);
}

#[test]
fn delete_deletes_exactly_the_key_group_or_prefix() {
    let desk = Desk::new();
    for group in ["a:1", "a:2", "a", "b"] {
        desk.ok(&["set", group, "k", "v"]);
        desk.ok(&["set", group, "l", "v"]);
    }
    desk.fails(2, "--all", &["delete", "b"]);
    desk.fails(2, "GROUP", &["delete"]);
    desk.fails(2, "--all", &["delete", "--all"]);
    desk.fails(2, "cannot be used with", &["delete", "b", "k", "--all"]);
    assert_eq!(desk.ok(&["delete", "b", "k"]), "1\n");
    assert_eq!(desk.ok(&["list"]), "a\t2\t4\na:1\t2\t4\na:2\t2\t4\nb\t1\t2\n");
    assert_eq!(desk.json(&["delete", "b", "--all", "--yes"]), [json!({ "deleted": 1 })]);
    assert_eq!(desk.ok(&["delete", "--prefix", "a:"]), "4\n");
    assert_eq!(desk.ok(&["list"]), "a\t2\t4\n");
}

#[test]
fn an_empty_prefix_deletes_everything_only_with_all() {
    let desk = Desk::new();
    for group in ["a", "b:1"] {
        desk.ok(&["set", group, "k", "v"]);
    }
    desk.fails(2, "Give --all", &["delete", "--prefix", ""]);
    desk.fails(2, "Give --all", &["delete", "--prefix", "", "--yes"]);
    desk.fails(2, "--all is for", &["delete", "--prefix", "a", "--all"]);
    desk.fails(2, "--all", &["delete", "--all", "--yes"]);
    assert_eq!(desk.store().count_all("").unwrap(), 2);
    assert_eq!(desk.ok(&["delete", "--prefix", "", "--all"]), "2\n");
    assert_eq!(desk.store().count_all("").unwrap(), 0);
}

// Windows limits a command line to 32 KiB.
#[cfg(not(windows))]
#[test]
fn a_key_that_is_too_large_is_refused() {
    let desk = Desk::new();
    desk.fails(3, "key has 65537 bytes", &["set", "g", &"k".repeat((64 << 10) + 1), "v"]);
    assert_eq!(desk.store().count_all("").unwrap(), 0);
}
