//! The store as a file: its location, statistics, check, backup, and files that cannot be opened.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use serde_json::json;

#[test]
fn the_store_is_set_by_an_option_or_the_environment() {
    let desk = Desk::new();
    desk.ok(&["--store", "other.db", "set", "g", "k", "option"]);
    assert!(
        desk.command(&["set", "g", "k", "variable"])
            .env("LARDER_STORE", "env.db")
            .status()
            .unwrap()
            .success()
    );
    desk.ok(&["set", "g", "k", "default"]);
    assert_eq!(desk.ok(&["get", "g", "k", "--store", "sqlite:other.db"]), "option");
    assert_eq!(desk.ok(&["get", "g", "k", "--store", "env.db"]), "variable");
    assert_eq!(desk.ok(&["get", "g", "k", "--store", "larder.db"]), "default");
    desk.fails(2, "no stores of the kind", &["--store", "redis://host", "list"]);
}

#[test]
fn without_a_store_commands_create_none_and_say_how_to() {
    let desk = Desk::new();
    desk.write("t", "");
    for arguments in [
        &["get", "g", "k"][..],
        &["list"],
        &["list", "g"],
        &["count"],
        &["history", "g", "k"],
        &["export"],
        &["export", "out.json"],
        &["stats"],
        &["check"],
        &["watch"],
        &["watch", "--cursor", "c"],
        &["cursor", "list"],
        &["cursor", "seek", "c", "0"],
        &["cursor", "delete", "c"],
        &["render", "t", "g"],
        &["render", "t", "g", "--watch"],
        &["namespace", "list"],
        &["namespace", "quota", "t"],
        &["backup", "copy.db"],
        &["copy", "larder.db", "copy.db"],
        &["delete", "g", "k"],
        &["touch", "g", "k", "--ttl", "1s"],
        &["persist", "g", "k"],
        &["purge"],
    ] {
        desk.fails(4, "larder --store larder.db set", arguments);
        let files = std::fs::read_dir(desk.folder.path()).unwrap().count();
        assert_eq!(files, 1, "{arguments:?}");
    }
    desk.fails(4, "folder", &["--store", "nowhere/x.db", "list"]);
    desk.fails(4, "folder", &["--store", "nowhere/x.db", "set", "g", "k", "v"]);
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_unchanged() {
    let desk = Desk::new();
    desk.write("larder.db", "This is a letter, and not a database at all.");
    desk.fails(4, "not a SQLite database", &["list"]);
    desk.fails(4, "not a SQLite database", &["set", "g", "k", "v"]);
    assert_eq!(desk.read("larder.db"), "This is a letter, and not a database at all.");

    let other = rusqlite::Connection::open(desk.path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE invoices (number INTEGER)").unwrap();
    desk.fails(4, "another program", &["--store", "other.db", "list"]);
}

#[test]
fn stats_prints_the_documented_figures() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    desk.ok(&["--namespace", "t", "set", "p", "k", "v"]);
    let stats = &desk.json(&["stats"])[0];
    for (figure, value) in
        [("revision", 2), ("keys", 2), ("groups", 2), ("namespaces", 1), ("bytes", 4), ("history_from", 0)]
    {
        assert_eq!(stats[figure], json!(value), "{figure}");
    }
    assert!(stats["file_bytes"].as_u64().unwrap() > 0);
    assert!(stats["wal_bytes"].is_u64());
    assert!(desk.ok(&["stats"]).contains("\nkeys\t2\n"));
}

#[test]
fn check_reports_damage_and_only_damage() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    assert_eq!(desk.ok(&["check"]), "the store is sound\n");
    assert_eq!(desk.json(&["check"]), [json!({ "ok": true, "problems": [] })]);

    let file = rusqlite::Connection::open(desk.path("larder.db")).unwrap();
    file.execute_batch("UPDATE groups SET keys = 7").unwrap();
    drop(file);
    let answer = desk.run(&["check"]);
    answer.failed(4, "damaged", "check");
    assert!(!answer.text().is_empty());
    let answer = desk.run(&["--json", "check"]);
    assert_eq!(answer.code, 4);
    let report: serde_json::Value = serde_json::from_slice(&answer.out).unwrap();
    assert_eq!(report["ok"], json!(false));
}

#[test]
fn a_backup_is_a_store_and_never_replaces_a_file() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    assert_eq!(desk.ok(&["backup", "copy.db"]), "");
    assert_eq!(desk.ok(&["--store", "copy.db", "get", "g", "k"]), "v");
    desk.fails(3, "exists", &["backup", "copy.db"]);
    desk.fails(3, "folder", &["backup", "nowhere/copy.db"]);
}

/// Root may write to every file, so the test checks nothing as root.
#[cfg(unix)]
#[test]
fn a_read_only_file_can_be_read_and_refuses_writes() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let path = desk.path("larder.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return;
    }
    assert_eq!(desk.ok(&["get", "g", "k"]), "v");
    assert_eq!(desk.ok(&["list"]), "g\t1\t2\n");
    desk.fails(3, "may only be read", &["set", "g", "k", "w"]);
    desk.fails(3, "may only be read", &["delete", "g", "k"]);
    desk.fails(3, "may only be read", &["watch", "--cursor", "c"]);
}
