//! A draft: one etcd transaction while it is put together.
//!
//! Mutations are applied in order to the known facts about the cluster's keys, with the draft's own writes on
//! top. A step that lacks a fact fails with [`StepError::Missing`]; once the fact is fetched, the same step is
//! made again. In the end the draft becomes one transaction: it compares that everything the draft has read is
//! unchanged, and then writes. So a commit takes effect exactly as it was drafted, or not at all, whatever
//! other clients do in the meantime.

mod applied;
mod batch;
mod cursors;
mod entries;
mod fetch;
mod groups;
mod guards;
mod knowledge;
mod limits;
mod lookup;
mod plan;
mod purge;
mod quotas;
mod record;
mod scan;
mod step;
mod tallies;
mod usage;
mod writes;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use prost::Message;

pub(super) use self::applied::Applied;
pub(super) use self::fetch::fetch;
use self::guards::{GuardScope, Guards, GuardsSavepoint};
pub(super) use self::knowledge::{Knowledge, Wanted};
pub(super) use self::limits::least_excess;
use self::limits::{
    BYTES_MAX, Excess, LONE_WRITER_GUARDS_MAX, NESTED, NESTED_OPERATIONS_MAX, OPERATIONS_MAX,
};
pub(super) use self::plan::Plan;
pub(super) use self::record::PendingRecord;
use self::record::RecordSavepoint;
pub(super) use self::scan::{OwnedScan, ScanPage};
pub(super) use self::step::{Step, StepError};
use self::writes::{Writes, WritesSavepoint};
use super::layout::{Change, Layout, Span};
use super::lineage::Lineage;
use crate::data::{ClockWatch, Revision, Usage};

/// What all drafts of one engine share.
pub(super) struct DraftContext {
    pub layout: Layout,
    /// The keys of all cursors.
    cursors: Span,
    /// How long expired entries stay after their expiry: [`clock_difference_max`](crate::Options), in
    /// milliseconds.
    pub grace_ms: i64,
    /// Whether the clock may be believed enough to remove what has expired by it.
    pub clock_watch: ClockWatch,
    pub lineage: Arc<Lineage>,
    /// How many times a scan has left out a key. Relaxed: no other memory depends on it.
    pub left_out: AtomicU64,
}

impl DraftContext {
    pub fn new(layout: Layout, grace_ms: i64, clock_watch: ClockWatch, lineage: Arc<Lineage>) -> Self {
        Self {
            cursors: layout.cursors(""),
            layout,
            grace_ms,
            clock_watch,
            lineage,
            left_out: AtomicU64::new(0),
        }
    }
}

/// One etcd transaction while it is put together.
pub(super) struct Draft {
    context: Arc<DraftContext>,
    /// Facts that outlive the draft: what it writes is known to the writer's next one.
    pub knowledge: Knowledge,
    pub basis: Basis,
    /// The revision with which a transaction shows its own writes. `None` where only the commit decides it.
    pub own_revision: Option<Revision>,
    guards: Guards,
    writes: Writes,
    pub record: PendingRecord,
    /// A revision that the change log has had. Where its last is an earlier one, the cluster was restored.
    pub log_reached: Option<Revision>,
    batch: OpenBatch,
}

/// Which facts a draft relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Facts of different revisions, each of which needs a guard of its own.
    Mixed,
    /// The facts of a lone writer: all hold until another writer commits.
    LoneWriter,
    /// The facts of one revision of the cluster; `None` until the first fact is fetched.
    Snapshot(Option<i64>),
}

/// What lasts for one batch, or one step of a transaction.
#[derive(Default)]
struct OpenBatch {
    now_ms: i64,
    /// How long entries still count after their expiry.
    lag_ms: i64,
    /// What each namespace with a quota held before the batch, if quotas are judged by what the whole batch
    /// leaves behind; `None` if each mutation is judged by itself.
    usage_before: Option<HashMap<String, Usage>>,
}

/// A state of a draft that it can be rolled back to.
#[derive(Clone, Copy)]
pub(super) struct Savepoint {
    guards: GuardsSavepoint,
    writes: WritesSavepoint,
    record: RecordSavepoint,
}

impl Draft {
    /// A draft on facts of different revisions.
    pub fn new(context: Arc<DraftContext>, knowledge: Knowledge, now_ms: i64) -> Self {
        Self {
            context,
            knowledge,
            basis: Basis::Mixed,
            own_revision: None,
            guards: Guards::default(),
            writes: Writes::default(),
            record: PendingRecord::default(),
            log_reached: None,
            batch: OpenBatch { now_ms, lag_ms: 0, usage_before: None },
        }
    }

    /// A draft on a snapshot of the cluster, which the first fetch takes.
    pub fn on_snapshot(context: Arc<DraftContext>, now_ms: i64) -> Self {
        Self { basis: Basis::Snapshot(None), ..Self::new(context, Knowledge::default(), now_ms) }
    }

    /// Empties the draft for the next transaction of the same writer.
    pub fn restart(&mut self, now_ms: i64) {
        let knowledge = std::mem::take(&mut self.knowledge);
        *self = Self::new(Arc::clone(&self.context), knowledge, now_ms);
        let (log, quotas) = (self.layout().log(), self.layout().quotas());
        if let Some(log) = self.knowledge.key(&log) {
            let latest = Revision(log.revision.cast_unsigned());
            self.knowledge.note_latest(latest);
        }
        if self.knowledge.is_lone_writer() {
            self.basis = Basis::LoneWriter;
            // Another writer may have changed a quota, which makes no commit record.
            if let Some(quotas) = self.knowledge.key(&quotas) {
                let changed_at = Revision(quotas.revision.cast_unsigned());
                self.knowledge.distrust_before(changed_at);
            }
        }
    }

    fn layout(&self) -> &Layout {
        &self.context.layout
    }

    /// The time at which the open step is made, in Unix milliseconds.
    fn now_ms(&self) -> i64 {
        self.batch.now_ms
    }

    pub fn set_now_ms(&mut self, now_ms: i64) {
        self.batch.now_ms = now_ms;
    }

    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            guards: self.guards.savepoint(),
            writes: self.writes.savepoint(),
            record: self.record.savepoint(),
        }
    }

    /// Undoes the writes since, and keeps the guards: what was refused stays decided by what was read.
    pub fn roll_back_writes(&mut self, savepoint: Savepoint) {
        self.writes.roll_back(savepoint.writes);
        self.record.roll_back(savepoint.record);
        self.batch.usage_before = None;
    }

    /// Undoes the writes since, and forgets what was read since.
    pub fn roll_back(&mut self, savepoint: Savepoint) {
        self.roll_back_writes(savepoint);
        self.guards.roll_back(savepoint.guards);
    }

    fn has_written_since(&self, savepoint: Savepoint) -> bool {
        self.writes.has_grown_since(savepoint.writes)
    }

    /// Whether the draft writes no key. Its refusals may still need to be confirmed.
    pub fn is_unwritten(&self) -> bool {
        self.writes.is_empty()
    }

    /// The latest commit that the draft knows of.
    pub fn latest_known(&self) -> Revision {
        let log = self.knowledge.key(&self.layout().log());
        Revision(log.map_or(0, |log| log.revision.cast_unsigned()))
    }

    /// What the draft's transaction compares.
    fn guard_scope(&self) -> GuardScope {
        let guards_max = match (self.guards.scope, self.basis) {
            (GuardScope::WholeStore, _) => return GuardScope::WholeStore,
            (GuardScope::EachRead, Basis::Mixed) => return GuardScope::EachRead,
            (GuardScope::EachRead, Basis::LoneWriter) => LONE_WRITER_GUARDS_MAX,
            (GuardScope::EachRead, Basis::Snapshot(_)) => OPERATIONS_MAX,
        };
        let is_nested = || self.writes.size_max().0 > OPERATIONS_MAX;
        if self.guards.len() > guards_max || is_nested() {
            GuardScope::WholeStore
        } else {
            GuardScope::EachRead
        }
    }

    /// Which limit of a transaction the draft breaks, if any.
    pub fn excess(&self) -> Option<Excess> {
        let (operations, bytes) = self.writes.size_max();
        let operations_max = if self.basis == Basis::Mixed { OPERATIONS_MAX } else { NESTED_OPERATIONS_MAX };
        let (compared, compared_max, guard_bytes) = match self.guard_scope() {
            GuardScope::EachRead => (self.guards.len(), OPERATIONS_MAX, self.guards.bytes()),
            GuardScope::WholeStore => {
                let cursors = self.guards.keys().filter(|(key, _)| self.is_cursor(key));
                (cursors.count(), NESTED, 0)
            }
        };
        Excess::of("operations", operations, operations_max)
            .or_else(|| Excess::of("conditions", compared, compared_max))
            .or_else(|| Excess::of("bytes", bytes + self.record.bytes() + guard_bytes, BYTES_MAX))
    }

    fn is_cursor(&self, key: &[u8]) -> bool {
        self.context.cursors.contains(key)
    }

    /// Makes the draft depend on a key's revision.
    fn guard(&mut self, key: &Bytes, revision: i64) {
        if self.guards.scope == GuardScope::WholeStore && !self.is_cursor(key) {
            return;
        }
        if self.guards.add_key(key, revision) {
            self.guards.scope = self.guard_scope();
        }
    }

    fn put(&mut self, key: Bytes, value: Bytes) {
        self.writes.put(key, value);
    }

    fn put_message(&mut self, key: Bytes, message: &impl Message) {
        self.put(key, message.encode_to_vec().into());
    }

    fn delete(&mut self, key: Bytes) {
        self.writes.delete(key);
    }

    /// Adds a change to the record of the commit.
    fn log(&mut self, change: Change) {
        self.record.push(change, self.batch.now_ms);
    }
}
