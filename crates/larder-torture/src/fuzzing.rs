//! What fuzzers do with bytes. The targets in `fuzz/` call this, and so does the test that replays their corpus.

mod files;
mod templates;
mod tokens;

pub use files::open_file;
pub use templates::render_template;
pub use tokens::parse_tokens;

/// Runs a sequence of calls on a store in memory, by turns on each face.
///
/// # Panics
/// If the store does not answer like its model.
pub fn run_sequence(bytes: &[u8]) {
    use crate::model::{Engine, Plan, Side, trial};
    for side in [Side::Blocking, Side::Async] {
        let replay = vec![bytes.to_vec()];
        let plan = Plan { seed: 0, sequences: 1, replay, engine: Engine::Memory, side, plant: None };
        match trial(&plan, || {}) {
            Ok(report) => assert!(report.failure.is_none(), "{:#?}", report.failure),
            Err(error) => panic!("{error}"),
        }
    }
}
