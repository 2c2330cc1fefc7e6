//! Finds free ports.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Lower ports may belong to services of the machine.
const LOWEST: u16 = 10_000;

/// How many candidates are tried before giving up.
const TRIES_MAX: usize = 10_000;

/// Finds `count` different ports that are currently free on the loopback interface.
///
/// They lie below the range from which the kernel assigns ports to outgoing connections. A port of that range
/// may be assigned while its member is dead, and then the member cannot restart. The other members keep
/// connecting to the dead member's port, and such a connection has been seen to get that port as its own and
/// connect to itself.
pub(crate) fn free(count: usize) -> io::Result<Vec<u16>> {
    let highest = first_ephemeral().saturating_sub(1);
    if highest < LOWEST + 1000 {
        return from_the_kernel(count);
    }
    let mut chosen = BTreeSet::new();
    // Random candidates, so that several processes and calls rarely try the same port.
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

/// Any free ports, if the range leaves too few below. Holds each port until all are found, so that they
/// differ.
fn from_the_kernel(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Where the range of outgoing ports begins: as Linux reports it, elsewhere IANA's default.
fn first_ephemeral() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(49_152)
}
