//! Starts a cluster to try things on by hand, says where it is, and waits for Ctrl-C or the end of input.

use std::process::ExitCode;

#[cfg(unix)]
mod by_hand;

#[cfg(unix)]
fn main() -> ExitCode {
    by_hand::run()
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("larder-cluster starts clusters on Unix only");
    ExitCode::FAILURE
}
