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
fn with_json_a_mistake_in_a_file_has_its_cause_and_its_advice_in_fields_of_their_own() {
    let desk = Desk::new();
    desk.write("bad.ndjson", "{\"group\":\"g\",\"key\":\"k\",\"value\":\"v\"}\nnonsense\n");
    assert_eq!(
        failure(&desk, 3, &["import", "bad.ndjson"]),
        json!({
            "kind": "refused",
            "message": "bad.ndjson, line 2: this is not valid JSON; nothing was imported",
            "caused_by": ["expected ident at line 2 column 2"],
            "advice": null,
        })
    );
    desk.write("bad.env", "URL=$HOST\n");
    assert_eq!(
        failure(&desk, 3, &["import", "bad.env", "--group", "g"]),
        json!({
            "kind": "refused",
            "message": "bad.env, line 1: the value of URL has a $ that a shell expands and larder does not; \
                        nothing was imported",
            "caused_by": [],
            "advice": "Write out what it stands for, or put the value in single quotes to keep the $.",
        })
    );
    desk.write("bad.toml", "[g]\na = 0_\n");
    let failed = failure(&desk, 3, &["import", "bad.toml"]);
    assert_eq!(failed["message"], "bad.toml, line 2: this is not valid TOML; nothing was imported");
    assert_eq!(failed["caused_by"].as_array().unwrap().len(), 1, "{failed}");
}

#[test]
fn with_json_each_warning_is_one_object_of_the_same_shape() {
    let desk = Desk::new();
    desk.write(".env", "A=two words\nB=x\nC=y z\nD.E=1\n");
    let answer = desk.run(&["--json", "import", ".env", "--group", "g"]);
    assert_eq!((answer.code, answer.text().as_str()), (0, "{\"expired\":0,\"imported\":4,\"left_out\":0}\n"));
    let warnings: Vec<Value> = answer.error.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = |message: &str, advice: Value| json!({ "kind": "warning", "message": message, "caused_by": [], "advice": advice });
    let expected = [
        warning(
            ".env, lines 1, 3: a shell does not take blanks or any of ;&|<>() for a part of a value without quotes",
            json!("Put the value in quotes."),
        ),
        warning(
            ".env, line 4: a shell takes only letters, digits and _ in a name, and so does `larder export`",
            json!("Rename the key."),
        ),
    ];
    assert_eq!(warnings, expected);

    desk.ok(&["set", "tokens", "TOKEN", "abc", "--ttl", "1h"]);
    let answer = desk.run(&["--json", "export", "--format", "env", "--group", "tokens"]);
    let said: Value = serde_json::from_str(&answer.error).unwrap();
    let expiring = "1 entry would expire, which a .env file cannot say";
    assert_eq!(said, warning(expiring, json!("Export NDJSON to keep that.")));
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
