//! What the clients of a trial did, and what they were told.

use serde::{Deserialize, Serialize};

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    Set {
        group: String,
        key: String,
        value: String,
        /// Between which moments it expires, in Unix milliseconds.
        expires: Option<(i64, i64)>,
    },
    Delete {
        group: String,
        key: String,
    },
    DeleteGroup {
        group: String,
    },
    DeletePrefix {
        prefix: String,
    },
    /// Adds to a number, which nobody sets and nobody deletes.
    Increment {
        group: String,
        key: String,
        by: i64,
        /// What it is then, if the client was told.
        result: Option<i64>,
    },
}

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// One entry: its revision and value, if there was one.
    Entry { group: String, key: String, found: Option<(u64, String)> },
    /// The value of an entry, if there was one.
    Value { group: String, key: String, found: Option<String> },
    /// That an entry is not of this revision, or is not absent.
    Differs { group: String, key: String, from: Option<u64> },
    /// Keys and values of a group, in order: those after a key, so many at most.
    Group { group: String, after: Option<String>, limit: Option<usize>, found: Vec<(String, String)> },
    /// How many entries the groups have whose names begin so; or one group, if it is `whole`.
    Count { group: String, whole: bool, found: u64 },
}

/// What a namespace may hold. What is not limited may be `u64::MAX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub namespace: String,
    pub keys: u64,
    pub groups: u64,
    pub bytes: u64,
}

/// What a client asked for, and what it read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Asked {
    /// All of `effects` at once, on a state that shows what was `seen`.
    Write { seen: Vec<Look>, effects: Vec<Effect> },
    /// All of one state.
    Read(Vec<Look>),
    /// All of the state at a revision, as a copy of it says.
    Copy { revision: u64, found: Vec<Look> },
    /// A write that was refused, because a namespace would have held so much of something that is limited.
    NoRoom { effects: Vec<Effect>, namespace: String, resource: String, limit: u64, wanted: u64 },
    /// Another quota for a namespace.
    SetQuota(Limit),
    /// The quota that a namespace has.
    Quota(Limit),
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// A write has this revision, if the call says it; a read, none.
    Done(Option<u64>),
    /// Nothing was written, says this error.
    Refused(String),
    /// Nobody knows: an error says so, or it runs on.
    Unknown(String),
    /// The future of a write was dropped. If it is made, then before all that is asked for afterwards.
    Dropped,
    /// The process was killed before the answer. The same holds, where the call ends with the process.
    Killed,
}

impl Told {
    /// Whether a write of which this is told is made before all that is asked for afterwards, or not at all.
    pub fn is_cut_short(&self) -> bool {
        matches!(self, Self::Dropped | Self::Killed)
    }
}

/// One call of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// For whoever reads a complaint.
    pub client: String,
    /// Moments that all clients measure alike.
    pub invoked: u64,
    pub returned: u64,
    /// Between which moments of the wall clock the call was, in Unix milliseconds. Only what expires depends on it.
    pub wall: (i64, i64),
    pub asked: Asked,
    pub told: Told,
}
