//! The trial of damage: files of a store are changed behind its back, and a process uses what is left.

mod harm;
mod sample;
mod user;
mod verdict;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use self::harm::harm;
use self::sample::{Sample, Shape};
use self::user::Seen;
pub use self::user::{Part, take_part};
use self::verdict::{Verdict, judge};
use crate::random::Random;

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// What `check` finds is not told.
    Unchecked,
    /// The process ends with a signal when a store is refused.
    Aborted,
    /// The judge is told of an entry that was never written.
    Unwritten,
}

/// Within which time the process has to end.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// How much memory it may use in all.
const MEMORY_KIB: u64 = 128 << 10;

/// What the trial is to do.
pub struct Plan {
    pub seed: u64,
    pub rounds: u64,
    pub plant: Option<Plant>,
}

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    trial: &'static str,
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    rounds: u64,
    /// By what was done: how often it came to what.
    harms: BTreeMap<String, BTreeMap<Verdict, u64>>,
    /// By what the store was like.
    shapes: BTreeMap<&'static str, BTreeMap<Verdict, u64>>,
    most_kib: u64,
    longest_ms: u128,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    seed: u64,
    shape: &'static str,
    harm: String,
    complaints: Vec<String>,
}

/// Damages stores, each with the next seed. Where a fault is planted, ends with the first store that shows it.
pub fn trial(plan: &Plan, bar: &ProgressBar) -> io::Result<Report> {
    let begun = Instant::now();
    let mut report = Report {
        trial: "damage",
        seed: plan.seed,
        planted: plan.plant,
        seconds: 0.0,
        rounds: 0,
        harms: BTreeMap::new(),
        shapes: BTreeMap::new(),
        most_kib: 0,
        longest_ms: 0,
        failures: Vec::new(),
    };
    for seed in (plan.seed..).take(usize::try_from(plan.rounds).unwrap_or(usize::MAX)) {
        round(seed, plan.plant, &mut report, bar)?;
        bar.inc(1);
        if plan.plant.is_some() && !report.failures.is_empty() {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn round(seed: u64, plant: Option<Plant>, report: &mut Report, bar: &ProgressBar) -> io::Result<()> {
    let mut random = Random::new(seed);
    let shape = Shape::ALL.get(random.place(Shape::ALL.len())).copied().unwrap_or(Shape::Log);
    let folder = crate::scratch::folder()?;
    let make = |name: &str, random: &mut Random| {
        let own = folder.path().join(name);
        fs::create_dir(&own)?;
        Sample::make(shape, random, &own)
    };
    let (mut sample, other) = (make("made", &mut random)?, make("other", &mut random)?);
    let harm = harm(&mut random, &mut sample, &other);
    if plant == Some(Plant::Unwritten)
        && let Some((_, content)) = sample.moments.last_mut()
    {
        content.insert(("group-1".into(), "never written".into()), 0);
    }
    let keys: Vec<_> = sample.last().keys().cloned().collect();
    let begun = Instant::now();
    let used = use_it(&sample, &keys, plant, folder.path())?;
    let (verdict, complaints) = match used {
        Err(complaint) => (None, vec![complaint]),
        Ok(seen) => {
            report.most_kib = report.most_kib.max(seen.peak_kib);
            let (verdict, mut complaints) = judge(&sample, &keys, harm, &seen);
            if seen.peak_kib > MEMORY_KIB {
                complaints.push(format!("it took {} KiB of memory", seen.peak_kib));
            }
            (Some(verdict), complaints)
        }
    };
    report.longest_ms = report.longest_ms.max(begun.elapsed().as_millis());
    report.rounds += 1;
    if let Some(verdict) = verdict {
        let of_harm = report.harms.entry(format!("{} {}", harm.part.name(), harm.kind.name())).or_default();
        *of_harm.entry(verdict).or_default() += 1;
        *report.shapes.entry(shape.name()).or_default().entry(verdict).or_default() += 1;
    }
    if !complaints.is_empty() {
        bar.suspend(|| eprintln!("seed {seed}, {}, {harm}: {}", shape.name(), complaints.join("; ")));
        report.failures.push(Failure { seed, shape: shape.name(), harm: harm.to_string(), complaints });
    }
    Ok(())
}

/// Lets a process use the damaged files. Says what it did wrong if it does not end by itself.
fn use_it(
    sample: &Sample,
    keys: &[(String, String)],
    plant: Option<Plant>,
    folder: &Path,
) -> io::Result<Result<Seen, String>> {
    let own = folder.join("used");
    fs::create_dir(&own)?;
    let path = own.join("store.db");
    fs::write(&path, &sample.database)?;
    for (end, bytes) in [("-wal", &sample.log), ("-shm", &sample.index)] {
        if !bytes.is_empty() {
            fs::write(own.join(format!("store.db{end}")), bytes)?;
        }
    }
    let (asked, told, said) = (folder.join("keys"), folder.join("told"), folder.join("said"));
    fs::write(&asked, serde_json::to_vec(keys)?)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("damaged").args([&path, &asked]);
    match plant {
        Some(Plant::Unchecked) => drop(command.args(["--plant", "unchecked"])),
        Some(Plant::Aborted) => drop(command.args(["--plant", "aborted"])),
        Some(Plant::Unwritten) | None => {}
    }
    let mut child =
        command.stdin(Stdio::null()).stdout(File::create(&told)?).stderr(File::create(&said)?).spawn()?;
    let until = Instant::now() + ENDS_WITHIN;
    let status: Option<ExitStatus> = loop {
        match child.try_wait()? {
            None if Instant::now() < until => sleep(Duration::from_millis(2)),
            ended => break ended,
        }
    };
    let Some(status) = status else {
        child.kill()?;
        child.wait()?;
        return Ok(Err(format!("the process does not end within {ENDS_WITHIN:?}")));
    };
    if !status.success() {
        let said = String::from_utf8_lossy(&fs::read(&said)?).into_owned();
        let what = if status.signal().is_some() { "was ended" } else { "failed" };
        return Ok(Err(format!("the process {what} with {status}: {}", said.trim())));
    }
    Ok(serde_json::from_slice(&fs::read(&told)?).map_err(|error| error.to_string()))
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Report {
    pub fn lines(&self) -> Vec<String> {
        let line = |(what, verdicts): (String, &BTreeMap<Verdict, u64>)| {
            let verdicts: Vec<_> =
                verdicts.iter().map(|(verdict, number)| format!("{number} {verdict:?}")).collect();
            format!("{what}: {}", verdicts.join(", "))
        };
        let harms = self.harms.iter().map(|(harm, verdicts)| (harm.clone(), verdicts));
        let shapes = self.shapes.iter().map(|(shape, verdicts)| (format!("store {shape}"), verdicts));
        let mut lines: Vec<String> = harms.chain(shapes).map(line).collect();
        let Self { rounds, most_kib, longest_ms, failures, .. } = self;
        lines.push(format!(
            "{rounds} stores, at most {most_kib} KiB and {longest_ms} ms each; {} failed",
            failures.len()
        ));
        lines
    }
}
