//! Purges and deletions that may be larger than one etcd transaction, and are then done in several commits.

use super::purge_backoff::PurgeBackoff;
use super::queue::CommitSender;
use crate::data::{Error, Result};
use crate::engine::etcd::reading::ClusterReader;
use crate::engine::{Commit, Committed, Mutation, Outcome, Purged, Reply};

/// Removes up to `max` expired entries of the groups whose names start with `prefix`.
pub async fn purge(
    queue: &CommitSender,
    prefix: String,
    max: usize,
    backoff: &PurgeBackoff,
) -> Result<Committed> {
    let (mut entries, mut events) = (0, Vec::new());
    loop {
        let left = max.saturating_sub(usize::try_from(entries).unwrap_or(usize::MAX));
        let committed = queue.send(Mutation::Purge { prefix: prefix.clone(), max: left }.into()).await?;
        let step = committed.outcome().purged();
        entries += step.entries;
        events.extend(committed.events);
        if entries > 0 || step.more {
            backoff.reset();
        } else {
            backoff.grow();
        }
        let is_done = usize::try_from(step.entries).is_ok_and(|step| step >= left);
        if step.entries == 0 || is_done {
            let outcomes = vec![Outcome::Purged(Purged { entries, more: is_done })];
            return Ok(Committed { revision: committed.revision, outcomes, events });
        }
    }
}

/// Deletes a group. `whole` is the queued deletion in one commit. If the group's expired entries make that too
/// large, purges them first.
pub async fn delete_group(
    whole: impl Future<Output = Result<Committed>>,
    queue: &CommitSender,
    group: String,
    backoff: &PurgeBackoff,
) -> Result<Committed> {
    let mut purged = match whole.await {
        Err(Error::TooMuchAtOnce { .. }) => purge(queue, group.clone(), usize::MAX, backoff).await?,
        deleted => return deleted,
    };
    let mut deleted = queue.send(Mutation::DeleteGroup { group }.into()).await?;
    purged.events.append(&mut deleted.events);
    Ok(Committed { events: purged.events, ..deleted })
}

/// How many groups one commit deletes, if all of them are too many for one.
const GROUPS_AT_ONCE: usize = 16;

/// Deletes the groups whose names start with `prefix`. `whole` is the queued deletion in one commit. If that is
/// too large, deletes them in several commits.
pub async fn delete_prefix(
    whole: impl Future<Output = Result<Committed>>,
    queue: &CommitSender,
    prefix: String,
    reader: &ClusterReader,
) -> Result<Committed> {
    let whole = whole.await;
    let Err(Error::TooMuchAtOnce { .. }) = whole else { return whole };
    let groups = reader.find(|draft| draft.groups(&prefix)).await?;
    let (mut deleted, mut events) = (0, Vec::new());
    let mut last = None;
    for some in groups.chunks(GROUPS_AT_ONCE) {
        let mutations: Vec<_> =
            some.iter().map(|group| Mutation::DeleteGroup { group: group.name.clone() }).collect();
        let committed = queue.send(Commit { reply: Reply::Outcomes, ..mutations.into() }).await?;
        deleted += committed.outcomes.iter().map(|outcome| outcome.deleted()).sum::<u64>();
        events.extend(committed.events);
        last = Some(committed.revision);
    }
    let revision = match last {
        Some(revision) => revision,
        // Other clients have deleted all of them.
        None => reader.latest_revision().await?,
    };
    Ok(Committed { revision, outcomes: vec![Outcome::DeletedGroups(deleted)], events })
}
