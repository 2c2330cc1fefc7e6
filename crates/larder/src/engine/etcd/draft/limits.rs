//! How large a draft may become.

use crate::data::Error;
use crate::engine::etcd::client::REQUEST_BYTES_MAX;
use crate::engine::{Commit, Mutation};

/// How many operations, and how many comparisons, a transaction may have: etcd's default limit of 128, less the
/// record, the fence and the reads that submitting adds.
pub const OPERATIONS_MAX: usize = 128 - 4;

/// How many operations each transaction has in a tree of nested ones, up to three deep. etcd limits the number
/// along each path from the root: a transaction counts its operations, or its comparisons if these are more, on
/// top of those of the transaction around it, and ignores its siblings.
pub const NESTED: usize = 40;

/// How many operations a tree of nested transactions may have.
pub const NESTED_OPERATIONS_MAX: usize = NESTED * NESTED * NESTED;

/// Beyond this many guards, a lone writer guards the commit record instead of each key.
pub const LONE_WRITER_GUARDS_MAX: usize = 16;

/// How many bytes of keys and values a request may have. The rest is for the encoding around them.
pub const BYTES_MAX: usize = REQUEST_BYTES_MAX as usize - (64 << 10);

/// About how many bytes an operation or a comparison takes besides its keys.
pub const OPERATION_BYTES: usize = 32;

/// The limit that a draft breaks.
#[derive(Debug)]
pub struct Excess {
    what: &'static str,
    wanted: u64,
    limit: u64,
}

impl Excess {
    /// Returns the excess where `wanted` is more than `limit`.
    pub fn of(what: &'static str, wanted: usize, limit: usize) -> Option<Self> {
        (wanted > limit).then_some(Self { what, wanted: wanted as u64, limit: limit as u64 })
    }

    pub fn into_error(self, location: &str) -> Error {
        let Self { what, wanted, limit } = self;
        Error::TooMuchAtOnce { location: location.to_owned(), what, wanted, limit }
    }
}

/// Which limit a commit breaks whatever the store holds, if any: what its sets write takes at least this many bytes.
pub fn least_excess(commit: &Commit) -> Option<Excess> {
    let least = |mutation: &Mutation| match mutation {
        // The entry, and its change in the record.
        Mutation::Set { group, key, value, .. } => {
            2 * (group.len() + key.len() + OPERATION_BYTES) + value.len()
        }
        _ => 0,
    };
    Excess::of("bytes", commit.mutations.iter().map(least).sum(), BYTES_MAX)
}
