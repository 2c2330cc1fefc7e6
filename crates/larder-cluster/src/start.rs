//! How a cluster is started.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use std::{fs, io};

use crate::cluster::Cluster;
use crate::command::{Place, Recipe, on_loopback};
use crate::installed::etcd;
use crate::member::{Condition, Member, is_taken_port};
use crate::network::Network;
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::users::{check, introduce};

/// How often other ports are chosen when somebody took one between its choice and its use.
const TRIES_MAX: usize = 5;

/// How long all members may take to serve. It is two seconds where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a cluster, with other ports as long as some are taken.
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
            settled => return settled,
        }
    }
    outcome
}

/// Starts all members at once: each waits for the others.
fn attempt(settings: &Settings, program: &Path) -> io::Result<Cluster> {
    let scratch = Scratch::new(settings.on_disk)?;
    let network = settings.apart.then(|| Network::new(settings.members)).transpose()?;
    let places = match &network {
        Some(network) => network.places(settings),
        None => on_loopback(settings)?,
    };
    let identity = settings.tls.as_ref().map(|tls| {
        let addresses: Vec<IpAddr> = places.iter().map(|place| place.client.ip()).collect();
        tls.server(scratch.path(), &addresses)
    });
    let identity = identity.transpose()?;
    let recipe = Recipe { program: program.to_owned(), settings, places: &places, identity };
    let all: Vec<Member> = (0..settings.members)
        .map(|number| member(&recipe, number, &scratch.path().join(format!("member-{number}"))))
        .collect::<io::Result<_>>()?;
    let mut cluster = Cluster { all, root: None, network, scratch };
    for member in &cluster.all {
        member.start()?;
    }
    cluster.wait_until_ready(PATIENCE)?;
    if !settings.users.is_empty() {
        introduce(&mut cluster, &settings.users)?;
        cluster.wait_until_ready(PATIENCE)?;
    }
    Ok(cluster)
}

/// Makes room for a member, and says what it is.
fn member(recipe: &Recipe<'_>, number: usize, folder: &Path) -> io::Result<Member> {
    fs::create_dir(folder)?;
    let Place { client, admin, .. } = recipe.places[number];
    Ok(Member {
        command: recipe.command(number, &folder.join("data")),
        client,
        admin: admin.unwrap_or(client),
        log: folder.join("log"),
        id: OnceLock::new(),
        condition: Mutex::new(Condition::default()),
    })
}
