//! Commits a batch that is too large to share a transaction, from a snapshot of the cluster.

use std::collections::HashSet;
use std::sync::Arc;

use super::fence::Fence;
use super::submit::{Submission, submit};
use crate::data::Result;
use crate::engine::etcd::client::{CallError, Cluster};
use crate::engine::etcd::draft::{Applied, Draft, DraftContext, StepError};
use crate::engine::{Commit, Outcome};

/// A batch that was committed alone.
pub struct CommittedAlone {
    pub draft: Draft,
    pub outcomes: Vec<Outcome>,
    pub applied: Applied,
}

/// Drafts a batch and submits it. Returns `None` if another writer was faster.
pub async fn attempt_alone(
    cluster: &Cluster,
    context: &Arc<DraftContext>,
    fence: &mut Fence,
    commit: &Commit,
    now_ms: i64,
) -> Result<Option<CommittedAlone>> {
    let mut draft = Draft::on_snapshot(Arc::clone(context), now_ms);
    let outcomes = loop {
        let savepoint = draft.savepoint();
        match draft.apply_batch(commit) {
            Ok(outcomes) => break outcomes,
            Err(StepError::Missing(missing)) => {
                draft.roll_back(savepoint);
                let mut missing: HashSet<_> = missing.into_iter().collect();
                missing.extend(draft.missing_facts(commit));
                match draft.fetch_snapshot(cluster, missing.into_iter().collect()).await {
                    Ok(()) => {}
                    // The snapshot is gone, so the batch needs a later one.
                    Err(CallError::Compacted) => return Ok(None),
                    Err(error) => return Err(cluster.error(error)),
                }
            }
            // It may be refused for a mixture of what was before a restore and what is after it.
            Err(_) if cluster.timeline.is_over(fence.history) => return Ok(None),
            Err(error) => return Err(error.into_error(cluster)),
        }
    };
    if let Some(excess) = draft.excess() {
        return Err(excess.into_error(&cluster.location));
    }
    let submitted = submit(cluster, context, fence, &mut draft).await;
    Ok(match submitted.map_err(|error| cluster.write_error(error))? {
        Submission::Applied(applied) => Some(CommittedAlone { draft, outcomes, applied }),
        Submission::Stale => None,
    })
}
