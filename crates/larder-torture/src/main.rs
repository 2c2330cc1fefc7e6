//! Trials that try to make larder lose what it has acknowledged. `docs/torture.md` says how to run them and what they
//! show.

#[cfg(target_os = "linux")]
mod face;
#[cfg(target_os = "linux")]
mod large_file;
#[cfg(target_os = "linux")]
mod moment;
#[cfg(target_os = "linux")]
mod neighbours;
#[cfg(target_os = "linux")]
mod outside;
#[cfg(target_os = "linux")]
mod simulator;
#[cfg(target_os = "linux")]
mod soak;

#[cfg(target_os = "linux")]
mod command;

#[cfg(target_os = "linux")]
use larder_torture::{random, scratch};

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the trials need Linux");
}
