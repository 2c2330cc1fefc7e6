//! A network in which each member has a place of its own, and ways between them that can be cut.
//!
//! Each member lives in a network namespace, with a cable to a bridge that lies in one more; a last cable
//! leads from there to where this process is, so that clients reach all members whatever is cut between
//! them. The namespaces have no names. Each is there as long as the shell that made it, which a keeper
//! holds; the cables go with the namespaces. So nothing is left when this process is gone, however it ends.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::command::Place;
use crate::keeper::Keeper;
use crate::settings::Settings;

/// Makes a namespace, and does there what `ip` is asked to.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
exec unshare --net sh -c '
    ip link set lo up || exit 1
    echo open >&0
    while read -r words; do
        if said=$(ip $words 2>&1 </dev/null); then echo done >&0; else echo refused: $said >&0; fi
    done
'
"#;

/// Addresses out of the range that is set aside for trying networks out: 198.18.0.0/15. Each cluster takes
/// a /24 of it, and the name of its cable says which.
const SUBNETS: u16 = 512;

/// Where this process is in the cluster's network.
const OURS: u8 = 1;
/// Where the first member is.
const FIRST: u8 = 10;

/// A network with a place for each member. It is gone when this is dropped, or soon after this process died.
pub(crate) struct Network {
    places: Vec<Namespace>,
    /// The cuts that were made: nothing of the first reaches the second. The lock is held while a cut is
    /// made or healed.
    cuts: Mutex<BTreeSet<(usize, usize)>>,
    subnet: u16,
    _middle: Namespace,
}

struct Namespace {
    keeper: Mutex<Keeper>,
    /// The shell that is in it.
    process: u32,
}

impl Network {
    /// Makes a network of so many places.
    pub fn new(members: usize) -> io::Result<Self> {
        let middle = Namespace::new()?;
        middle.ip("link add middle type bridge")?;
        middle.ip("link set middle up")?;
        let subnet = connect(&middle)?;
        let places = (0..members).map(|_| Namespace::new()).collect::<io::Result<Vec<_>>>()?;
        let network = Self { places, cuts: Mutex::default(), subnet, _middle: middle };
        for number in 0..members {
            network.plug_in(number)?;
        }
        Ok(network)
    }

    fn plug_in(&self, number: usize) -> io::Result<()> {
        let (place, middle) = (&self.places[number], &self._middle);
        let address = self.address(number);
        middle.ip(&format!("link add to-{number} type veth peer name cable netns {}", place.process))?;
        middle.ip(&format!("link set to-{number} master middle up"))?;
        place.ip(&format!("addr add {address}/24 dev cable"))?;
        place.ip("link set cable up")
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        // A cluster of so many members that this wraps around starts on no machine.
        address(self.subnet, FIRST.wrapping_add(number as u8))
    }

    /// Where each member listens.
    pub fn places(&self, settings: &Settings) -> Vec<Place> {
        let place = |number: usize| {
            let at = |port: u16| SocketAddr::from((self.address(number), port));
            let namespace = format!("--net=/proc/{}/ns/net", self.places[number].process);
            let entrance: [OsString; 3] = ["nsenter".into(), namespace.into(), "--".into()];
            Place {
                client: at(2379),
                peer: at(2380),
                admin: settings.tls.as_ref().map(|_| at(2381)),
                entrance: entrance.into(),
            }
        };
        (0..self.places.len()).map(place).collect()
    }

    /// From now on nothing of one member reaches another.
    pub fn cut(&self, from: usize, to: usize) -> io::Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if !cuts.contains(&(from, to)) {
            self.places[from].ip(&format!("route add blackhole {}/32", self.address(to)))?;
            cuts.insert((from, to));
        }
        Ok(())
    }

    /// Takes all cuts back.
    pub fn heal(&self) -> io::Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(from, to)) = cuts.first() {
            self.places[from].ip(&format!("route del blackhole {}/32", self.address(to)))?;
            cuts.remove(&(from, to));
        }
        Ok(())
    }
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let mut keeper = Keeper::start::<&str>(SCRIPT, &[], Stdio::null())?;
        keeper.hear().map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "this process may make no network namespaces; that takes CAP_SYS_ADMIN and CAP_NET_ADMIN, and the programs unshare, nsenter and ip",
            ),
            _ => error,
        })?;
        let process = keeper.process();
        Ok(Self { keeper: Mutex::new(keeper), process })
    }

    /// Has `ip` do something in the namespace.
    fn ip(&self, words: &str) -> io::Result<()> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.say(words)?;
        match keeper.hear()?.as_str() {
            "done" => Ok(()),
            refused => Err(io::Error::other(format!("ip {words}: {refused}"))),
        }
    }
}

/// Lays a cable from the middle to where this process is, in a subnet of which nobody has any part.
fn connect(middle: &Namespace) -> io::Result<u16> {
    let (first, this) = (std::process::id() as u16, std::process::id());
    let mut outcome = Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no subnet is free"));
    for subnet in (0..SUBNETS).map(|number| first.wrapping_add(number) % SUBNETS) {
        let (cable, ours) = (cable(subnet), address(subnet, OURS));
        if is_somebodys(ours)? {
            continue;
        }
        // Whoever makes a cable of this name has the subnet: the kernel sees to it that there is only one.
        outcome = middle.ip(&format!("link add to-us type veth peer name {cable} netns {this}"));
        match &outcome {
            Err(error) if error.to_string().contains("File exists") => continue,
            Err(_) => break,
            Ok(()) => {}
        }
        middle.ip("link set to-us master middle up")?;
        ip(&["addr", "add", &format!("{ours}/24"), "dev", &cable])?;
        ip(&["link", "set", &cable, "up"])?;
        return Ok(subnet);
    }
    outcome.map(|()| 0)
}

fn cable(subnet: u16) -> String {
    format!("larder-{subnet}")
}

fn address(subnet: u16, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18 + (subnet >> 8) as u8, (subnet & 0xff) as u8, last)
}

/// Whether this machine has a way to an address that is no way to everywhere.
fn is_somebodys(address: Ipv4Addr) -> io::Result<bool> {
    let ways = ip(&["-4", "route", "show", "match", &address.to_string()])?;
    Ok(ways.lines().any(|way| !way.starts_with("default")))
}

/// Has `ip` do something where this process is.
fn ip(words: &[&str]) -> io::Result<String> {
    let done = Command::new("ip").args(words).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("ip {}: {}", words.join(" "), said.trim())))
}
