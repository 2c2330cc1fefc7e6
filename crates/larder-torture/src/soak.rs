//! The soak: one process that uses everything of a store for long. Nothing of what it needs may grow.

mod judge;
mod plot;
mod sample;
mod watching;
mod work;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use larder::Store;
use serde::Serialize;

use judge::Trend;
use sample::Sample;
use work::{Counts, Outcome, Shift};

/// How often it is looked at what the process needs.
const EVERY: Duration = Duration::from_secs(1);

/// What the cache of the store may have.
const CACHE_BYTES: u64 = 8 << 20;

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// Snapshots are taken and never dropped.
    SnapshotsKept,
    /// Watchers are made, and neither read nor dropped.
    WatchersUnread,
    /// Nothing purges what is due.
    ExpiryOff,
}

/// The result of a soak.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    counts: Counts,
    trends: Vec<Trend>,
    pub complaints: Vec<String>,
    samples: Vec<Sample>,
}

/// Uses a store for `seconds`.
pub fn trial(seed: u64, seconds: u64, plant: Option<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    let folder = crate::scratch::folder()?;
    run(seed, seconds, plant, folder.path(), bar).map_err(|error| io::Error::other(error.to_string()))
}

fn run(seed: u64, seconds: u64, plant: Option<Plant>, folder: &Path, bar: &ProgressBar) -> Outcome<Report> {
    let path = folder.join("store.db");
    let store = Store::options()
        .history(20_000, 8 << 20)
        // It is full long before the second half begins, and grows no more.
        .cache_bytes(CACHE_BYTES)
        .expiry_timer(plant != Some(Plant::ExpiryOff))
        .open(&path)?;
    let shift = Arc::new(Shift::new(seed, plant, store.clone(), folder));
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut complaints = Vec::new();
    thread::scope(|scope| -> Outcome<()> {
        let workers = work::start(scope, &shift);
        let mut looked = Ok(());
        while begun.elapsed() < Duration::from_secs(seconds) && looked.is_ok() {
            thread::sleep(EVERY);
            looked = sample::take(&store, begun.elapsed()).map(|sample| samples.push(sample));
            bar.inc(1);
        }
        complaints.extend(work::end(&shift, workers));
        looked
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    complaints.extend(store.check()?.into_iter().map(|finding| format!("check: {finding}")));
    let trends = judge::trends(&samples);
    complaints.extend(trends.iter().flat_map(Trend::complaints));
    let counts = shift.counts.clone();
    store.close()?;
    Ok(Report { seed, planted: plant, seconds, counts, trends, complaints, samples })
}

impl Report {
    /// A line for each figure.
    pub fn lines(&self) -> Vec<String> {
        let complaints = self.complaints.iter().map(|complaint| format!("seed {}: {complaint}", self.seed));
        [format!("{:.0} s: {}", self.seconds, self.counts)]
            .into_iter()
            .chain(self.trends.iter().map(Trend::line))
            .chain(complaints)
            .collect()
    }

    /// Draws the figures, a panel for each.
    pub fn plot(&self, file: &Path) -> io::Result<()> {
        std::fs::write(file, plot::draw(self.seed, &self.samples, &self.trends))
    }
}
