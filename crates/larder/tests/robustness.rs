//! Robustness: client processes write to a cluster while its members are killed, paused, cut off from each other and
//! compacted, while operators restore it, replace members, change passwords and certificates and set clocks, and while
//! the clients are killed. Answers, events and the final content must be consistent.
//!
//! A run takes about a minute, or somewhat more than `LARDER_ROBUSTNESS_SECONDS`. `LARDER_ROBUSTNESS_SEED` repeats the
//! random choices of an earlier run, `LARDER_ROBUSTNESS_ONLY` names the faults and operations to make:
//! `LARDER_ROBUSTNESS_SECONDS=600 LARDER_ROBUSTNESS_SEED=7 LARDER_ROBUSTNESS_ONLY=Restore,KillAll cargo test -p larder
//! --features etcd --test robustness -- --nocapture`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

#[path = "robustness/batches.rs"]
mod batches;
#[path = "robustness/client.rs"]
mod client;
#[path = "robustness/clock.rs"]
mod clock;
#[path = "robustness/crew.rs"]
mod crew;
#[path = "robustness/cursors.rs"]
mod cursors;
#[path = "robustness/eras.rs"]
mod eras;
#[path = "robustness/eras_tests.rs"]
mod eras_tests;
#[path = "robustness/faults.rs"]
mod faults;
#[path = "robustness/feed.rs"]
mod feed;
#[path = "robustness/history.rs"]
mod history;
#[path = "robustness/judge.rs"]
mod judge;
#[path = "robustness/linearizability.rs"]
mod linearizability;
#[path = "robustness/linearizability_tests.rs"]
mod linearizability_tests;
#[path = "robustness/listeners.rs"]
mod listeners;
#[path = "robustness/listeners_tests.rs"]
mod listeners_tests;
#[path = "robustness/listening.rs"]
mod listening;
#[path = "robustness/operations.rs"]
mod operations;
#[path = "robustness/past.rs"]
mod past;
#[path = "robustness/place.rs"]
mod place;
#[path = "robustness/quota.rs"]
mod quota;
#[allow(dead_code)] // The trials of larder-torture use all of it.
#[path = "../../larder-torture/src/random.rs"]
mod random;
#[path = "robustness/record.rs"]
mod record;
#[path = "robustness/replay.rs"]
mod replay;
#[path = "robustness/seeds.rs"]
mod seeds;
#[path = "robustness/signs.rs"]
mod signs;
#[path = "robustness/targets.rs"]
mod targets;
#[path = "robustness/traffic.rs"]
mod traffic;
#[path = "robustness/trial.rs"]
mod trial;

/// Whether to skip the tests because etcd is not installed; prints that.
fn skipped() -> bool {
    let skipped = !larder_cluster::etcd_is_installed();
    if skipped {
        eprintln!("skipped: etcd is not installed");
    }
    skipped
}

/// A number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

#[test]
fn every_promise_holds_while_members_and_clients_fail() {
    if let Some((folder, words)) = outside::child_task() {
        return client::run(&folder, &words);
    }
    if !skipped() {
        trial::run("every_promise_holds_while_members_and_clients_fail");
    }
}

#[test]
fn a_batch_of_a_client_killed_at_any_point_takes_effect_whole_or_not_at_all() {
    if let Some((_, words)) = outside::child_task() {
        return batches::write_until_killed(&words);
    }
    if !skipped() {
        batches::run("a_batch_of_a_client_killed_at_any_point_takes_effect_whole_or_not_at_all");
    }
}
