//! What the clients of a run did, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::world::Process;

/// The identity of a store. A restored backup has a new one. Empty in runs without restores.
pub type Identity = Arc<str>;

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Set {
        group: &'static str,
        key: &'static str,
        value: String,
        /// In milliseconds since 1970.
        expires_at: Option<i64>,
    },
    Delete {
        group: &'static str,
        key: &'static str,
    },
    DeleteGroup {
        group: &'static str,
    },
}

/// What must be true of an entry for a write to happen: the revision that it has, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub group: &'static str,
    pub key: &'static str,
    pub revision: Option<u64>,
}

/// Keys and values of a group, in order.
pub type Group = Vec<(String, String)>;

/// Revisions and values of entries by their names.
pub type Entries = BTreeMap<(String, String), (u64, String)>;

/// What a client asked for, and what it read.
#[derive(Clone, Debug)]
pub enum Asked {
    /// `needs` are conditions, or what a transaction has read.
    Write { needs: Vec<Need>, effects: Vec<Effect> },
    /// One more in the counter.
    Increment,
    /// One entry: its revision and value, if there was one.
    Entry { group: &'static str, key: &'static str, found: Option<(u64, String)> },
    /// All entries of a group.
    Group { group: &'static str, found: Group },
    /// How many keys the groups have whose names begin with this.
    Count { prefix: &'static str, found: u64 },
    /// A snapshot: its revision, and all its groups.
    Snapshot { revision: u64, found: Vec<(&'static str, Group)> },
    /// A backup, and the entries in it.
    Backup { found: Entries },
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A write has this revision, where it is told; a read has none.
    Done(Option<u64>),
    /// What the counter has come to.
    Counted(i64),
    /// A condition does not hold.
    Conflict,
    /// The namespace would have too many keys.
    OverQuota,
    /// Nothing was written, says this error.
    Refused(String),
    /// Nobody knows: an error says so, or the client was killed.
    Unknown(String),
    /// The future of the call was dropped. What is written is written before all that its process asks for afterwards.
    Dropped,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Record {
    #[expect(dead_code, reason = "for whoever reads a complaint")]
    pub client: String,
    pub process: Process,
    /// The store that the client had open.
    pub store: Identity,
    /// Moments of the world: see `world::stamp`.
    pub invoked: u64,
    pub returned: u64,
    /// The same moments, in milliseconds since 1970.
    pub from: i64,
    pub until: i64,
    pub asked: Asked,
    pub told: Told,
}

/// A change, as the log has it and as watchers receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: String,
    pub group: String,
    pub key: Option<String>,
    pub value: Option<String>,
}

/// What a watcher has received.
#[derive(Clone, Debug)]
pub struct Watched {
    pub client: String,
    pub store: Identity,
    /// The revision after which it began.
    pub after: u64,
    pub changes: Vec<(u64, Change)>,
    /// A revision that it must have reached; 0 where something befell its client.
    pub must_reach: u64,
}

/// What a consumer has done with the named cursor.
#[derive(Clone, Debug)]
pub enum Consumed {
    /// It is being opened, and made where there is none.
    Opens,
    /// It was opened, perhaps by another process than before.
    Opened,
    /// It says that the store was restored.
    Restored,
    Received(u64, Change),
    /// All that was received so far is being acknowledged.
    Acknowledges,
    /// It is.
    Acknowledged,
}
