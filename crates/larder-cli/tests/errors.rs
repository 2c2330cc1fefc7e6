//! What a command says when it fails: to a person, and with `--json` to a program.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod common;

use common::Desk;
use serde_json::{Value, json};

/// What a command says with `--json` that must fail with this code.
#[track_caller]
fn failure(desk: &Desk, code: i32, arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let answer = desk.run(&all);
    assert_eq!((answer.code, answer.text().as_str()), (code, ""), "{}", answer.error);
    assert_eq!(answer.error.lines().count(), 1, "{}", answer.error);
    serde_json::from_str(&answer.error).unwrap()
}

#[test]
fn a_failure_is_a_line_with_the_error_and_a_line_with_advice() {
    let desk = Desk::new();
    desk.ok(&["namespace", "quota", "t", "--max-keys", "1"]);
    desk.ok(&["--namespace", "t", "set", "g", "a", "1"]);
    let answer = desk.run(&["--namespace", "t", "set", "g", "b", "1"]);
    let error = "quota exceeded: namespace \"t\" may hold 1 keys and this write would make it 2";
    assert_eq!(answer.error, format!("error: {error}\nadvice: Delete some, or raise the quota.\n"));
    assert_eq!(answer.code, 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_cause_has_a_line_between_the_error_and_the_advice() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "colour", "blue"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = desk.command(&["get", "config", "colour"]).stdout(full).spawn().unwrap();
    let answer = common::Answer::of(child);
    let lines = [
        "error: the output could not be written",
        "caused by: No space left on device (os error 28)",
        "advice: See to it that there is room for it.",
    ];
    assert_eq!((answer.code, answer.error), (3, format!("{}\n", lines.join("\n"))));
}

#[test]
fn with_json_a_failure_is_one_object_that_names_its_kind() {
    let desk = Desk::new();
    let no_store = failure(&desk, 4, &["get", "config", "size"]);
    assert_eq!(no_store["kind"], "no_store");
    desk.ok(&["set", "config", "colour", "blue"]);
    assert_eq!(
        failure(&desk, 1, &["get", "config", "size"]),
        json!({
            "kind": "not_found",
            "message": "the group \"config\" has no key \"size\"",
            "caused_by": [],
            "advice": "See what it has with `larder list`.",
        })
    );
    assert_eq!(
        failure(&desk, 1, &["set", "config", "colour", "red", "--if-absent"]),
        json!({
            "kind": "conflict",
            "message": "the entry \"config\" \"colour\" should not exist, but is there, at revision 1",
            "caused_by": [],
            "advice": "Read the entry again and retry.",
        })
    );
    for (code, kind, arguments) in [
        (2, "misuse", &["set", "config"][..]),
        (2, "misuse", &["sett"]),
        (2, "misuse", &["--store", "redis://host", "list"]),
        (3, "refused", &["set", "config", "colour", "red", "--ttl", "0s"]),
        (3, "stale", &["watch", "--since", "99"]),
    ] {
        let failed = failure(&desk, code, arguments);
        assert_eq!(failed["kind"], kind, "{failed}");
        assert!(failed["advice"].is_string(), "{failed}");
    }
    let template = desk.path("t");
    std::fs::write(&template, "{{ a").unwrap();
    assert_eq!(failure(&desk, 3, &["render", template.to_str().unwrap(), "web"])["advice"], Value::Null);
}

#[test]
fn the_help_names_the_kinds_of_each_exit_code_as_the_page_on_errors_does() {
    let help = Desk::new().ok(&["--help"]);
    let page = include_str!("../../../docs/errors.md").split("## Kinds").nth(1).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    // No command gives a transaction an error of its own.
    for row in rows.filter(|row| !row.starts_with("| `other`")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (kind, code) = (cells[0].trim_matches(['|', ' ', '`']), cells[3]);
        let line = help.lines().find(|line| line.starts_with(&format!("  {code}  "))).unwrap();
        assert!(line.contains(kind), "{kind} in {line}");
    }
}
