//! The short form of the simulator: the command as anybody runs it, since it takes the place of functions of the C
//! library that the threads of a test harness need, too.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};

fn simulator(seed: u64, seeds: u64, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-torture"));
    command.args(["simulator", "--seed", &seed.to_string(), "--seeds", &seeds.to_string()]).args(more);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a trial, which has to come out as it should.
fn passes(trial: Child) {
    let output = trial.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, seed: u64, seeds: u64| {
        let file = folder.path().join(name);
        passes(simulator(seed, seeds, &["--json", file.to_str().unwrap()]));
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        report["last_trace"].as_u64().unwrap()
    };
    for last in [3, 8, 19] {
        // Whatever the process has run before.
        assert_eq!(trace("alone", last, 1), trace("last", 0, last + 1), "seed {last}");
    }
}

#[test]
fn whatever_befalls_it_a_store_keeps_what_it_has_acknowledged() {
    // In two processes, because the seeds of one process take turns.
    [simulator(0, 1000, &[]), simulator(1000, 1000, &[])].into_iter().for_each(passes);
}

#[test]
fn a_planted_fault_is_found() {
    // Many times as many seeds as docs/torture.md says: any change of larder gives a seed another run.
    let bounds = [
        ("synchronous-off", 200),
        ("tallies-skipped", 20),
        ("cache-not-caught-up", 20),
        ("kept-read-unchecked", 100),
        ("walker-ignores-log", 100),
        ("walker-keeps-pages", 100),
        ("store-named-unsynced", 200),
        ("lost-name-locked", 2000),
        ("log-unconfirmed", 10_000),
        ("groups-not-dropped", 10_000),
        ("published-before-commit", 10_000),
        ("cache-fill-unchecked", 10_000),
    ];
    for (plant, seeds) in bounds {
        passes(simulator(0, seeds, &["--plant", plant]));
    }
}
