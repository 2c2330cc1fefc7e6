//! The short form of the trial of neighbours: the command as anybody runs it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};

fn neighbours(seconds: u64, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-torture"));
    command.args(["neighbours", "--seed", "1", "--seconds", &seconds.to_string()]).args(more);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a trial, which has to come out as it should.
fn passes(trial: Child) -> String {
    let output = trial.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn beside_four_processes_and_programs_with_plain_sqlite_every_promise_holds() {
    println!("{}", passes(neighbours(20, &[])));
}

#[test]
fn a_fault_planted_in_a_worker_a_neighbour_or_larder_is_found() {
    let faults = [
        ("early", "began"),
        ("ahead", "is not there"),
        ("event-dropped", "was told"),
        ("silent-hold", "hardly any neighbour wrote"),
        ("cache-not-caught-up", "check"),
    ];
    let trials = faults.map(|(fault, finding)| (neighbours(6, &["--plant", fault]), finding));
    for (trial, finding) in trials {
        let said = passes(trial);
        assert!(said.contains(finding), "{said}");
    }
}
