//! A rig whose change log a test may cut short, also where the engine does not prune it.

use std::ops::Deref;
#[cfg(feature = "etcd")]
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use super::Rig;

impl Rig {
    /// A second rig of this engine, on a cluster of its own: compacting that one disturbs no other test.
    pub fn with_own_history(&self) -> RigWithOwnHistory {
        #[allow(unused_mut)]
        let mut rig = self.another();
        #[cfg(feature = "etcd")]
        if self.engine == super::Engine::Etcd {
            static OTHER: OnceLock<Mutex<larder_cluster::Cluster>> = OnceLock::new();
            let settings = larder_cluster::Settings { members: 1, ..Default::default() };
            let other =
                OTHER.get_or_init(|| Mutex::new(larder_cluster::Cluster::start_with(&settings).unwrap()));
            rig.own_cluster = Some(other.lock().unwrap_or_else(PoisonError::into_inner));
        }
        RigWithOwnHistory(rig)
    }

    /// The cluster that has the rig's store.
    #[cfg(feature = "etcd")]
    pub(super) fn cluster(&self) -> &larder_cluster::Cluster {
        match &self.own_cluster {
            Some(own) => own,
            None => larder_cluster::Cluster::shared(),
        }
    }
}

/// A rig whose change log a test may cut short. Dropping it verifies its stores.
pub struct RigWithOwnHistory(Rig);

impl RigWithOwnHistory {
    /// Compacts a cluster: every commit up to the one with this number is removed from the log. Does nothing
    /// where the engine prunes its log by itself.
    #[cfg_attr(not(feature = "etcd"), allow(unused_variables))]
    pub fn compact_up_to(&self, commit: u64) {
        #[cfg(feature = "etcd")]
        if let Some(cluster) = &self.own_cluster {
            // The cluster wants the first revision to keep.
            cluster.compact_at(self.revision(commit + 1).0).unwrap();
        }
    }
}

impl Deref for RigWithOwnHistory {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.0
    }
}

impl Drop for RigWithOwnHistory {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.0.verify_all();
        }
    }
}
