//! What may be more than one transaction of the cluster's can hold: removing what has expired, and deleting
//! groups by the thousand.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::mpsc;

use super::fence::random;
use super::group::Ticket;
use super::reading::Reading;
use super::submit;
use crate::data::{Error, Result};
use crate::engine::{Commit, Committed, Mutation, Outcome, Purged, Reply};

/// How long this client leaves what has expired to others, when they were faster the last time.
#[derive(Default)]
pub(super) struct Patience {
    /// Relaxed: it guards nothing.
    ms: AtomicI64,
}

const PATIENCE_MIN_MS: i64 = 250;
const PATIENCE_MAX_MS: i64 = 4000;

impl Patience {
    /// How many milliseconds it is now.
    pub fn ms(&self) -> i64 {
        self.ms.load(Ordering::Relaxed)
    }

    /// Somebody else was faster: that one may be the next time, too. So of many clients in the end one does
    /// it, and where that one is gone, another one, some seconds late.
    fn grow(&self) {
        let most = (self.ms() * 2).clamp(PATIENCE_MIN_MS, PATIENCE_MAX_MS);
        let part = i64::try_from(random() % 1000).unwrap_or_default();
        self.ms.store(most / 2 + most * part / 2000, Ordering::Relaxed);
    }

    fn lose(&self) {
        self.ms.store(0, Ordering::Relaxed);
    }
}

/// Removes up to `max` entries that have expired.
pub(super) async fn purge(
    queue: &mpsc::UnboundedSender<Ticket>,
    prefix: String,
    max: usize,
    patience: &Patience,
) -> Result<Committed> {
    let (mut entries, mut events) = (0, Vec::new());
    loop {
        let left = max.saturating_sub(usize::try_from(entries).unwrap_or(usize::MAX));
        let committed = submit(queue, Mutation::Purge { prefix: prefix.clone(), max: left }.into()).await?;
        let step = committed.outcome().purged();
        entries += step.entries;
        events.extend(committed.events);
        if entries > 0 || step.more {
            patience.lose();
        } else {
            patience.grow();
        }
        let is_done = usize::try_from(step.entries).is_ok_and(|step| step >= left);
        if step.entries == 0 || is_done {
            let purged = Purged { entries, more: is_done };
            let outcomes = vec![Outcome::Purged(purged)];
            return Ok(Committed { revision: committed.revision, outcomes, events });
        }
    }
}

/// Deletes a group, which was asked for as a whole; what has expired in it first, where all together is too much
/// for one commit.
pub(super) async fn delete_group(
    whole: impl Future<Output = Result<Committed>>,
    queue: &mpsc::UnboundedSender<Ticket>,
    group: String,
    patience: &Patience,
) -> Result<Committed> {
    let mut purged = match whole.await {
        Err(Error::TooMuchAtOnce { .. }) => purge(queue, group.clone(), usize::MAX, patience).await?,
        deleted => return deleted,
    };
    let mut deleted = submit(queue, Mutation::DeleteGroup { group }.into()).await?;
    purged.events.append(&mut deleted.events);
    Ok(Committed { events: purged.events, ..deleted })
}

/// How many groups one commit deletes, where all of them are too many for one.
const GROUPS_AT_ONCE: usize = 16;

/// Deletes the groups that start so, which was asked for as a whole: in one commit, or, where they are too many,
/// in several.
pub(super) async fn delete_prefix(
    whole: impl Future<Output = Result<Committed>>,
    queue: &mpsc::UnboundedSender<Ticket>,
    prefix: String,
    reading: &Reading,
) -> Result<Committed> {
    let whole = whole.await;
    let Err(Error::TooMuchAtOnce { .. }) = whole else { return whole };
    let groups = reading.find(|draft| draft.groups(&prefix)).await?;
    let (mut deleted, mut events) = (0, Vec::new());
    let mut last = None;
    for some in groups.chunks(GROUPS_AT_ONCE) {
        let mutations: Vec<_> =
            some.iter().map(|group| Mutation::DeleteGroup { group: group.name.clone() }).collect();
        let commit = Commit { reply: Reply::Outcomes, ..mutations.into() };
        let committed = submit(queue, commit).await?;
        deleted += committed.outcomes.iter().map(|outcome| outcome.deleted()).sum::<u64>();
        events.extend(committed.events);
        last = Some(committed.revision);
    }
    let revision = match last {
        Some(revision) => revision,
        // Others have deleted them all meanwhile.
        None => reading.latest().await?,
    };
    Ok(Committed { revision, outcomes: vec![Outcome::DeletedGroups(deleted)], events })
}
