//! `larder restore`, and the options of `larder backup`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use serde_json::json;

#[test]
fn restore_replaces_the_store_by_a_backup() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "kept"]);
    desk.ok(&["backup", "backup.db"]);
    desk.ok(&["set", "g", "k", "lost"]);
    assert_eq!(desk.ok(&["restore", "backup.db"]), "");
    assert_eq!(desk.ok(&["get", "g", "k"]), "kept");
    desk.ok(&["set", "g", "k", "again"]);
    let restored = &desk.json(&["restore", "backup.db", "--keep-old"])[0];
    assert_eq!(restored["old"], json!("larder.db.before-restore"));
    assert_eq!((&restored["restored"], &restored["revision"]), (&json!("larder.db"), &json!(1)));
    assert_eq!(desk.ok(&["--store", "larder.db.before-restore", "get", "g", "k"]), "again");
    assert_eq!(desk.ok(&["--store", "new.db", "restore", "backup.db"]), "");
    assert_eq!(desk.ok(&["--store", "new.db", "get", "g", "k"]), "kept");
    assert_eq!(desk.ok(&["check"]), "the store is sound\n");
}

#[test]
fn a_restore_that_cannot_be_says_why_and_what_to_do() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    desk.fails(4, "no store at missing.db", &["restore", "missing.db"]);
    desk.fails(2, "standard input", &["restore", "-"]);
    desk.fails(2, "whole store", &["--namespace", "t", "restore", "backup.db"]);
    desk.fails(2, "larder copy --exact", &["--store", ":memory:", "restore", "backup.db"]);
    desk.fails(3, "is the store itself", &["restore", "larder.db"]);
    desk.write("letter", "This is a letter, and not a database at all.");
    desk.fails(4, "not a SQLite database", &["restore", "letter"]);
    desk.ok(&["backup", "backup.db"]);
    desk.fails(3, "not a larder store", &["--store", "letter", "restore", "backup.db"]);
    let open = desk.store();
    let process = format!("process {}", std::process::id());
    let named = if cfg!(target_os = "linux") { process.as_str() } else { "has the store" };
    desk.fails(4, named, &["restore", "backup.db"]);
    drop(open);
    assert_eq!(desk.ok(&["get", "g", "k"]), "v");
}

#[test]
fn the_log_of_a_store_that_crashed_is_not_mixed_with_a_backup_copied_by_hand() {
    let desk = Desk::new();
    let store = desk.store();
    store.set("g", "1", "v").unwrap();
    store.backup_to(desk.path("backup.db")).unwrap();
    store.set("g", "2", "v").unwrap();
    std::fs::copy(desk.path("larder.db-wal"), desk.path("crashed.db-wal")).unwrap();
    std::fs::copy(desk.path("backup.db"), desk.path("crashed.db")).unwrap();
    drop(store);
    for command in [&["count", "g"][..], &["check"], &["set", "g", "3", "v"]] {
        let arguments = [&["--store", "crashed.db"], command].concat();
        desk.fails(4, "crashed.db-wal is the write-ahead log of another file", &arguments);
    }
    desk.ok(&["--store", "crashed.db", "restore", "backup.db"]);
    assert_eq!(desk.ok(&["--store", "crashed.db", "count", "g"]), "1\n");
}

#[test]
fn a_backup_can_be_verified_replaced_and_rotated() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "1"]);
    desk.ok(&["backup", "backup.db", "--verify"]);
    desk.fails(3, "exists", &["backup", "backup.db", "--verify"]);
    desk.ok(&["set", "g", "k", "2"]);
    desk.ok(&["backup", "backup.db", "--force"]);
    assert_eq!(desk.ok(&["--store", "backup.db", "get", "g", "k"]), "2");
    desk.write("letter", "This is a letter, and not a database at all.");
    desk.fails(3, "exists", &["backup", "letter", "--force"]);
    desk.fails(3, "part of the store", &["backup", "larder.db", "--force"]);
    desk.fails(2, "--keep", &["backup", "backup.db", "--force", "--keep", "2"]);
    desk.fails(2, "0", &["backup", "backup.db", "--keep", "0"]);

    for number in 1..=3 {
        let name = format!("daily.00000{number}.db\n");
        assert_eq!(desk.ok(&["backup", "daily.db", "--keep", "2"]), name);
    }
    let made = &desk.json(&["backup", "daily.db", "--keep", "2"])[0];
    assert_eq!(*made, json!({ "backup": "daily.000004.db", "removed": ["daily.000002.db"] }));
    assert!(!desk.path("daily.000001.db").exists() && desk.path("daily.000003.db").exists());
}
