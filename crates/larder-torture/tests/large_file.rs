//! The short form of the trial of a large file: a small one. The long form passes SQLite's lock page and 4 GiB.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs the trial, which has to come out as it should. Returns what it says.
fn trial(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-torture"));
    let output = command.args(["large-file", "--mebibytes", "24"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_file_is_read_checked_compacted_and_restored_whole() {
    let said = trial(&["--seed", "1"]);
    assert!(said.contains("check restored: "), "{said}");
}

#[test]
fn a_part_of_a_file_that_is_zeroed_is_found() {
    trial(&["--seed", "2", "--plant", "zeroed"]);
}

#[test]
fn a_value_that_was_never_written_is_missed() {
    let said = trial(&["--seed", "3", "--plant", "unwritten"]);
    assert!(said.contains("has another value"), "{said}");
}
