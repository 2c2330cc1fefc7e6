//! The guards of a draft: what must be unchanged for its transaction to take effect.

use bytes::Bytes;
use hashbrown::HashMap;

use super::limits::OPERATION_BYTES;
use crate::engine::etcd::layout::Span;

/// What a draft's transaction compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardScope {
    /// Each key and each span that the draft has read.
    #[default]
    EachRead,
    /// The commit record and the quotas' mark, which stand for the whole store, and the keys of cursors, which
    /// move without either.
    WholeStore,
}

/// The keys and spans that a draft has read.
#[derive(Default)]
pub struct Guards {
    /// Once this is `WholeStore` it stays so, and only the keys of cursors are added.
    pub scope: GuardScope,
    /// The revision that each key must still have.
    keys: HashMap<Bytes, i64>,
    /// The same keys, in the order in which they were added.
    order: Vec<Bytes>,
    /// Spans, each with the revision after which nothing in it may have been written.
    spans: Vec<(Span, i64)>,
    bytes: usize,
}

#[derive(Clone, Copy)]
pub struct GuardsSavepoint {
    keys: usize,
    spans: usize,
    bytes: usize,
}

impl Guards {
    /// Adds a key, or replaces the revision of one. Returns whether the key is new.
    pub fn add_key(&mut self, key: &Bytes, revision: i64) -> bool {
        let is_new = self.keys.insert(key.clone(), revision).is_none();
        if is_new {
            self.order.push(key.clone());
            self.bytes += 2 * (key.len() + OPERATION_BYTES);
        }
        is_new
    }

    pub fn add_span(&mut self, span: Span, revision: i64) {
        self.bytes += 2 * (span.start.len() + OPERATION_BYTES);
        self.spans.push((span, revision));
    }

    pub fn has_span(&self, span: &Span, revision: i64) -> bool {
        self.spans.iter().any(|(guarded, at)| guarded == span && *at == revision)
    }

    /// How many comparisons the guards take.
    pub fn len(&self) -> usize {
        self.keys.len() + self.spans.len()
    }

    /// About how many bytes the guards take in a request.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The keys in the order in which they were added, each with the revision that it must have.
    pub fn keys(&self) -> impl Iterator<Item = (&Bytes, i64)> {
        self.order.iter().filter_map(|key| Some((key, *self.keys.get(key)?)))
    }

    /// The spans, each with the revision after which nothing in it may have been written.
    pub fn spans(&self) -> &[(Span, i64)] {
        &self.spans
    }

    pub fn savepoint(&self) -> GuardsSavepoint {
        GuardsSavepoint { keys: self.order.len(), spans: self.spans.len(), bytes: self.bytes }
    }

    pub fn roll_back(&mut self, savepoint: GuardsSavepoint) {
        self.roll_back_keys(savepoint);
        self.spans.truncate(savepoint.spans);
    }

    /// Removes the keys that were added since, but no spans.
    pub fn roll_back_keys(&mut self, savepoint: GuardsSavepoint) {
        for key in self.order.drain(savepoint.keys..) {
            self.keys.remove(&key);
        }
        self.bytes = savepoint.bytes;
    }
}
