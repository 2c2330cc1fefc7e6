//! Which store this is: the key that holds its identity, which every transaction compares.
//!
//! An identity names one history of revisions. Whoever learns that the cluster was restored gives the store another
//! identity, by which resume tokens from before are recognized. Since every commit compares the key, no client
//! commits what it has decided by facts from before, once anyone has noticed the restore.
//!
//! # One restore, one identity, told once
//! Several clients notice a restore, each at its own time and by its own proof, and answers overtake each other. A
//! client counts the restores that it has noticed ([`Timeline`](super::client::Timeline)), and remembers with the key
//! after how many of them it had read it. Call that number the *era* of what it knows. Then:
//!
//! - **An answer to a request of an earlier era teaches nothing.** It may be of the time before the restore.
//! - **The first answer of an era counts, whatever its revision.** The restore has taken the key back.
//! - **Within an era the key only moves on.** An answer with a lower revision is late, and teaches nothing, unless the
//!   client knew the higher revision when it sent the request. A cluster that forgets what it has shown was restored.
//! - **An identity of an earlier era is renewed, any other is not.** Each write compares the revision of the key. So of
//!   several clients that noticed the restore one writes. The others read what it has written, which none of them had
//!   known before.
//! - **Another identity within an era proves a restore** that this client has not noticed, unless its identity was yet
//!   to be renewed. The other one belongs to the era that begins with it, so this client gives the store no third.
//!
//! So a restore leads to one new identity. Each client enters one era for it: by its own proof, or by the new identity,
//! and the later of both finds that the era is over in which it was asked for. Watchers are told once in an era (see
//! [`Recovery`](super::recovery::Recovery)).
//!
//! A client that must not write cannot renew the identity. If it notices the restore before any other client has, it is
//! told twice: when it notices the restore, and when the store gets its new identity, which may also be that of a
//! second restore.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use prost::Message;

use super::client::{Asked, Cluster, KeyState, ReadAt, Timeline};
use super::layout::{Layout, Meta, VERSION};
use super::random::random;
use crate::data::{Error, Result, locked};

/// The identity of the open store, as far as this client knows.
pub(super) struct Lineage {
    key: Bytes,
    /// Held only to compare and to store, never while waiting.
    known: Mutex<Known>,
    /// Whether this client must not write, and so gives no store another identity.
    read_only: bool,
}

struct Known {
    /// The revision of the key.
    revision: i64,
    /// How many restores were noticed when the key was read. Revisions of different eras do not compare.
    era: u64,
    identity: Arc<str>,
    /// The era in which the identity was first known.
    since: u64,
    /// The identities that the store has had before. If one of them has come back, it is also the present one.
    former: Vec<String>,
    /// The last era for which the identity could not be renewed.
    kept_in: u64,
}

impl Known {
    /// Learns of the key's state in an era.
    fn learn(&mut self, era: u64, revision: i64, meta: Meta) {
        (self.era, self.revision) = (era, revision);
        if *self.identity != *meta.identity {
            // One that comes back stays a former one.
            let former = self.all().into_iter().chain(meta.former).collect();
            (self.identity, self.former) = (meta.identity.into(), last(former));
            self.since = era;
        }
    }

    /// Whether the identity names a history from before an era.
    fn is_from_before(&self, era: u64) -> bool {
        self.since < era || self.has_had(&self.identity)
    }

    /// Whether the identity is yet to be renewed in an era: by this client or by another, which is the same.
    fn awaits_renewal(&self, era: u64) -> bool {
        self.is_from_before(era) && self.kept_in < era
    }

    fn has_had(&self, identity: &str) -> bool {
        self.former.iter().any(|former| former == identity)
    }

    /// All identities that the store is known to have had.
    fn all(&self) -> Vec<String> {
        let mut all = self.former.clone();
        all.push(self.identity.to_string());
        all
    }
}

/// What a client knew of the key when it sent a request whose answer shows the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedForKey {
    pub history: Asked,
    /// The revision of the key in the era of the request. The key of the same history cannot be older in the answer.
    least: i64,
}

impl AskedForKey {
    /// What a watch brings may be older than what other answers have shown.
    pub fn by_watch(history: Asked) -> Self {
        Self { history, least: 0 }
    }
}

/// How many former identities are kept.
const FORMER_MAX: usize = 32;

/// The last of them, each once.
fn last(identities: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for identity in identities.into_iter().rev() {
        if kept.len() < FORMER_MAX && !kept.contains(&identity) {
            kept.push(identity);
        }
    }
    kept.reverse();
    kept
}

/// What became of a store's identity after a restore.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// It has another one.
    Yes(Arc<str>),
    /// It keeps the one that it had, because this client must not write.
    No,
}

/// Returns an identity that no other store has.
pub(super) fn new_identity() -> String {
    format!("{:016x}{:016x}", random(), random())
}

impl Lineage {
    /// The store as `meta` describes it, the value of its key at a revision, in an answer to a request of this history.
    /// If a restore was noticed while the store was opened, the identity is still the one from before.
    pub fn new(layout: &Layout, history: Asked, revision: i64, meta: Meta, read_only: bool) -> Self {
        let Meta { identity, former, .. } = meta;
        let era = history.restores();
        let known = Known { revision, era, identity: identity.into(), since: 0, former, kept_in: 0 };
        Self { key: layout.meta(), known: Mutex::new(known), read_only }
    }

    pub fn key(&self) -> &Bytes {
        &self.key
    }

    pub fn identity(&self) -> Arc<str> {
        Arc::clone(&locked(&self.known).identity)
    }

    /// Returns the comparison that holds while the store is the one that this client knows.
    pub fn unchanged(&self) -> Compare {
        Compare::mod_revision(self.key.to_vec(), CompareOp::Equal, locked(&self.known).revision)
    }

    /// To be taken before a request is sent whose answer shows the key.
    pub fn ask(&self, timeline: &Timeline) -> AskedForKey {
        let known = locked(&self.known);
        let history = timeline.ask();
        AskedForKey { history, least: if known.era == history.restores() { known.revision } else { 0 } }
    }

    /// Learns the key's state from a linearizable answer, or from a watch.
    ///
    /// # Errors
    /// If the store is gone, or a later larder has changed its layout.
    pub fn learn(&self, cluster: &Cluster, asked: AskedForKey, state: &KeyState) -> Result<()> {
        let AskedForKey { history, least } = asked;
        let era = history.restores();
        let mut known = locked(&self.known);
        if cluster.timeline.is_over(history) {
            return Ok(());
        }
        let meta = decoded(cluster, state)?;
        if known.era < era {
            // This client is beginning anew.
            known.learn(era, state.revision, meta);
            return Ok(());
        }
        let is_same = *known.identity == *meta.identity;
        // Each identity names those before it, so a late answer has none that is unknown.
        let is_new = !is_same && !known.has_had(&meta.identity);
        let goes_back = state.revision < least;
        if state.revision <= known.revision && !is_new && !goes_back {
            return Ok(());
        }
        let is_renewal = is_new && known.awaits_renewal(era);
        if (is_same || is_renewal) && !goes_back {
            known.learn(era, state.revision, meta);
        } else if cluster.timeline.note_restore(history, "the store has another identity, or an earlier one")
        {
            known.learn(era + 1, state.revision, meta);
        }
        Ok(())
    }

    /// Gives the store another identity than it had before the last restore, unless another client already has. An
    /// identity that the store has had before is none: it comes back with an older backup, or with one that is restored
    /// again. Returns the history that the identity belongs to.
    pub async fn renew(&self, cluster: &Cluster) -> Result<(Asked, Renewed)> {
        loop {
            let history = cluster.timeline.ask();
            let era = history.restores();
            let read = cluster.read_key(&self.key, ReadAt::Linearizable).await;
            let (state, _) = read.map_err(|error| cluster.error(error))?;
            let had = {
                let mut known = locked(&self.known);
                if cluster.timeline.is_over(history) {
                    continue;
                }
                let meta = decoded(cluster, &state)?;
                // A writer may have learned of a later state meanwhile.
                if known.era < era || known.revision < state.revision {
                    known.learn(era, state.revision, meta);
                }
                if !known.is_from_before(era) {
                    return Ok((history, Renewed::Yes(Arc::clone(&known.identity))));
                }
                known.all()
            };
            if self.read_only {
                return Ok((history, self.keep(era)));
            }
            let meta = decoded(cluster, &state)?;
            match write_identity(cluster, &self.key, state.revision, meta, new_identity(), had).await {
                Ok(()) => {}
                Err(Error::Unauthorized { .. }) => return Ok((history, self.keep(era))),
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the identity from before an era.
    fn keep(&self, era: u64) -> Renewed {
        let mut known = locked(&self.known);
        known.kept_in = known.kept_in.max(era);
        Renewed::No
    }
}

/// Writes another identity of a store, and the cluster that it is in, unless another client has written the key since
/// `revision`. `had` are identities that the store has had, besides those that the key names.
pub(super) async fn write_identity(
    cluster: &Cluster,
    key: &Bytes,
    revision: i64,
    meta: Meta,
    identity: String,
    had: Vec<String>,
) -> Result<()> {
    let before = meta.former.into_iter().chain([meta.identity]).chain(had);
    let former = last(before.filter(|former| *former != identity).collect());
    let cluster_id = Some(cluster.timeline.cluster_id());
    let meta = Meta { version: meta.version, identity, cluster_id, former };
    let unchanged = Compare::mod_revision(key.to_vec(), CompareOp::Equal, revision);
    let writing =
        Txn::new().when([unchanged]).and_then([TxnOp::put(key.to_vec(), meta.encode_to_vec(), None)]);
    cluster.transact(&writing).await.map(drop).map_err(|error| cluster.write_error(error))
}

fn decoded(cluster: &Cluster, state: &KeyState) -> Result<Meta> {
    let Some(meta) = state.value.clone() else {
        return Err(Error::NoStore {
            path: cluster.location.clone().into(),
            reason: "it was deleted from the cluster while it was open".into(),
            advice: "Open it again to create an empty one.".into(),
        });
    };
    let meta: Meta = cluster.decode(meta)?;
    check_version(cluster, &meta)?;
    Ok(meta)
}

/// Fails if a later larder has written the store in a layout that this one does not know, perhaps since it was opened.
pub(super) fn check_version(cluster: &Cluster, meta: &Meta) -> Result<()> {
    if meta.version <= VERSION {
        return Ok(());
    }
    let path = cluster.location.clone().into();
    Err(Error::NewerVersion { path, version: meta.version.into(), supported: VERSION.into() })
}

#[cfg(test)]
mod tests;
