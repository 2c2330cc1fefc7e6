//! Writing to the target: in commits that any engine accepts, or in one transaction.

use std::collections::VecDeque;

use crate::data::clock::expiry_at_ms;
use crate::data::{Entry, Error, Result};
use crate::engine::{Commit, Mutation};
use crate::store::{InFlight, Store, Transaction};

/// How many rows one commit writes at most: entries, and the index rows of their expiry and group. A cluster's
/// transaction may hold about as many operations.
const ROWS_MAX: usize = 110;

/// How many bytes one commit writes at most, unless a single mutation is larger.
const BYTES_MAX: usize = 512 << 10;

/// How many commits are in flight at the same time, so that one `fsync` serves all of them and a cluster always
/// has the next one.
const IN_FLIGHT_MAX: usize = 16;

/// Mutations that fit into one commit.
#[derive(Default)]
pub(super) struct Chunk {
    pub mutations: Vec<Mutation>,
    rows: usize,
    bytes: usize,
    /// The group of the last mutation.
    group: String,
}

impl Chunk {
    /// Whether one more mutation fits.
    pub fn has_room_for(&self, mutation: &Mutation) -> bool {
        let (rows, bytes) = self.weight(mutation);
        self.mutations.is_empty() || (self.rows + rows <= ROWS_MAX && self.bytes + bytes <= BYTES_MAX)
    }

    pub fn push(&mut self, mutation: Mutation) {
        let (rows, bytes) = self.weight(&mutation);
        self.rows += rows;
        self.bytes += bytes;
        if let Some((group, _)) = mutation.entry()
            && group != self.group
        {
            group.clone_into(&mut self.group);
        }
        self.mutations.push(mutation);
    }

    /// How many rows and bytes a mutation writes.
    fn weight(&self, mutation: &Mutation) -> (usize, usize) {
        let (group, key) = mutation.entry().unwrap_or_default();
        let of_group = if group == self.group { 0 } else { 3 };
        // The names are stored in several places.
        let names = 4 * (group.len() + key.len()) + 256;
        match mutation {
            Mutation::Set { value, expires_at_ms, .. } => {
                (1 + of_group + if expires_at_ms.is_some() { 2 } else { 0 }, names + value.len())
            }
            Mutation::Delete { .. } => (2 + of_group, names),
            _ => (6, names),
        }
    }
}

/// Writes to the target in many commits, whose order does not matter.
pub(super) struct CommitWriter<'a, T> {
    target: &'a Store<T>,
    chunk: Chunk,
    /// Each with the number of its mutations.
    in_flight: VecDeque<(InFlight<'a>, u64)>,
}

impl<'a, T> CommitWriter<'a, T> {
    pub fn new(target: &'a Store<T>) -> Self {
        Self { target, chunk: Chunk::default(), in_flight: VecDeque::new() }
    }

    fn push(&mut self, mutation: Mutation) -> Result<u64> {
        check(self.target, &mutation)?;
        let written = if self.chunk.has_room_for(&mutation) { 0 } else { self.send()? };
        self.chunk.push(mutation);
        Ok(written)
    }

    /// Starts a commit of the chunk. If too many are in flight, waits for the oldest first.
    fn send(&mut self) -> Result<u64> {
        let mut written = 0;
        if self.chunk.mutations.is_empty() {
            return Ok(written);
        }
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            written += self.wait_for_oldest()?;
        }
        let mutations = std::mem::take(&mut self.chunk).mutations;
        let count = mutations.len() as u64;
        self.in_flight.push_back((self.target.shared().start(Commit::from(mutations))?, count));
        Ok(written)
    }

    fn wait_for_oldest(&mut self) -> Result<u64> {
        let Some((oldest, count)) = self.in_flight.pop_front() else { return Ok(0) };
        oldest.wait()?;
        Ok(count)
    }

    fn flush(&mut self) -> Result<u64> {
        let mut written = self.send()?;
        while !self.in_flight.is_empty() {
            written += self.wait_for_oldest()?;
        }
        Ok(written)
    }
}

/// Where a copy writes. Each call returns how many more mutations are known to be written than before it.
pub(super) enum Output<'a, T> {
    Commits(CommitWriter<'a, T>),
    Transaction(&'a Transaction),
}

impl<T> Output<'_, T> {
    pub fn set(&mut self, group: &str, entry: Entry) -> Result<u64> {
        let Entry { key, value, expires_at, .. } = entry;
        match self {
            Self::Commits(writer) => {
                let group = writer.target.scope().group(group).into_owned();
                writer.push(Mutation::Set {
                    group,
                    key,
                    value,
                    expires_at_ms: expires_at.and_then(expiry_at_ms),
                })
            }
            Self::Transaction(transaction) => {
                transaction.set_until(group, key, value, expires_at)?;
                Ok(1)
            }
        }
    }

    pub fn delete(&mut self, group: &str, key: String) -> Result<u64> {
        match self {
            Self::Commits(writer) => {
                let group = writer.target.scope().group(group).into_owned();
                writer.push(Mutation::Delete { group, key })
            }
            Self::Transaction(transaction) => Ok(u64::from(transaction.delete(group, key)?)),
        }
    }

    /// Waits until everything is written.
    pub fn flush(&mut self) -> Result<u64> {
        match self {
            Self::Commits(writer) => writer.flush(),
            Self::Transaction(_) => Ok(0),
        }
    }
}

/// Refuses what the target does not accept, and names the entry.
pub(super) fn check<T>(target: &Store<T>, mutation: &Mutation) -> Result<()> {
    target.shared().limits().check_mutation(mutation).map_err(|error| {
        let (group, key) = mutation.entry().unwrap_or_default();
        Error::Uncopied {
            group: target.scope().strip(group.to_owned()),
            key: key.to_owned(),
            source: Box::new(error),
        }
    })
}
