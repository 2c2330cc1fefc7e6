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
        &["compact"],
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
    assert_eq!(stats["free_bytes"], json!(0));
    assert!(stats["wal_bytes"].is_u64());
    assert!(desk.ok(&["stats"]).contains("\nkeys\t2\n"));
}

#[test]
#[cfg(target_os = "linux")] // Other systems do not tell which process reads.
fn stats_names_the_reader_that_keeps_the_log() {
    let desk = Desk::new();
    let store = larder::Store::open(desk.path("larder.db")).unwrap();
    store.set("g", "k", "v").unwrap();
    assert_eq!(desk.json(&["stats"])[0]["oldest_reader"], json!(null));
    let _snapshot = store.snapshot().unwrap();
    store.set("g", "k", "w").unwrap();
    let reader = &desk.json(&["stats"])[0]["oldest_reader"];
    assert_eq!(reader["process"], json!(std::process::id()));
    assert!(reader["log_bytes"].as_u64().unwrap() > 0 && reader["age_ms"].is_u64());
    let line = format!("\noldest_reader\t{}\t", std::process::id());
    assert!(desk.ok(&["stats"]).contains(&line));
}

#[test]
#[cfg(unix)]
fn a_limit_on_the_size_of_files_is_an_error_and_does_not_kill_the_program() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let command = desk.command(&["set", "g", "large", &"x".repeat(100_000)]);
    let mut limited = std::process::Command::new("sh");
    // 32 or 64 KiB, by the shell.
    limited
        .args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    limited.current_dir(desk.path(""));
    let done = limited.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("ulimit -f"), "{said}");
    assert_eq!(desk.ok(&["get", "g", "k"]), "v");
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
    let words = "\"g\" has 1 key of 2 bytes, and its tally says 7 of 2";
    assert_eq!(
        report["problems"],
        json!([{
            "kind": "group_tally",
            "count": 1,
            "examples": [words],
            "message": format!("1 group whose tally differs from a recount: {words}"),
            "advice": "Run `larder check --repair`, which changes no entry.",
            "damage": true,
            "repairable": true,
        }])
    );
}

#[test]
fn check_repairs_what_is_derived_and_says_so() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let sql = |text: &str| {
        rusqlite::Connection::open(desk.path("larder.db")).unwrap().execute_batch(text).unwrap();
    };
    sql("UPDATE groups SET keys = 7; DROP INDEX entries_by_expiry");
    let said = desk.run(&["check"]);
    said.failed(4, "larder check --repair", "check");
    assert!(
        said.text().contains("damaged: 1 fault of the expiry index: the index entries_by_expiry is missing")
    );
    let said = desk.ok(&["check", "--repair"]);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.starts_with("repaired: 1 fault of the expiry index"), "{said}");
    assert!(said.contains("repaired: 1 group whose tally differs"), "{said}");
    assert!(said.ends_with("the store is sound\n"), "{said}");
    assert_eq!(desk.ok(&["check"]), "the store is sound\n");

    sql("UPDATE groups SET keys = 7; CREATE TABLE theirs (a); CREATE INDEX i ON entries (entry_value)");
    let report = &desk.json(&["check", "--repair"])[0];
    assert_eq!(report["ok"], json!(true), "what belongs to others is no damage");
    assert_eq!(report["repaired"][0]["kind"], json!("group_tally"));
    assert_eq!(report["problems"][0]["kind"], json!("foreign_index"));
    assert_eq!(
        desk.json(&["check", "--repair", "--drop-foreign"])[0]["problems"][0]["kind"],
        json!("foreign_table")
    );
    let said = desk.ok(&["check"]);
    assert!(said.starts_with("note: 1 table or view of another program: the table \"theirs\""), "{said}");
    desk.fails(2, "--repair", &["check", "--drop-foreign"]);

    sql("UPDATE entries SET entry_value = 'other'");
    desk.run(&["check", "--repair"]).failed(4, "larder copy", "an entry that another program changed");
    assert_eq!(desk.ok(&["get", "g", "k"]), "other");
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

#[cfg(unix)]
#[test]
fn new_stores_and_backups_are_private_or_for_the_group_if_asked_for() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::new();
    let mode =
        |name: &str| std::fs::metadata(desk.folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    desk.ok(&["--store", "own.db", "set", "g", "k", "v"]);
    desk.ok(&["--store", "own.db", "backup", "own-copy.db"]);
    desk.ok(&["--store", "shared.db", "--group-access", "set", "g", "k", "v"]);
    desk.ok(&["--store", "shared.db", "backup", "shared-copy.db", "--group-access"]);
    desk.ok(&["copy", "own.db", "shared-too.db", "--group-access"]);
    let modes = ["own.db", "own-copy.db", "shared.db", "shared-copy.db", "shared-too.db"].map(mode);
    assert_eq!(modes, [0o600, 0o600, 0o660, 0o660, 0o660]);
    // On a local disk it changes nothing.
    assert_eq!(desk.ok(&["--store", "own.db", "--allow-unsafe-file-system", "get", "g", "k"]), "v");
}

#[test]
#[cfg(unix)] // Nothing guards files elsewhere.
fn check_and_stats_report_an_unsafe_sqlite_that_has_changed_the_file() {
    use std::os::unix::fs::FileExt;
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    assert_eq!(desk.json(&["stats"])[0]["unsafe_sqlite"], json!(null));
    // The version is in the header of the file.
    let file = std::fs::File::options().write(true).open(desk.path("larder.db")).unwrap();
    file.write_all_at(&3_046_001_u32.to_be_bytes(), 96).unwrap();
    let quiet = ["--log", "off"];
    let stats = &desk.json(&[&quiet[..], &["stats"]].concat())[0];
    assert_eq!((&stats["unsafe_sqlite"], &stats["health"]), (&json!("3.46.1"), &json!(null)));
    assert!(desk.ok(&[&quiet[..], &["stats"]].concat()).contains("\nunsafe_sqlite\t3.46.1\n"));
    let said = desk.ok(&[&quiet[..], &["check"]].concat());
    assert!(
        said.starts_with("note: 1 unsafe version of SQLite: SQLite 3.46.1 has changed the file\n"),
        "{said}"
    );
    assert!(said.ends_with("the store is sound\n"), "{said}");
    let report = &desk.json(&[&quiet[..], &["check"]].concat())[0];
    assert_eq!((&report["ok"], &report["problems"][0]["kind"]), (&json!(true), &json!("unsafe_sqlite")));
    assert_eq!(report["problems"][0]["damage"], json!(false));
    // Every other command warns.
    let answer = desk.run(&["get", "g", "k"]);
    assert_eq!((answer.code, answer.text().as_str()), (0, "v"));
    assert!(answer.error.starts_with("warning: ") && answer.error.contains("3.46.1"), "{}", answer.error);
}

#[test]
fn compact_gives_back_what_stats_calls_free() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    desk.write("large", "x".repeat(1_000_000));
    let mut command = desk.command(&["set", "g", "large", "-"]);
    let large = std::fs::File::open(desk.path("large")).unwrap();
    assert!(command.stdin(large).status().unwrap().success());
    desk.ok(&["delete", "g", "large"]);
    // The change log has it, too.
    desk.ok(&["retention", "set", "g", "--none"]);
    for number in 0..3 {
        desk.ok(&["set", "g", "k", &number.to_string()]);
    }
    let before = &desk.json(&["stats"])[0];
    assert!(before["free_bytes"].as_u64().unwrap() > 900_000, "{before}");
    let answer = &desk.json(&["compact"])[0];
    assert!(answer["freed_bytes"].as_u64().unwrap() > 900_000, "{answer}");
    let after = &desk.json(&["stats"])[0];
    assert_eq!((&after["free_bytes"], &after["file_bytes"]), (&json!(0), &answer["file_bytes"]));
    assert_eq!(after["revision"], before["revision"]);
    assert!(desk.ok(&["stats"]).contains("\nfree_bytes\t0\n"));
    assert!(desk.ok(&["compact"]).trim().parse::<u64>().is_ok());
    assert_eq!(desk.ok(&["get", "g", "k"]), "2");
}
