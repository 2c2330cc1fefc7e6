//! One member of a cluster: starting it, and whether it runs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;

/// How long a member may take to open its ports.
const OPENING: Duration = Duration::from_secs(20);

/// How many lines of a member's log an error quotes from its beginning and its end. etcd reports a bad
/// argument first and then explains all arguments.
const QUOTED_LINES: (usize, usize) = (2, 10);

/// One member. It keeps its addresses and its folder while the cluster exists.
pub(crate) struct Member {
    /// The whole command line.
    pub command: Vec<OsString>,
    /// Its address for clients.
    pub client: SocketAddr,
    /// Its address for the other members.
    pub peer: SocketAddr,
    /// Its address for this crate, in plain HTTP.
    pub admin: SocketAddr,
    /// Its log.
    pub log: PathBuf,
    /// Its id in the cluster, as far as known. Replacing the member changes it.
    pub id: Mutex<Option<u64>>,
    /// Whether it has joined a cluster that was there before.
    pub joined: AtomicBool,
    /// Whether it runs. The lock is held while that changes, so that faults of one member happen one after
    /// another.
    pub condition: Mutex<Condition>,
}

/// Whether a member runs.
#[derive(Default)]
pub(crate) struct Condition {
    /// `None` while it is killed.
    pub process: Option<Process>,
    pub paused: bool,
}

impl Condition {
    /// Whether it is neither killed nor paused.
    pub fn is_running(&self) -> bool {
        self.process.is_some() && !self.paused
    }
}

impl Member {
    /// Locks the condition. A test that panicked while it held the lock must not prevent the cleanup.
    pub fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its id in the cluster, if it is known.
    pub fn id(&self) -> Option<u64> {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_id(&self, id: Option<u64>) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// Starts the member. When this returns, its ports may not be open yet.
    pub fn start(&self) -> io::Result<()> {
        let mut command = self.command.clone();
        if self.joined.load(Ordering::SeqCst) {
            command.push("--initial-cluster-state=existing".into());
        }
        let process = Process::start(&command, &self.log)?;
        *self.condition() = Condition { process: Some(process), ..Condition::default() };
        Ok(())
    }

    /// Starts the member on its ports, and waits until they are open. Retries for a while, because another
    /// process may have taken a port for a moment.
    pub fn restart(&self) -> io::Result<()> {
        let deadline = Instant::now() + OPENING;
        loop {
            self.start()?;
            loop {
                // It opens its ports before it contacts the others, so this needs no quorum.
                if TcpStream::connect_timeout(&self.client, Duration::from_secs(1)).is_ok() {
                    return Ok(());
                }
                if self.has_ended() {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(self.failure("does not open its ports"));
                }
                thread::sleep(Duration::from_millis(5));
            }
            let failure = self.failure("ended after its restart");
            if !is_taken_port(&failure) || Instant::now() > deadline {
                return Err(failure);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.condition().process.as_ref().is_some_and(Process::has_ended)
    }

    /// An error that quotes the log.
    pub fn failure(&self, what: &str) -> io::Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let (first, last) = QUOTED_LINES;
        let log = if lines.is_empty() {
            "its log is empty".to_owned()
        } else if lines.len() <= first + last {
            format!("its log:\n{}", lines.join("\n"))
        } else {
            let (beginning, end) = (lines[..first].join("\n"), lines[lines.len() - last..].join("\n"));
            format!("its log:\n{beginning}\n…\n{end}")
        };
        io::Error::other(format!("the member at {} {what}; {log}", self.client))
    }
}

/// Whether a member failed because another process listens on one of its ports.
pub(crate) fn is_taken_port(failure: &io::Error) -> bool {
    failure.to_string().contains("address already in use")
}
