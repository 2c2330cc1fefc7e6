//! Waits until a burst of changes is over, so that it is rendered once.

use std::time::{Duration, Instant};

use larder::{Error, ErrorKind, Event, Reads, Revision, Watcher};

use crate::failure::Failure;

/// Continuous changes are rendered after this many times the debounce time.
const QUIETS_MAX: u32 = 10;

/// Waits for a change after revision `shown` to something the template read, and then until none has come for
/// `quiet`. Returns false once the store is closed.
pub fn wait_for_change(
    watcher: &Watcher,
    shown: Revision,
    reads: &Reads,
    quiet: Duration,
) -> Result<bool, Failure> {
    let matters = |event: &Event| event.revision > shown && reads.matches(event);
    loop {
        match watcher.recv() {
            Ok(event) if !matters(&event) => {}
            // Missed changes do not matter, because rendering reads the current entries.
            Ok(_) | Err(Error::Compacted { .. } | Error::ClusterRestored { .. }) => break,
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let longest = Instant::now() + quiet.saturating_mul(QUIETS_MAX).min(FOREVER);
    let mut until = longest.min(Instant::now() + quiet.min(FOREVER));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        match watcher.recv_timeout(left) {
            Ok(Some(event)) if !matters(&event) => {}
            Ok(Some(_)) | Err(Error::Compacted { .. } | Error::ClusterRestored { .. }) => {
                until = longest.min(Instant::now() + quiet.min(FOREVER));
            }
            Ok(None) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Long enough to mean forever, short enough not to overflow a clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
