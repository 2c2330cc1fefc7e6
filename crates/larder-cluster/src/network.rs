//! A network in which each member has its own namespace, and connections between members can be cut.
//!
//! Each member runs in a network namespace with a cable (a veth pair) to a bridge in a further namespace.
//! Another cable connects the bridge to this process's namespace, so clients reach every member whatever is
//! cut between members. The namespaces have no names: each exists while the shell that made it runs, which a
//! keeper holds, and the cables end with the namespaces. So nothing is left when this process ends, however
//! it ends.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::command::Addresses;
use crate::keeper::Keeper;
use crate::settings::Settings;

/// Makes a namespace and runs `ip` commands in it, one per line of input.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
exec unshare --net sh -c '
    ip link set lo up || exit 1
    echo open >&0
    while read -r words; do
        if message=$(ip $words 2>&1 </dev/null); then echo done >&0; else echo refused: $message >&0; fi
    done
'
"#;

/// The number of /24 subnets in 198.18.0.0/15, the range reserved for network tests. Each cluster takes one;
/// the name of its cable says which.
const SUBNETS: u16 = 512;

/// The last byte of this process's address in the cluster's network.
const OURS: u8 = 1;
/// The last byte of the first member's address.
const FIRST: u8 = 10;

/// A network with a namespace for each member. It is removed when this is dropped, or soon after this process
/// dies.
pub(crate) struct Network {
    namespaces: Vec<Namespace>,
    /// The cuts: nothing from the first member reaches the second. The lock is held while a cut is made or
    /// healed.
    cuts: Mutex<BTreeSet<(usize, usize)>>,
    subnet: u16,
    _middle: Namespace,
}

struct Namespace {
    keeper: Mutex<Keeper>,
    /// The shell in the namespace.
    process: u32,
}

impl Network {
    /// Makes a network for a number of members.
    pub fn new(members: usize) -> io::Result<Self> {
        let middle = Namespace::new()?;
        middle.ip("link add middle type bridge")?;
        middle.ip("link set middle up")?;
        let subnet = connect(&middle)?;
        let namespaces = (0..members).map(|_| Namespace::new()).collect::<io::Result<Vec<_>>>()?;
        let network = Self { namespaces, cuts: Mutex::default(), subnet, _middle: middle };
        for number in 0..members {
            network.connect_member(number)?;
        }
        Ok(network)
    }

    fn connect_member(&self, number: usize) -> io::Result<()> {
        let (namespace, middle) = (&self.namespaces[number], &self._middle);
        let address = self.address(number);
        middle.ip(&format!("link add to-{number} type veth peer name cable netns {}", namespace.process))?;
        middle.ip(&format!("link set to-{number} master middle up"))?;
        namespace.ip(&format!("addr add {address}/24 dev cable"))?;
        namespace.ip("link set cable up")
    }

    fn address(&self, number: usize) -> Ipv4Addr {
        // No machine can run so many members that this wraps around.
        address(self.subnet, FIRST.wrapping_add(number as u8))
    }

    /// The addresses of each member.
    pub fn addresses(&self, settings: &Settings) -> Vec<Addresses> {
        let addresses = |number: usize| {
            let at = |port: u16| SocketAddr::from((self.address(number), port));
            let namespace = format!("--net=/proc/{}/ns/net", self.namespaces[number].process);
            let launcher: [OsString; 3] = ["nsenter".into(), namespace.into(), "--".into()];
            Addresses {
                client: at(2379),
                peer: at(2380),
                admin: settings.tls.as_ref().map(|_| at(2381)),
                launcher: launcher.into(),
            }
        };
        (0..self.namespaces.len()).map(addresses).collect()
    }

    /// Drops everything that one member sends to another, from now on.
    pub fn cut(&self, from: usize, to: usize) -> io::Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if !cuts.contains(&(from, to)) {
            self.namespaces[from].ip(&format!("route add blackhole {}/32", self.address(to)))?;
            cuts.insert((from, to));
        }
        Ok(())
    }

    /// Removes all cuts.
    pub fn heal(&self) -> io::Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(from, to)) = cuts.first() {
            self.namespaces[from].ip(&format!("route del blackhole {}/32", self.address(to)))?;
            cuts.remove(&(from, to));
        }
        Ok(())
    }
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let mut keeper = Keeper::start::<&str>(SCRIPT, &[], Stdio::null())?;
        keeper.read_line().map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "this process cannot make network namespaces; that takes CAP_SYS_ADMIN and CAP_NET_ADMIN, and the programs unshare, nsenter and ip",
            ),
            _ => error,
        })?;
        let process = keeper.process();
        Ok(Self { keeper: Mutex::new(keeper), process })
    }

    /// Runs an `ip` command in the namespace.
    fn ip(&self, words: &str) -> io::Result<()> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.send_line(words)?;
        match keeper.read_line()?.as_str() {
            "done" => Ok(()),
            refused => Err(io::Error::other(format!("ip {words}: {refused}"))),
        }
    }
}

/// Connects the bridge to this process's namespace, in an unused subnet.
fn connect(middle: &Namespace) -> io::Result<u16> {
    let (first, this) = (std::process::id() as u16, std::process::id());
    let mut outcome = Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no subnet is free"));
    for subnet in (0..SUBNETS).map(|number| first.wrapping_add(number) % SUBNETS) {
        let (cable, ours) = (cable(subnet), address(subnet, OURS));
        if is_used(ours)? {
            continue;
        }
        // Making a cable with this name claims the subnet, because the kernel allows each name only once.
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

/// Whether this machine has a route to an address other than the default route.
fn is_used(address: Ipv4Addr) -> io::Result<bool> {
    let routes = ip(&["-4", "route", "show", "match", &address.to_string()])?;
    Ok(routes.lines().any(|route| !route.starts_with("default")))
}

/// Runs an `ip` command in this process's namespace.
fn ip(words: &[&str]) -> io::Result<String> {
    let done = Command::new("ip").args(words).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("ip {}: {}", words.join(" "), message.trim())))
}
