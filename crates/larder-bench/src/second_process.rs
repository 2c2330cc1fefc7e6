//! This program as a second process, which some workloads need.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Subcommand;
use larder::Store;

use crate::Outcome;
use crate::follower;
use crate::peers::{Connected, Larder, RawSqlite, TimedStore};
use crate::sample::{Numbers, Sample};

/// The time between two commits.
const BETWEEN_COMMITS: Duration = Duration::from_millis(10);

/// The task of the second process.
#[derive(Subcommand)]
pub enum Task {
    /// Commits 100 times a second while ordered to.
    #[command(hide = true)]
    Commit { path: PathBuf, keys: u64 },
    /// Watches, and prints the revision of each change and when it was received.
    #[command(hide = true)]
    Follow { location: String },
    /// Opens a store, reads one entry, and prints the nanoseconds and bytes that took.
    #[command(hide = true)]
    Open { path: PathBuf, value_bytes: usize },
    /// Does the same with SQLite by hand.
    #[command(hide = true)]
    OpenRaw { path: PathBuf, value_bytes: usize },
    /// Syncs all files in a folder to the disk, and reads them.
    #[command(hide = true)]
    SyncFiles { folder: PathBuf },
}

impl Task {
    pub fn run(&self) -> Outcome {
        match self {
            Self::Commit { path, keys } => commit_when_told(path, *keys),
            Self::Follow { location } => follower::follow(location),
            Self::SyncFiles { folder } => sync_and_read(folder),
            Self::Open { path, value_bytes } => {
                let sample = Sample::with_values(1, *value_bytes);
                print_cost(|| {
                    let larder = Larder { store: Store::open(path)? };
                    read_first(&larder, &sample)?;
                    Ok(larder)
                })
            }
            Self::OpenRaw { path, value_bytes } => {
                let sample = Sample::with_values(1, *value_bytes);
                print_cost(|| {
                    let connected = Connected::open(path)?;
                    read_first(&RawSqlite::over(&connected)?, &sample)?;
                    Ok(connected)
                })
            }
        }
    }

    pub fn command(&self) -> Outcome<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        match self {
            Self::Commit { path, keys } => command.arg("commit").arg(path).arg(keys.to_string()),
            Self::Open { path, value_bytes } => command.arg("open").arg(path).arg(value_bytes.to_string()),
            Self::OpenRaw { path, value_bytes } => {
                command.arg("open-raw").arg(path).arg(value_bytes.to_string())
            }
            Self::Follow { location } => command.arg("follow").arg(location),
            Self::SyncFiles { folder } => command.arg("sync-files").arg(folder),
        };
        Ok(command)
    }
}

/// Another process that commits to the same store while ordered to.
pub struct Committer {
    process: Child,
    orders: ChildStdin,
}

impl Committer {
    pub fn start(path: &Path, keys: u64) -> Outcome<Self> {
        let mut process =
            Task::Commit { path: path.to_owned(), keys }.command()?.stdin(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("the other process has no standard input")?;
        Ok(Self { process, orders })
    }

    pub fn commit(&mut self, active: bool) -> Outcome {
        writeln!(self.orders, "{}", if active { "commit" } else { "rest" })?;
        // Time for the order to arrive, and for a commit in progress to end.
        thread::sleep(BETWEEN_COMMITS * 3);
        Ok(())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Killing fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Overwrites keys of the sample with their values while ordered to, until the orders end.
fn commit_when_told(path: &Path, keys: u64) -> Outcome {
    let sample = Sample::of(keys);
    let larder = Larder { store: Store::open(path)? };
    let orders = orders();
    let (mut numbers, mut values) = (Numbers::from(3), sample.values());
    let mut committing = false;
    loop {
        match orders.recv_timeout(BETWEEN_COMMITS) {
            Ok(order) => committing = order == "commit",
            Err(RecvTimeoutError::Timeout) if committing => {
                let key = sample.key(numbers.below(keys));
                larder.set(key, values.of(key))?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The parent has ended, or needs no more commits.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The lines of standard input, as they arrive.
fn orders() -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(io::stdin()).lines();
        lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

/// Syncs all files in a folder to the disk and reads them into the system's cache. Otherwise the first
/// contender would wait for the writes of another, or read from the disk what another reads from memory.
///
/// This happens in another process, because closing a file here would drop the locks that this process's
/// stores have on it.
pub fn sync_files(folder: &Path) -> Outcome {
    let task = Task::SyncFiles { folder: folder.to_owned() };
    if !task.command()?.status()?.success() {
        return Err("the process that syncs the files failed".into());
    }
    Ok(())
}

fn sync_and_read(folder: &Path) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_and_read(&path)?;
        } else {
            let mut file = File::open(&path)?;
            file.sync_all()?;
            io::copy(&mut file, &mut io::sink())?;
        }
    }
    Ok(())
}

/// The cost of opening a store and reading one entry in a new process.
#[derive(Clone, Copy, Debug)]
pub struct OpeningCost {
    pub ns: f64,
    /// The increase of the process's memory; `None` where the system does not report it.
    pub resident_bytes: Option<f64>,
}

/// Runs a task that opens a store in a new process.
pub fn opening_cost(task: &Task) -> Outcome<OpeningCost> {
    let output = task.command()?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the process that opens the store failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let ns = numbers.next().ok_or("the process that opens the store printed nothing")??;
    Ok(OpeningCost { ns, resident_bytes: numbers.next().transpose()? })
}

fn print_cost<T>(open: impl FnOnce() -> Outcome<T>) -> Outcome {
    let before = resident_bytes();
    let begun = Instant::now();
    // Keeps the store open until the memory is measured.
    let _opened = open()?;
    let taken = begun.elapsed().as_nanos();
    match (before, resident_bytes()) {
        (Some(before), Some(after)) => println!("{taken} {}", after.saturating_sub(before)),
        _ => println!("{taken}"),
    }
    Ok(())
}

fn read_first(store: &impl TimedStore, sample: &Sample) -> Outcome {
    let key = sample.key(0);
    match store.get(key, |found| sample.is_right(key, found))? {
        Some(true) => Ok(()),
        _ => Err("the opened store does not have the value that was written".into()),
    }
}

/// The resident memory of this process, on Linux.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
