//! Opens a store: finds it under its name in the cluster, or creates it there.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp, TxnOpResponse};
use prost::Message;

use super::client::{ANSWER_MAX, Asked, CallError, Cluster, ReadAt};
use super::layout::{Layout, Meta, VERSION, WITH_NOTES};
use super::lineage::{Lineage, check_version, new_identity, write_identity};
use super::notes::move_former;
use crate::data::clock::now_ms;
use crate::data::{Error, Result, report};
use crate::engine::Settings;

/// A store that was found or created.
pub(super) struct OpenedStore {
    pub layout: Layout,
    pub lineage: Arc<Lineage>,
    /// The revision at which it was created.
    pub base: i64,
}

pub(super) async fn open(cluster: &Cluster, name: &str, settings: &Settings) -> Result<OpenedStore> {
    let layout = Layout::new(name);
    cluster.agree(ANSWER_MAX).await?;
    loop {
        let history = cluster.timeline.ask();
        let Found { meta, outer, first_key } = look(cluster, name, &layout).await?;
        if let Some(found) = meta {
            match recognize(cluster, name, &layout, history, found, settings).await? {
                Some(opened) => return Ok(opened),
                None => continue,
            }
        }
        // Not to be found, or created, in the cluster of a stranger that was only faster than the others.
        if cluster.agree(cluster.timeout).await? {
            continue;
        }
        if let Some(key) = first_key {
            return Err(match inner_name(cluster, name, &key).await? {
                Some(inner) => nested_stores(cluster, &inner),
                None => foreign_keys(name, &key),
            });
        }
        let missing = |reason: &str, advice: &'static str| {
            let (path, reason) = (cluster.location.clone().into(), reason.into());
            Err(Error::NoStore { path, reason, advice: advice.into() })
        };
        if settings.read_only {
            let reason = "the cluster has no store of that name, and opening it read-only does not create it";
            return missing(reason, "Check the name.");
        }
        if !settings.create {
            let reason = "the cluster has no store of that name";
            return missing(reason, "Check the name, or create the store by writing to it.");
        }
        create(cluster, &outer, &layout).await?;
    }
}

/// What lies under a name and around it, all at one revision: of several clients that open a new store at once, none
/// takes another's key for that of a foreign program.
struct Found<'a> {
    /// The key that makes a store.
    meta: Option<KeyValue>,
    /// The names of the stores that this one would lie in, and that must stay absent.
    outer: Vec<&'a str>,
    /// Any key under the name.
    first_key: Option<Vec<u8>>,
}

async fn look<'a>(cluster: &Cluster, name: &'a str, layout: &Layout) -> Result<Found<'a>> {
    let mut outer: Vec<_> = outer_names(name).collect();
    loop {
        let everything = layout.everything();
        let first = ReadAt::Linearizable.span_options(&everything, 1).with_keys_only();
        let outer_keys = outer.iter().map(|outer| Layout::new(outer).meta());
        let keys = [layout.meta()].into_iter().chain(outer_keys);
        let mut reads: Vec<_> = keys.map(|key| TxnOp::get(key.to_vec(), None)).collect();
        reads.push(TxnOp::get(everything.start.to_vec(), Some(first)));
        let answered = match cluster.transact(&Txn::new().and_then(reads)).await {
            Ok(answered) => answered,
            // A client that may only read the keys of its own store cannot look around it.
            Err(CallError::Refused { error: Error::Unauthorized { .. }, .. }) if !outer.is_empty() => {
                outer.clear();
                continue;
            }
            Err(error) => return Err(cluster.error(error)),
        };
        let mut found = answered.response.op_responses().into_iter().map(|response| match response {
            TxnOpResponse::Get(mut found) => found.take_kvs().into_iter().next(),
            _ => None,
        });
        let meta = found.next().flatten();
        let around: Vec<_> = found.collect();
        let Some((first_key, around)) = around.split_last() else { continue };
        let occupied = outer.iter().zip(around).find(|(_, found)| found.is_some());
        if let (None, Some((outer, _))) = (&meta, occupied) {
            return Err(nested_stores(cluster, outer));
        }
        let first_key = first_key.as_ref().map(|found| found.key().to_vec());
        return Ok(Found { meta, outer, first_key });
    }
}

/// Reads the key that makes a store. Returns `None` after it has written it.
async fn recognize(
    cluster: &Cluster,
    name: &str,
    layout: &Layout,
    history: Asked,
    found: KeyValue,
    settings: &Settings,
) -> Result<Option<OpenedStore>> {
    let (revision, base) = (found.mod_revision(), found.create_revision());
    let Some(meta) = Meta::decode(found.value()).ok().filter(Meta::makes_sense) else {
        return Err(foreign_keys(name, &layout.meta()));
    };
    check_version(cluster, &meta)?;
    let is_restored = meta.cluster_id.is_some_and(|known| known != cluster.timeline.cluster_id());
    if is_restored {
        report(|| tracing::warn!(name, "the cluster was restored, or the store was copied from another one"));
    }
    if (is_restored || meta.cluster_id.is_none()) && !settings.read_only {
        let identity = if is_restored { new_identity() } else { meta.identity.clone() };
        match write_identity(cluster, &layout.meta(), revision, meta.clone(), identity, Vec::new()).await {
            Ok(()) => return Ok(None),
            // A client that may only read leaves that to another.
            Err(Error::Unauthorized { .. }) => {}
            // So does one that finds the database full.
            Err(Error::Full { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if meta.version < WITH_NOTES && !settings.read_only {
        match move_former(cluster, layout, revision, meta.clone(), now_ms(&*settings.clock)).await {
            Ok(()) => return Ok(None),
            // A client that may not write leaves that to another, as above.
            Err(Error::Unauthorized { .. } | Error::Full { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let lineage = Arc::new(Lineage::new(layout, history, revision, meta, settings.read_only));
    Ok(Some(OpenedStore { layout: layout.clone(), lineage, base }))
}

/// Creates an empty store, unless a key appears under its name or under one of the `outer` stores. Another client
/// may create it first.
async fn create(cluster: &Cluster, outer: &[&str], layout: &Layout) -> Result<()> {
    let cluster_id = Some(cluster.timeline.cluster_id());
    let meta = Meta { version: VERSION, identity: new_identity(), cluster_id, former: Vec::new() };
    let meta = meta.encode_to_vec();
    let path = layout.meta().to_vec();
    let everything = layout.everything();
    let absent = |path: Vec<u8>| Compare::create_revision(path, CompareOp::Equal, 0);
    let mut compares = vec![
        absent(path.clone()),
        // This holds for an empty span only: every key has a create revision of at least 1.
        Compare::create_revision(everything.start.to_vec(), CompareOp::Less, 1)
            .with_range(everything.end.to_vec()),
    ];
    compares.extend(outer.iter().map(|outer| absent(Layout::new(outer).meta().to_vec())));
    let creating = Txn::new().when(compares).and_then([TxnOp::put(path, meta, None)]);
    cluster.transact(&creating).await.map(drop).map_err(|error| cluster.write_error(error))
}

/// The names of the stores that a store of this name would lie in, if they existed.
fn outer_names(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(end, _)| &name[..end])
}

/// How many levels of inner stores are looked for.
const INNER_LEVELS_MAX: usize = 8;

/// The name of the store inside this one that a key belongs to.
async fn inner_name(cluster: &Cluster, name: &str, found: &[u8]) -> Result<Option<String>> {
    let found = String::from_utf8_lossy(found).into_owned();
    let ends = found.match_indices('/').map(|(end, _)| end).filter(|end| *end > name.len());
    for inner in ends.take(INNER_LEVELS_MAX).map(|end| &found[..end]) {
        let read = cluster.read_key(&Layout::new(inner).meta(), ReadAt::Linearizable).await;
        let (state, _) = read.map_err(|error| cluster.error(error))?;
        if state.value.and_then(|meta| Meta::decode(meta).ok()).is_some_and(|meta| meta.makes_sense()) {
            return Ok(Some(inner.to_owned()));
        }
    }
    Ok(None)
}

fn nested_stores(cluster: &Cluster, other: &str) -> Error {
    Error::NestedStores { location: cluster.location.clone(), other: other.to_owned() }
}

fn foreign_keys(name: &str, key: &[u8]) -> Error {
    Error::ForeignKeys { prefix: format!("{name}/"), key: String::from_utf8_lossy(key).into_owned() }
}
