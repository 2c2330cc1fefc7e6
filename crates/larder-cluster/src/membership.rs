//! Members that leave the cluster while they run, join it at another address, lead it, or belong to another one.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::call::STATUS;
use crate::cluster::Cluster;
use crate::member::Member;
use crate::{json, ports};

/// How long the cluster may take to take a member in: it refuses while another one is not connected yet.
const WAIT_MAX: Duration = Duration::from_secs(20);

impl Cluster {
    /// Removes a member from the cluster, by a call on another one. Its process ends by itself if it runs; its number
    /// and its address stay.
    ///
    /// # Errors
    /// When the other members have no quorum, or refuse.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn remove(&self, member: usize) -> io::Result<()> {
        let leaving = self.member(member);
        let id = leaving.id().ok_or_else(|| io::Error::other("the member's id is unknown"))?;
        let body = format!("{{\"ID\":\"{id}\"}}");
        self.reconfigure(member, "/v3/cluster/member/remove", &body)
    }

    /// Takes a new member in, at another address and with an empty folder, and returns its number. When this returns,
    /// it may not serve yet: see [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Errors
    /// When the members have no quorum, have TLS or [networks of their own](crate::Settings::own_networks), or the new
    /// one does not start.
    pub fn add(&mut self) -> io::Result<usize> {
        let first = &self.all[0];
        if self.network.is_some() || first.admin != first.client {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "its address and certificate are not made",
            ));
        }
        let number = self.all.len();
        let (client, peer) = free_addresses()?;
        let all = self.announce(number, &format!("http://{peer}"))?;
        let mut command = first.command.clone();
        set_flag(&mut command, "--initial-cluster", &all);
        set_flag(&mut command, "--initial-cluster-state", "existing");
        self.push(command, client, peer)?;
        Ok(number)
    }

    /// Starts a member that was configured wrongly: at a member's address, but as a cluster of its own, with an empty
    /// folder. That member must have been killed, and its own process can not be started again. Returns the number of
    /// the new process.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn start_a_stranger_at(&mut self, member: usize) -> io::Result<usize> {
        let (_, peer) = free_addresses()?;
        let (client, mut command) = (self.member(member).client, self.member(member).command.clone());
        set_flag(&mut command, "--initial-cluster", format!("{}=http://{peer}", name(self.all.len())));
        set_flag(&mut command, "--initial-cluster-state", "new");
        self.push(command, client, peer)?;
        Ok(self.all.len() - 1)
    }

    /// Makes a member lead.
    ///
    /// # Errors
    /// When there is no leader, or it refuses.
    pub fn move_leader_to(&self, member: usize) -> io::Result<()> {
        let leader = self.leader().ok_or_else(|| io::Error::other("there is no leader"))?;
        let target = self.member(member).id().ok_or_else(|| io::Error::other("its id is unknown"))?;
        self.call_member(
            leader,
            "/v3/maintenance/transfer-leadership",
            &format!("{{\"targetID\":\"{target}\"}}"),
        )
        .map(drop)
    }

    /// Announces a member to the cluster. Returns all members as `--initial-cluster` takes them.
    fn announce(&self, number: usize, peer: &str) -> io::Result<String> {
        let body = format!("{{\"peerURLs\":[{}]}}", json::text(peer));
        self.reconfigure(number, "/v3/cluster/member/add", &body)?;
        let list = self.by_another(number, "/v3/cluster/member/list", "{}")?;
        let member = |rest: &str| {
            let url = rest.split("\"peerURLs\":[\"").nth(1)?.split('"').next()?.to_owned();
            let name = json::field(rest, "name").map_or_else(|| name(number), str::to_owned);
            Some(format!("{name}={url}"))
        };
        let all: Vec<_> = list.split("{\"ID\":").skip(1).filter_map(member).collect();
        Ok(all.join(","))
    }

    /// Calls a method that adds or removes a member. The cluster refuses it until its members have seen each other for
    /// five seconds, unless it was started with `--strict-reconfig-check=false`.
    fn reconfigure(&self, member: usize, path: &str, body: &str) -> io::Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        while let Err(error) = self.by_another(member, path, body) {
            if Instant::now() > deadline || !error.to_string().contains("unhealthy cluster") {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Calls a method on any running member but one.
    fn by_another(&self, member: usize, path: &str, body: &str) -> io::Result<String> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::NotConnected, "no other member runs"));
        for (number, other) in self.all.iter().enumerate() {
            if number == member || !other.condition().is_running() || other.has_ended() {
                continue;
            }
            // One without a leader hangs.
            if json::number(&self.ask(other, STATUS, "{}", WAIT_MAX)?, "leader")
                .is_none_or(|leader| leader == 0)
            {
                continue;
            }
            outcome = self.ask(other, path, body, WAIT_MAX);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Starts a process with a folder of its own, and keeps it.
    fn push(
        &mut self,
        mut command: Vec<OsString>,
        client: SocketAddr,
        peer_at: SocketAddr,
    ) -> io::Result<()> {
        let (number, peer) = (self.all.len(), format!("http://{peer_at}"));
        let folder = self.folder().join(name(number));
        fs::create_dir(&folder)?;
        set_flag(&mut command, "--data-dir", folder.join("data"));
        set_flag(&mut command, "--name", name(number));
        set_flag(&mut command, "--listen-client-urls", format!("http://{client}"));
        set_flag(&mut command, "--advertise-client-urls", format!("http://{client}"));
        set_flag(&mut command, "--listen-peer-urls", &peer);
        set_flag(&mut command, "--initial-advertise-peer-urls", peer);
        let member = Member {
            command,
            client,
            peer: peer_at,
            admin: client,
            log: folder.join("log"),
            id: Mutex::default(),
            joined: AtomicBool::new(false),
            condition: Mutex::default(),
        };
        member.restart()?;
        self.all.push(member);
        Ok(())
    }
}

fn name(number: usize) -> String {
    format!("member-{number}")
}

/// A free address for clients, and one for the other members.
fn free_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    let ports = ports::free(2)?;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok((at(ports[0]), at(ports[1])))
}

fn set_flag(command: &mut Vec<OsString>, name: &str, value: impl AsRef<OsStr>) {
    let value = value.as_ref().to_owned();
    match command.iter().position(|argument| argument == name) {
        Some(at) => command[at + 1] = value,
        None => command.extend([name.into(), value]),
    }
}
