//! Opening: what is in the cluster under the store's name, and making it a store.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use prost::Message;

use super::cluster::Cluster;
use super::fence::random;
use super::fetch::{Moment, key, pairs};
use super::layout::{Layout, Meta, VERSION};
use super::refusal::decode;
use crate::options::Options;
use crate::{Error, Result};

/// A store that was found or made.
pub(super) struct Opened {
    pub layout: Layout,
    pub identity: String,
    /// The revision at which it was made.
    pub base: i64,
}

pub(super) async fn open(cluster: &Cluster, name: &str, options: &Options) -> Result<Opened> {
    let layout = Layout::new(name);
    loop {
        let read = key(cluster, &layout.meta(), Moment::Now).await;
        let (kept, _) = read.map_err(|trouble| cluster.error(trouble))?;
        if let Some(meta) = kept.value {
            let Meta { version, identity } = decode(meta, cluster)?;
            if version > VERSION {
                let path = cluster.location.clone().into();
                return Err(Error::NewerVersion { path, version: version.into(), supported: VERSION.into() });
            }
            return Ok(Opened { layout, identity, base: kept.revision });
        }
        refuse_other_keys(cluster, name, &layout).await?;
        let missing = |reason: &str| {
            Err(Error::NotFound { path: cluster.location.clone().into(), reason: reason.into() })
        };
        if options.read_only {
            return missing(
                "the cluster has no store of that name, and a store opened read-only is not made; check the name",
            );
        }
        if !options.create {
            return missing(
                "the cluster has no store of that name; check it, or write something to it first",
            );
        }
        make(cluster, &layout).await?;
    }
}

/// Makes an empty store. Somebody else may be faster.
async fn make(cluster: &Cluster, layout: &Layout) -> Result<()> {
    let identity = format!("{:016x}{:016x}", random(), random());
    let meta = Meta { version: VERSION, identity }.encode_to_vec();
    let path = layout.meta().to_vec();
    let everything = layout.everything();
    let making = Txn::new()
        .when([
            Compare::create_revision(path.clone(), CompareOp::Equal, 0),
            // Of a span of which nothing is there this holds; of any key in it, it does not.
            Compare::create_revision(everything.start.to_vec(), CompareOp::Less, 1)
                .with_range(everything.end.to_vec()),
        ])
        .and_then([TxnOp::put(path, meta, None)]);
    cluster.transact(&making).await.map(drop).map_err(|trouble| cluster.write_error(trouble))
}

/// Refuses to lie among the keys of others, or inside of another store.
async fn refuse_other_keys(cluster: &Cluster, name: &str, layout: &Layout) -> Result<()> {
    let foreign = |prefix: &str, key: &[u8]| {
        let (prefix, key) = (format!("{prefix}/"), String::from_utf8_lossy(key).into_owned());
        Err(Error::ForeignKeys { prefix, key })
    };
    let found = pairs(cluster, &layout.everything(), 1, Moment::Now, true).await;
    if let Some(pair) = found.map_err(|trouble| cluster.error(trouble))?.pairs.first() {
        return foreign(name, pair.key());
    }
    for (end, _) in name.match_indices('/') {
        let outer = Layout::new(&name[..end]).meta();
        let read = key(cluster, &outer, Moment::Now).await;
        if read.map_err(|trouble| cluster.error(trouble))?.0.value.is_some() {
            return foreign(&name[..end], &outer);
        }
    }
    Ok(())
}
