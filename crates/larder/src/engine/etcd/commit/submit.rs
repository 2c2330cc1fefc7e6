//! Submits a draft to the cluster so that it takes effect once at most, even where answers are lost.

use etcd_client::{GetOptions, Txn, TxnOp};
use prost::Message;

use super::fence::{Fence, Verdict, find_in_history};
use crate::data::{Error, Revision};
use crate::engine::etcd::client::{CallError, Cluster, KeyState, ReadAt, first_state};
use crate::engine::etcd::draft::{Applied, Draft, DraftContext, Plan};
use crate::engine::etcd::layout::Layout;

/// What became of a submitted draft.
pub enum Submission {
    Applied(Applied),
    /// Another writer has changed what the draft has read. The draft now knows the new state.
    Stale,
}

impl Submission {
    /// A transaction that is found to have taken effect earlier. Its answer, which named the commit before it,
    /// was lost.
    fn applied_earlier(revision: i64) -> Self {
        Self::Applied(Applied { revision, before: None })
    }
}

/// Submits a draft, unless a restore was noticed since its writer last forgot what it knew: then it may mix facts of
/// both histories.
pub async fn submit(
    cluster: &Cluster,
    context: &DraftContext,
    fence: &mut Fence,
    draft: &mut Draft,
) -> Result<Submission, CallError> {
    let DraftContext { layout, lineage, .. } = context;
    let asked = lineage.ask(&cluster.timeline);
    let is_same_store = lineage.unchanged();
    // In this order: if no restore is noticed by now, the comparison is not of the next history.
    if cluster.timeline.is_over(fence.history) {
        return Ok(Submission::Stale);
    }
    let Plan { mut compares, operations, compared, record, compares_whole_store } = draft.plan();
    let log = layout.log().to_vec();
    let fence_key = fence.key(layout);
    // A transaction without writes may take effect any number of times, so it needs no fence.
    let fenced = !operations.is_empty() || fence.in_doubt;
    if fenced && fence.revision().is_none() {
        let (state, _) = cluster.read_key(&fence_key, ReadAt::Linearizable).await?;
        fence.learn(&state);
    }
    let mut acts = vec![TxnOp::get(log.clone(), Some(GetOptions::new().with_keys_only()))];
    acts.extend(operations);
    let record = record.map(|record| record.encode_to_vec());
    acts.extend(record.clone().map(|record| TxnOp::put(log, record, None)));
    if fenced {
        let (compare, act) = fence.next(layout);
        compares.push(compare);
        acts.push(act);
    }
    compares.push(is_same_store);
    let mut reads: Vec<_> = compared.iter().map(|key| TxnOp::get(key.to_vec(), None)).collect();
    reads.extend([&fence_key, lineage.key()].map(|key| TxnOp::get(key.to_vec(), None)));
    reads.push(TxnOp::get(layout.log().to_vec(), Some(GetOptions::new().with_keys_only())));
    let transaction = Txn::new().when(compares).and_then(acts).or_else(reads);
    let was_in_doubt = fence.in_doubt;
    fence.in_doubt |= fenced;
    let answered = match cluster.transact(&transaction).await {
        Ok(answered) => answered,
        Err(error) => {
            if fenced && matches!(error, CallError::Refused { error: Error::Full { .. }, .. }) {
                let found = applied_when_full(cluster, layout, fence).await;
                if let Some(revision) = found.map_err(CallError::after_sending)? {
                    return Ok(Submission::applied_earlier(revision));
                }
            }
            if error.is_unsent() {
                fence.in_doubt = was_in_doubt;
            }
            return Err(error);
        }
    };
    let revision = answered.revision();
    let mut states = answered.response.op_responses().into_iter().map(first_state);
    if answered.response.succeeded() {
        let latest = states.next().unwrap_or(KeyState::ABSENT).revision;
        if fenced {
            fence.moved(revision);
        }
        if let Some(record) = record {
            cluster.note_commit(asked.history, revision, &record);
        }
        let before = Some(Revision(latest.cast_unsigned()));
        return Ok(Submission::Applied(Applied { revision, before }));
    }
    let mut states: Vec<_> = states.collect();
    let log_state = states.pop().unwrap_or(KeyState::ABSENT);
    if draft.log_reached.is_some_and(|reached| log_state.revision < reached.0.cast_signed()) {
        // If a restore was noticed since the commit was found to be of the present, that one explains it.
        let since = fence.history;
        cluster.timeline.note_restore(since, "the log has not come to an event that was received");
    }
    let store_state = states.pop().unwrap_or(KeyState::ABSENT);
    let fence_state = states.pop().unwrap_or(KeyState::ABSENT);
    let learned = lineage.learn(cluster, asked, &store_state);
    learned.map_err(|error| CallError::Refused { error, sent: answered.resent })?;
    // No client ever deletes a fence, so only a restore takes its key back.
    let is_restored = fence.revision().is_some_and(|known| fence_state.revision < known);
    if is_restored {
        cluster.timeline.note_restore(fence.history, "a fence has an earlier revision than before");
    }
    if fenced || is_restored {
        match fence.judge(&fence_state) {
            // The members that an earlier copy of the transaction was sent to are gone.
            verdict if is_restored => {
                fence.in_doubt = false;
                if let Verdict::Applied(revision) = verdict {
                    return Ok(Submission::applied_earlier(revision));
                }
            }
            // No other copy of the transaction was sent.
            Verdict::NotApplied if !answered.resent => fence.in_doubt = was_in_doubt,
            Verdict::Overwritten { .. } if !answered.resent => fence.switch(),
            verdict => {
                let found = resolve_doubt(cluster, layout, fence, verdict).await;
                if let Some(revision) = found.map_err(CallError::after_sending)? {
                    return Ok(Submission::applied_earlier(revision));
                }
            }
        }
    }
    draft.knowledge.forget_spans();
    for (key, state) in compared.into_iter().zip(states) {
        draft.knowledge.learn(key, state, revision);
    }
    if compares_whole_store {
        draft.knowledge.note_foreign_write(Revision(revision.cast_unsigned()));
    }
    Ok(Submission::Stale)
}

/// Finds out whether a transaction took effect that was refused because the database is full: if the space runs
/// out at that moment, etcd applies the transaction and still returns the error. Returns its revision, if it
/// did.
async fn applied_when_full(
    cluster: &Cluster,
    layout: &Layout,
    fence: &mut Fence,
) -> Result<Option<i64>, CallError> {
    let (state, _) = cluster.read_key(&fence.key(layout), ReadAt::Linearizable).await?;
    match fence.judge(&state) {
        Verdict::NotApplied => Ok(None),
        verdict => resolve_doubt(cluster, layout, fence, verdict).await,
    }
}

/// Finds out whether the last transaction took effect, of which more than one copy was sent, and makes sure
/// that no copy takes effect later. The comparisons of a copy that is still on its way may hold again, for
/// instance where a key was absent, was written, and is absent again. Returns the transaction's revision, if it
/// took effect.
async fn resolve_doubt(
    cluster: &Cluster,
    layout: &Layout,
    fence: &mut Fence,
    verdict: Verdict,
) -> Result<Option<i64>, CallError> {
    let (key, last) = (fence.key(layout), fence.last());
    let since = match verdict {
        Verdict::Applied(revision) => return Ok(Some(revision)),
        // Since another writer has moved the fence, no copy can take effect any more.
        Verdict::Overwritten { since } => since,
        Verdict::NotApplied => {
            let since = fence.revision().unwrap_or_default();
            let (compare, act) = fence.next(layout);
            let moving = Txn::new().when([compare]).and_then([act]);
            let answered = cluster.transact(&moving).await?;
            if answered.response.succeeded() {
                fence.moved(answered.revision());
                return Ok(None);
            }
            // The fence has moved: by a copy of the transaction, by another writer, or by a copy of this very
            // request.
            since
        }
    };
    let found = find_in_history(cluster, &key, since, last).await?;
    fence.switch();
    Ok(found)
}
