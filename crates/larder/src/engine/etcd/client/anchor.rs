//! The last commit that this client knows, by which it recognizes the cluster on each new connection.
//!
//! A restore stops all members, so whatever comes from the restored cluster comes on a new connection. If the log does
//! not have the known commit any more, the cluster was restored, even if its revision has grown past that commit.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use bytes::Bytes;
use etcd_client::{Client, Error as EtcdError, GetOptions, GetResponse};
use tonic::Code;

use super::answer::header_of;
use super::answer_size::ANSWER_BYTES_MAX;
use super::refusal::is_compacted;
use super::timeline::{Asked, Timeline};
use crate::data::locked;

pub struct Anchor {
    /// The key of the log's records.
    log: Bytes,
    /// Held only to compare and to store, never while waiting.
    last: Mutex<Option<Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    revision: i64,
    /// A hash of its record.
    record: u64,
    history: Asked,
}

/// A hash by which this process recognizes the record of a commit.
pub fn record_hash(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    hasher.finish()
}

impl Anchor {
    pub fn new(log: Bytes) -> Self {
        Self { log, last: Mutex::default() }
    }

    /// Notes a commit from an answer to a request that was sent at `asked`, unless a restore was noticed since.
    pub fn note(&self, timeline: &Timeline, asked: Asked, revision: i64, record: u64) {
        let mut last = locked(&self.last);
        let is_newer = last.is_none_or(|last| timeline.is_over(last.history) || last.revision < revision);
        if is_newer && !timeline.is_over(asked) {
            *last = Some(Known { revision, record, history: asked });
        }
    }

    /// Looks on a new connection whether the cluster has the known commit.
    pub async fn look(&self, timeline: &Timeline, client: &Client) -> Result<(), EtcdError> {
        let known = *locked(&self.last);
        let Some(Known { revision, record, history }) =
            known.filter(|known| !timeline.is_over(known.history))
        else {
            return Ok(());
        };
        let options = GetOptions::new().with_revision(revision);
        let mut kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
        let is_other =
            |found: &GetResponse| found.header().is_some_and(|header| timeline.is_other(header_of(header)));
        let is_there = match kv.get(self.log.to_vec(), Some(options)).await {
            // The call itself finds out whether that is this cluster, restored, or a foreign one.
            Ok(found) if is_other(&found) => return Ok(()),
            Ok(found) => found
                .kvs()
                .first()
                .is_some_and(|log| log.mod_revision() == revision && record_hash(log.value()) == record),
            Err(EtcdError::GRpcStatus(status)) if status.code() == Code::OutOfRange => {
                // Whether a commit that was compacted was there cannot be told. Any other revision is one that the
                // cluster has not reached, as the read is linearizable.
                is_compacted(&status)
            }
            Err(error) => return Err(error),
        };
        // An error does not say which cluster it comes from.
        if !is_there && !is_other(&kv.get(self.log.to_vec(), None).await?) {
            timeline.note_restore(history, "the change log lacks a commit that was there before");
        }
        Ok(())
    }
}
