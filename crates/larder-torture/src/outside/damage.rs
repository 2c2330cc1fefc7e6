//! The trial of damage: files of a store are changed behind its back, and a process uses what is left.

mod harm;
mod sample;
mod user;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use self::harm::harm;
use self::sample::{Sample, Shape};
use self::user::Seen;
pub use self::user::{Part, take_part};
use self::verdict::{Verdict, judge};
use super::rounds::{self, Figures, Rounds};
use super::worker::{ends_within, pass_on};
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

pub type Report = rounds::Report<Plant, Damages, Damage>;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Damages {
    rounds: u64,
    /// By what was done: how often it came to what.
    harms: BTreeMap<String, BTreeMap<Verdict, u64>>,
    /// By what the store was like.
    shapes: BTreeMap<&'static str, BTreeMap<Verdict, u64>>,
    most_kib: u64,
    longest_ms: u128,
}

/// What a store was like, and what was done to it.
#[derive(Debug, Serialize)]
pub struct Damage {
    shape: &'static str,
    harm: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.shape, self.harm)
    }
}

/// Damages stores.
pub fn trial(rounds: &Rounds<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    rounds.run("damage", Damages::default(), bar, |seed, damages| damages.round(seed, rounds.plant).map(Some))
}

impl Damages {
    fn round(&mut self, seed: u64, plant: Option<Plant>) -> io::Result<(Damage, Vec<String>)> {
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
                self.most_kib = self.most_kib.max(seen.peak_kib);
                let (verdict, mut complaints) = judge(&sample, &keys, harm, &seen);
                if seen.peak_kib > MEMORY_KIB {
                    complaints.push(format!("it took {} KiB of memory", seen.peak_kib));
                }
                (Some(verdict), complaints)
            }
        };
        self.longest_ms = self.longest_ms.max(begun.elapsed().as_millis());
        self.rounds += 1;
        let shape = shape.name();
        if let Some(verdict) = verdict {
            let of_harm = self.harms.entry(format!("{} {}", harm.part.name(), harm.kind.name())).or_default();
            *of_harm.entry(verdict).or_default() += 1;
            *self.shapes.entry(shape).or_default().entry(verdict).or_default() += 1;
        }
        Ok((Damage { shape, harm: harm.to_string() }, complaints))
    }
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
    pass_on(plant, &mut command);
    let mut child =
        command.stdin(Stdio::null()).stdout(File::create(&told)?).stderr(File::create(&said)?).spawn()?;
    let Some(status) = ends_within(&mut child, ENDS_WITHIN)? else {
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

impl Figures for Damages {
    fn lines(&self, failed: usize) -> Vec<String> {
        let line = |(what, verdicts): (String, &BTreeMap<Verdict, u64>)| {
            let verdicts: Vec<_> =
                verdicts.iter().map(|(verdict, number)| format!("{number} {verdict:?}")).collect();
            format!("{what}: {}", verdicts.join(", "))
        };
        let harms = self.harms.iter().map(|(harm, verdicts)| (harm.clone(), verdicts));
        let shapes = self.shapes.iter().map(|(shape, verdicts)| (format!("store {shape}"), verdicts));
        let mut lines: Vec<String> = harms.chain(shapes).map(line).collect();
        let Self { rounds, most_kib, longest_ms, .. } = self;
        lines.push(format!(
            "{rounds} stores, at most {most_kib} KiB and {longest_ms} ms each; {failed} failed"
        ));
        lines
    }
}
