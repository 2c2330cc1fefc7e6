//! The same program once more, as the other process that some workloads need.

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
use crate::peers::{Connected, Contestant, Larder, RawSqlite};
use crate::sample::{Numbers, Sample};

/// How long lies between two commits.
const BETWEEN_COMMITS: Duration = Duration::from_millis(10);

/// What the other process is for.
#[derive(Subcommand)]
pub enum Task {
    /// Commits 100 times a second while it is told to.
    #[command(hide = true)]
    Commit { path: PathBuf, keys: u64 },
    /// Watches, and prints the revision of each change and when it heard of it.
    #[command(hide = true)]
    Follow { location: String },
    /// Opens a store, reads one entry, and prints nanoseconds and bytes.
    #[command(hide = true)]
    Open { path: PathBuf, value_bytes: usize },
    /// The same by hand.
    #[command(hide = true)]
    OpenRaw { path: PathBuf, value_bytes: usize },
    /// Puts all files of a folder on the disk, and reads them.
    #[command(hide = true)]
    Settle { folder: PathBuf },
}

impl Task {
    pub fn run(&self) -> Outcome {
        match self {
            Self::Commit { path, keys } => commit_when_told(path, *keys),
            Self::Follow { location } => follower::follow(location),
            Self::Settle { folder } => sync_and_read(folder),
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
            Self::Settle { folder } => command.arg("settle").arg(folder),
        };
        Ok(command)
    }
}

/// Another process that commits to the same store while it is told to.
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

    pub fn commit(&mut self, whether: bool) -> Outcome {
        writeln!(self.orders, "{}", if whether { "commit" } else { "rest" })?;
        // Time for the order to arrive, and for a commit under way to end.
        thread::sleep(BETWEEN_COMMITS * 3);
        Ok(())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; there is nobody to tell either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sets keys of the sample to the values that they have, until there are no more orders.
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
            // The first process is gone, or wants no more.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The lines of standard input, as they come.
fn orders() -> Receiver<String> {
    let (give, take) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(io::stdin()).lines();
        lines.map_while(Result::ok).try_for_each(|line| give.send(line))
    });
    take
}

/// Waits until all that was written to a folder is on the disk, and has the system remember it: else
/// whoever is timed first would wait for what another has written, or read what another has in memory.
///
/// It is done in a process of its own: to open a file by hand, and close it again, would drop the locks
/// that this process's stores have on it.
pub fn settle(folder: &Path) -> Outcome {
    let task = Task::Settle { folder: folder.to_owned() };
    if !task.command()?.status()?.success() {
        return Err("the process that was to settle the files failed".into());
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

/// What it costs a fresh process to open a store and to read one entry.
#[derive(Clone, Copy, Debug)]
pub struct OpeningCost {
    pub ns: f64,
    /// How much more memory the process has then; `None` where the system does not tell.
    pub resident_bytes: Option<f64>,
}

/// Runs an `Open` in a process of its own.
pub fn opening_cost(task: &Task) -> Outcome<OpeningCost> {
    let output = task.command()?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the process that was to open the store failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let ns = numbers.next().ok_or("the process that opened the store said nothing")??;
    Ok(OpeningCost { ns, resident_bytes: numbers.next().transpose()? })
}

fn print_cost<T>(open: impl FnOnce() -> Outcome<T>) -> Outcome {
    let before = resident_bytes();
    let begun = Instant::now();
    // What was opened stays so until all is measured.
    let _opened = open()?;
    let taken = begun.elapsed().as_nanos();
    match (before, resident_bytes()) {
        (Some(before), Some(after)) => println!("{taken} {}", after.saturating_sub(before)),
        _ => println!("{taken}"),
    }
    Ok(())
}

fn read_first(contestant: &impl Contestant, sample: &Sample) -> Outcome {
    let key = sample.key(0);
    match contestant.get(key, |found| sample.is_right(key, found))? {
        Some(true) => Ok(()),
        _ => Err("the store that was opened holds something else than was written".into()),
    }
}

/// What of this process is in memory, where the system is Linux.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
