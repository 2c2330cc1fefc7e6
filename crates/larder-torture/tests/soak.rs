//! The short form of the soak.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs a soak, which has to come out as it should. Returns what it says.
fn soak(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-torture"));
    let output = command.args(["soak", "--seed", "1"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn nothing_that_a_process_needs_grows_with_use() {
    let folder = tempfile::tempdir().unwrap();
    let (json, plot) = (folder.path().join("soak.json"), folder.path().join("soak.svg"));
    soak(&["--seconds", "30", "--json", json.to_str().unwrap(), "--plot", plot.to_str().unwrap()]);
    let plot = std::fs::read_to_string(plot).unwrap();
    for figure in ["resident memory", "open descriptors", "threads", "file", "write-ahead log", "live keys"] {
        assert!(plot.contains(&format!("{figure}: ")), "no panel for {figure}");
    }
}

#[test]
fn snapshots_that_are_never_dropped_are_found_by_a_soak() {
    let said = soak(&["--seconds", "15", "--plant", "snapshots-kept"]);
    assert!(said.contains("seed 1: open descriptors: "), "{said}");
}

#[test]
fn entries_that_nobody_purges_are_found_by_a_soak() {
    let said = soak(&["--seconds", "15", "--plant", "expiry-off"]);
    assert!(said.contains("seed 1: ") && said.contains("entries are left"), "{said}");
}
