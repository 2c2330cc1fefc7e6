//! Another process with a watcher, which prints when it received each event.

use std::fs;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Pattern, Revision, Store};

use crate::Outcome;
use crate::second_process::Task;

/// A follower ends after this long without an event, so that nothing waits for it forever.
const WAIT_MAX: Duration = Duration::from_secs(60);
const READY: &str = "ready";

pub struct Follower {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Starts the process, and returns once its watcher is live.
    pub fn start(location: &str) -> Outcome<Self> {
        let task = Task::Follow { location: location.to_owned() };
        let mut process = task.command()?.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("the other process has no standard output")?;
        let mut follower = Self { process, lines: BufReader::new(output).lines() };
        match follower.lines.next().transpose()?.as_deref() {
            Some(READY) => Ok(follower),
            _ => Err("the watching process failed to start".into()),
        }
    }

    /// The next change it received, and when.
    pub fn next(&mut self) -> Outcome<(Revision, SystemTime)> {
        let line = self.lines.next().transpose()?.ok_or("the watching process missed a change")?;
        let (revision, ns) = line.split_once(' ').ok_or("the watching process printed an unexpected line")?;
        Ok((Revision(revision.parse()?), UNIX_EPOCH + Duration::from_nanos(ns.parse()?)))
    }

    /// The processor time of all its threads; `None` where the system does not report it.
    pub fn busy(&self) -> Option<Duration> {
        let mut busy_ns = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()? {
            let times = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            busy_ns += times.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(busy_ns))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Killing fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the other process.
pub fn follow(location: &str) -> Outcome {
    let store = Store::connect(location)?;
    let watcher = store.watch(Pattern::all())?;
    // Makes the watcher live.
    watcher.try_recv()?;
    let mut output = io::stdout().lock();
    writeln!(output, "{READY}")?;
    while let Some(event) = watcher.recv_timeout(WAIT_MAX)? {
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?;
        writeln!(output, "{} {}", event.revision, at.as_nanos())?;
    }
    Ok(())
}
