//! The transaction of etcd's that a draft becomes.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};
use hashbrown::HashMap;

use super::{Draft, OPERATIONS_MAX};
use crate::engine::etcd::layout::{Change, Kind, Span, next_key};

/// How many operations a transaction has that is made of others, up to three deep: etcd counts the operations
/// of one, or its conditions where these are more, on top of those of the one that it is in, and not those
/// beside it.
const NESTED: usize = 40;

/// How many conditions such a transaction may have.
pub(super) const NESTED_CONDITIONS_MAX: usize = NESTED;
pub(super) const NESTED_OPERATIONS_MAX: usize = NESTED * NESTED * NESTED;

/// What a draft has become.
pub(in crate::engine::etcd) struct Plan {
    pub compares: Vec<Compare>,
    pub operations: Vec<TxnOp>,
    /// What the compared keys are, if it fails.
    pub asks: Vec<TxnOp>,
    /// These keys.
    pub asked: Vec<Bytes>,
    pub changes: Vec<Change>,
    /// Whether it compares that nothing at all has happened.
    pub as_a_whole: bool,
}

impl Draft {
    /// The transaction that the draft has become.
    pub fn plan(&self) -> Plan {
        let mut operations = Vec::new();
        for span in &self.emptied {
            self.empty_around_puts(span, &mut operations);
        }
        for (key, value) in &self.writes {
            let emptied = self.emptied.iter().any(|span| span.contains(key));
            match value {
                Some(value) => operations.push(TxnOp::put(key.to_vec(), value.to_vec(), None)),
                None if emptied => {}
                None => operations.push(TxnOp::delete(key.to_vec(), None)),
            }
        }
        let compared = self.compared();
        Plan {
            compares: self.compares(&compared),
            operations: if operations.len() > OPERATIONS_MAX { nested(operations) } else { operations },
            asks: compared.iter().map(|(key, _)| TxnOp::get(key.to_vec(), None)).collect(),
            asked: compared.into_iter().map(|(key, _)| key).collect(),
            changes: self.logged(),
            as_a_whole: self.is_compared_as_a_whole(),
        }
    }

    pub(super) fn is_compared_as_a_whole(&self) -> bool {
        let compared = self.guards.len() + self.span_guards.len();
        let is_nested = || self.writes.len() + self.pieces().0 > OPERATIONS_MAX;
        self.as_a_whole || (self.of_one_moment && (compared > self.as_a_whole_from || is_nested()))
    }

    /// The keys that are compared, with the revisions that they must have.
    fn compared(&self) -> Vec<(Bytes, i64)> {
        let guarded = self.guarded.iter().filter_map(|key| Some((key.clone(), *self.guards.get(key)?)));
        if !self.is_compared_as_a_whole() {
            return guarded.collect();
        }
        let known = |path: &Bytes| self.knowledge.key(path).map_or(0, |kept| kept.revision);
        let paths = [self.layout.log(), self.layout.quotas()];
        let whole = paths.map(|path| (path.clone(), known(&path)));
        whole.into_iter().chain(guarded.filter(|(key, _)| self.cursors.contains(key))).collect()
    }

    fn compares(&self, compared: &[(Bytes, i64)]) -> Vec<Compare> {
        let keys = compared
            .iter()
            .map(|(key, revision)| Compare::mod_revision(key.to_vec(), CompareOp::Equal, *revision));
        let spans = self.span_guards.iter().map(|(span, revision)| {
            Compare::mod_revision(span.start.to_vec(), CompareOp::Less, revision + 1)
                .with_range(span.end.to_vec())
        });
        keys.chain(spans.take(if self.is_compared_as_a_whole() { 0 } else { usize::MAX })).collect()
    }

    /// Empties a span but for what is put there afterwards: etcd takes no put in a span that the same
    /// transaction empties.
    fn empty_around_puts(&self, span: &Span, operations: &mut Vec<TxnOp>) {
        let mut start = span.start.clone();
        let mut empty = |start: &Bytes, end: &Bytes| {
            if start < end {
                operations
                    .push(TxnOp::delete(start.to_vec(), Some(DeleteOptions::new().with_range(end.to_vec()))));
            }
        };
        let puts =
            self.writes.range(span.start.clone()..span.end.clone()).filter(|(_, value)| value.is_some());
        for (key, _) in puts {
            empty(&start, key);
            start = next_key(key);
        }
        empty(&start, &span.end);
    }

    /// The changes, without the values that can be seen in the entries themselves.
    fn logged(&self) -> Vec<Change> {
        let mut changes = self.changes.clone();
        let mut last_of = HashMap::new();
        let mut deleted_groups: HashMap<&str, usize> = HashMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            match &change.key {
                Some(key) => drop(last_of.insert((&*change.group, &**key), index)),
                None => drop(deleted_groups.insert(&*change.group, index)),
            }
        }
        for ((group, _), index) in &last_of {
            let is_final = deleted_groups.get(group).is_none_or(|deleted| deleted < index);
            if is_final && self.changes[*index].kind() == Kind::Set {
                changes[*index].value = None;
                changes[*index].expires_at_ms = None;
            }
        }
        changes
    }
}

/// Where there are more operations than a transaction may have, transactions of them.
fn nested(operations: Vec<TxnOp>) -> Vec<TxnOp> {
    if operations.len() <= NESTED {
        return operations;
    }
    let inner = operations.chunks(NESTED).map(|some| TxnOp::txn(Txn::new().and_then(some)));
    nested(inner.collect())
}
