//! Real etcd clusters on this machine, for tests and benchmarks: started in a second or two, hurt in
//! the ways in which clusters get hurt, and gone without a trace when the process that started them is.
//!
//! It needs `etcd` on the `PATH`, or at the path in `LARDER_ETCD`; a test that finds none says so and
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
//! cluster.wait_until_ready(Duration::from_secs(20))?; // The other two have a leader again.
//! cluster.restart(0);
//! cluster.wait_until_ready(Duration::from_secs(20))?; // All three answer.
//! # std::io::Result::Ok(())
//! ```
//!
//! `cargo run -p larder-cluster` starts one to try things on by hand.
//!
//! No member outlives the process that started it, however that ends: each is the child of a shell that
//! waits at a socket for the process to go, see the module `keeper`.
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
mod network;
mod ports;
mod process;
mod ready;
mod scratch;
mod settings;
mod start;
mod tls;
mod users;

pub use cluster::Cluster;
pub use faults::members_can_be_cut_off;
pub use installed::etcd_is_installed;
pub use settings::Settings;
pub use tls::{Identity, Tls};
