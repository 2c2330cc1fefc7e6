//! How long this client leaves expired entries for other clients to purge.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::engine::etcd::random::random;

const DELAY_MIN_MS: i64 = 250;
const DELAY_MAX_MS: i64 = 4000;

/// A delay that doubles, with a random part, each time another client was faster. So in the end one of many
/// clients purges, and if that client goes away, another one takes over some seconds later.
#[derive(Default)]
pub struct PurgeBackoff {
    /// Relaxed: no other memory depends on it.
    delay_ms: AtomicI64,
}

impl PurgeBackoff {
    pub fn delay_ms(&self) -> i64 {
        self.delay_ms.load(Ordering::Relaxed)
    }

    /// Notes that another client was faster.
    pub fn grow(&self) {
        let most = (self.delay_ms() * 2).clamp(DELAY_MIN_MS, DELAY_MAX_MS);
        let random_part = i64::try_from(random() % 1000).unwrap_or_default();
        self.delay_ms.store(most / 2 + most * random_part / 2000, Ordering::Relaxed);
    }

    /// Notes that this client has purged something.
    pub fn reset(&self) {
        self.delay_ms.store(0, Ordering::Relaxed);
    }
}
