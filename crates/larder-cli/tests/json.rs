//! The JSON that the command line prints, as `docs/json.md` shows it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use larder::{Entry, Stats};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/json.md");

#[test]
fn the_command_line_prints_what_the_json_page_shows() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    for (arguments, line) in [
        (
            &["--json", "get", "config", "colour"][..],
            r#"{"group":"config","key":"colour","value":"blue","revision":1,"expires_at":null}"#,
        ),
        (&["--json", "list", "config", "--keys"], r#"{"group":"config","key":"colour"}"#),
        (&["--json", "list"], r#"{"name":"config","keys":1,"bytes":10}"#),
        (
            &["export", "--format", "ndjson"],
            r#"{"group":"config","key":"colour","value":"blue","expires_at":null}"#,
        ),
    ] {
        assert_eq!(desk.ok(arguments), format!("{line}\n"), "{arguments:?}");
        assert!(PAGE.contains(line), "docs/json.md does not show {line}");
    }
}

#[test]
fn the_library_reads_the_json_that_the_command_line_prints() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    let store = desk.store();
    let entry: Entry = serde_json::from_str(&desk.ok(&["--json", "get", "config", "colour"])).unwrap();
    assert_eq!(entry, store.entry("config", "colour").unwrap().unwrap());

    let printed = desk.json(&["stats"]).remove(0);
    let stats: Stats = serde_json::from_value(printed.clone()).unwrap();
    let mut with_token = serde_json::to_value(&stats).unwrap();
    with_token["token"] = Value::from(store.token().unwrap().to_string());
    // A file has no feed whose health could be told.
    with_token["health"] = Value::Null;
    assert_eq!(printed, with_token, "the figures, the token and the health, and nothing else");
    assert_eq!((stats.keys, json!(stats.revision)), (1, json!(1)));
}
