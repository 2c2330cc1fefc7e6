//! Passwords of locations appear in nothing that the program prints.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::{Answer, Desk};

/// A user and a password, of which no output may show any part.
const USER: &str = "Vq3-user";
const PASSWORD: &str = "Zq7-hush";

/// Arguments with which each command gets as far as it can.
fn arguments(command: &str) -> &'static [&'static str] {
    match command {
        "set" => &["set", "g", "k", "v"],
        "get" | "persist" | "history" => &["g", "k"],
        "delete" => &["g", "k", "--yes"],
        "list" | "count" | "watch" | "export" | "purge" | "stats" | "check" | "compact" | "tour" => &[],
        "touch" => &["g", "k", "1h"],
        "increment" => &["g", "k", "1"],
        "cursor" | "retention" | "namespace" => &["list"],
        "render" => &["template.txt", "g"],
        "import" => &["entries.json"],
        "backup" | "restore" => &["backup.db"],
        "copy" => &["LOCATION", "etcd://Vq3-user:Zq7-hush@127.0.0.1:2/app"],
        "restored" => &["--yes"],
        "completions" => &["bash"],
        "help" => &["set"],
        other => panic!("{other} is a new command: say how to run it"),
    }
}

fn commands(desk: &Desk) -> Vec<String> {
    let help = desk.ok(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[track_caller]
fn shows_nothing(answer: &Answer, what: &str) {
    let all = format!("{} {}", String::from_utf8_lossy(&answer.out), answer.error);
    for part in ["Vq3", "Zq7", "hush"] {
        assert!(!all.contains(part), "{what}: {all}");
    }
}

#[test]
fn no_command_shows_the_password_of_a_location_whatever_goes_wrong() {
    let desk = Desk::new();
    desk.write("template.txt", "{{ k }}");
    desk.write("entries.json", r#"{"g": {"k": "v"}}"#);
    let commands = commands(&desk);
    assert!(commands.len() > 20, "{commands:?}");
    for location in [
        format!("etcd://{USER}:{PASSWORD}@127.0.0.1:1/app"),
        format!("etcd://{USER}:{PASSWORD}@db.example/app"),
        format!("etcd:{USER}:{PASSWORD}@127.0.0.1:1/app"),
        format!("{USER}:{PASSWORD}@127.0.0.1:1"),
        format!("etcd://{USER}:{PASSWORD}@127.0.0.1:x/app"),
    ] {
        let is_valid = location.starts_with("etcd://") && !location.contains(":x");
        // Opening fails at the same place for all that open a store.
        let commands: &[String] =
            if is_valid { &commands } else { &["get", "copy", "restore"].map(str::to_owned) };
        for command in commands {
            let mut line = vec!["--timeout", "200ms", "--log", "trace", command.as_str()];
            let own = arguments(command);
            line.extend(own.strip_prefix(&[command.as_str()]).unwrap_or(own));
            let line: Vec<_> = line
                .into_iter()
                .map(|word| if word == "LOCATION" { location.as_str() } else { word })
                .collect();
            for json in [&[][..], &["--json"]] {
                let all = [json, &line].concat();
                let child = desk.command(&all).env("LARDER_STORE", &location).spawn().unwrap();
                shows_nothing(&Answer::of(child), &format!("{all:?} with {location}"));
            }
        }
    }
    let left: Vec<_> =
        std::fs::read_dir(desk.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("Zq7")), "{left:?}");
}

#[test]
fn a_location_that_looks_like_credentials_makes_no_file_but_one_that_names_a_file_does() {
    let desk = Desk::new();
    let refused = desk.run(&["--store", "Vq3-user:Zq7-hush@host:2379", "set", "g", "k", "v"]);
    refused.failed(2, "a user and a password", "credentials");
    assert!(
        refused.error.contains("begin with etcd://") && refused.error.contains("…@host:2379"),
        "{}",
        refused.error
    );
    shows_nothing(&refused, "credentials");
    for name in ["sqlite:me:note@home.db", "me@home.db"] {
        desk.ok(&["--store", name, "set", "g", "k", "v"]);
        assert_eq!(desk.ok(&["--store", name, "get", "g", "k"]), "v", "{name}");
    }
    // It exists by now.
    assert_eq!(desk.ok(&["--store", "me:note@home.db", "get", "g", "k"]), "v");
}
