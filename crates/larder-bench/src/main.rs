//! Times larder's workloads beside its peers, in one process run, and prints what came of it.

mod measure;
mod peers;
mod report;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// What a workload's setup or a report can fail with.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Times larder's workloads beside its peers.
#[derive(Parser)]
#[command(name = "larder-bench", version)]
struct Arguments {
    /// Write the rows to this file as a JSON array, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only the workload with this id; can be given several times.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Fewer and shorter rounds: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
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
    let unknown = arguments.only.iter().find(|id| !workloads::ALL.iter().any(|(known, _)| known == id));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = workloads::ALL.iter().map(|(id, _)| *id).collect();
        return Err(format!("there is no workload {unknown:?}; choose from {}", known.join(", ")).into());
    }
    let effort = if arguments.quick { measure::Effort::QUICK } else { measure::Effort::FULL };
    let mut rows = Vec::new();
    for (id, workload) in workloads::ALL {
        if arguments.only.is_empty() || arguments.only.iter().any(|only| only == id) {
            eprintln!("{id} …");
            rows.extend(workload(effort)?);
        }
    }
    report::print(&rows);
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::json(&rows)?)?;
    }
    Ok(())
}
