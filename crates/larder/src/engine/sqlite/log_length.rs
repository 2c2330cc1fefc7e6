//! How long the log is when it is checkpointed.

use crate::engine::sabotage::is_simulated;

/// How many frames the log has when it is checkpointed. A checkpoint copies each page once, however often it is in
/// the log, so a larger log means less work, and rarer. Up to this many, one lookup finds a page in the log.
const FRAMES: u32 = 4000;

/// As [`FRAMES`], in a simulation, whose stores are small.
const FRAMES_SIMULATED: u32 = 60;

/// How many frames the log has when it is checkpointed.
#[inline]
pub(super) fn frames_to_copy() -> u32 {
    if is_simulated() { FRAMES_SIMULATED } else { FRAMES }
}
