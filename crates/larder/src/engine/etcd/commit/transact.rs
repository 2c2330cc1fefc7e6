//! Runs a transaction's closure and commits what it wrote.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::committer::Committer;
use super::open_transaction::OpenTransaction;
use super::rivals::prepare_to_try_again;
use super::submit::{Submission, submit};
use crate::data::{Error, Result};
use crate::engine::etcd::client::block_on;
use crate::engine::etcd::draft::Basis;
use crate::engine::etcd::reading::ClusterReader;
use crate::engine::{Body, Committed, Party, Transact};

/// Runs a closure in a transaction and commits it, again and again while other writers are faster. Blocks the
/// calling thread.
pub fn transact(
    committer: &Committer,
    reader: &ClusterReader,
    party: Party,
    body: &mut Body<'_>,
) -> Result<Committed> {
    let began = Instant::now();
    let mut attempts = 0;
    loop {
        if let Some(committed) = attempt(committer, reader, party, body)? {
            return Ok(committed);
        }
        attempts += 1;
        if began.elapsed() >= committer.cluster.timeout {
            return Err(committer.contended(attempts, began));
        }
        block_on(&reader.handle, prepare_to_try_again(&committer.cluster, attempts));
    }
}

/// Runs the closure once. Returns `None` if another writer was faster.
fn attempt(
    committer: &Committer,
    reader: &ClusterReader,
    party: Party,
    body: &mut Body<'_>,
) -> Result<Option<Committed>> {
    let (handle, cluster) = (&reader.handle, &*committer.cluster);
    let turn = block_on(handle, committer.turns.for_closure(party))?;
    let mut writer = block_on(handle, committer.writer.lock());
    writer.forget_lost_facts(&cluster.timeline);
    let transaction = Arc::new(OpenTransaction::new(reader.clone())?);
    let ran = catch_unwind(AssertUnwindSafe(|| body(&(Arc::clone(&transaction) as Arc<dyn Transact>))));
    let draft = transaction.finish();
    match ran {
        Err(panic) => {
            drop(writer);
            drop(turn);
            resume_unwind(panic);
        }
        // An error of the cluster counts, even if the closure has ignored it.
        Ok(result) => match &draft {
            // The cluster has compacted the snapshot, or was restored, so the closure needs another one.
            Err(Error::SnapshotLost { .. }) => return Ok(None),
            Err(error) => return Err(error.clone()),
            Ok(_) => result?,
        },
    }
    let mut draft = draft?;
    if draft.is_unwritten() {
        if draft.basis == Basis::Snapshot(None) {
            let fetching = draft.fetch_snapshot(cluster, Vec::new());
            block_on(handle, fetching).map_err(|error| cluster.error(error))?;
        }
        let revision = draft.latest_known();
        return Ok(Some(Committed { revision, outcomes: Vec::new(), events: Vec::new() }));
    }
    if let Some(excess) = draft.excess() {
        return Err(excess.into_error(&cluster.location));
    }
    let submitting = submit(cluster, &committer.context, &mut writer.fence, &mut draft);
    let submitted = block_on(handle, submitting).map_err(|error| cluster.write_error(error))?;
    let Submission::Applied(applied) = submitted else { return Ok(None) };
    let events = committer.events(&draft.record, applied.own_revision());
    draft.teach_applied(&mut writer.draft.knowledge, &applied);
    drop(writer);
    drop(turn);
    if let Some(at_ms) = draft.record.soonest_expiry_ms() {
        committer.sink.will_expire(at_ms);
    }
    let outcomes = Vec::new();
    if draft.record.is_empty() {
        return Ok(Some(Committed { revision: applied.latest_revision(), outcomes, events }));
    }
    let revision = applied.own_revision();
    if let Some(received) = committer.follower.wait_for(revision) {
        block_on(handle, received);
    }
    Ok(Some(Committed { revision, outcomes, events }))
}
