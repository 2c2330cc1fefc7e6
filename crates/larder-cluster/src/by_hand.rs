//! The command line, and what it prints.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use larder_cluster::{Cluster, Settings};

const USAGE: &str = "\
Starts an etcd cluster on this machine, says where it is, and waits for Ctrl-C or the end of its input.

usage: larder-cluster [--members N] [--on-disk] [-- ARGUMENTS FOR ETCD]
";

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    let settings = match settings(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(complaint) => {
            eprint!("{complaint}");
            return ExitCode::from(2);
        }
    };
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments ask for, or what to tell whoever wrote them.
fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--members" => {
                let count = arguments.next().and_then(|count| count.parse().ok());
                settings.members = count.ok_or("--members wants a number\n")?;
            }
            "--on-disk" => settings.on_disk = true,
            "--" => settings.extra_args.extend(arguments.by_ref()),
            "--help" | "-h" => return Err(USAGE.to_owned()),
            other => return Err(format!("unknown argument: {other}\n\n{USAGE}")),
        }
    }
    Ok(settings)
}

/// Keeps a cluster until nobody wants it any more. Ctrl-C ends this process at once; the members follow.
fn serve(settings: &Settings) -> io::Result<()> {
    let cluster = Cluster::start_with(settings)?;
    // Written rather than printed: whoever started this may have stopped listening, which is no fault.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", cluster.location("app"));
    for (number, endpoint) in cluster.endpoints().iter().enumerate() {
        let process = cluster.process_id(number).unwrap_or_default();
        let log = cluster.log(number).display();
        let _ = writeln!(out, "member {number} at {endpoint}, process {process}, log {log}");
    }
    let _ = out.flush();
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
