//! The command line, and what it prints.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use larder_cluster::{Cluster, Settings, Tls};

const USAGE: &str = "\
Starts an etcd cluster on this machine, says where it is, and waits for Ctrl-C or the end of its input.

usage: larder-cluster [OPTIONS] [-- ARGUMENTS FOR ETCD]

  --members N            how many members there are, 3 otherwise
  --on-disk              keep the data in TMPDIR, rather than in memory
  --apart                give each member a network of its own
  --tls                  let clients talk to it over TLS only; says where the certificates are
  --client-cert-auth     and let only clients in that show one
  --user NAME:PASSWORD   have users, of whom the first is root; may be given more than once
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
    let (mut tls, mut client_cert_auth) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--members" => {
                let count = arguments.next().and_then(|count| count.parse().ok());
                settings.members = count.ok_or("--members wants a number\n")?;
            }
            "--on-disk" => settings.on_disk = true,
            "--apart" => settings.apart = true,
            "--tls" => tls = true,
            "--client-cert-auth" => (tls, client_cert_auth) = (true, true),
            "--user" => {
                let user = arguments.next();
                let user = user.as_deref().and_then(|user| user.split_once(':'));
                let (name, password) = user.ok_or("--user wants NAME:PASSWORD\n")?;
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
    if let Some(tls) = &settings.tls {
        let _ = writeln!(out, "authority {}", tls.ca.display());
        let _ = writeln!(out, "client's certificate {}", tls.client_cert.display());
        let _ = writeln!(out, "client's key {}", tls.client_key.display());
    }
    let _ = out.flush();
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
