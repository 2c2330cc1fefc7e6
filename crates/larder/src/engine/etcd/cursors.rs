//! Named cursors: how far the change log was dealt with, by whom.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::cluster::Cluster;
use super::fetch::Moment;
use super::knowledge::{Knowledge, Wanted};
use super::layout::{CursorPlace, Layout};
use super::log::Log;
use super::refusal::decode;
use crate::data::{CursorInfo, Error, LogPosition, Result, clock};

/// How many places are counted from at once.
const COUNTED_AT_ONCE: usize = 16;

/// The cursors whose names start with `prefix`, sorted by name.
pub(super) async fn list(
    cluster: &Cluster,
    layout: &Layout,
    log: &Log,
    prefix: &str,
) -> Result<Vec<CursorInfo>> {
    let span = layout.cursors(prefix);
    let mut knowledge = Knowledge::default();
    let wanted = [Wanted::Span(span.clone(), usize::MAX)];
    super::fetch::fetch(cluster, &wanted, Moment::Now, &mut knowledge)
        .await
        .map_err(|trouble| cluster.error(trouble))?;
    let rows = knowledge.span(&span, usize::MAX).map(|rows| rows.rows.clone()).unwrap_or_default();
    let mut cursors = Vec::with_capacity(rows.len());
    for (path, kept) in rows {
        let (Some(name), Some(value)) = (layout.cursor_name(&path), kept.value) else { continue };
        let stored: CursorPlace = decode(value, cluster)?;
        cursors.push((name, stored));
    }
    let counts = count_after(log, cursors.iter().map(|(_, stored)| stored.place())).await?;
    let info = |(name, stored): (String, CursorPlace)| {
        let place = stored.place();
        let (behind, compacted) = counts.get(&place).copied().unwrap_or_default();
        let whole = place == LogPosition::after(place.revision);
        CursorInfo {
            name,
            revision: if whole { place.revision } else { place.revision.previous() },
            behind,
            compacted,
            moved_at: clock::time(stored.moved_at_ms),
        }
    };
    Ok(cursors.into_iter().map(info).collect())
}

/// How many changes come after each of some places, and whether some of them are lost: several are counted at
/// once, since members look after watches that begin in the past only now and then.
async fn count_after(
    log: &Log,
    places: impl Iterator<Item = LogPosition>,
) -> Result<BTreeMap<LogPosition, (u64, bool)>> {
    let places: BTreeSet<_> = places.collect();
    let mut counts = BTreeMap::new();
    let mut under_way = FuturesUnordered::new();
    for place in places {
        if under_way.len() == COUNTED_AT_ONCE
            && let Some(counted) = under_way.next().await
        {
            let (place, counted) = counted?;
            counts.insert(place, counted);
        }
        under_way.push(async move {
            let (behind, _, compacted) = log.count_after(place).await?;
            Ok::<_, Error>((place, (behind, compacted)))
        });
    }
    while let Some(counted) = under_way.next().await {
        let (place, counted) = counted?;
        counts.insert(place, counted);
    }
    Ok(counts)
}
