//! Any sequence of operations: the store answers like a plain map.
//!
//! `LARDER_SEQUENCES` is the number of sequences per engine, `LARDER_SEED` selects them:
//! `LARDER_SEQUENCES=20000 LARDER_SEED=7 cargo test --release -p larder --test model`. A failing sequence is
//! shrunk before it is shown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
#[macro_use]
#[path = "../../larder-torture/src/model/by_method.rs"]
mod by_method;
#[path = "model/operation.rs"]
mod operation;
#[path = "../../larder-torture/src/model/plain.rs"]
mod plain;
#[path = "model/sequence.rs"]
mod sequence;

use common::{Rig, namespace_of};
use proptest::test_runner::{Config, RngSeed, TestRunner};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

on_every_engine! {
    fn every_sequence_of_operations_answers_like_a_plain_map(rig: &Rig) {
        let config = Config {
            // On a cluster each takes one or two seconds.
            cases: number("LARDER_SEQUENCES", if rig.promises.answers_locally { 32 } else { 8 }).try_into().unwrap(),
            rng_seed: RngSeed::Fixed(number("LARDER_SEED", 1)),
            failure_persistence: None,
            max_shrink_iters: if rig.promises.answers_locally { 20_000 } else { 200 },
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&operation::sequences(), |operations| {
            sequence::run(&rig.another(), &operations);
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}
