//! Reading: from the cluster, where gets share requests, or from the near cache.

mod cluster_reader;
mod near_cache;
mod shared_gets;

pub(super) use self::cluster_reader::{ClusterReader, PAGE_BYTES_MAX};
pub(super) use self::near_cache::NearCache;
pub(super) use self::shared_gets::SharedGets;
