//! One member of a cluster: how it is started, and whether it runs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;

/// How long a member may take to open its ports.
const OPENING: Duration = Duration::from_secs(20);

/// How many lines of a member's log an error quotes from its beginning, and from its end. An etcd that does
/// not like its arguments says so first and explains all of them after that.
const QUOTED_LINES: (usize, usize) = (2, 10);

/// One member. It keeps its addresses and its folder for as long as the cluster is there.
pub(crate) struct Member {
    /// The whole command line.
    pub command: Vec<OsString>,
    /// Where its clients find it.
    pub client: SocketAddr,
    /// Where the harness does, in plain HTTP.
    pub admin: SocketAddr,
    /// What it says while it runs.
    pub log: PathBuf,
    /// The number that the cluster knows it by, once it has told.
    pub id: OnceLock<u64>,
    /// What has been done to it. One lock for all of it, held while it is being done, so that two threads
    /// that hurt the same member do it one after the other.
    pub condition: Mutex<Condition>,
}

/// What has been done to a member.
#[derive(Default)]
pub(crate) struct Condition {
    /// None while it is killed.
    pub process: Option<Process>,
    pub paused: bool,
}

impl Condition {
    /// Whether it can be expected to answer.
    pub fn is_well(&self) -> bool {
        self.process.is_some() && !self.paused
    }
}

impl Member {
    /// What has been done to it. A test that panicked in the middle of hurting a member is no reason not
    /// to clear it away.
    pub fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it. It may not have opened its ports yet.
    pub fn start(&self) -> io::Result<()> {
        let process = Process::start(&self.command, &self.log)?;
        *self.condition() = Condition { process: Some(process), ..Condition::default() };
        Ok(())
    }

    /// Starts it on the ports that it had, and waits until they are open. Somebody else may have taken one
    /// of them for a moment, so it tries for a while.
    pub fn restart(&self) -> io::Result<()> {
        let deadline = Instant::now() + OPENING;
        loop {
            self.start()?;
            loop {
                // It opens the ports before it looks for the others, so this needs no quorum.
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
            let failure = self.failure("ended when it was started again");
            if !is_taken_port(&failure) || Instant::now() > deadline {
                return Err(failure);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it should run and does not.
    pub fn has_ended(&self) -> bool {
        self.condition().process.as_ref().is_some_and(Process::has_ended)
    }

    /// An error that quotes what it has said.
    pub fn failure(&self, what: &str) -> io::Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let (first, last) = QUOTED_LINES;
        let said = if lines.is_empty() {
            "it said nothing".to_owned()
        } else if lines.len() <= first + last {
            format!("it said:\n{}", lines.join("\n"))
        } else {
            let (beginning, end) = (lines[..first].join("\n"), lines[lines.len() - last..].join("\n"));
            format!("it said:\n{beginning}\n…\n{end}")
        };
        io::Error::other(format!("the member at {} {what}; {said}", self.client))
    }
}

/// Whether a member failed because somebody else listens on one of its ports.
pub(crate) fn is_taken_port(failure: &io::Error) -> bool {
    failure.to_string().contains("address already in use")
}
