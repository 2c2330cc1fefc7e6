//! Figures about a store.

use super::fetch::Moment;
use super::log::Log;
use super::reading::Reading;
use crate::data::{LogPosition, Result, Stats};
use crate::engine::Extent;

pub(super) async fn stats(reading: &Reading, log: &Log, identity: &str) -> Result<Stats> {
    let (usage, namespaces) =
        reading.find(|draft| Ok((draft.usage(Extent::Prefix(""))?, draft.namespaces(None)?))).await?;
    let oldest = log.oldest().await?;
    let (history_changes, history_bytes, _) = log.count_after(LogPosition::after(oldest)).await?;
    let cursors = super::cursors::list(&reading.cluster, &reading.layout, log, "").await?;
    let revision = log.latest(Moment::Now).await.map_err(|trouble| reading.error(trouble))?;
    let file_bytes = reading.cluster.database_bytes().await.map_err(|trouble| reading.error(trouble))?;
    Ok(Stats {
        identity: identity.to_owned(),
        revision,
        keys: usage.keys,
        groups: usage.groups,
        namespaces: namespaces.len() as u64,
        bytes: usage.bytes,
        file_bytes,
        wal_bytes: 0,
        history_from: oldest,
        history_changes,
        history_bytes,
        cursors,
    })
}
