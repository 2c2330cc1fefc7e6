//! `--namespace` and `larder namespace`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use serde_json::json;

#[test]
fn a_namespace_sees_only_its_own_entries() {
    let desk = Desk::new();
    desk.ok(&["--namespace", "a", "set", "p", "k", "one"]);
    desk.ok(&["--namespace", "b", "set", "p", "k", "two"]);
    assert_eq!(desk.ok(&["get", "p", "k", "--namespace", "a"]), "one");
    assert_eq!(desk.ok(&["--namespace", "b", "get", "p", "k"]), "two");
    assert_eq!(desk.ok(&["--namespace", "a", "list"]), "p\t1\t4\n");
    assert_eq!(desk.ok(&["list"]), "a:p\t1\t4\nb:p\t1\t4\n");
    assert_eq!(desk.ok(&["--namespace", "a", "delete", "--prefix", "", "--all"]), "1\n");
    assert_eq!(desk.ok(&["list"]), "b:p\t1\t4\n");
    desk.fails(3, "cannot be a namespace", &["--namespace", "a:b", "list"]);
    for command in [&["stats"][..], &["check"], &["backup", "x"], &["restore", "x"], &["namespace", "list"]] {
        desk.fails(2, "Leave out --namespace", &[&["--namespace", "a"], command].concat());
    }
}

#[test]
fn a_quota_can_be_set_shown_and_removed_and_holds() {
    let desk = Desk::new();
    let shape = |keys: u64, quota: [serde_json::Value; 3]| {
        let [max_keys, max_groups, max_bytes] = quota;
        json!({
            "name": "t",
            "usage": { "keys": keys, "groups": keys.min(1), "bytes": keys * 2 },
            "quota": { "max_keys": max_keys, "max_groups": max_groups, "max_bytes": max_bytes },
        })
    };
    let none = json!(null);
    let set = desk.json(&["namespace", "quota", "t", "--max-keys", "1", "--max-bytes", "100"]);
    assert_eq!(set, [shape(0, [json!(1), none.clone(), json!(100)])]);
    desk.ok(&["--namespace", "t", "set", "p", "a", "1"]);
    desk.fails(3, "may hold 1 keys", &["--namespace", "t", "set", "p", "b", "1"]);
    desk.fails(3, "quota exceeded", &["set", "t:p", "b", "1"]);

    // Limits that are not given stay, and 0 removes a limit.
    desk.ok(&["namespace", "quota", "t", "--max-keys", "0", "--max-groups", "5"]);
    desk.ok(&["--namespace", "t", "set", "p", "b", "1"]);
    let shown = shape(2, [none, json!(5), json!(100)]);
    assert_eq!(desk.json(&["namespace", "quota", "t"]), std::slice::from_ref(&shown));
    assert_eq!(desk.json(&["namespace", "list"]), [shown]);
    assert_eq!(desk.ok(&["namespace", "list"]), "t\t2\t1\t4\t0\t5\t100\n");
    desk.fails(3, "cannot be a namespace", &["namespace", "quota", "a_b"]);
}

#[test]
fn deleting_a_namespace_deletes_its_entries_and_quota() {
    let desk = Desk::new();
    desk.ok(&["--namespace", "t", "set", "p", "k", "v"]);
    desk.ok(&["namespace", "quota", "t", "--max-keys", "1"]);
    desk.ok(&["set", "other", "k", "v"]);
    assert_eq!(desk.json(&["namespace", "delete", "t"]), [json!({ "deleted": 1 })]);
    assert_eq!(desk.ok(&["namespace", "list"]), "");
    assert_eq!(desk.ok(&["list"]), "other\t1\t2\n");
    desk.fails(1, "no namespace", &["namespace", "delete", "t", "--yes"]);
}

#[test]
fn a_namespace_that_is_made_again_has_no_history_quota_or_cursor_of_the_one_before() {
    let desk = Desk::new();
    let fill = || {
        desk.ok(&["--namespace", "t", "set", "p", "k", "v"]);
        desk.ok(&["set", "t2:p", "k", "v"]);
    };
    fill();
    desk.ok(&["--namespace", "t", "retention", "set", "", "--changes", "2000"]);
    desk.ok(&["--namespace", "t", "retention", "set", "session:", "--none"]);
    desk.ok(&["retention", "set", "t2:", "--changes", "3000"]);
    desk.ok(&["retention", "set", "t", "--changes", "4000"]);
    desk.store().scoped("t").unwrap().cursor("mailer").unwrap();
    desk.ok(&["namespace", "quota", "t", "--max-keys", "1"]);
    desk.ok(&["namespace", "delete", "t"]);
    fill();

    let histories: Vec<_> =
        desk.store().histories().unwrap().into_iter().map(|history| history.prefix).collect();
    assert_eq!(histories, ["", "t", "t2:"], "those of others stay");
    let tenant = desk.store().scoped("t").unwrap();
    assert_eq!(tenant.quota().unwrap(), larder::Quota::default());
    assert!(tenant.cursors().unwrap().is_empty());
    desk.ok(&["check"]);

    // What only a history is left of can be deleted, too.
    desk.ok(&["retention", "set", "gone:", "--changes", "5"]);
    assert_eq!(desk.json(&["namespace", "delete", "gone"]), [json!({ "deleted": 0 })]);
    desk.fails(1, "no namespace", &["namespace", "delete", "gone"]);
}

#[test]
fn an_export_of_a_namespace_never_becomes_entries_of_another() {
    let desk = Desk::new();
    desk.ok(&["--namespace", "victim", "set", "settings", "colour", "blue"]);
    desk.ok(&["--namespace", "t", "set", "victim:settings", "colour", "forged"]);
    desk.ok(&["--namespace", "t", "set", "plain", "k", "v"]);
    for format in ["ndjson", "json", "toml"] {
        let refused = desk.run(&["--namespace", "t", "export", "--format", format]);
        assert_eq!((refused.code, refused.text().as_str()), (3, ""), "{}", refused.error);
        assert!(refused.error.contains("would belong to the namespace \"victim\""), "{}", refused.error);
    }
    desk.ok(&["--namespace", "t", "export", "all.json", "--for-namespace"]);
    desk.ok(&["--namespace", "u", "import", "all.json"]);
    assert_eq!(desk.ok(&["--namespace", "u", "get", "victim:settings", "colour"]), "forged");
    assert_eq!(desk.ok(&["--namespace", "victim", "get", "settings", "colour"]), "blue");
    // A whole store's names mean what they say.
    desk.ok(&["export", "whole.json"]);
    assert_eq!(desk.ok(&["import", "whole.json"]), "5\n");
    // The import gives a single group its name.
    desk.ok(&["--namespace", "t", "export", "one.json", "--group", "victim:settings"]);
    desk.ok(&["import", "one.json", "--group", "copied"]);
    assert_eq!(desk.ok(&["get", "copied", "colour"]), "forged");
}
