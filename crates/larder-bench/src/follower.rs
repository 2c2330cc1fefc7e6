//! Another process that watches, and says when it heard of each change.

use std::fs;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Pattern, Revision, Store};

use crate::Outcome;
use crate::second_process::Task;

/// A follower that hears nothing for so long ends, so that whoever waits for it does not wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);
const READY: &str = "ready";

pub struct Follower {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Returns once the other process would hear of a change.
    pub fn start(location: &str) -> Outcome<Self> {
        let task = Task::Follow { location: location.to_owned() };
        let mut process = task.command()?.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("the other process has no standard output")?;
        let mut follower = Self { process, said: BufReader::new(output).lines() };
        match follower.said.next().transpose()?.as_deref() {
            Some(READY) => Ok(follower),
            _ => Err("the process that was to watch did not come so far".into()),
        }
    }

    /// The next change that it heard of, and when.
    pub fn next(&mut self) -> Outcome<(Revision, SystemTime)> {
        let line = self.said.next().transpose()?.ok_or("the other process did not hear of every change")?;
        let (revision, ns) = line.split_once(' ').ok_or("the other process said something else")?;
        Ok((Revision(revision.parse()?), UNIX_EPOCH + Duration::from_nanos(ns.parse()?)))
    }

    /// How long all its threads have kept a core busy; `None` where the system does not tell.
    pub fn busy(&self) -> Option<Duration> {
        let mut busy_ns = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()? {
            let told = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            busy_ns += told.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(busy_ns))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; there is nobody to tell either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the other process does.
pub fn follow(location: &str) -> Outcome {
    let store = Store::connect(location)?;
    let watcher = store.watch(Pattern::all())?;
    // Goes over to live delivery.
    watcher.try_recv()?;
    let mut output = io::stdout().lock();
    writeln!(output, "{READY}")?;
    while let Some(event) = watcher.recv_timeout(PATIENCE)? {
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?;
        writeln!(output, "{} {}", event.revision, at.as_nanos())?;
    }
    Ok(())
}
