//! Times larder's workloads beside its peers in one run, and prints, writes or draws the results.

mod allocations;
mod follower;
mod measure;
mod peers;
mod plot;
mod row;
mod sample;
mod scratch;
mod second_process;
mod table;
mod workloads;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::Effort;
use crate::row::Row;
use crate::second_process::Task;
use crate::workloads::{Workload, cluster};

/// A result with any kind of error.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Times larder's workloads beside its peers: SQLite by hand, LMDB, libmdbx (on Linux), redb and fjall. Built
/// with the feature etcd, it also times a store on a cluster beside etcd alone.
///
/// Stores are created in TMPDIR, which should be on the disk to be measured and needs 20 GB of space.
#[derive(Parser)]
#[command(name = "larder-bench", version)]
struct Arguments {
    /// Write the rows to this file, as a JSON array, instead of printing a table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the plots into this folder, as SVG and PNG.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Run only the workload or row with this id; may be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Fewer and shorter rounds and smaller stores: a check that everything works, not for quoting.
    #[arg(long)]
    quick: bool,
    /// Measure nothing; read the rows from a file written by --json.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    if let Some(task) = &arguments.task {
        return task.run();
    }
    let mut rows = match &arguments.from {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => measure(arguments)?,
    };
    rows.retain(|row: &Row| arguments.wants(&row.id));
    match &arguments.json {
        Some(path) => std::fs::write(path, serde_json::to_string_pretty(&rows)?)?,
        None => table::print(&rows),
    }
    if let Some(folder) = &arguments.plot {
        let remark = arguments.quick.then_some("A quick run: smaller stores than stated, and few rounds.");
        plot::draw(&rows, folder, remark)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    arguments.refuse_unknown()?;
    let _scratch = scratch::prepare()?;
    let mut wanted: Vec<Workload> = workloads::all().filter(|work| arguments.wants_any_of(work)).collect();
    if let Some(reason) = cluster::unavailable()
        && arguments.wants_a_cluster()
    {
        eprintln!("larder-bench: the rows {}… are skipped: {reason}", cluster::PREFIX);
        wanted.retain(|work| !cluster::needs_cluster(work.id));
    }
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let progress = progress(wanted.len() as u64)?;
    let mut rows = Vec::new();
    for workload in wanted {
        progress.set_message(workload.id);
        rows.extend((workload.run)(effort).map_err(|error| format!("{}: {error}", workload.id))?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(rows)
}

impl Arguments {
    /// Whether to run a row: selected by its own id, by its workload's id, or because all rows run.
    fn wants(&self, row: &str) -> bool {
        let mut of = workloads::all().filter(|work| work.id == row || work.more.contains(&row));
        self.only.is_empty()
            || self.only.iter().any(|only| only == row)
            || of.any(|work| self.only.iter().any(|only| only == work.id))
    }

    fn wants_any_of(&self, workload: &Workload) -> bool {
        self.wants(workload.id) || workload.more.iter().any(|row| self.wants(row))
    }

    fn wants_a_cluster(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| cluster::needs_cluster(only))
    }

    fn refuse_unknown(&self) -> Outcome {
        // The ids of skipped cluster rows are unknown, so any with their prefix is accepted.
        let known = |only: &str| {
            workloads::all().any(|work| work.id == only || work.more.contains(&only))
                || (cluster::needs_cluster(only) && cluster::unavailable().is_some())
        };
        match self.only.iter().find(|only| !known(only)) {
            None => Ok(()),
            Some(unknown) => {
                let ids: Vec<&str> = workloads::all().map(|work| work.id).collect();
                Err(format!("there is no workload or row {unknown:?}; choose from {}", ids.join(", ")).into())
            }
        }
    }
}

/// A progress bar on standard error, if that is a terminal.
fn progress(workloads: u64) -> Outcome<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::new(workloads);
    bar.set_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(500));
    Ok(bar)
}
