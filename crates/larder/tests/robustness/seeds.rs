//! Streams of random numbers that are all determined by one seed.

use super::random::Random;

impl Random {
    /// A different stream for each list of parts, from the same seed.
    pub fn of(seed: u64, parts: &[u64]) -> Self {
        parts.iter().fold(Self::new(seed), |mut random, part| {
            Self::new(random.next() ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd))
        })
    }

    /// True with this probability.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
