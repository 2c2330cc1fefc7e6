//! The trial of system calls: the k-th call of a kind kills a process, or fails, which `strace` sees to.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

use super::rounds::{self, Figures, Rounds};
use super::worker::{self, Worker};
use super::{Plant, Work, judge};

/// A kind of system call: what it is called here, its names on all machines, and the errors that it is made to return.
/// `?` lets `strace` pass over a name that the machine does not have.
const CALLS: [(&str, &str, &[&str]); 11] = [
    ("write", "pwrite64", &["EIO", "ENOSPC"]),
    ("sync", "?fsync,?fdatasync", &["EIO", "ENOSPC"]),
    ("truncate", "?ftruncate,?ftruncate64", &["EIO", "EINTR"]),
    ("open", "openat", &["EMFILE", "ENOSPC", "ENOMEM", "EINTR"]),
    ("remove", "?unlink,?unlinkat", &["EIO", "EACCES"]),
    ("rename", "?rename,?renameat,?renameat2", &["EIO", "ENOSPC"]),
    ("lock", "?fcntl,?fcntl64", &["EINTR", "ENOLCK"]),
    ("map", "?mmap,?mmap2", &["ENOMEM"]),
    ("control", "ioctl", &["EIO"]),
    ("read", "pread64", &["EIO", "EINTR"]),
    ("close", "close", &["EIO"]),
];

/// The works in which calls are hit.
const WORKS: [Work; 6] =
    [Work::Create, Work::Commits, Work::Upgrade, Work::Backup, Work::Restore, Work::Reopen];

/// Spreads neighbouring seeds over works and calls. It is a prime, and so meets all of them.
const STRIDE: u64 = 7919;

/// What happens to one call of each thread.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    names: &'static str,
    /// The error that it returns; the process is killed if there is none.
    error: Option<&'static str>,
    /// Which of the thread's calls of this kind, from 1 on.
    number: u64,
}

impl Fault {
    /// The program that runs a worker with this fault, and writes what it did to `log`.
    fn command(self, log: &Path, worker: &Path) -> Command {
        let Self { names, error, number, .. } = self;
        let action = error.map_or_else(|| "signal=KILL".into(), |error| format!("error={error}"));
        let mut command = Command::new("strace");
        // The tracer is a grandchild. So the child is the worker, and killing the child kills it.
        command.args(["-D", "-f", "-qq", "-e", "signal=none", "-e"]).arg(format!("trace={names}"));
        command.arg("-e").arg(format!("inject={names}:{action}:when={number}"));
        command.arg("-o").arg(log).arg("--").arg(worker);
        command
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, error, number, .. } = self;
        write!(formatter, "{call} {number}: {}", error.unwrap_or("kill"))
    }
}

/// Which calls are hit.
pub struct Wanted {
    /// All if it is empty.
    pub works: Vec<Work>,
    /// Names of kinds of calls; all if it is empty.
    pub calls: Vec<String>,
    /// Errors, or `kill`; all if it is empty.
    pub faults: Vec<String>,
}

pub type Report = rounds::Report<Plant, Calls, Hit>;

/// What was done, by call, and `kill` or the error.
#[derive(Debug, Serialize)]
pub struct Calls {
    calls: BTreeMap<String, Count>,
}

#[derive(Debug, Default, Serialize)]
struct Count {
    processes: u64,
    /// How many made so many calls that one was hit.
    hit: u64,
    /// The greatest number of a call that was hit.
    furthest: u64,
    acknowledged: u64,
    /// Hit by an error, and still at work when its time was over.
    went_on: u64,
    failed: u64,
}

/// What a process was doing, and what happened to its calls.
#[derive(Debug, Serialize)]
pub struct Hit {
    work: Work,
    #[serde(skip)]
    fault: Fault,
}

impl fmt::Display for Hit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.work, self.fault)
    }
}

impl Wanted {
    /// All that can be done: each work with each call and each fault of it.
    fn targets(&self) -> Vec<(Work, Fault)> {
        let works = if self.works.is_empty() { &WORKS[..] } else { &self.works };
        let is_wanted =
            |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
        let mut targets = Vec::new();
        for work in works {
            for (call, names, errors) in CALLS.into_iter().filter(|(call, ..)| is_wanted(&self.calls, call)) {
                let faults = [None].into_iter().chain(errors.iter().copied().map(Some));
                for error in faults.filter(|error| is_wanted(&self.faults, error.unwrap_or("kill"))) {
                    targets.push((*work, Fault { call, names, error, number: 1 }));
                }
            }
        }
        targets
    }
}

/// Runs processes. The seed decides what each does and which of its calls is hit.
pub fn trial(wanted: &Wanted, rounds: &Rounds<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    if Command::new("strace").arg("--version").output().is_err() {
        return Err(io::Error::other("no calls can be hit here; that needs strace"));
    }
    let targets = wanted.targets();
    if targets.is_empty() {
        return Err(io::Error::other("there is no such call, or no such fault of it"));
    }
    let kinds = targets.len() as u64;
    rounds.run("calls", Calls { calls: BTreeMap::new() }, bar, |seed, Calls { calls }| {
        let place = usize::try_from(seed.wrapping_mul(STRIDE) % kinds).unwrap_or_default();
        let Some((work, fault)) = targets.get(place).copied() else { return Ok(None) };
        let fault = Fault { number: 1 + seed / kinds, ..fault };
        let outcome = run(work, fault, rounds.plant)?;
        let name = format!("{}, {}", fault.call, fault.error.unwrap_or("kill"));
        let count = calls.entry(name).or_default();
        count.processes += 1;
        count.acknowledged += outcome.acknowledged;
        count.went_on += u64::from(outcome.went_on);
        if outcome.is_hit {
            count.hit += 1;
            count.furthest = count.furthest.max(fault.number);
        }
        count.failed += u64::from(!outcome.complaints.is_empty());
        Ok(Some((Hit { work, fault }, outcome.complaints)))
    })
}

#[derive(Debug, Default)]
struct Outcome {
    is_hit: bool,
    acknowledged: u64,
    went_on: bool,
    complaints: Vec<String>,
}

fn run(work: Work, fault: Fault, plant: Option<Plant>) -> io::Result<Outcome> {
    let (folder, beside) = (crate::scratch::folder()?, crate::scratch::folder()?);
    let log = beside.path().join("log");
    worker::prepare(work, folder.path())?;
    let command = fault.command(&log, &std::env::current_exe()?);
    let mut worker = Worker::start_with(command, work, plant, folder.path())?;
    // Tracing makes a process slower.
    let ending = worker.end_within(work.lasts() + Duration::from_millis(200))?;
    let acknowledged = worker.kill(u64::MAX)?.before;
    let traced = std::fs::read_to_string(&log).unwrap_or_default();
    let mut complaints = match judge::judge(work, folder.path(), &acknowledged, 0) {
        Ok(complaints) => complaints,
        Err(error) => vec![format!("the store cannot be judged: {error}")],
    };
    let is_killed = ending
        .is_some_and(|status| std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL));
    if let Some(status) = ending
        && !is_killed
        && status.code() != Some(1)
        // Without memory or files the system cannot start the program.
        && !acknowledged.is_empty()
    {
        complaints.push(format!("the process ended with {status}"));
    }
    let is_hit = if fault.error.is_some() { traced.contains("(INJECTED)") } else { is_killed };
    let went_on = fault.error.is_some() && is_hit && ending.is_none() && !acknowledged.is_empty();
    Ok(Outcome { is_hit, acknowledged: acknowledged.len() as u64, went_on, complaints })
}

impl Figures for Calls {
    /// One line for each fault of each call.
    fn lines(&self, _: usize) -> Vec<String> {
        let line = |(call, count): (&String, &Count)| {
            let Count { processes, hit, furthest, acknowledged, went_on, failed } = count;
            format!(
                "{call}: {hit} of {processes} processes hit, up to call {furthest}, {went_on} of them went on; \
                 {acknowledged} acknowledged; {failed} failed"
            )
        };
        self.calls.iter().map(line).collect()
    }
}
