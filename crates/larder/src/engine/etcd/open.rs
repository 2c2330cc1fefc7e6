//! Opening: what is in the cluster under the store's name, and making it a store.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use prost::Message;

use super::cluster::Cluster;
use super::fence::random;
use super::fetch::{Moment, key, pairs};
use super::layout::{Layout, Meta, VERSION};
use crate::data::{Error, Result};
use crate::engine::Settings;

/// A store that was found or made.
pub(super) struct Opened {
    pub layout: Layout,
    pub identity: String,
    /// The revision at which it was made.
    pub base: i64,
}

pub(super) async fn open(cluster: &Cluster, name: &str, settings: &Settings) -> Result<Opened> {
    let layout = Layout::new(name);
    loop {
        let read = key(cluster, &layout.meta(), Moment::Now).await;
        let (kept, _) = read.map_err(|trouble| cluster.error(trouble))?;
        if let Some(meta) = kept.value {
            let Some(Meta { version, identity }) = Meta::decode(meta).ok().filter(Meta::makes_sense) else {
                return foreign(name, &layout.meta());
            };
            if version > VERSION {
                let path = cluster.location.clone().into();
                return Err(Error::NewerVersion { path, version: version.into(), supported: VERSION.into() });
            }
            return Ok(Opened { layout, identity, base: kept.revision });
        }
        let outer = refuse_other_keys(cluster, name, &layout).await?;
        let missing = |reason: &str, advice: &'static str| {
            let (path, reason) = (cluster.location.clone().into(), reason.into());
            Err(Error::NoStore { path, reason, advice: advice.into() })
        };
        if settings.read_only {
            let reason = "the cluster has no store of that name, and a store opened read-only is not made";
            return missing(reason, "Check the name.");
        }
        if !settings.create {
            let reason = "the cluster has no store of that name";
            return missing(reason, "Check the name, or write something to it first.");
        }
        make(cluster, &outer, &layout).await?;
    }
}

/// Makes an empty store, unless one of the outer ones has come to be. Somebody else may be faster.
async fn make(cluster: &Cluster, outer: &[&str], layout: &Layout) -> Result<()> {
    let identity = format!("{:016x}{:016x}", random(), random());
    let meta = Meta { version: VERSION, identity }.encode_to_vec();
    let path = layout.meta().to_vec();
    let everything = layout.everything();
    let absent = |path: Vec<u8>| Compare::create_revision(path, CompareOp::Equal, 0);
    let mut compares = vec![
        absent(path.clone()),
        // Of a span of which nothing is there this holds; of any key in it, it does not.
        Compare::create_revision(everything.start.to_vec(), CompareOp::Less, 1)
            .with_range(everything.end.to_vec()),
    ];
    compares.extend(outer.iter().map(|outer| absent(Layout::new(outer).meta().to_vec())));
    let making = Txn::new().when(compares).and_then([TxnOp::put(path, meta, None)]);
    cluster.transact(&making).await.map(drop).map_err(|trouble| cluster.write_error(trouble))
}

/// The names of the stores that one of this name would lie in, if they were there.
fn outer_names(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(end, _)| &name[..end])
}

/// Refuses to lie among the keys of others, inside of another store, or around one. Returns the names of the
/// stores that it would lie in if they were there.
async fn refuse_other_keys<'a>(cluster: &Cluster, name: &'a str, layout: &Layout) -> Result<Vec<&'a str>> {
    let error = |trouble| cluster.error(trouble);
    let mut absent = Vec::new();
    for outer in outer_names(name) {
        match key(cluster, &Layout::new(outer).meta(), Moment::Now).await.map_err(error) {
            Ok((found, _)) if found.value.is_some() => return Err(nested(cluster, outer)),
            Ok(_) => absent.push(outer),
            // Who may only use what is under the store's own name cannot know.
            Err(Error::Unauthorized { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let found = pairs(cluster, &layout.everything(), 1, Moment::Now, true).await.map_err(error)?;
    match found.pairs.first() {
        None => Ok(absent),
        Some(pair) => match inner_name(cluster, name, pair.key()).await? {
            Some(inner) => Err(nested(cluster, &inner)),
            None => foreign(name, pair.key()),
        },
    }
}

/// The name of the store inside of this one that a key belongs to.
async fn inner_name(cluster: &Cluster, name: &str, found: &[u8]) -> Result<Option<String>> {
    let found = String::from_utf8_lossy(found).into_owned();
    let ends = found.match_indices('/').map(|(end, _)| end).filter(|end| *end > name.len());
    for inner in ends.take(INNER_MAX).map(|end| &found[..end]) {
        let read = key(cluster, &Layout::new(inner).meta(), Moment::Now).await;
        let (kept, _) = read.map_err(|trouble| cluster.error(trouble))?;
        if kept.value.and_then(|meta| Meta::decode(meta).ok()).is_some_and(|meta| meta.makes_sense()) {
            return Ok(Some(inner.to_owned()));
        }
    }
    Ok(None)
}

/// How deep other stores are looked for.
const INNER_MAX: usize = 8;

fn nested(cluster: &Cluster, other: &str) -> Error {
    Error::NestedStores { location: cluster.location.clone(), other: other.to_owned() }
}

fn foreign<T>(name: &str, key: &[u8]) -> Result<T> {
    Err(Error::ForeignKeys { prefix: format!("{name}/"), key: String::from_utf8_lossy(key).into_owned() })
}
