//! Named cursors: how far the change log was dealt with, by whom.

use super::cluster::Cluster;
use super::fetch::Moment;
use super::knowledge::{Knowledge, Wanted};
use super::layout::{CursorPlace, Layout};
use super::log::Log;
use super::refusal::decode;
use crate::engine::LogPosition;
use crate::{CursorInfo, Result, clock};

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
    let mut cursors = Vec::new();
    for (path, kept) in knowledge.span(&span, usize::MAX).map(|rows| rows.rows.clone()).unwrap_or_default() {
        let (Some(name), Some(value)) = (layout.cursor_name(&path), kept.value) else { continue };
        let stored: CursorPlace = decode(value, cluster)?;
        let place = stored.place();
        let (behind, _, compacted) = log.count_after(place).await?;
        let whole = place == LogPosition::after(place.revision);
        cursors.push(CursorInfo {
            name,
            revision: if whole { place.revision } else { place.revision.previous() },
            behind,
            compacted,
            moved_at: clock::time(stored.moved_at_ms),
            place,
        });
    }
    Ok(cursors)
}
