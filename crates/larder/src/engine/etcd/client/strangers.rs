//! Tells a member of another cluster from a cluster that was restored.
//!
//! A member that is replaced is easily started as a cluster of its own: with its address, an empty folder, and without
//! `--initial-cluster-state existing`. It answers every read, with nothing. So an answer counts only if it comes from
//! the cluster that this client knows. A restored cluster often has another id, too, but then no member answers with
//! the former one, and the store is in it.

use std::time::Duration;

use etcd_client::{Client, GetOptions};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::answer::header_of;
use super::cluster::Cluster;
use super::timeline::Header;
use crate::data::{Error, Result, report};

/// How long the other members have to say which cluster they belong to, before a store is looked for.
pub const ANSWER_MAX: Duration = Duration::from_millis(500);

/// The same, where an answer is of another cluster: this, or the timeout of a call if that is less.
const DOUBT_MAX: Duration = Duration::from_secs(2);

impl Cluster {
    /// Finds out to which cluster most members belong, so that no store is looked for, or created, in another one.
    /// Returns whether it is another than the one that was known. Waits until most members have answered, and for the
    /// others for at most this time.
    ///
    /// # Errors
    /// If members of several clusters answer, and most of the members belong to none of them.
    pub async fn agree(&self, wait_max: Duration) -> Result<bool> {
        let members = self.members();
        if members == 1 {
            return Ok(false);
        }
        let mut asking = self.ask_clusters((0..members).collect(), wait_max);
        let mut answers: Vec<(usize, u64)> = Vec::new();
        while let Some((member, answer)) = asking.next().await {
            let Some(id) = answer else { continue };
            answers.push((member, id));
            if 2 * answers.iter().filter(|(_, other)| *other == id).count() > members {
                return Ok(self.timeline.expect_cluster(id));
            }
        }
        let first = answers.first().map(|(_, id)| *id);
        match answers.iter().find(|(_, id)| Some(*id) != first) {
            Some((stranger, _)) => Err(self.other_cluster(*stranger)),
            None => Ok(false),
        }
    }

    /// Asks members for the cluster that they belong to. Gives the answers as they come; `None` of those that give none.
    fn ask_clusters(
        &self,
        members: Vec<usize>,
        wait_max: Duration,
    ) -> FuturesUnordered<impl Future<Output = (usize, Option<u64>)>> {
        let until = Instant::now() + wait_max;
        members
            .into_iter()
            .map(|member| async move { (member, self.cluster_of(member, until).await) })
            .collect()
    }

    /// Whether an answer comes from another cluster than this client's: one that has another id, although the former
    /// one still exists, or one that does not have the store.
    pub(super) async fn is_stranger(&self, member: usize, header: Header) -> bool {
        if !self.timeline.is_other(header) {
            return false;
        }
        let (known, wait_max) = (self.timeline.cluster_id(), self.timeout.min(DOUBT_MAX));
        let others = (0..self.members()).filter(|other| *other != member).collect();
        let mut asking = self.ask_clusters(others, wait_max);
        let mut still_exists = false;
        while !still_exists && let Some((_, answer)) = asking.next().await {
            still_exists = answer == Some(known);
        }
        let is_stranger = still_exists || !self.has_store(member, Instant::now() + wait_max).await;
        if is_stranger {
            let endpoint = self.endpoint(member);
            report(|| tracing::warn!(endpoint, "the member belongs to another cluster, and is left out"));
        }
        is_stranger
    }

    /// The error for a member of another cluster.
    pub(super) fn other_cluster(&self, member: usize) -> Error {
        Error::OtherCluster { location: self.location.clone(), endpoint: self.endpoint(member).to_owned() }
    }

    /// The cluster that a member belongs to; `None` if it does not answer by then.
    async fn cluster_of(&self, member: usize, until: Instant) -> Option<u64> {
        let (client, number) = self.client_of(member, until).await?;
        let mut maintenance = client.maintenance_client();
        let status = timeout_at(until, maintenance.status()).await;
        if self.endpoint(member) != self.current_endpoint() {
            // A client keeps a connection to the members that it asks.
            self.member(member).drop_connection(number);
        }
        let status = status.ok()?.ok()?;
        status.header().map(|header| header_of(header).cluster_id).filter(|id| *id != 0)
    }

    /// Whether the cluster of a member has the store.
    async fn has_store(&self, member: usize, until: Instant) -> bool {
        let Some((client, _)) = self.client_of(member, until).await else { return false };
        let options = GetOptions::new().with_count_only();
        let mut kv = client.kv_client();
        let found = timeout_at(until, kv.get(self.meta.to_vec(), Some(options))).await;
        matches!(found, Ok(Ok(found)) if found.count() > 0)
    }

    /// The connection to a member, and its number.
    async fn client_of(&self, member: usize, until: Instant) -> Option<(Client, u64)> {
        let connected = timeout_at(until, self.member(member).connection(&self.options)).await.ok()?.ok()?;
        Some((connected.client, connected.number))
    }
}
