//! Starts a cluster for trying things by hand, prints its location, and waits for Ctrl-C or the end of its
//! input.

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
