//! How fresh a read of a cluster is.

/// What a read of a store on an etcd cluster may show. A store in a SQLite file is always linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was written before the read began, by whichever client: the cluster is asked.
    #[default]
    Linearizable,
    /// For single entries (`get`, `entry`, `exists`) what this process has in memory of what it has read
    /// before: with everything that it wrote itself, and what others wrote up to a short while ago.
    /// [`Store::cache_age`](crate::Store::cache_age) says how short; where that cannot be known, or is more
    /// than [`Options::cache_age_max`], the cluster is asked, as it is for everything else that is read, and
    /// for what a write is decided by.
    Cached,
}
