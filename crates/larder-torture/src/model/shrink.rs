//! Makes a failing sequence shorter: calls are left out while it still fails.

use super::call::decode;

/// How often a sequence is run again.
const RUNS_MAX: usize = 400;

/// Returns the bytes of the shortest sequence that was found. `fails` runs one.
pub fn shrink(bytes: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut parts = decode(bytes).bytes;
    let mut runs = 0;
    // The setup is always needed.
    let mut width = (parts.len() / 2).max(1);
    loop {
        let before = parts.len();
        let mut at = 1;
        while at < parts.len() && runs < RUNS_MAX {
            let mut fewer = parts.clone();
            fewer.drain(at..(at + width).min(parts.len()));
            runs += 1;
            if fails(&fewer.concat()) {
                parts = fewer;
            } else {
                at += width;
            }
        }
        if runs >= RUNS_MAX || (width == 1 && parts.len() == before) {
            return parts.concat();
        }
        width = (width / 2).max(1);
    }
}
