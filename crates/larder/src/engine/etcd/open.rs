//! Opens a store: finds it under its name in the cluster, or creates it there.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use prost::Message;

use super::client::{Cluster, ReadAt};
use super::layout::{Layout, Meta, VERSION};
use super::random::random;
use crate::data::{Error, Result};
use crate::engine::Settings;

/// A store that was found or created.
pub(super) struct OpenedStore {
    pub layout: Layout,
    pub identity: String,
    /// The revision at which it was created.
    pub base: i64,
}

pub(super) async fn open(cluster: &Cluster, name: &str, settings: &Settings) -> Result<OpenedStore> {
    let layout = Layout::new(name);
    loop {
        let read = cluster.read_key(&layout.meta(), ReadAt::Linearizable).await;
        let (state, _) = read.map_err(|error| cluster.error(error))?;
        if let Some(meta) = state.value {
            let Some(Meta { version, identity }) = Meta::decode(meta).ok().filter(Meta::makes_sense) else {
                return Err(foreign_keys(name, &layout.meta()));
            };
            if version > VERSION {
                let path = cluster.location.clone().into();
                return Err(Error::NewerVersion { path, version: version.into(), supported: VERSION.into() });
            }
            return Ok(OpenedStore { layout, identity, base: state.revision });
        }
        let outer = refuse_occupied_name(cluster, name, &layout).await?;
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

/// Creates an empty store, unless a key appears under its name or under one of the `outer` stores. Another client
/// may create it first.
async fn create(cluster: &Cluster, outer: &[&str], layout: &Layout) -> Result<()> {
    let identity = format!("{:016x}{:016x}", random(), random());
    let meta = Meta { version: VERSION, identity }.encode_to_vec();
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

/// Refuses a name under which keys exist, or that lies inside or around another store. Returns the names of the
/// stores that must stay absent.
async fn refuse_occupied_name<'a>(cluster: &Cluster, name: &'a str, layout: &Layout) -> Result<Vec<&'a str>> {
    let mut absent = Vec::new();
    for outer in outer_names(name) {
        let read = cluster.read_key(&Layout::new(outer).meta(), ReadAt::Linearizable).await;
        match read.map_err(|error| cluster.error(error)) {
            Ok((found, _)) if found.value.is_some() => return Err(nested_stores(cluster, outer)),
            Ok(_) => absent.push(outer),
            // A client that may only read the keys of its own store cannot check.
            Err(Error::Unauthorized { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let found = cluster.first_key(&layout.everything()).await.map_err(|error| cluster.error(error))?;
    match found {
        None => Ok(absent),
        Some(found) => match inner_name(cluster, name, found.key()).await? {
            Some(inner) => Err(nested_stores(cluster, &inner)),
            None => Err(foreign_keys(name, found.key())),
        },
    }
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
