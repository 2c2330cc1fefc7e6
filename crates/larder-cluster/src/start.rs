//! Starts a cluster.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fs, io};

use crate::cluster::Cluster;
use crate::command::{Addresses, Recipe, on_loopback};
use crate::installed::etcd;
use crate::member::{Condition, Member, is_taken_port};
use crate::network::Network;
use crate::rotation::{trust, trusted};
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::users::{check, create_users};

/// How often to start over when another process takes a port between its choice and its use.
const TRIES_MAX: usize = 5;

/// How long all members may take to serve: about two seconds on an idle machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Starts a cluster. Chooses other ports if some are taken.
pub(crate) fn start(settings: &Settings) -> io::Result<Cluster> {
    if settings.members == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a cluster has at least one member"));
    }
    check(&settings.users)?;
    let program = etcd()?;
    let mut outcome = attempt(settings, &program);
    for _ in 1..TRIES_MAX {
        match outcome {
            Err(failure) if is_taken_port(&failure) => outcome = attempt(settings, &program),
            outcome => return outcome,
        }
    }
    outcome
}

/// Starts all members at once, because each waits for the others.
fn attempt(settings: &Settings, program: &Path) -> io::Result<Cluster> {
    let scratch = Scratch::new(settings.on_disk)?;
    let network = settings.own_networks.then(|| Network::new(settings.members)).transpose()?;
    let addresses = match &network {
        Some(network) => network.addresses(settings),
        None => on_loopback(settings)?,
    };
    let identity = settings.tls.as_ref().map(|tls| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|member| member.client.ip()).collect();
        tls.server(scratch.path(), &addresses)
    });
    let identity = identity.transpose()?;
    if let Some(tls) = &settings.tls {
        trust(scratch.path(), &[tls])?;
    }
    let trusted = trusted(scratch.path());
    let recipe = Recipe { program: program.to_owned(), settings, addresses: &addresses, identity, trusted };
    let all: Vec<Member> = (0..settings.members)
        .map(|number| member(&recipe, number, &scratch.path().join(format!("member-{number}"))))
        .collect::<io::Result<_>>()?;
    let mut cluster = Cluster { all, root: None, network, scratch };
    for member in &cluster.all {
        member.start()?;
    }
    cluster.wait_until_ready(WAIT_MAX)?;
    if !settings.users.is_empty() {
        create_users(&mut cluster, &settings.users)?;
        cluster.wait_until_ready(WAIT_MAX)?;
    }
    Ok(cluster)
}

/// Makes a member's folder, and describes the member.
fn member(recipe: &Recipe<'_>, number: usize, folder: &Path) -> io::Result<Member> {
    fs::create_dir(folder)?;
    let Addresses { client, peer, admin, .. } = recipe.addresses[number];
    Ok(Member {
        command: recipe.command(number, &folder.join("data")),
        client,
        peer,
        admin: admin.unwrap_or(client),
        log: folder.join("log"),
        id: Mutex::default(),
        joined: AtomicBool::new(false),
        condition: Mutex::new(Condition::default()),
    })
}
