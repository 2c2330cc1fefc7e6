//! Notes that larder keeps for itself.

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, DeleteOptions, Txn, TxnOp};
use prost::Message;

use super::client::{Cluster, ReadAt};
use super::layout::{Change, Layout, Meta, Record, StoredEntry, StoredNote, WITH_NOTES};
use super::reading::ClusterReader;
use crate::data::Result;
use crate::engine::{FORMER_NOTES, is_former_note};

/// How many notes one transaction moves.
const MOVED_AT_ONCE: usize = 100;

/// The notes whose names start with `prefix`, sorted by name.
pub(super) async fn list(reader: &ClusterReader, prefix: &str) -> Result<Vec<(String, String)>> {
    let (cluster, layout) = (&reader.cluster, &reader.context.layout);
    let found = cluster.read_span(&layout.notes(prefix), usize::MAX, ReadAt::Linearizable).await;
    let found = found.map_err(|error| reader.error(error))?;
    let mut notes = Vec::with_capacity(found.pairs.len());
    for pair in found.pairs {
        let Some(name) = layout.note_name(pair.key()) else { continue };
        let stored: StoredNote = cluster.decode(Bytes::from(pair.into_key_value().1))?;
        notes.push((name, stored.content));
    }
    Ok(notes)
}

/// Moves the notes of a store of an earlier layout out of the group that held them, and notes the layout that the store
/// has then, unless another client has written the key of the store since `revision`. The group goes, if all that it
/// holds are notes.
pub(super) async fn move_former(
    cluster: &Cluster,
    layout: &Layout,
    revision: i64,
    meta: Meta,
    now_ms: i64,
) -> Result<()> {
    let span = layout.entries(FORMER_NOTES);
    let found = cluster.read_span(&span, usize::MAX, ReadAt::Linearizable).await;
    let found = found.map_err(|error| cluster.error(error))?;
    let mut puts = Vec::new();
    for pair in &found.pairs {
        let entry: StoredEntry = cluster.decode(Bytes::copy_from_slice(pair.value()))?;
        if let Some(name) = layout.key_in(&span, pair.key())
            && is_former_note(name, &entry.value, entry.expires_at_ms)
        {
            let content = String::from_utf8_lossy(&entry.value).into_owned();
            let note = StoredNote { content }.encode_to_vec();
            puts.push(TxnOp::put(layout.note(name).to_vec(), note, None));
        }
    }
    let all_are_notes = !puts.is_empty() && puts.len() == found.pairs.len();
    let unchanged = || Compare::mod_revision(layout.meta().to_vec(), CompareOp::Equal, revision);
    let write = async |compares: Vec<Compare>, operations: Vec<TxnOp>| {
        let writing = Txn::new().when(compares).and_then(operations);
        cluster.transact(&writing).await.map(drop).map_err(|error| cluster.write_error(error))
    };
    for some in puts.chunks(MOVED_AT_ONCE) {
        write(vec![unchanged()], some.to_vec()).await?;
    }
    let mut compares = vec![unchanged()];
    let meta = Meta { version: WITH_NOTES, ..meta };
    let mut operations = vec![TxnOp::put(layout.meta().to_vec(), meta.encode_to_vec(), None)];
    if all_are_notes {
        // Nobody has added to the group since it was read.
        compares.push(
            Compare::mod_revision(span.start.to_vec(), CompareOp::Less, found.revision + 1)
                .with_range(span.end.to_vec()),
        );
        let whole = DeleteOptions::new().with_range(span.end.to_vec());
        let changes = vec![Change::delete_group(FORMER_NOTES)];
        let record = Record { at_ms: now_ms, changes }.encode_to_vec();
        operations.extend([
            TxnOp::delete(span.start.to_vec(), Some(whole)),
            TxnOp::delete(layout.group(FORMER_NOTES).to_vec(), None),
            TxnOp::put(layout.log().to_vec(), record, None),
        ]);
    }
    write(compares, operations).await
}
