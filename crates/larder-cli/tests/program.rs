//! Help, wrong usage, completions and the tour.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::{Duration, Instant};

use common::{Answer, Desk};

#[test]
fn wrong_usage_exits_with_code_2_and_a_one_line_error() {
    let desk = Desk::new();
    desk.fails(2, "Usage: larder set", &["set"]);
    desk.fails(2, "unrecognized", &["sett"]);
    desk.fails(2, "--bogus", &["list", "--bogus"]);
    desk.fails(2, "cannot be used with", &["set", "g", "k", "v", "--if-absent", "--if-revision", "1"]);
    desk.fails(2, "invalid", &["list", "--limit", "many"]);
    assert_eq!(desk.run(&[]).code, 2);
    assert!(!desk.has_store());
}

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    let desk = Desk::new();
    let help = desk.ok(&["--help"]);
    for word in ["set", "get", "delete", "list", "count", "touch", "persist", "increment", "watch", "history"]
        .into_iter()
        .chain([
            "render",
            "import",
            "export",
            "namespace",
            "stats",
            "check",
            "restored",
            "backup",
            "restore",
            "copy",
            "tour",
        ])
        .chain(["completions", "purge", "cursor", "LARDER_STORE", "--namespace", "--json", "Exit codes"])
    {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(desk.ok(&["--version"]).starts_with("larder "));
    assert!(desk.ok(&["export", "--help"]).contains("larder-base64"));
}

#[test]
fn the_help_does_not_show_the_password_of_the_store() {
    let desk = Desk::new();
    for arguments in [&["--help"][..], &["set", "--help"], &["help", "copy"]] {
        let child = desk.command(arguments).env("LARDER_STORE", "etcd://user:secret@host:2379/app").spawn();
        let answer = Answer::of(child.unwrap());
        assert_eq!(answer.code, 0, "{}", answer.error);
        assert!(answer.text().contains("LARDER_STORE"), "{}", answer.text());
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
}

#[test]
fn completions_exist_for_every_shell() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(desk.ok(&["completions", shell]).contains("namespace"), "{shell}");
    }
    desk.fails(2, "csh", &["completions", "csh"]);
}

#[test]
fn the_tour_succeeds_and_leaves_no_files() {
    let desk = Desk::new();
    let began = Instant::now();
    let temporary = tempfile::tempdir().unwrap();
    let child = desk.command(&["tour"]).env("TMPDIR", temporary.path()).spawn().unwrap();
    let answer = Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""), "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(30), "it hangs somewhere");
    let text = answer.text();
    for word in ["Settings", "Sessions that expire", "Isolated tenants", "quota exceeded", "Watching changes"]
        .into_iter()
        .chain([
            "Conditional writes",
            "All or nothing",
            "cursor list",
            "proxy_pass",
            "import",
            "history",
            "SQLite format 3",
            "all held",
        ])
    {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(!desk.has_store());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
