//! How long to pause before another attempt, after another writer was faster.

use std::time::Duration;

use tokio::time::sleep;

use crate::engine::etcd::random::random;

/// After how many attempts a writer pauses before the next one and commits fewer batches at once.
pub const EAGER_ATTEMPTS: u32 = 2;

const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Pauses for a random time before another attempt, so that competing writers get out of step. Returns at once
/// after the first attempts.
pub async fn back_off(attempts: u32) {
    if attempts > EAGER_ATTEMPTS {
        let most = PAUSE_MAX.min(Duration::from_millis(1) * 2_u32.saturating_pow(attempts - EAGER_ATTEMPTS));
        sleep(most.mul_f64((random() % 1000) as f64 / 1000.0)).await;
    }
}
