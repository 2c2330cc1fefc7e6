//! Any sequence of operations leaves a store that answers as a plain map would.
//!
//! `LARDER_SEQUENCES` says how many sequences are tried on each engine, `LARDER_SEED` which ones:
//! `LARDER_SEQUENCES=20000 LARDER_SEED=7 cargo test --release -p larder --test model`. A sequence that
//! fails is made as short as it can be before it is shown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
#[path = "model/operation.rs"]
mod operation;
#[path = "model/plain.rs"]
mod plain;
#[path = "model/sequence.rs"]
mod sequence;

use common::Bench;
use proptest::test_runner::{Config, RngSeed, TestRunner};

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

on_every_engine! {
    fn every_sequence_of_operations_answers_like_a_plain_map(bench: &Bench) {
        let engine = bench.engine();
        let config = Config {
            // On a cluster each takes a second or two.
            cases: number("LARDER_SEQUENCES", if bench.engine_is_sqlite() { 32 } else { 8 }).try_into().unwrap(),
            rng_seed: RngSeed::Fixed(number("LARDER_SEED", 1)),
            failure_persistence: None,
            max_shrink_iters: if bench.engine_is_sqlite() { 20_000 } else { 200 },
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&operation::sequences(), |operations| {
            sequence::run(&Bench::new(engine), &operations);
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}
