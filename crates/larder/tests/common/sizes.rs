//! How much a test does: less where each call is a round trip to a cluster.

use super::Rig;

impl Rig {
    /// How many writes a test makes: one number where a write stays on this machine, another on a cluster.
    pub fn writes(&self, local: u64, on_a_cluster: u64) -> u64 {
        if self.promises.answers_locally { local } else { on_a_cluster }
    }

    /// How often a test repeats something: a tenth as often on a cluster.
    pub fn repetitions(&self, local: usize) -> usize {
        if self.promises.answers_locally { local } else { local.div_ceil(10) }
    }

    /// All cases, or the first quarter of them on a cluster.
    pub fn sample_of<'a, T>(&self, cases: &'a [T]) -> &'a [T] {
        if self.promises.answers_locally { cases } else { &cases[..cases.len().div_ceil(4)] }
    }
}
