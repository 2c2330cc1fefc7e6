//! Writing much, in batches that any engine takes.

use std::collections::VecDeque;

use crate::data::{Error, Result};
use crate::engine::{Answer, Commit, Committed, Mutation};
use crate::store::Store;

/// How many rows a batch writes at the most: entries, and what is kept about their expiry and their group. A
/// transaction of a cluster's has about as many operations.
const ROWS_MAX: usize = 110;

/// How many bytes, unless a single mutation has more.
const BYTES_MAX: usize = 512 << 10;

/// How many batches are under way at the same time: one `fsync` is for all of them, and a cluster never waits
/// for the next.
const BATCHES_UNDER_WAY: usize = 16;

/// A batch that is put together.
#[derive(Default)]
pub(super) struct Load {
    pub mutations: Vec<Mutation>,
    rows: usize,
    bytes: usize,
    /// The group of the last one.
    group: String,
}

impl Load {
    /// Whether one more still fits.
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

    fn weight(&self, mutation: &Mutation) -> (usize, usize) {
        let (group, key) = mutation.entry().unwrap_or_default();
        let of_group = if group == self.group { 0 } else { 3 };
        // Names are in several places.
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

/// Writes batch after batch, in no order that matters.
pub(super) struct Writing<'a, T> {
    target: &'a Store<T>,
    load: Load,
    under_way: VecDeque<(Answer<Committed>, u64, usize)>,
}

impl<'a, T> Writing<'a, T> {
    pub fn new(target: &'a Store<T>) -> Self {
        Self { target, load: Load::default(), under_way: VecDeque::new() }
    }

    /// Writes this, sooner or later. Returns how many are known to be written that were not before.
    pub fn push(&mut self, mutation: Mutation) -> Result<u64> {
        check(self.target, &mutation)?;
        let mut written = 0;
        if !self.load.has_room_for(&mutation) {
            written = self.send()?;
        }
        self.load.push(mutation);
        Ok(written)
    }

    /// Waits until all is written.
    pub fn finish(mut self) -> Result<u64> {
        let mut written = self.send()?;
        while let Some(oldest) = self.under_way.pop_front() {
            written += self.wait(oldest)?;
        }
        Ok(written)
    }

    fn send(&mut self) -> Result<u64> {
        let mut written = 0;
        if self.load.mutations.is_empty() {
            return Ok(written);
        }
        while self.under_way.len() >= BATCHES_UNDER_WAY {
            let Some(oldest) = self.under_way.pop_front() else { break };
            written += self.wait(oldest)?;
        }
        let shared = self.target.shared();
        let mutations = std::mem::take(&mut self.load).mutations;
        let count = mutations.len() as u64;
        let depth = shared.registry.callback_depth()?;
        let answer = shared.engine()?.commit(Commit::from(mutations));
        self.under_way.push_back((answer, count, depth));
        Ok(written)
    }

    fn wait(&self, (answer, count, depth): (Answer<Committed>, u64, usize)) -> Result<u64> {
        let committed = answer.wait()?;
        self.target.shared().registry.call_back(&committed.events, depth);
        Ok(count)
    }
}

/// Refuses what the target does not take, and says what it is.
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
