//! The list of named cursors, each with how far it lags.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::change_log::ChangeLog;
use super::log_size::LogSize;
use crate::data::{CursorInfo, Error, LogPosition, Result, clock};
use crate::engine::etcd::client::ReadAt;
use crate::engine::etcd::draft::{Knowledge, Wanted, fetch};
use crate::engine::etcd::layout::StoredCursor;

/// How many positions are counted from at once.
const COUNTED_AT_ONCE: usize = 16;

/// Returns the cursors whose names start with `prefix`, sorted by name.
pub async fn list_cursors(log: &ChangeLog, prefix: &str) -> Result<Vec<CursorInfo>> {
    let (cluster, layout) = (&*log.cluster, &log.layout);
    let span = layout.cursors(prefix);
    let mut knowledge = Knowledge::default();
    let wanted = [Wanted::Span(span.clone(), usize::MAX)];
    let fetched = fetch(cluster, &wanted, ReadAt::Linearizable, &mut knowledge).await;
    fetched.map_err(|error| cluster.error(error))?;
    let pairs = knowledge.span(&span, usize::MAX).map(|span| span.pairs.clone()).unwrap_or_default();
    let mut cursors = Vec::with_capacity(pairs.len());
    for (path, state) in pairs {
        let (Some(name), Some(value)) = (layout.cursor_name(&path), state.value) else { continue };
        let stored: StoredCursor = cluster.decode(value)?;
        cursors.push((name, stored));
    }
    let sizes = sizes_after(log, cursors.iter().map(|(_, stored)| stored.position())).await?;
    let info = |(name, stored): (String, StoredCursor)| {
        let position = stored.position();
        let size = sizes.get(&position).copied().unwrap_or_default();
        let is_whole = position == LogPosition::after(position.revision);
        CursorInfo {
            pattern: stored.wanted(&name),
            name,
            revision: if is_whole { position.revision } else { position.revision.previous() },
            behind: size.changes,
            compacted: size.compacted,
            moved_at: clock::time(stored.moved_at_ms),
        }
    };
    Ok(cursors.into_iter().map(info).collect())
}

/// Counts the changes after each position, several at once, since members look after watches that start in the
/// past only now and then.
async fn sizes_after(
    log: &ChangeLog,
    positions: impl Iterator<Item = LogPosition>,
) -> Result<BTreeMap<LogPosition, LogSize>> {
    let positions: BTreeSet<_> = positions.collect();
    let mut sizes = BTreeMap::new();
    let mut counting = FuturesUnordered::new();
    for position in positions {
        if counting.len() == COUNTED_AT_ONCE
            && let Some(counted) = counting.next().await
        {
            let (position, size) = counted?;
            sizes.insert(position, size);
        }
        counting.push(async move { Ok::<_, Error>((position, log.size_after(position).await?)) });
    }
    while let Some(counted) = counting.next().await {
        let (position, size) = counted?;
        sizes.insert(position, size);
    }
    Ok(sizes)
}
