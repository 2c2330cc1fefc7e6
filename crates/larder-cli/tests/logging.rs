//! What the library logs, and how long a call waits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Desk;
use rusqlite::Connection;
use serde_json::Value;

/// Makes a store whose expiry index is lost: the library rebuilds it, and logs that.
fn lose_the_index(desk: &Desk) {
    desk.ok(&["set", "config", "colour", "blue"]);
    let file = Connection::open(desk.path("larder.db")).unwrap();
    let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%expires_at%'";
    let name: String = file.query_row(indexes, [], |row| row.get(0)).unwrap();
    file.execute_batch(&format!("DROP INDEX {name}")).unwrap();
}

#[test]
fn warnings_of_the_library_are_said_and_others_only_if_asked_for() {
    let desk = Desk::new();
    lose_the_index(&desk);
    let answer = desk.run(&["set", "config", "colour", "red"]);
    assert_eq!((answer.code, answer.text().as_str()), (0, "2\n"));
    assert!(answer.error.starts_with("warning: rebuilding the index of expiries"), "{}", answer.error);

    lose_the_index(&desk);
    let answer = desk.run(&["--json", "set", "config", "colour", "green"]);
    assert_eq!(answer.code, 0);
    let said: Vec<Value> = answer.error.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [warning] = &said[..] else { panic!("{said:?}") };
    assert_eq!(warning["kind"], "warning");
    assert!(warning["message"].as_str().unwrap().contains("larder.db"), "{warning}");

    for line in [&["--log", "off"][..], &["--log", "ERROR"]] {
        lose_the_index(&desk);
        desk.ok(&[line, &["set", "config", "colour", "red"]].concat());
    }
    lose_the_index(&desk);
    let mut by_environment = desk.command(&["set", "config", "colour", "red"]);
    let answer = common::Answer::of(by_environment.env("LARDER_LOG", "error").spawn().unwrap());
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
    desk.fails(2, "invalid value 'loud' for '--log <LEVEL>'", &["--log", "loud", "list"]);
}

#[test]
fn a_call_waits_for_a_lock_as_long_as_it_is_told_to() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    let other = Connection::open(desk.path("larder.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = desk.run(&["--timeout", "70ms", "set", "config", "colour", "red"]);
    answer.failed(4, "70ms", "a write beside a transaction");
    // Reads wait for nobody.
    assert_eq!(desk.ok(&["--timeout", "0s", "get", "config", "colour"]), "blue");
    other.execute_batch("COMMIT").unwrap();
    desk.ok(&["--timeout", "0s", "set", "config", "colour", "red"]);
    desk.fails(2, "invalid value 'soon' for '--timeout <DURATION>'", &["--timeout", "soon", "list"]);
}

#[test]
fn every_global_option_is_in_the_help_and_in_the_readme() {
    let desk = Desk::new();
    let readme = include_str!("../README.md");
    for help in [desk.ok(&["--help"]), desk.ok(&["watch", "--help"])] {
        for option in ["--store", "--namespace", "--json", "--timeout", "--log", "--group-access"] {
            assert!(help.contains(option), "{option} in {help}");
            assert!(readme.contains(option), "{option} in the README");
        }
        assert!(help.contains("LARDER_LOG"), "{help}");
    }
    for command in ["watch", "render", "copy"] {
        assert!(desk.ok(&[command, "--help"]).contains("--fail-after"), "{command}");
    }
    assert!(readme.contains("--fail-after"));
    desk.fails(2, "--follow", &["copy", "--fail-after", "1s", "a.db", "b.db"]);
    desk.fails(2, "--watch", &["render", "--fail-after", "1s", "t", "g"]);
}
