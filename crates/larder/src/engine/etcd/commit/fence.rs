//! The fence: a key by which each transaction of a writer takes effect once at most.
//!
//! A request may reach a member long after its client gave it up, for instance when a stopped process resumes.
//! So each transaction that writes also compares the writer's fence key and writes it, and no client ever
//! deletes that key: once it has moved, no transaction that was sent before can take effect. Its value says whose
//! transaction moved it last, so a client that has lost an answer finds out what happened by reading the key.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, TxnOp};
use prost::Message;
use tokio::time::timeout;

use crate::engine::etcd::client::{Asked, CallError, Cluster, KeyState, ReadAt};
use crate::engine::etcd::layout::{Layout, Span, StoredFence};
use crate::engine::etcd::random::random;

/// How many fences a store has. Two writers on the same fence disturb each other until one switches.
const FENCES: u16 = 1024;

/// One writer's fence.
pub struct Fence {
    writer: u64,
    /// The number of the writer's last transaction.
    number: u64,
    slot: u16,
    /// The revision of the fence's key, if it is known.
    revision: Option<i64>,
    /// Whether a transaction was sent whose outcome is unknown.
    pub in_doubt: bool,
    /// The history of the cluster that the revision is of.
    pub history: Asked,
}

/// What the fence says about the writer's last transaction, whose comparisons do not hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect earlier, at this revision.
    Applied(i64),
    /// It has not taken effect, and cannot once the fence has moved.
    NotApplied,
    /// Another writer has moved the fence after revision `since`.
    Overwritten { since: i64 },
}

impl Fence {
    pub fn new() -> Self {
        let writer = random();
        let slot = (writer % u64::from(FENCES)) as u16;
        Self { writer, number: 0, slot, revision: None, in_doubt: false, history: Asked::default() }
    }

    pub fn key(&self, layout: &Layout) -> Bytes {
        layout.fence(self.slot)
    }

    /// The revision of the fence's key, if it is known.
    pub fn revision(&self) -> Option<i64> {
        self.revision
    }

    pub fn learn(&mut self, state: &KeyState) {
        self.revision = Some(state.revision);
    }

    /// Returns the comparison and the operation that make a transaction the writer's next one.
    pub fn next(&mut self, layout: &Layout) -> (Compare, TxnOp) {
        self.number += 1;
        let key = self.key(layout).to_vec();
        let stored = self.last();
        let compare = Compare::mod_revision(key.clone(), CompareOp::Equal, self.revision.unwrap_or_default());
        (compare, TxnOp::put(key, stored.encode_to_vec(), None))
    }

    /// Notes that the writer's last transaction has moved the fence.
    pub fn moved(&mut self, revision: i64) {
        self.revision = Some(revision);
        self.in_doubt = false;
    }

    /// Judges the writer's last transaction, whose comparisons do not hold, by the state of the fence's key.
    pub fn judge(&mut self, state: &KeyState) -> Verdict {
        let before = self.revision.replace(state.revision);
        let stored = state.value.clone().and_then(|value| StoredFence::decode(value).ok());
        if stored == Some(self.last()) {
            self.in_doubt = false;
            return Verdict::Applied(state.revision);
        }
        let since = before.unwrap_or_default();
        if since == state.revision || stored.is_some_and(|stored| stored.writer == self.writer) {
            return Verdict::NotApplied;
        }
        Verdict::Overwritten { since }
    }

    /// What the writer's last transaction writes to the fence's key.
    pub fn last(&self) -> StoredFence {
        StoredFence { writer: self.writer, number: self.number }
    }

    /// Leaves the fence to the writer that has moved it, and draws another. No transaction that was sent before
    /// can still take effect.
    pub fn switch(&mut self) {
        self.slot = (random() % u64::from(FENCES)) as u16;
        self.revision = None;
        self.in_doubt = false;
    }
}

/// Searches a fence's history after revision `since` for a transaction. Returns the revision at which it took
/// effect, if it did.
pub async fn find_in_history(
    cluster: &Cluster,
    key: &Bytes,
    since: i64,
    wanted: StoredFence,
) -> Result<Option<i64>, CallError> {
    let (latest, _) = cluster.read_key(key, ReadAt::Linearizable).await?;
    let (mut stream, _) = cluster.watch(&Span::of_key(key.clone()), since + 1).await?;
    let lost =
        |reason: &str| CallError::Lost { reason: reason.to_owned(), waited: cluster.timeout, sent: true };
    loop {
        let Ok(Ok(Some(response))) = timeout(cluster.timeout, stream.message()).await else {
            return Err(lost("the fence's history could not be read"));
        };
        if response.canceled() {
            return Err(lost("the fence's history was compacted"));
        }
        for pair in response.events().iter().filter_map(|event| event.kv()) {
            if StoredFence::decode(pair.value()) == Ok(wanted) {
                return Ok(Some(pair.mod_revision()));
            }
            if pair.mod_revision() >= latest.revision {
                return Ok(None);
            }
        }
    }
}
