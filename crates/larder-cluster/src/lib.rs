//! Real etcd clusters on this machine, for tests and benchmarks. They start in a second or two, can be given
//! the faults that real clusters have, and leave nothing behind when the process that started them ends.
//!
//! The crate needs `etcd` on the `PATH`, or at the path in `LARDER_ETCD`. A test without etcd says so and
//! passes:
//!
//! ```
//! use std::time::Duration;
//!
//! if !larder_cluster::etcd_is_installed() {
//!     eprintln!("skipped: etcd is not installed");
//!     return Ok(());
//! }
//! let cluster = larder_cluster::Cluster::start()?;
//! println!("{}", cluster.location("app")); // etcd://127.0.0.1:21007,127.0.0.1:…,127.0.0.1:…/app
//!
//! cluster.kill(0);
//! cluster.wait_until_ready(Duration::from_secs(20))?; // The other two have a leader.
//! cluster.restart(0);
//! cluster.wait_until_ready(Duration::from_secs(20))?; // All three serve.
//! # std::io::Result::Ok(())
//! ```
//!
//! `cargo run -p larder-cluster` starts a cluster for trying things by hand.
//!
//! No member outlives the process that started it, however that ends: each is the child of a shell that waits
//! for the process to end, see the module `keeper`.
#![cfg(unix)]

mod authority;
mod call;
mod cluster;
mod command;
mod faults;
mod gateway;
mod installed;
mod json;
mod keeper;
mod member;
mod membership;
mod network;
mod ports;
mod process;
mod ready;
mod replacement;
mod rotation;
mod saved;
mod scratch;
mod settings;
mod start;
mod tls;
mod users;

pub use cluster::Cluster;
pub use faults::members_can_be_cut_off;
pub use installed::etcd_is_installed;
pub use saved::Saved;
pub use settings::Settings;
pub use tls::{Identity, Tls};
