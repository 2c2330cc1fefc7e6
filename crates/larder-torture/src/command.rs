//! The command line: a command for each trial.

use std::fmt::Debug;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use larder_torture::model;

use crate::large_file;
use crate::neighbours;
use crate::outside::{self, End, Figures, Report, Rounds, Work};
use crate::simulator::{self, Plant};
use crate::soak;

/// Tries to make larder lose what it has acknowledged.
#[derive(Parser)]
#[command(name = "larder-torture", version)]
struct Arguments {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// Runs the real engine on a simulated disk, clock and scheduler, under kills, power cuts and failing calls.
    Simulator {
        /// The first seed. A seed repeats a run exactly.
        #[arg(long)]
        seed: u64,
        /// How many seeds to run, from the first on.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// Plant a fault, and end with the first seed that finds it.
        #[arg(long, value_name = "FAULT")]
        plant: Option<Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Kills a process while it works, on files in memory.
    Kills(Outside),
    /// Cuts the power of a disk while a process works on it. Needs root, loop devices and ext4.
    PowerCuts(Outside),
    /// Lets four processes use one store beside programs that use its file with plain SQLite.
    Neighbours {
        /// The seed. It decides what everybody does, and not how the machine schedules it.
        #[arg(long)]
        seed: u64,
        /// How long they go on, in rounds of a minute, each with the next seed and a new store.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Plant a fault, and end with the first round that finds it.
        #[arg(long, value_name = "FAULT")]
        plant: Option<neighbours::Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// One of the neighbours.
    #[command(hide = true)]
    Neighbour(neighbours::Part),
    /// Kills a process at the k-th system call of a kind, or lets that call fail. Needs strace.
    Calls {
        /// The first seed. It decides what a process does, and which of its calls is hit; each has the next one.
        #[arg(long)]
        seed: u64,
        /// How many processes are run.
        #[arg(long, default_value_t = 100)]
        ends: u64,
        /// What they are doing; may be repeated. Everything if it is left out.
        #[arg(long)]
        work: Vec<Work>,
        /// The kind of the call, such as `write`; may be repeated. All if it is left out.
        #[arg(long)]
        call: Vec<String>,
        /// `kill`, an error such as `EIO`, or `EIO+` if all later calls fail, too; may be repeated. All if it is left out.
        #[arg(long)]
        fault: Vec<String>,
        /// Plant a fault, and end with the first process that shows it.
        #[arg(long, value_name = "FAULT")]
        plant: Option<outside::Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Takes something away from a process that works, and gives it back: room, descriptors, locks, permission to write.
    Limits {
        /// The first seed. It decides when that happens; each round has the next one.
        #[arg(long)]
        seed: u64,
        /// How many rounds are run.
        #[arg(long, default_value_t = 30)]
        rounds: u64,
        /// What is taken away; may be repeated. Everything by turns if it is left out.
        #[arg(long)]
        limit: Vec<outside::Limit>,
        /// Plant a fault, and end with the first round that shows it.
        #[arg(long, value_name = "FAULT")]
        plant: Option<outside::Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Changes files of a store behind its back, and lets a process use what is left.
    Damage {
        /// The first seed. It decides what the store is like and what is done to it; each round has the next one.
        #[arg(long)]
        seed: u64,
        /// How many stores are damaged.
        #[arg(long, default_value_t = 100)]
        rounds: u64,
        /// Plant a fault, and end with the first round that shows it.
        #[arg(long, value_name = "FAULT")]
        plant: Option<outside::DamagePlant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// The process that uses a damaged store.
    #[command(hide = true)]
    Damaged(outside::DamagedPart),
    /// Uses everything of a store for long, in one process: nothing of what it needs may grow.
    Soak {
        /// Decides what is written, and how long snapshots are held and entries live.
        #[arg(long)]
        seed: u64,
        /// For how many seconds.
        #[arg(long, default_value_t = 30, conflicts_with = "minutes")]
        seconds: u64,
        /// For how many minutes.
        #[arg(long)]
        minutes: Option<u64>,
        /// Plant a fault.
        #[arg(long, value_name = "FAULT")]
        plant: Option<soak::Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Where to draw the figures, as an SVG.
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Fills, changes, reads, checks, backs up, compacts and restores a file of many gigabytes.
    LargeFile {
        /// What is written follows from it.
        #[arg(long)]
        seed: u64,
        /// How long the file is to be, in MiB.
        #[arg(long, default_value_t = 5120)]
        mebibytes: u64,
        /// Where the files are put, instead of the folder for temporary files. It takes three times as much room.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Plant a fault.
        #[arg(long, value_name = "FAULT")]
        plant: Option<large_file::Plant>,
        /// Where to write the result.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Runs random sequences over the whole API, on a store and on a plain map side by side.
    Model(Model),
    /// The process that is ended.
    #[command(hide = true)]
    Worker {
        work: Work,
        disk: PathBuf,
        #[arg(long)]
        plant: Option<outside::Plant>,
    },
}

/// What the trial of sequences is told.
#[derive(Args)]
struct Model {
    /// The first seed. Each sequence has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many sequences are run.
    #[arg(long, default_value_t = 100)]
    sequences: u64,
    /// What keeps the entries.
    #[arg(long, default_value = "file")]
    engine: model::Engine,
    /// On which face the calls are made. On the asynchronous one, futures are dropped as well.
    #[arg(long, default_value = "blocking")]
    face: model::Side,
    /// Run the sequences of a file instead: each line is one in hexadecimal digits; or of a folder with such files.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Plant a fault, and end with the first sequence that finds it.
    #[arg(long, value_name = "FAULT")]
    plant: Option<model::Plant>,
    /// Where to write the result.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the trials from outside are told.
#[derive(Args)]
struct Outside {
    /// The first seed. It decides when a process is ended; each has the next one.
    #[arg(long)]
    seed: u64,
    /// How many processes are ended.
    #[arg(long, default_value_t = 60)]
    ends: u64,
    /// What they are doing; may be repeated. Everything by turns if it is left out.
    #[arg(long)]
    work: Vec<Work>,
    /// Plant a fault, and end with the first process that shows it.
    #[arg(long, value_name = "FAULT")]
    plant: Option<outside::Plant>,
    /// Where to write the result.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn main() -> ExitCode {
    match perform(Arguments::parse().trial) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the trial came out as it should: a planted fault is to be found, and nothing else.
fn perform(trial: Trial) -> io::Result<bool> {
    match trial {
        Trial::Simulator { seed, seeds, plant, json } => {
            eprintln!("simulator: seed {seed}, {seeds} seeds, planted: {plant:?}");
            let bar = progress(seeds, "seeds");
            let report = simulator::trial(seed, seeds, plant, &bar)?;
            bar.finish_and_clear();
            eprintln!("{}", report.line());
            write_json(json, &report)?;
            Ok(report.failures.is_empty() == plant.is_none())
        }
        Trial::Kills(outside) => end_processes(End::Kill, outside),
        Trial::PowerCuts(outside) => end_processes(End::PowerCut, outside),
        Trial::Neighbours { seed, seconds, plant, json } => {
            eprintln!("neighbours: seed {seed}, {seconds} seconds, planted: {plant:?}");
            let bar = progress(seconds, "seconds");
            let report = neighbours::trial(&neighbours::Plan { seed, seconds, plant }, &bar)?;
            bar.finish_and_clear();
            eprintln!("{}", report.line());
            write_json(json, &report)?;
            Ok(report.failures.is_empty() == plant.is_none())
        }
        Trial::Neighbour(part) => neighbours::take_part(&part).map(|()| true),
        Trial::Calls { seed, ends, work, call, fault, plant, json } => {
            let wanted = outside::WantedCalls { works: work, calls: call, faults: fault };
            let rounds = Rounds { seed, number: ends, plant };
            run_rounds("calls", "processes", &rounds, json, |bar| outside::call_trial(&wanted, &rounds, bar))
        }
        Trial::Limits { seed, rounds, limit, plant, json } => {
            let rounds = Rounds { seed, number: rounds, plant };
            run_rounds("limits", "rounds", &rounds, json, |bar| outside::limit_trial(&limit, &rounds, bar))
        }
        Trial::Damage { seed, rounds, plant, json } => {
            let rounds = Rounds { seed, number: rounds, plant };
            run_rounds("damage", "rounds", &rounds, json, |bar| outside::damage_trial(&rounds, bar))
        }
        Trial::Damaged(part) => outside::use_damaged(&part).map(|()| true),
        Trial::Soak { seed, seconds, minutes, plant, json, plot } => {
            let seconds = minutes.map_or(seconds, |minutes| minutes.saturating_mul(60));
            eprintln!("soak: seed {seed}, {seconds} s, planted: {plant:?}");
            let bar = progress(seconds, "s");
            let report = soak::trial(seed, seconds, plant, &bar)?;
            bar.finish_and_clear();
            report.lines().iter().for_each(|line| eprintln!("{line}"));
            write_json(json, &report)?;
            plot.map_or(Ok(()), |file| report.plot(&file))?;
            Ok(report.complaints.is_empty() == plant.is_none())
        }
        Trial::LargeFile { seed, mebibytes, folder, plant, json } => {
            eprintln!("large-file: seed {seed}, {mebibytes} MiB, planted: {plant:?}");
            let bar = progress(large_file::STEPS, "steps");
            let bytes = mebibytes.saturating_mul(1 << 20);
            let report = large_file::trial(&large_file::Plan { seed, bytes, folder, plant }, &bar)?;
            bar.finish_and_clear();
            report.lines().iter().for_each(|line| eprintln!("{line}"));
            write_json(json, &report)?;
            Ok(report.complaints.is_empty() == plant.is_none())
        }
        Trial::Model(model) => run_sequences(model),
        // It ends with an error, or is killed.
        Trial::Worker { work, disk, plant } => match outside::work(work, plant, &disk) {
            Ok(()) => Ok(true),
            Err(error) => Err(io::Error::other(error.to_string())),
        },
    }
}

fn end_processes(end: End, Outside { seed, ends, work, plant, json }: Outside) -> io::Result<bool> {
    let all = || Work::ALL.into_iter().filter(|work| end == End::PowerCut || !work.is_control()).collect();
    let works = if work.is_empty() { all() } else { work };
    let rounds = Rounds { seed, number: ends, plant };
    run_rounds(end.name(), "processes", &rounds, json, |bar| outside::trial(end, &works, &rounds, bar))
}

/// Runs a trial from outside, and tells what came of it.
fn run_rounds<Plant: Copy + Debug + Serialize, F: Figures, Case: Serialize>(
    trial: &str,
    unit: &str,
    rounds: &Rounds<Plant>,
    json: Option<PathBuf>,
    run: impl FnOnce(&ProgressBar) -> io::Result<Report<Plant, F, Case>>,
) -> io::Result<bool> {
    let Rounds { seed, number, plant } = rounds;
    eprintln!("{trial}: seed {seed}, {number} {unit}, planted: {plant:?}");
    let bar = progress(*number, unit);
    let report = run(&bar)?;
    bar.finish_and_clear();
    report.lines().iter().for_each(|line| eprintln!("{line}"));
    write_json(json, &report)?;
    Ok(report.is_as_it_should_be())
}

fn run_sequences(model: Model) -> io::Result<bool> {
    let Model { seed, sequences, engine, face, replay, plant, json } = model;
    eprintln!("model: seed {seed}, {sequences} sequences, {engine:?}, {face:?}, planted: {plant:?}");
    let replay = replay.map_or(Ok(Vec::new()), |path| model::stored(&path))?;
    let length = if replay.is_empty() { sequences } else { replay.len() as u64 };
    let bar = progress(length, "sequences");
    let plan = model::Plan { seed, sequences, replay, engine, side: face, plant };
    let report = model::trial(&plan, || bar.inc(1))?;
    bar.finish_and_clear();
    report.lines().iter().for_each(|line| eprintln!("{line}"));
    write_json(json, &report)?;
    Ok(report.failure.is_none() == plant.is_none())
}

fn write_json(file: Option<PathBuf>, report: &impl Serialize) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, serde_json::to_string_pretty(report)?)
}

fn progress(length: u64, unit: &str) -> ProgressBar {
    let bar = if io::stderr().is_terminal() { ProgressBar::new(length) } else { ProgressBar::hidden() };
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
