//! Figures about a store.

use super::feed::{ChangeLog, list_cursors};
use super::reading::ClusterReader;
use crate::data::{LogPosition, Result, Stats};
use crate::engine::Extent;

pub(super) async fn stats(reader: &ClusterReader, log: &ChangeLog, identity: &str) -> Result<Stats> {
    let (usage, namespaces) =
        reader.find(|draft| Ok((draft.usage(Extent::Prefix(""))?, draft.namespaces(None)?))).await?;
    let oldest = log.oldest().await?;
    let history = log.size_after(LogPosition::after(oldest)).await?;
    let cursors = list_cursors(log, "").await?;
    let revision = log.latest().await?;
    let (file_bytes, free_bytes) =
        reader.cluster.database_bytes().await.map_err(|error| reader.error(error))?;
    Ok(Stats {
        identity: identity.to_owned(),
        revision,
        keys: usage.keys,
        groups: usage.groups,
        namespaces: namespaces.len() as u64,
        bytes: usage.bytes,
        file_bytes,
        free_bytes,
        wal_bytes: 0,
        oldest_reader: None,
        unsafe_sqlite: None,
        history_from: oldest,
        history_changes: history.changes,
        history_bytes: history.bytes,
        cursors,
    })
}
