//! The command line of the program, and its output.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use larder_cluster::{Cluster, Settings, Tls};

const USAGE: &str = "\
Starts an etcd cluster on this machine, prints its location, and waits for Ctrl-C or the end of its input.

usage: larder-cluster [OPTIONS] [-- ARGUMENTS FOR ETCD]

  --members N            the number of members, 3 by default
  --on-disk              keep the data in TMPDIR instead of memory
  --own-networks         give each member its own network, so that it can be cut off
  --tls                  accept clients over TLS only; prints the paths of the certificates
  --client-cert-auth     also require client certificates
  --user NAME:PASSWORD   create a user, the first of them root; may be repeated
";

/// Runs the program.
pub fn run() -> ExitCode {
    let settings = match settings(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprint!("{message}");
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

/// The settings from the arguments, or a message for the user.
fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings::default();
    let (mut tls, mut client_cert_auth) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--members" => {
                let count = arguments.next().and_then(|count| count.parse().ok());
                settings.members = count.ok_or("--members takes a number\n")?;
            }
            "--on-disk" => settings.on_disk = true,
            "--own-networks" => settings.own_networks = true,
            "--tls" => tls = true,
            "--client-cert-auth" => (tls, client_cert_auth) = (true, true),
            "--user" => {
                let user = arguments.next();
                let user = user.as_deref().and_then(|user| user.split_once(':'));
                let (name, password) = user.ok_or("--user takes NAME:PASSWORD\n")?;
                settings.users.push((name.to_owned(), password.to_owned()));
            }
            "--" => settings.extra_args.extend(arguments.by_ref()),
            "--help" | "-h" => return Err(USAGE.to_owned()),
            other => return Err(format!("unknown argument: {other}\n\n{USAGE}")),
        }
    }
    if tls {
        let mut tls = Tls::new().map_err(|error| format!("error: {error}\n"))?;
        tls.client_cert_auth = client_cert_auth;
        settings.tls = Some(tls);
    }
    Ok(settings)
}

/// Runs a cluster until the input ends. Ctrl-C ends this process at once, and the members follow.
fn serve(settings: &Settings) -> io::Result<()> {
    let cluster = Cluster::start_with(settings)?;
    // `println!` would panic if the parent no longer reads the output.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", cluster.location("app"));
    for (number, endpoint) in cluster.endpoints().iter().enumerate() {
        let process = cluster.process_id(number).unwrap_or_default();
        let log = cluster.log(number).display();
        let _ = writeln!(out, "member {number} at {endpoint}, process {process}, log {log}");
    }
    if let Some(tls) = &settings.tls {
        let _ = writeln!(out, "CA certificate {}", tls.ca.display());
        let _ = writeln!(out, "client certificate {}", tls.client_cert.display());
        let _ = writeln!(out, "client key {}", tls.client_key.display());
    }
    let _ = out.flush();
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
