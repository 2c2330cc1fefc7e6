//! How a cluster is started.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::installed::etcd;
use crate::member::{Condition, Member, is_taken_port};
use crate::ports;
use crate::scratch::Scratch;
use crate::settings::Settings;

/// How often other ports are chosen when somebody took one between its choice and its use.
const TRIES_MAX: usize = 5;

/// How long all members may take to serve. It is two seconds where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where one member listens.
struct Place {
    client: SocketAddr,
    peer: SocketAddr,
}

/// Starts a cluster, with other ports as long as some are taken.
pub(crate) fn start(settings: &Settings) -> io::Result<Cluster> {
    if settings.members == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a cluster has at least one member"));
    }
    let program = etcd()?;
    let mut outcome = attempt(settings, &program);
    for _ in 1..TRIES_MAX {
        match outcome {
            Err(failure) if is_taken_port(&failure) => outcome = attempt(settings, &program),
            settled => return settled,
        }
    }
    outcome
}

/// Starts all members at once: each waits for the others.
fn attempt(settings: &Settings, program: &Path) -> io::Result<Cluster> {
    let scratch = Scratch::new(settings.on_disk)?;
    let places = on_loopback(settings.members)?;
    let all: Vec<Member> = (0..settings.members)
        .map(|number| member(settings, program, &scratch, &places, number))
        .collect::<io::Result<_>>()?;
    let cluster = Cluster { all, scratch };
    for member in &cluster.all {
        member.start()?;
    }
    cluster.wait_until_ready(PATIENCE)?;
    Ok(cluster)
}

/// Places for so many members on the loopback address.
fn on_loopback(members: usize) -> io::Result<Vec<Place>> {
    let ports = ports::free(2 * members)?;
    let at = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
    let (clients, peers) = ports.split_at(members);
    Ok(clients.iter().zip(peers).map(|(client, peer)| Place { client: at(client), peer: at(peer) }).collect())
}

/// What one member is started with.
fn member(
    settings: &Settings,
    program: &Path,
    scratch: &Scratch,
    places: &[Place],
    number: usize,
) -> io::Result<Member> {
    let folder = scratch.path().join(format!("member-{number}"));
    fs::create_dir(&folder)?;
    let Place { client, peer } = &places[number];
    let cluster: Vec<String> =
        places.iter().enumerate().map(|(n, place)| format!("member-{n}=http://{}", place.peer)).collect();

    let mut command: Vec<OsString> = vec![program.into()];
    let mut flag = |name: &str, value: String| command.extend([name.into(), value.into()]);
    flag("--name", format!("member-{number}"));
    flag("--listen-client-urls", format!("http://{client}"));
    flag("--advertise-client-urls", format!("http://{client}"));
    flag("--listen-peer-urls", format!("http://{peer}"));
    flag("--initial-advertise-peer-urls", format!("http://{peer}"));
    flag("--initial-cluster", cluster.join(","));
    flag("--heartbeat-interval", settings.heartbeat_interval.as_millis().to_string());
    flag("--election-timeout", settings.election_timeout.as_millis().to_string());
    if let Some(bytes) = settings.quota_backend_bytes {
        flag("--quota-backend-bytes", bytes.to_string());
    }
    if let Some(count) = settings.snapshot_count {
        flag("--snapshot-count", count.to_string());
    }
    command.extend(["--logger=zap".into(), "--log-level=error".into()]);
    command.extend(["--data-dir".into(), folder.join("data").into_os_string()]);
    command.extend(settings.extra_args.iter().map(OsString::from));

    Ok(Member {
        command,
        client: *client,
        admin: *client,
        log: folder.join("log"),
        id: OnceLock::new(),
        condition: Mutex::new(Condition::default()),
    })
}
