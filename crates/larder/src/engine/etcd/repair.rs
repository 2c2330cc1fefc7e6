//! Rebuilds the tallies and the index of expiries of a store from its entries, while other clients use it.
//!
//! Each group is read at one revision and corrected in a transaction that compares that nothing of the group has
//! changed since. No entry is written. A writer that relies on what it knows compares the key `quotas`, which each
//! correction writes, so it reads the corrected tallies before it goes on.
//!
//! What cannot be decoded is deleted only if that was asked for, and only while it cannot be decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp};
use prost::Message;
use tokio::time::Instant;

use super::check::{Survey, surveyed};
use super::client::{CallError, ReadAt};
use super::commit::{Committer, prepare_to_try_again, transact};
use super::layout::{GroupTally, NamespaceTally, Span, StoredEntry, Weight, next_key};
use super::reading::ClusterReader;
use crate::data::namespace::prefix_of;
use crate::data::{Error, Finding, FindingKind, Repair, Repaired, Result};
use crate::engine::{Mutation, Party};
use crate::rules::needs_tally;

/// How many keys one request reads.
const PAGE_KEYS: usize = 500;

/// How many keys one transaction corrects. etcd accepts 128 operations.
const CORRECTIONS_MAX: usize = 100;

/// Corrects what a check finds.
pub(super) async fn repair(
    reader: &ClusterReader,
    committer: &Arc<Committer>,
    repair: Repair,
) -> Result<Repaired> {
    let mut survey = surveyed(reader).await?;
    let found = survey.problems(reader.latest_revision().await?);
    if !found.iter().any(|finding| repair.covers(finding.kind)) {
        return Ok(Repaired::new(Vec::new(), found));
    }
    if repair.covers(FindingKind::ForeignEntry) && survey.unreadable().next().is_some() {
        for path in survey.unreadable() {
            delete_unreadable(reader, committer, path).await?;
        }
        // What the tallies of their groups have to be is only known now.
        survey = surveyed(reader).await?;
    }
    correct(reader, committer, &survey).await?;
    let left = super::check::check(reader).await?;
    let is_repaired = |finding: &Finding| {
        repair.covers(finding.kind) && !left.iter().any(|other| other.kind == finding.kind)
    };
    Ok(Repaired::new(found.into_iter().filter(is_repaired).collect(), left))
}

/// Deletes an entry that cannot be decoded, unless it can be by now.
async fn delete_unreadable(reader: &ClusterReader, committer: &Arc<Committer>, path: &[u8]) -> Result<()> {
    let Some((group, key)) = reader.context.layout.entry_names(path) else {
        return delete_unnamed(reader, path).await;
    };
    // As any other deletion, so that caches and watchers hear of it: they may know what was there before.
    let (committer, deleting) = (Arc::clone(committer), reader.clone());
    let deleted = reader.handle.spawn_blocking(move || {
        transact(&committer, &deleting, Party::Plain, &mut |open| match open.fetch(&group, &key) {
            Err(Error::Damaged { .. }) => {
                open.apply(Mutation::Delete { group: group.clone(), key: key.clone() }).map(drop)
            }
            read => read.map(drop),
        })
    });
    deleted.await.map_err(|_| Error::Closed)?.map(drop)
}

/// Deletes a key among the entries whose name is none of an entry's. Nobody can have read it.
async fn delete_unnamed(reader: &ClusterReader, path: &[u8]) -> Result<()> {
    let compares = vec![reader.context.lineage.unchanged()];
    let transaction = Txn::new().when(compares).and_then([TxnOp::delete(path, None)]);
    let answered = reader.cluster.transact(&transaction).await;
    answered.map(drop).map_err(|error| reader.cluster.write_error(error))
}

/// Corrects groups before namespaces, which are the sums of their groups.
async fn correct(reader: &ClusterReader, committer: &Committer, survey: &Survey) -> Result<()> {
    for group in survey.faulty_groups() {
        apply(reader, committer, Part::Group(group)).await?;
    }
    for name in survey.faulty_namespaces() {
        apply(reader, committer, Part::Namespace(name)).await?;
    }
    Ok(())
}

/// What one transaction corrects.
#[derive(Clone, Copy)]
enum Part<'a> {
    Group(&'a str),
    Namespace(&'a str),
}

impl Part<'_> {
    async fn correction(self, reader: &ClusterReader) -> std::result::Result<Correction, CallError> {
        match self {
            Self::Group(group) => group_correction(reader, group).await,
            Self::Namespace(name) => namespace_correction(reader, name).await,
        }
    }
}

/// What is to be written, if nothing that it was computed from has changed.
struct Correction {
    compares: Vec<Compare>,
    operations: Vec<TxnOp>,
}

/// Computes a correction and applies it, until there is nothing left to correct.
async fn apply(reader: &ClusterReader, committer: &Committer, part: Part<'_>) -> Result<()> {
    let cluster = &reader.cluster;
    let began = Instant::now();
    let mut attempts = 0;
    loop {
        let (asked, is_same_store) = (cluster.timeline.ask(), reader.context.lineage.unchanged());
        let Correction { mut compares, mut operations } = match part.correction(reader).await {
            // The revision that it was read at is gone.
            Err(CallError::Compacted) => continue,
            // What was read may be from before a restore and from after it.
            _ if cluster.timeline.is_over(asked) => continue,
            computed => computed.map_err(|error| reader.error(error))?,
        };
        if operations.is_empty() {
            return Ok(());
        }
        operations.truncate(CORRECTIONS_MAX);
        operations.push(TxnOp::put(reader.context.layout.quotas().to_vec(), Vec::new(), None));
        compares.push(is_same_store);
        let transaction = Txn::new().when(compares).and_then(operations);
        let answered = cluster.transact(&transaction).await.map_err(|error| cluster.write_error(error))?;
        if !answered.response.succeeded() {
            attempts += 1;
            if began.elapsed() >= cluster.timeout {
                return Err(committer.contended(attempts, began));
            }
            prepare_to_try_again(cluster, attempts).await;
        }
    }
}

/// Compares the tally and the expiries of a group with its entries. The tally comes last: what is left out of a
/// transaction that would be too large is found again.
async fn group_correction(reader: &ClusterReader, group: &str) -> std::result::Result<Correction, CallError> {
    let layout = &reader.context.layout;
    let path = layout.group(group);
    let (state, revision) = reader.cluster.read_key(&path, ReadAt::Linearizable).await?;
    let at = ReadAt::Revision(revision);
    let (entries, expiries) = (layout.entries(group), layout.expiries(group));
    let mut counted = GroupTally::default();
    let mut expected = BTreeMap::new();
    let mut correction = Correction { compares: Vec::new(), operations: Vec::new() };
    for pair in read_all(reader, &entries, at).await? {
        let names = layout.entry_names(pair.key());
        let (Some((_, key)), Ok(entry)) = (names, StoredEntry::decode(pair.value())) else {
            // What it counts for cannot be known.
            return Ok(correction);
        };
        let bytes = (key.len() + entry.value.len()) as u64;
        counted.keys += 1;
        counted.bytes += bytes;
        if let Some(at_ms) = entry.expires_at_ms {
            counted.first_expiry_ms = Some(counted.first_expiry_ms.map_or(at_ms, |first| first.min(at_ms)));
            expected.insert(layout.expiry(group, at_ms, &key), Bytes::from(Weight { bytes }.encode_to_vec()));
        }
    }
    let operations = &mut correction.operations;
    for pair in read_all(reader, &expiries, at).await? {
        match expected.remove(pair.key()) {
            Some(weight) if weight == pair.value() => {}
            Some(weight) => operations.push(TxnOp::put(pair.key(), weight.to_vec(), None)),
            None => operations.push(TxnOp::delete(pair.key(), None)),
        }
    }
    operations
        .extend(expected.into_iter().map(|(key, weight)| TxnOp::put(key.to_vec(), weight.to_vec(), None)));
    let stored = state.value.as_ref().and_then(|value| GroupTally::decode(value.clone()).ok());
    let due = counted.first_expiry_ms.map(|at_ms| layout.due(at_ms, group));
    let is_due = match &due {
        Some(due) => reader.cluster.read_key(due, at).await?.0.value.is_some(),
        None => true,
    };
    if stored.unwrap_or_default() != counted || state.value.is_some() != (counted.keys > 0) || !is_due {
        let stale = stored.and_then(|tally| tally.first_expiry_ms).map(|at_ms| layout.due(at_ms, group));
        operations.extend(stale.filter(|key| due.as_ref() != Some(key)).map(|key| TxnOp::delete(key, None)));
        operations.extend(due.map(|key| TxnOp::put(key, Vec::new(), None)));
        operations.push(match counted.keys {
            0 => TxnOp::delete(path.to_vec(), None),
            _ => TxnOp::put(path.to_vec(), counted.encode_to_vec(), None),
        });
    }
    correction.compares = vec![
        Compare::mod_revision(path.to_vec(), CompareOp::Equal, state.revision),
        unchanged_since(&entries, revision),
        unchanged_since(&expiries, revision),
    ];
    Ok(correction)
}

/// Compares the tally of a namespace with those of its groups. Its quota stays.
async fn namespace_correction(
    reader: &ClusterReader,
    name: &str,
) -> std::result::Result<Correction, CallError> {
    let layout = &reader.context.layout;
    let (path, groups) = (layout.namespace(name), layout.groups(&prefix_of(name)));
    let (state, revision) = reader.cluster.read_key(&path, ReadAt::Linearizable).await?;
    let stored = state.value.as_ref().and_then(|value| NamespaceTally::decode(value.clone()).ok());
    let stored = stored.unwrap_or_default();
    let mut counted = NamespaceTally { keys: 0, groups: 0, bytes: 0, ..stored };
    for pair in read_all(reader, &groups, ReadAt::Revision(revision)).await? {
        let tally = GroupTally::decode(pair.value()).unwrap_or_default();
        counted.keys += tally.keys;
        counted.groups += u64::from(tally.keys > 0);
        counted.bytes += tally.bytes;
    }
    let is_stored = state.value.is_some();
    let operation = match needs_tally(counted.keys, &counted.quota()) {
        true if is_stored && counted == stored => None,
        true => Some(TxnOp::put(path.to_vec(), counted.encode_to_vec(), None)),
        false => is_stored.then(|| TxnOp::delete(path.to_vec(), None)),
    };
    let compares = vec![
        Compare::mod_revision(path.to_vec(), CompareOp::Equal, state.revision),
        unchanged_since(&groups, revision),
    ];
    Ok(Correction { compares, operations: operation.into_iter().collect() })
}

/// Holds while no key of a span was written after a revision. A deletion shows in the tally of what was deleted.
fn unchanged_since(span: &Span, revision: i64) -> Compare {
    Compare::mod_revision(span.start.to_vec(), CompareOp::Less, revision + 1).with_range(span.end.to_vec())
}

/// All pairs of a span, of one revision.
async fn read_all(
    reader: &ClusterReader,
    span: &Span,
    at: ReadAt,
) -> std::result::Result<Vec<KeyValue>, CallError> {
    let mut all = Vec::new();
    let mut rest = Span { start: span.start.clone(), end: span.end.clone() };
    loop {
        let page = reader.cluster.read_span(&rest, PAGE_KEYS, at).await?;
        let more = page.more;
        all.extend(page.pairs);
        match all.last().filter(|_| more) {
            None => return Ok(all),
            Some(last) => rest = Span { start: next_key(last.key()), end: rest.end },
        }
    }
}
