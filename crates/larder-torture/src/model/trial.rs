//! The trial: sequences from a seed or from a file, each in time, and the failing one as short as it gets.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::call::decode;
use super::face::Driver;
use super::place::{Engine, Place, Side};
use super::{Outcome, run, shrink};
use crate::random::Random;

/// How long a whole sequence may take.
const SEQUENCE_BOUND: Duration = Duration::from_secs(120);

/// The longest sequence in bytes.
const BYTES_MAX: u64 = 400;

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// The tallies of a commit are not written.
    TalliesSkipped,
    /// The keys that other processes have changed stay in the cache.
    CacheNotCaughtUp,
    /// The cache has the values of a commit before SQLite has committed it.
    PublishedBeforeCommit,
    /// The groups that a commit has changed stay in the cache as a whole.
    GroupsNotDropped,
    /// The clock of the model is slow.
    SlowModel,
}

impl Plant {
    fn sabotage(self) -> Option<larder::Sabotage> {
        match self {
            Self::TalliesSkipped => Some(larder::Sabotage::TalliesSkipped),
            Self::CacheNotCaughtUp => Some(larder::Sabotage::CacheNotCaughtUp),
            Self::PublishedBeforeCommit => Some(larder::Sabotage::PublishedBeforeCommit),
            Self::GroupsNotDropped => Some(larder::Sabotage::GroupsNotDropped),
            Self::SlowModel => None,
        }
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides the first sequence; each has the next seed.
    pub seed: u64,
    /// How many sequences.
    pub sequences: u64,
    /// Sequences to run instead, as bytes.
    pub replay: Vec<Vec<u8>>,
    /// What keeps the entries.
    pub engine: Engine,
    /// On which face the calls are made.
    pub side: Side,
    /// A fault to plant.
    pub plant: Option<Plant>,
}

/// A sequence that failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The seed, unless the sequence was replayed.
    pub seed: Option<u64>,
    /// What went wrong.
    pub complaint: String,
    /// The calls of the shortest sequence that fails.
    pub calls: Vec<String>,
    /// That sequence in hexadecimal digits: `--replay` takes a file of them.
    pub bytes: String,
}

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    engine: Engine,
    face: Side,
    planted: Option<Plant>,
    /// How many sequences were run.
    pub sequences: u64,
    calls: u64,
    seconds: f64,
    longest_call_ms: f64,
    longest_call: String,
    /// The first sequence that failed.
    pub failure: Option<Failure>,
}

/// Runs sequences until one fails. `tick` is called after each.
///
/// # Errors
/// If there is no runtime or no folder to be had.
pub fn trial(plan: &Plan, mut tick: impl FnMut()) -> io::Result<Report> {
    let runtime = Arc::new(Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
    larder::plant(plan.plant.and_then(Plant::sabotage));
    let begun = Instant::now();
    let mut report = Report {
        seed: plan.seed,
        engine: plan.engine,
        face: plan.side,
        planted: plan.plant,
        sequences: 0,
        calls: 0,
        seconds: 0.0,
        longest_call_ms: 0.0,
        longest_call: String::new(),
        failure: None,
    };
    let seeds = plan.seed..plan.seed.saturating_add(plan.sequences);
    let random = seeds.map(|seed| (Some(seed), sequence(seed)));
    let all: Box<dyn Iterator<Item = _>> = match plan.replay.is_empty() {
        true => Box::new(random),
        false => Box::new(plan.replay.iter().map(|bytes| (None, bytes.clone()))),
    };
    for (seed, bytes) in all {
        let ran = in_time(plan, &runtime, &bytes);
        report.sequences += 1;
        report.calls += decode(&bytes).calls.len() as u64;
        let longest_ms = ran.longest.0.as_secs_f64() * 1000.0;
        if longest_ms > report.longest_call_ms {
            report.longest_call_ms = longest_ms;
            let seed = seed.map_or_else(String::new, |seed| format!("seed {seed}: "));
            report.longest_call = format!("{seed}{}", ran.longest.1);
        }
        tick();
        if ran.outcome.is_err() {
            report.failure = Some(failure(plan, &runtime, seed, &bytes, ran));
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    larder::plant(None);
    // A call that hangs would be waited for.
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
    Ok(report)
}

/// The sequence of a seed, in bytes.
pub fn sequence(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = 20 + random.below(BYTES_MAX - 20);
    (0..length).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// What became of a sequence.
struct Ran {
    outcome: Outcome,
    longest: (Duration, String),
    hangs: bool,
}

fn failure(plan: &Plan, runtime: &Arc<Runtime>, seed: Option<u64>, bytes: &[u8], ran: Ran) -> Failure {
    let complaint = ran.outcome.err().unwrap_or_default();
    // What hangs is not tried again.
    let fails = |bytes: &[u8]| !ran.hangs && in_time(plan, runtime, bytes).outcome.is_err();
    let shortest = shrink::shrink(bytes, fails);
    let again = if ran.hangs { Ok(()) } else { in_time(plan, runtime, &shortest).outcome };
    let sequence = decode(&shortest);
    let calls = [format!("{:?}", sequence.setup)];
    let calls = calls.into_iter().chain(sequence.calls.iter().map(|call| format!("{call:?}"))).collect();
    let bytes = shortest.iter().map(|byte| format!("{byte:02x}")).collect();
    Failure { seed, complaint: again.err().unwrap_or(complaint), calls, bytes }
}

/// Runs a sequence on a thread of its own, and gives it up after a while.
fn in_time(plan: &Plan, runtime: &Arc<Runtime>, bytes: &[u8]) -> Ran {
    let (sequence, plan, runtime) = (decode(bytes), plan.clone(), Arc::clone(runtime));
    let (tell, told) = channel();
    let current = Arc::new(Mutex::new(String::new()));
    let says = Arc::clone(&current);
    let worker = thread::spawn(move || {
        let driver = Driver::new(runtime.handle());
        let said = |call: &str| call.clone_into(&mut says.lock().unwrap_or_else(PoisonError::into_inner));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let place =
                Place::new(plan.engine, plan.side, driver.clone()).map_err(|error| error.to_string())?;
            run::run(&place, &sequence, plan.plant, &said)
        }));
        let outcome = ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("a panic: {}", text.unwrap_or_default()))
        });
        drop(tell.send((outcome, driver.longest())));
    });
    match told.recv_timeout(SEQUENCE_BOUND) {
        Ok((outcome, longest)) => {
            drop(worker.join());
            Ran { outcome, longest, hangs: false }
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let call = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let outcome = Err(format!("no answer within {SEQUENCE_BOUND:?}: {call}"));
            Ran { outcome, longest: (SEQUENCE_BOUND, call), hangs: true }
        }
    }
}

impl Report {
    /// What came of it, in a line or several.
    pub fn lines(&self) -> Vec<String> {
        let Self { sequences, calls, seconds, longest_call_ms, longest_call, .. } = self;
        let first = format!(
            "{sequences} sequences, {calls} calls in {seconds:.0} s; the longest call took {longest_call_ms:.0} ms: {longest_call}"
        );
        let Some(failure) = &self.failure else { return vec![first] };
        let seed = failure.seed.map_or_else(|| "replayed".to_owned(), |seed| format!("seed {seed}"));
        [first, format!("{seed}: {}", failure.complaint)]
            .into_iter()
            .chain(failure.calls.iter().map(|call| format!("  {call}")))
            .chain([format!("  bytes: {}", failure.bytes)])
            .collect()
    }
}
