//! The process that is ended: it works on the disk, and prints each thing that larder acknowledges.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use larder::{Durability, ErrorKind, Store};

use super::answers::Answers;
use super::lines::{acknowledge, begin, say};
use super::persevering::{self, SILENCE};
use super::write::write;
use super::{Plant, Work, following};

/// How many threads of a writer write.
pub const THREADS: u64 = 3;

/// The number of a process that holds the write lock for long, beside those of threads.
pub const HOLDER: u64 = THREADS;

/// The number of a thread that reads, beside those of writers.
pub const READER: u64 = HOLDER + 1;

/// The number of a thread that has a watcher.
pub const FOLLOWER: u64 = READER + 1;

/// How many entries a backup has, so that making and restoring it takes a while.
pub const FILLED: u64 = 2_000;

/// How many backups are restored by turns, so that one restore is told from those before it.
pub const BACKUPS: u64 = 4;

/// How many of its backups the worker keeps: the disk has room for a few.
pub const KEPT_BACKUPS: usize = 8;

/// A file that the first version of larder wrote.
pub const OF_AN_EARLIER_VERSION: &[u8] =
    include_bytes!("../../../larder/tests/fixtures/versions/version-1.db");

/// A short history, so that the power is also cut while it is pruned.
pub fn open(path: &Path, durability: Durability) -> larder::Result<Store> {
    Store::options().history(2_000, 1 << 20).durability(durability).open(path)
}

/// Puts onto the disk what the work begins with.
pub fn prepare(work: Work, disk: &Path) -> io::Result<()> {
    let store = disk.join("store.db");
    match work {
        Work::Create | Work::BareFile => Ok(()),
        Work::Commits | Work::Checkpoints | Work::Reopen | Work::Persevere | Work::Hold => {
            open(&store, Durability::Full).and_then(|store| store.close()).map_err(io::Error::other)
        }
        Work::Upgrade => fs::write(store, OF_AN_EARLIER_VERSION),
        Work::Backup => fill(&store, "store"),
        Work::Restore => {
            fill(&store, "0")?;
            (0..BACKUPS)
                .try_for_each(|number| fill(&disk.join(format!("backup-{number}.db")), &number.to_string()))
        }
    }
}

fn fill(path: &Path, name: &str) -> io::Result<()> {
    try_fill(path, name).map_err(io::Error::other)
}

fn try_fill(path: &Path, name: &str) -> larder::Result<()> {
    let store = open(path, Durability::Full)?;
    let mut batch = store.batch().set("which", "is", name);
    for number in 0..FILLED {
        batch = batch.set("filled", number.to_string(), "x".repeat(200));
    }
    batch.commit()?;
    store.close()
}

/// A process that works.
pub struct Worker {
    child: Child,
    /// Closing it asks a process that perseveres to end.
    input: Option<ChildStdin>,
    /// What it prints. A thread reads it, so that the process never waits for the trial.
    lines: Receiver<String>,
}

impl Worker {
    pub fn start(work: Work, plant: Option<Plant>, disk: &Path) -> io::Result<Self> {
        Self::start_with(Command::new(std::env::current_exe()?), work, plant, disk)
    }

    /// Starts a worker with a command that runs this program with the arguments that it gets.
    pub fn start_with(
        mut command: Command,
        work: Work,
        plant: Option<Plant>,
        disk: &Path,
    ) -> io::Result<Self> {
        command.arg("worker").arg(work.to_string()).arg(disk);
        pass_on(plant, &mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let Some(output) = child.stdout.take() else { return Err(io::Error::other("no output")) };
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, input, lines })
    }

    pub fn wait_until_it_begins(&mut self) -> io::Result<()> {
        match self.lines.recv() {
            Ok(line) if line == "begins" => Ok(()),
            other => Err(io::Error::other(format!("the worker did not begin: {other:?}"))),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints, if that comes in time.
    pub fn line_within(&mut self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// The lines that it has printed by now and that were not taken yet.
    pub fn lines_until_now(&mut self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// Asks a process that perseveres to end.
    pub fn ask_to_end(&mut self) {
        self.input = None;
    }

    /// Kills the process. What it has printed can still be read.
    pub fn kill_at_once(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Kills the process. Returns every line that was not taken yet.
    pub fn end(mut self) -> io::Result<Vec<String>> {
        self.kill_at_once()?;
        Ok(self.lines.iter().collect())
    }

    /// Waits until the process ends by itself, but not longer than this.
    pub fn end_within(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        ends_within(&mut self.child, time)
    }

    /// Kills the process. Returns everything that it was told.
    pub fn kill(self) -> io::Result<Answers> {
        let mut answers = Answers::default();
        self.end()?.iter().for_each(|line| answers.take(line));
        Ok(answers)
    }
}

/// Waits until a process ends by itself, but not longer than this.
pub fn ends_within(child: &mut Child, time: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + time;
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            ended => return Ok(ended),
        }
    }
}

/// Tells a process of this program which fault is planted.
pub fn pass_on(plant: Option<impl clap::ValueEnum>, command: &mut Command) {
    if let Some(plant) = plant.as_ref().and_then(clap::ValueEnum::to_possible_value) {
        command.args(["--plant", plant.get_name()]);
    }
}

/// What the process does, until it is ended.
pub fn work(work: Work, plant: Option<Plant>, disk: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = disk.join("store.db");
    let durability = if plant == Some(Plant::Relaxed) { Durability::Relaxed } else { Durability::Full };
    match work {
        Work::Create => {
            begin();
            let store = open(&store, durability)?;
            Ok(write_without_end(&store, plant)?)
        }
        Work::Commits | Work::Checkpoints => {
            if work == Work::Checkpoints {
                larder::simulate();
            }
            let store = open(&store, durability)?;
            begin();
            Ok(write_without_end(&store, plant)?)
        }
        Work::Upgrade => {
            begin();
            let store = open(&store, durability)?;
            acknowledge(0, 0);
            for number in 1.. {
                store.set("after", "the upgrade", number.to_string())?;
                acknowledge(0, number);
            }
            Ok(())
        }
        Work::Backup => {
            let store = open(&store, durability)?;
            begin();
            for number in 0.. {
                store.set("backups", "next", number.to_string())?;
                store.backup_to(disk.join(format!("backup-{number}.db")))?;
                acknowledge(0, number);
                if let Some(old) = number.checked_sub(KEPT_BACKUPS as u64) {
                    let _ = fs::remove_file(disk.join(format!("backup-{old}.db")));
                }
            }
            Ok(())
        }
        Work::Reopen => {
            begin();
            for number in 1.. {
                let store = open(&store, durability)?;
                store.set("after", "opening", number.to_string())?;
                acknowledge(0, number);
                store.close()?;
            }
            Ok(())
        }
        Work::Persevere => persevering::persevere(&store, plant),
        Work::Hold => persevering::hold(&store),
        Work::BareFile => Ok(append(&disk.join("bare"), plant)?),
        Work::Restore => {
            begin();
            for number in 1.. {
                Store::restore(disk.join(format!("backup-{}.db", number % BACKUPS)), &store).run()?;
                acknowledge(0, number);
            }
            Ok(())
        }
    }
}

fn append(path: &Path, plant: Option<Plant>) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.sync_all()?;
    begin();
    for number in 1.. {
        file.write_all(&[b'x'; 100])?;
        if plant.is_none() {
            file.sync_data()?;
        }
        acknowledge(0, number);
    }
    Ok(())
}

/// Writes from all threads, each until a write fails, and watches what is written.
fn write_without_end(store: &Store, plant: Option<Plant>) -> larder::Result<()> {
    let watcher = following::watch(store)?;
    thread::scope(|scope| {
        spawn(scope, || following::follow(&watcher, plant, || true));
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                spawn(scope, move || {
                    let ended = write_numbers(store, thread, plant);
                    say("ends", thread, "");
                    ended
                })
            })
            .collect();
        let join = |writer: ScopedJoinHandle<'_, larder::Result<()>>| {
            writer.join().unwrap_or(Err(larder::Error::Closed))
        };
        let ended = writers.into_iter().map(join).fold(Ok(()), larder::Result::and);
        watcher.close();
        ended
    })
}

/// Starts a thread. Where the system has no room for one, the process ends: the other threads would go on without it.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    thread::Builder::new().spawn_scoped(scope, work).unwrap_or_else(|_| std::process::exit(1))
}

fn write_numbers(store: &Store, thread: u64, plant: Option<Plant>) -> larder::Result<()> {
    for number in 1.. {
        if plant == Some(Plant::Early) {
            acknowledge(thread, number + 1);
        }
        match write(store, thread, number) {
            Err(_) if plant == Some(Plant::Ignored) => {}
            Err(error) => {
                if plant == Some(Plant::Silent) {
                    thread::sleep(SILENCE);
                }
                write_again(store, thread, number, error)?;
            }
            Ok(()) => {}
        }
        acknowledge(thread, number);
    }
    Ok(())
}

/// How often a write is made again that was refused.
const ATTEMPTS: usize = 5;

/// Makes a write again that has failed, unless it is there although nobody knew. If a refused write were there, it would
/// now be there twice, and the sum would not be that of the numbers.
fn write_again(store: &Store, thread: u64, number: u64, mut failed: larder::Error) -> larder::Result<()> {
    for _ in 0..ATTEMPTS {
        say("refused", thread, failed.kind().as_str());
        let own = format!("tenant-{thread}:numbers");
        if failed.kind() == ErrorKind::OutcomeUnknown
            && store.get(&own, "last")?.is_some_and(|last| last == number.to_string().as_str())
        {
            return Ok(());
        }
        match write(store, thread, number) {
            Ok(()) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
