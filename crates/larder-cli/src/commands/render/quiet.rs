//! Waiting for changes to come to an end, so that a burst of them is rendered once.

use std::time::{Duration, Instant};

use larder::{Error, Revision, Watcher};

use crate::failure::Failure;

/// Changes that never cease are rendered after so many times the quiet that was asked for.
const QUIETS_MAX: u32 = 10;

/// Waits for a change that came after `shown`, and then until none has come for as long as `quiet`;
/// false once the store is closed.
pub fn after_a_change(watcher: &Watcher, shown: Revision, quiet: Duration) -> Result<bool, Failure> {
    loop {
        match watcher.recv() {
            Ok(event) if event.revision <= shown => {}
            // Which changes were missed does not matter where all that there is gets rendered.
            Ok(_) | Err(Error::Compacted { .. }) => break,
            Err(Error::Closed) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let begun = Instant::now();
    let longest = quiet.saturating_mul(QUIETS_MAX);
    loop {
        let left = longest.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(true);
        }
        match watcher.recv_timeout(quiet.min(left)) {
            Ok(Some(_)) | Err(Error::Compacted { .. }) => {}
            Ok(None) => return Ok(true),
            Err(Error::Closed) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
