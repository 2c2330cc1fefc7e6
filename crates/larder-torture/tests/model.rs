//! The short form of the trial of random sequences, and its corpus.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Runs sequences, which has to come out as it should. Returns what is said.
fn model(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder-torture"));
    let output = command.arg("model").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn every_sequence_over_the_whole_api_answers_like_a_plain_map() {
    for engine in ["file", "memory"] {
        for face in ["blocking", "async"] {
            model(&["--seed", "1", "--sequences", "25", "--engine", engine, "--face", face]);
        }
    }
}

#[cfg(feature = "etcd")]
#[test]
fn every_sequence_on_a_cluster_answers_like_a_plain_map() {
    if !larder_cluster::etcd_is_installed() {
        return eprintln!("skipped: etcd is not installed");
    }
    for face in ["blocking", "async"] {
        model(&["--seed", "1", "--sequences", "2", "--engine", "cluster", "--face", face]);
    }
}

#[test]
fn every_sequence_of_the_corpus_answers_like_a_plain_map() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/model");
    for engine in ["file", "memory"] {
        for face in ["blocking", "async"] {
            model(&["--replay", corpus, "--engine", engine, "--face", face]);
        }
    }
}

#[test]
fn a_fault_planted_in_larder_or_in_the_model_is_found_and_shown_as_a_few_calls() {
    for plant in ["tallies-skipped", "cache-not-caught-up", "groups-not-dropped", "slow-model"] {
        let said = model(&["--seed", "1", "--sequences", "60", "--plant", plant]);
        let calls = said.lines().filter(|line| line.starts_with("  ")).count();
        assert!((2..12).contains(&calls), "{said}");
        // What is shown fails again.
        let bytes = said.lines().find_map(|line| line.trim().strip_prefix("bytes: ")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sequence.txt");
        std::fs::write(&file, bytes).unwrap();
        model(&["--replay", file.to_str().unwrap(), "--plant", plant]);
    }
}
