//! Any sequence of operations on histories: nobody misses a change without being told, and each history keeps what its
//! limits and the cursors say.
//!
//! `LARDER_SEQUENCES` is the number of sequences per engine, `LARDER_SEED` selects them. A failing sequence is shrunk
//! before it is shown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
#[path = "history_model/operation.rs"]
mod operation;
#[path = "history_model/plain.rs"]
mod plain;
#[path = "history_model/reader.rs"]
mod reader;
#[path = "history_model/sequence.rs"]
mod sequence;

use common::Rig;
use proptest::test_runner::{Config, RngSeed, TestRunner};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

on_every_engine! {
    fn every_change_is_received_or_reported_lost_whatever_histories_are_set(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let config = Config {
            cases: number("LARDER_SEQUENCES", if rig.promises.can_be_opened_again { 32 } else { 64 }).try_into().unwrap(),
            rng_seed: RngSeed::Fixed(number("LARDER_SEED", 1)),
            failure_persistence: None,
            max_shrink_iters: 1_000,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&operation::sequences(), |(settings, operations)| {
            sequence::run(&rig.another(), settings, &operations);
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}
