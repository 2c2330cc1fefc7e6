//! A file of many gigabytes: beyond SQLite's lock page, which lies at 1 GiB, and beyond what 32 bits can count. Each value
//! follows from the seed, so everything can be compared without being kept.

mod filling;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use larder::Store;
use serde::Serialize;

use filling::{Filling, Outcome};

/// How many steps a bar shows.
pub const STEPS: u64 = 11;

/// No single call of a writer or reader may take longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// A mebibyte near the end of the file is zeroed.
    Zeroed,
    /// The judge expects a value that was never written.
    Unwritten,
}

pub struct Plan {
    pub seed: u64,
    /// How long the file is to be.
    pub bytes: u64,
    /// Where the files are put: three times as much room is needed.
    pub folder: Option<PathBuf>,
    pub plant: Option<Plant>,
}

/// What one step has taken, and how long the file was afterwards.
#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    seconds: f64,
    entries: u64,
    file_bytes: u64,
    log_bytes: u64,
}

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    planted: Option<Plant>,
    steps: Vec<Step>,
    longest_call_ms: u128,
    pub complaints: Vec<String>,
}

/// Fills a store, changes it, reads it, checks it, backs it up, compacts it and restores it.
pub fn trial(plan: &Plan, bar: &ProgressBar) -> io::Result<Report> {
    let folder = match &plan.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }?;
    let mut trial = Trial {
        path: folder.path().join("store.db"),
        backup: folder.path().join("backup.db"),
        filling: Filling::new(plan.seed),
        report: Report {
            seed: plan.seed,
            planted: plan.plant,
            steps: Vec::new(),
            longest_call_ms: 0,
            complaints: Vec::new(),
        },
    };
    if let Err(error) = trial.run(plan, bar) {
        trial.report.complaints.push(error.to_string());
    }
    trial.report.longest_call_ms = trial.filling.longest_call.as_millis();
    if trial.filling.longest_call > ANSWERED_WITHIN {
        trial.report.complaints.push(format!("a call took {:?}", trial.filling.longest_call));
    }
    Ok(trial.report)
}

struct Trial {
    path: PathBuf,
    backup: PathBuf,
    filling: Filling,
    report: Report,
}

impl Trial {
    fn run(&mut self, plan: &Plan, bar: &ProgressBar) -> Outcome<()> {
        let store = open(&self.path)?;
        self.step("fill", bar, &store, |trial| trial.filling.fill(&store, plan.bytes))?;
        self.step("change", bar, &store, |trial| trial.filling.change(&store))?;
        store.close()?;
        drop(store);
        match plan.plant {
            Some(Plant::Zeroed) => zero(&self.path)?,
            Some(Plant::Unwritten) => self.filling.pretend(),
            None => {}
        }

        let store = open(&self.path)?;
        self.step("read", bar, &store, |trial| trial.filling.compare(&store))?;
        self.step("check", bar, &store, |_| sound(&store))?;
        self.step("backup", bar, &store, |trial| Ok(store.backup_to(&trial.backup)?))?;
        let whole = self.filling.clone();
        self.step("delete", bar, &store, |trial| trial.filling.delete_groups(&store))?;
        let before = store.stats()?.file_bytes;
        self.step("compact", bar, &store, |_| Ok(store.compact().map(drop)?))?;
        let after = store.stats()?.file_bytes;
        if after > before / 4 * 3 {
            return Err(format!("compacting {before} bytes, of which half are free, left {after}").into());
        }
        self.step("read compacted", bar, &store, |trial| trial.filling.compare(&store))?;
        self.step("check compacted", bar, &store, |_| sound(&store))?;
        store.close()?;
        drop(store);

        self.filling.take_back(&whole);
        let begun = Instant::now();
        Store::restore(&self.backup, &self.path).run()?;
        let store = open(&self.path)?;
        self.note("restore", begun, &store)?;
        self.step("read restored", bar, &store, |trial| trial.filling.compare(&store))?;
        self.step("check restored", bar, &store, |_| sound(&store))?;
        store.close()?;
        Ok(())
    }

    fn step(
        &mut self,
        name: &'static str,
        bar: &ProgressBar,
        store: &Store,
        act: impl FnOnce(&mut Self) -> Outcome<()>,
    ) -> Outcome<()> {
        bar.set_message(name);
        let begun = Instant::now();
        act(self).map_err(|error| format!("{name}: {error}"))?;
        bar.inc(1);
        self.note(name, begun, store)
    }

    fn note(&mut self, name: &'static str, begun: Instant, store: &Store) -> Outcome<()> {
        let stats = store.stats()?;
        self.report.steps.push(Step {
            name,
            seconds: begun.elapsed().as_secs_f64(),
            entries: stats.keys,
            file_bytes: stats.file_bytes,
            log_bytes: stats.wal_bytes,
        });
        Ok(())
    }
}

/// What was deleted leaves the file soon.
fn open(path: &Path) -> larder::Result<Store> {
    Store::options().history(1_000, 1 << 20).open(path)
}

fn sound(store: &Store) -> Outcome<()> {
    let found = store.check()?;
    if found.is_empty() { Ok(()) } else { Err(format!("{found:?}").into()) }
}

/// Zeroes a mebibyte at nine tenths of a file.
fn zero(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let page = file.metadata()?.len() / 10 * 9 / 4096 * 4096;
    file.write_all_at(&vec![0; 1 << 20], page)
}

impl Report {
    /// A line for each step, and each complaint.
    pub fn lines(&self) -> Vec<String> {
        let steps = self.steps.iter().map(|step| {
            format!(
                "{}: {:.1} s, {} entries, a file of {:.3} GiB, a log of {:.0} MiB",
                step.name,
                step.seconds,
                step.entries,
                step.file_bytes as f64 / f64::from(1 << 30),
                step.log_bytes as f64 / f64::from(1 << 20),
            )
        });
        let longest = format!("the longest call took {} ms", self.longest_call_ms);
        let complaints = self.complaints.iter().map(|complaint| format!("seed {}: {complaint}", self.seed));
        steps.chain([longest]).chain(complaints).collect()
    }
}
