//! The short forms of the trials from outside. Power cuts need root, loop devices and ext4; where these are missing, the
//! tests say so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs a trial, which has to come out as it should. Returns what it says, or `None` where it cannot run.
fn trial(arguments: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_larder-torture")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    if said.contains("no power can be cut here") || said.contains("no calls can be hit here") {
        println!("skipped");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    trial(&["power-cuts", "--seed", "1", "--ends", "35"]);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_process_is_killed() {
    trial(&["kills", "--seed", "1", "--ends", "63"]).unwrap();
}

#[test]
fn writes_that_are_acknowledged_before_they_are_on_the_disk_are_missed() {
    let said =
        trial(&["power-cuts", "--seed", "1", "--ends", "5", "--work", "commits", "--plant", "relaxed"]);
    assert!(said.is_none_or(|said| said.contains("was acknowledged")));
}

#[test]
fn writes_that_are_acknowledged_before_they_are_made_are_missed() {
    let said = trial(&["kills", "--seed", "1", "--ends", "20", "--work", "commits", "--plant", "early"]);
    assert!(said.unwrap().contains("was acknowledged"));
}

#[test]
fn nothing_acknowledged_is_lost_when_a_process_is_killed_at_a_call_or_a_call_fails() {
    let said = trial(&["calls", "--seed", "2000", "--ends", "24"]);
    assert!(said.is_none_or(|said| said.contains(" processes hit")));
}

#[test]
fn writes_that_are_acknowledged_although_a_call_failed_are_missed() {
    let failing = ["--work", "commits", "--call", "write", "--fault", "EIO", "--plant", "ignored"];
    let said = trial(&[&["calls", "--seed", "5", "--ends", "20"][..], &failing].concat());
    assert!(said.is_none_or(|said| said.contains("is there") || said.contains("half of a commit")));
}

#[test]
fn a_thread_that_gets_no_answer_after_a_call_has_failed_is_found() {
    let failing = ["--work", "commits", "--call", "write", "--fault", "EIO", "--plant", "silent"];
    let said = trial(&[&["calls", "--seed", "5", "--ends", "20"][..], &failing].concat());
    assert!(said.is_none_or(|said| said.contains("gets no answer within 10s")));
}

#[test]
fn a_watcher_that_is_told_nothing_after_a_call_has_failed_is_found() {
    // Nothing is removed meanwhile, so the process is still at work when its time is over.
    let failing = ["--work", "commits", "--call", "remove", "--fault", "EIO", "--plant", "deaf"];
    let said = trial(&[&["calls", "--seed", "0", "--ends", "5"][..], &failing].concat());
    assert!(said.is_none_or(|said| said.contains("the watcher is not told within 10s of")));
}

#[test]
fn a_store_that_answers_nobody_after_a_kill_is_found() {
    let said = trial(&["kills", "--seed", "1", "--ends", "1", "--plant", "stuck"]);
    assert!(said.unwrap().contains("gets no answer within 20s"));
}

#[test]
fn whatever_is_taken_away_from_a_process_nothing_acknowledged_is_lost_and_all_goes_on_when_it_is_given_back()
{
    // Where something cannot be taken away, the trial says "skipped".
    let said = trial(&["limits", "--seed", "1", "--rounds", "12"]).unwrap();
    // This one needs no rights and no program of the system.
    let is_tried = |line: &str| line.starts_with("file-size: ") && line.contains("times taken away");
    assert!(said.lines().any(is_tried), "{said}");
}

#[test]
fn writes_that_are_acknowledged_although_a_limit_refused_them_are_missed() {
    let limit = ["--limit", "file-size", "--plant", "ignored"];
    let said = trial(&[&["limits", "--seed", "1", "--rounds", "10"][..], &limit].concat());
    assert!(said.unwrap().contains("half of a commit"));
}

#[test]
fn a_process_that_writes_no_more_after_a_limit_is_found() {
    let limit = ["--limit", "file-size", "--plant", "resigned"];
    let said = trial(&[&["limits", "--seed", "1", "--rounds", "10"][..], &limit].concat());
    assert!(said.unwrap().contains("not every thread writes within 5s"));
}

#[test]
fn a_watcher_that_is_told_nothing_after_a_limit_is_found() {
    let limit = ["--limit", "file-size", "--plant", "deaf"];
    let said = trial(&[&["limits", "--seed", "1", "--rounds", "1"][..], &limit].concat());
    assert!(said.unwrap().contains("the watcher is not told of a write of every thread within 5s"));
}

#[test]
fn a_damaged_store_is_refused_or_answers_and_nothing_crashes_hangs_or_takes_much_memory() {
    let said = trial(&["damage", "--seed", "1", "--rounds", "40"]).unwrap();
    assert!(said.contains("Refused") && said.contains("FoundByCheck"), "{said}");
}

#[test]
fn damage_that_check_does_not_find_is_found() {
    let said = trial(&["damage", "--seed", "1", "--rounds", "40", "--plant", "unchecked"]);
    assert!(said.unwrap().contains("and check finds nothing"));
}

#[test]
fn a_process_that_crashes_on_a_damaged_store_is_found() {
    let said = trial(&["damage", "--seed", "1", "--rounds", "40", "--plant", "aborted"]);
    assert!(said.unwrap().contains("was ended with signal"));
}

#[test]
fn an_entry_that_is_missing_without_a_reason_is_found() {
    let said = trial(&["damage", "--seed", "1", "--rounds", "40", "--plant", "unwritten"]);
    assert!(said.unwrap().contains("entries are there instead of"));
}
