//! How a process stands to the cluster that its store is in.

use std::time::{Duration, SystemTime};

use super::revision::Revision;

/// How this process stands to what its store is in: see [`Store::health`](crate::Store::health).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// let health = store.health()?;
/// assert!(health.feed.is_none() && health.contended == 0);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Health {
    /// The member of the cluster that is asked first, such as `http://db1:2379`; `None` for a store in a file or in
    /// memory.
    pub member: Option<String>,
    /// The feed that brings the commits of other processes; `None` while nothing needs it: without watchers and
    /// without a near cache.
    pub feed: Option<Feed>,
    /// How many requests had to be sent again, to the same member or another one.
    pub retries: u64,
    /// How many writes were given up since other writers were faster each time
    /// ([`Error::Contended`](crate::Error::Contended)).
    pub contended: u64,
    /// How many writes have an unknown outcome ([`Error::Unknown`](crate::Error::Unknown)).
    pub unknown: u64,
    /// How many times a restore of the cluster was noticed.
    pub restores: u64,
    /// How many times a list, a stream or a page has left out a key since it holds what larder does not write. A warning
    /// is logged each time, and names the key; [`Store::check`](crate::Store::check) names it, too.
    pub left_out: u64,
}

/// The feed that brings a process the commits of all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Feed {
    /// Since when it is connected; `None` while it is not.
    #[cfg_attr(feature = "serde", serde(default, with = "super::serialized::optional_time"))]
    pub connected_since: Option<SystemTime>,
    /// The member that it comes from; `None` while it is not connected.
    pub member: Option<String>,
    /// The last commit that it has brought.
    pub revision: Revision,
    /// How long ago it was last known to have brought everything; `None` if it never was.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "lag_ms", default, with = "super::serialized::optional_millis")
    )]
    pub lag: Option<Duration>,
    /// How many times it was interrupted.
    pub interruptions: u64,
    /// Why the cluster refuses it, if it does.
    pub refusal: Option<String>,
}
