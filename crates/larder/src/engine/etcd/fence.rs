//! What makes each transaction happen once.
//!
//! A request may reach a member long after its client has given it up: a member that stood still reads it when
//! it goes on. So each transaction that writes compares a key that it also writes, and which nobody deletes:
//! once that has moved, whatever was sent before can no longer happen. What lies there says whose transaction
//! has moved it last, so that a client whose answer was lost finds out by asking again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, TxnOp};
use prost::Message;

use super::cluster::{Cluster, Trouble, at_most};
use super::fetch::Moment;
use super::knowledge::Kept;
use super::layout::{Fence, Layout, Span, next_key};

/// How many fences a store has. Two writers at the same one get in each other's way until one moves on.
const FENCES: u16 = 1024;

/// One writer's fence.
pub(super) struct Fencing {
    writer: u64,
    number: u64,
    slot: u16,
    /// The revision of its key, where it is known.
    revision: Option<i64>,
    /// Whether something was sent of which nothing was heard.
    pub unsettled: bool,
}

/// What became of a transaction whose comparisons did not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has happened before, at this revision.
    Happened(i64),
    /// It has not, and will not once the fence has moved.
    NotYet,
    /// Another writer has come to the fence, after this revision of it.
    Overrun { since: i64 },
}

impl Fencing {
    pub fn new() -> Self {
        let writer = random();
        Self {
            writer,
            number: 0,
            slot: (writer % u64::from(FENCES)) as u16,
            revision: None,
            unsettled: false,
        }
    }

    pub fn key(&self, layout: &Layout) -> Bytes {
        layout.fence(self.slot)
    }

    /// The revision of the fence's key, where it is known.
    pub fn revision(&self) -> Option<i64> {
        self.revision
    }

    pub fn learn(&mut self, kept: &Kept) {
        self.revision = Some(kept.revision);
    }

    /// A comparison and an operation that make a transaction the next one of this writer.
    pub fn next(&mut self, layout: &Layout) -> (Compare, TxnOp) {
        self.number += 1;
        let key = self.key(layout).to_vec();
        let fence = self.last();
        let compare = Compare::mod_revision(key.clone(), CompareOp::Equal, self.revision.unwrap_or_default());
        (compare, TxnOp::put(key, fence.encode_to_vec(), None))
    }

    /// The transaction has happened.
    pub fn moved(&mut self, revision: i64) {
        self.revision = Some(revision);
        self.unsettled = false;
    }

    /// What the fence says of the last transaction, of which the comparisons do not hold now.
    pub fn judge(&mut self, kept: &Kept) -> Verdict {
        let before = self.revision.replace(kept.revision);
        let fence = kept.value.clone().and_then(|value| Fence::decode(value).ok());
        if fence == Some(self.last()) {
            self.unsettled = false;
            return Verdict::Happened(kept.revision);
        }
        let since = before.unwrap_or_default();
        if since == kept.revision || fence.is_some_and(|fence| fence.writer == self.writer) {
            return Verdict::NotYet;
        }
        Verdict::Overrun { since }
    }

    /// The last transaction that was sent.
    pub fn last(&self) -> Fence {
        Fence { writer: self.writer, number: self.number }
    }

    /// Leaves the fence to whoever else has come to it. What was sent before can no longer happen.
    pub fn move_on(&mut self) {
        self.slot = (random() % u64::from(FENCES)) as u16;
        self.revision = None;
        self.unsettled = false;
    }
}

/// The revision at which a fence was moved by a transaction, if it was, after `since`.
pub(super) async fn find(
    cluster: &Cluster,
    key: &Bytes,
    since: i64,
    wanted: Fence,
) -> Result<Option<i64>, Trouble> {
    let (latest, _) = super::fetch::key(cluster, key, Moment::Now).await?;
    let span = Span { start: key.clone(), end: next_key(key) };
    let (mut stream, _) = cluster.watch(&span, since + 1).await?;
    let lost =
        |reason: &str| Trouble::Lost { reason: reason.to_owned(), waited: cluster.timeout, sent: true };
    loop {
        let message = at_most(cluster.timeout, stream.message()).await;
        let Some(Ok(Some(response))) = message else {
            return Err(lost("the fence's history could not be read"));
        };
        if response.canceled() {
            return Err(lost("the fence's history was compacted"));
        }
        for pair in response.events().iter().filter_map(|event| event.kv()) {
            if Fence::decode(pair.value()) == Ok(wanted) {
                return Ok(Some(pair.mod_revision()));
            }
            if pair.mod_revision() >= latest.revision {
                return Ok(None);
            }
        }
    }
}

/// A number that nobody can foresee: the standard library makes each of its hashers' keys so.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
