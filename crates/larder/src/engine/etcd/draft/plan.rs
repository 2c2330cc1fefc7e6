//! The etcd transaction that a draft becomes.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::Draft;
use super::guards::GuardScope;
use super::limits::{NESTED, OPERATIONS_MAX};
use crate::engine::etcd::layout::Record;

/// The parts of the etcd transaction that a draft becomes.
pub struct Plan {
    pub compares: Vec<Compare>,
    pub operations: Vec<TxnOp>,
    /// The compared keys.
    pub compared: Vec<Bytes>,
    /// `None` if nothing has changed.
    pub record: Option<Record>,
    /// Whether the transaction compares the commit record instead of each key.
    pub compares_whole_store: bool,
}

impl Draft {
    /// Returns the transaction that the draft has become.
    pub fn plan(&self) -> Plan {
        let operations = self.writes.operations();
        let (keys, scope) = (self.compared_keys(), self.guard_scope());
        let key_compares = keys
            .iter()
            .map(|(key, revision)| Compare::mod_revision(key.to_vec(), CompareOp::Equal, *revision));
        let span_compares = self.guards.spans().iter().map(|(span, revision)| {
            Compare::mod_revision(span.start.to_vec(), CompareOp::Less, revision + 1)
                .with_range(span.end.to_vec())
        });
        let mut compares: Vec<_> = match scope {
            GuardScope::EachRead => key_compares.chain(span_compares).collect(),
            GuardScope::WholeStore => key_compares.collect(),
        };
        compares.extend(self.log_reached.map(|revision| {
            let before = revision.previous().0.cast_signed();
            Compare::mod_revision(self.layout().log().to_vec(), CompareOp::Greater, before)
        }));
        Plan {
            compares,
            operations: if operations.len() > OPERATIONS_MAX { nested(operations) } else { operations },
            compared: keys.into_iter().map(|(key, _)| key).collect(),
            record: self.record.message(),
            compares_whole_store: scope == GuardScope::WholeStore,
        }
    }

    /// The keys that are compared, each with the revision that it must have.
    fn compared_keys(&self) -> Vec<(Bytes, i64)> {
        let guarded = self.guards.keys().map(|(key, revision)| (key.clone(), revision));
        match self.guard_scope() {
            GuardScope::EachRead => guarded.collect(),
            GuardScope::WholeStore => {
                let marks = [self.layout().log(), self.layout().quotas()].map(|key| {
                    let revision = self.knowledge.key(&key).map_or(0, |state| state.revision);
                    (key, revision)
                });
                marks.into_iter().chain(guarded.filter(|(key, _)| self.is_cursor(key))).collect()
            }
        }
    }
}

/// Packs operations into nested transactions, so that none has more operations than etcd accepts.
fn nested(operations: Vec<TxnOp>) -> Vec<TxnOp> {
    if operations.len() <= NESTED {
        return operations;
    }
    let inner = operations.chunks(NESTED).map(|some| TxnOp::txn(Txn::new().and_then(some)));
    nested(inner.collect())
}
