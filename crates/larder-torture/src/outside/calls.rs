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
use super::{Plant, Work, liveness};

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

/// What happens to a call of each thread.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    names: &'static str,
    /// The error that it returns; the process is killed if there is none.
    error: Option<&'static str>,
    /// Whether all later calls of this kind return it, too.
    goes_on: bool,
    /// Which of the thread's calls of this kind, from 1 on.
    number: u64,
}

impl Fault {
    /// What a call of this kind can be hit with. `EINTR` does not go on, since SQLite makes a call again that was
    /// interrupted, nor does `ENOLCK`, since SQLite tries for up to ten seconds to lock what it reads.
    fn all(call: &'static str, names: &'static str, errors: &[&'static str]) -> Vec<Self> {
        let with = |error, goes_on| Self { call, names, error, goes_on, number: 1 };
        let once = errors.iter().map(|error| with(Some(*error), false));
        let lasting = errors
            .iter()
            .filter(|error| !matches!(**error, "EINTR" | "ENOLCK"))
            .map(|error| with(Some(*error), true));
        [with(None, false)].into_iter().chain(once).chain(lasting).collect()
    }

    /// `kill`, an error such as `EIO`, or `EIO+` if it goes on.
    fn name(self) -> String {
        format!("{}{}", self.error.unwrap_or("kill"), if self.goes_on { "+" } else { "" })
    }

    /// The program that runs a worker with this fault, and writes what it did to `log`.
    fn command(self, log: &Path, worker: &Path) -> Command {
        let Self { names, error, goes_on, number, .. } = self;
        let when = if goes_on { format!("{number}+") } else { number.to_string() };
        let action = error.map_or_else(|| "signal=KILL".into(), |error| format!("error={error}"));
        let mut command = Command::new("strace");
        // The tracer is a grandchild. So the child is the worker, and killing the child kills it.
        command.args(["-D", "-f", "-qq", "-e", "signal=none", "-e"]).arg(format!("trace={names}"));
        command.arg("-e").arg(format!("inject={names}:{action}:when={when}"));
        command.arg("-o").arg(log).arg("--").arg(worker);
        command
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.call, self.number, self.name())
    }
}

/// Which calls are hit.
pub struct Wanted {
    /// All if it is empty.
    pub works: Vec<Work>,
    /// Names of kinds of calls; all if it is empty.
    pub calls: Vec<String>,
    /// Errors, with a `+` if they go on, or `kill`; all if it is empty.
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
    /// The longest that a thread was told nothing, of processes that were still at work when their time was over.
    longest_wait_ms: u64,
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
                let faults = Fault::all(call, names, errors).into_iter();
                targets.extend(
                    faults.filter(|fault| is_wanted(&self.faults, &fault.name())).map(|fault| (*work, fault)),
                );
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
        let name = format!("{}, {}", fault.call, fault.name());
        let count = calls.entry(name).or_default();
        count.processes += 1;
        count.acknowledged += outcome.acknowledged;
        count.went_on += u64::from(outcome.went_on);
        count.longest_wait_ms = count.longest_wait_ms.max(outcome.longest_wait / 1_000_000);
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
    longest_wait: u64,
    complaints: Vec<String>,
}

fn run(work: Work, fault: Fault, plant: Option<Plant>) -> io::Result<Outcome> {
    let (folder, beside) = (crate::scratch::folder()?, crate::scratch::folder()?);
    let log = beside.path().join("log");
    worker::prepare(work, folder.path())?;
    let command = fault.command(&log, &std::env::current_exe()?);
    let worker = Worker::start_with(command, work, plant, folder.path())?;
    // Tracing makes a process slower.
    let time = work.lasts() + Duration::from_millis(200);
    // SQLite keeps a lock for good whose release has failed. The system never refuses that on a local disk, but `strace`
    // cannot tell it from locking.
    let may_keep_locks = fault.call == "lock" && fault.error.is_some();
    let threads = if may_keep_locks { 0..0 } else { work.threads() };
    // While reads go on to fail, a watcher that has to read the log cannot be told anything.
    let has_watcher = work.has_watcher() && !fault.goes_on && !may_keep_locks;
    let mut life = liveness::live(worker, threads, time, has_watcher)?;
    let (ending, mut complaints) = (life.ending, std::mem::take(&mut life.complaints));
    let (acknowledged, _) = life.answers.acknowledged(&[]);
    let traced = std::fs::read_to_string(&log).unwrap_or_default();
    let committed = [acknowledged.clone(), life.answers.told(&[]).collect()].concat();
    complaints.extend(liveness::judge_in_time(work, folder.path(), &committed, 0, plant));
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
    let (acknowledged, longest_wait) = (acknowledged.len() as u64, life.longest_wait);
    Ok(Outcome { is_hit, acknowledged, went_on, longest_wait, complaints })
}

impl Figures for Calls {
    /// One line for each fault of each call.
    fn lines(&self, _: usize) -> Vec<String> {
        let line = |(call, count): (&String, &Count)| {
            let Count { processes, hit, furthest, acknowledged, went_on, longest_wait_ms, failed } = count;
            format!(
                "{call}: {hit} of {processes} processes hit, up to call {furthest}, {went_on} of them went on; \
                 {acknowledged} acknowledged; longest wait {longest_wait_ms} ms; {failed} failed"
            )
        };
        self.calls.iter().map(line).collect()
    }
}
