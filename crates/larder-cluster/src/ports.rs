//! Ports that nobody listens on.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below this live services that are somebody's.
const LOWEST: u16 = 10_000;

/// So many candidates are tried before the machine is said to be full.
const TRIES_MAX: usize = 10_000;

/// Finds so many different ports that are free on the loopback address at this moment.
///
/// They lie below the range out of which the kernel hands ports to outgoing connections. A port of that
/// range may be given away while its member is killed, and then the member cannot come back; the others
/// keep knocking at the very port of a dead member, and it has been seen that such a connection gets the
/// port it knocks at for its own and meets itself.
pub(crate) fn free(count: usize) -> io::Result<Vec<u16>> {
    let highest = first_ephemeral().saturating_sub(1);
    if highest < LOWEST + 1000 {
        return from_the_kernel(count);
    }
    let mut chosen = BTreeSet::new();
    // Where each process, and each call, begins is left to chance, so that they keep out of each other's way.
    let randomness = RandomState::new();
    for attempt in 0..TRIES_MAX {
        if chosen.len() == count {
            break;
        }
        let width = u64::from(highest - LOWEST);
        let offset = (randomness.hash_one(attempt) % width) as u16;
        let port = LOWEST + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            chosen.insert(port);
        }
    }
    if chosen.len() < count {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "there are no free ports"));
    }
    Ok(chosen.into_iter().collect())
}

/// Where there is no room below: any that are free. All are held until the last is found, to be different.
fn from_the_kernel(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Linux says where its range begins; elsewhere it is where the registry of ports has it.
fn first_ephemeral() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(49_152)
}
