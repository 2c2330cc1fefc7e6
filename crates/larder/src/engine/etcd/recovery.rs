//! What follows once this client notices that the cluster was restored from a snapshot.
//!
//! The writer forgets its facts and snapshots end by themselves: both remember how many restores they know of. The
//! rest happens here, in this order: the store gets another identity, unless another client has given it one, the
//! near cache and the feed begin anew, and watchers are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::client::Cluster;
use super::feed::Follower;
use super::lineage::{Lineage, Renewed};
use crate::data::{Result, report};
use crate::engine::Sink;

/// How long to pause before another attempt, while the cluster does not answer.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Recovery {
    pub cluster: Arc<Cluster>,
    pub lineage: Arc<Lineage>,
    pub follower: Arc<Follower>,
    pub sink: Arc<dyn Sink>,
    /// The identity that watchers and tokens know.
    pub identity: Arc<str>,
}

impl Recovery {
    /// Recovers from each restore, until the engine's runtime ends.
    pub async fn run(mut self) {
        let mut restores = 0;
        loop {
            self.cluster.timeline.wait_for_more(restores).await;
            restores = loop {
                match self.recover().await {
                    Ok(restores) => break restores,
                    Err(error) => {
                        report(
                            || tracing::warn!(%error, "the store cannot begin anew after a restore of the cluster yet"),
                        );
                        sleep(PAUSE).await;
                    }
                }
            };
            self.cluster.timeline.note_recovery(restores);
        }
    }

    /// Begins anew. Returns after how many restores: all that were noticed by the time that watchers were told.
    async fn recover(&mut self) -> Result<u64> {
        // Shows nothing from before, whatever happens next.
        self.follower.suspend();
        loop {
            let (history, renewed) = self.lineage.renew(&self.cluster).await?;
            let identity = match renewed {
                Renewed::Yes(identity) => identity,
                Renewed::No => {
                    report(|| {
                        tracing::warn!("the store keeps its identity, since this client must not write")
                    });
                    Arc::clone(&self.identity)
                }
            };
            let begun =
                self.follower.start_over(history, |latest| self.sink.restored(&identity, latest)).await?;
            // If the cluster was restored once more before anyone was told, both restores are told as one.
            let Some(latest) = begun else { continue };
            report(|| tracing::warn!(revision = latest.0, %identity, "the store has begun anew"));
            self.identity = identity;
            return Ok(history.restores());
        }
    }
}
