//! Random numbers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Returns an unpredictable number: the standard library seeds every hasher at random.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
