//! One processor for a whole simulation. Its threads run one at a time, and to wake one that slept on another processor
//! takes about as long as all that they do in between.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this process on one of the processors that it may use: on another one than the process that was started right
/// before it. Where the system refuses that, it only takes longer.
pub fn stay_on_one() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut usable = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let count = allowed.count().max(1);
    let Some(chosen) = usable.nth(std::process::id() as usize % count as usize) else { return };
    let mut only = CpuSet::new();
    only.set(chosen);
    let _ = sched_setaffinity(None, &only);
}
