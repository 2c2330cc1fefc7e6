//! Waiting for changes to come to an end, so that a burst of them is rendered once.

use std::time::{Duration, Instant};

use larder::{Error, ErrorKind, Event, Reads, Revision, Watcher};

use crate::failure::Failure;

/// Changes that never cease are rendered after so many times the quiet that was asked for.
const QUIETS_MAX: u32 = 10;

/// Waits for a change that came after `shown` of something that was read, and then until none has come for as
/// long as `quiet`; false once the store is closed.
pub fn after_a_change(
    watcher: &Watcher,
    shown: Revision,
    reads: &Reads,
    quiet: Duration,
) -> Result<bool, Failure> {
    let matters = |event: &Event| event.revision > shown && reads.matches(event);
    loop {
        match watcher.recv() {
            Ok(event) if !matters(&event) => {}
            // Which changes were missed does not matter where all that there is gets rendered.
            Ok(_) | Err(Error::Compacted { .. }) => break,
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
            Ok(Some(_)) | Err(Error::Compacted { .. }) => {
                until = longest.min(Instant::now() + quiet.min(FOREVER));
            }
            Ok(None) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// So long that no clock has to count further.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
