//! Has the cluster make what was drafted, once: where answers are lost it is found out what has become of it.

use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse};
use prost::Message;

use super::cluster::Trouble;
use super::commit::Committer;
use super::draft::{Draft, Plan};
use super::fence::{Fencing, Verdict, find};
use super::fetch::{Moment, kept};
use super::knowledge::Kept;
use super::layout::Record;
use crate::data::{Error, Revision};

/// What the cluster made of a draft.
pub(super) struct Done {
    /// The cluster's revision of it.
    pub revision: i64,
    /// The store's latest commit before it, where the answer that says so was not lost.
    pub before: Option<Revision>,
}

impl Done {
    /// The store's latest commit where this one has changed nothing.
    pub fn latest(&self) -> Revision {
        self.before.unwrap_or(Revision(self.revision.cast_unsigned()))
    }
}

pub(super) enum Made {
    Done(Done),
    /// Somebody else was faster.
    Overtaken,
}

impl Made {
    /// It turns out to have happened. The store's latest commit before it is only of interest where nothing
    /// has changed.
    fn happened(revision: i64) -> Self {
        Self::Done(Done { revision, before: None })
    }
}

impl Committer {
    /// Has the cluster make what was drafted.
    pub async fn make(&self, fencing: &mut Fencing, draft: &mut Draft) -> Result<Made, Trouble> {
        let Plan { mut compares, operations, mut asks, asked, changes, as_a_whole } = draft.plan();
        let log = self.layout.log().to_vec();
        let fence = fencing.key(&self.layout);
        // What writes nothing can be asked for any number of times.
        let fenced = !operations.is_empty() || fencing.unsettled;
        if fenced && fencing.revision().is_none() {
            let (kept, _) = super::fetch::key(&self.cluster, &fence, Moment::Now).await?;
            fencing.learn(&kept);
        }
        let mut acts = vec![TxnOp::get(log.clone(), Some(GetOptions::new().with_keys_only()))];
        acts.extend(operations);
        if !changes.is_empty() {
            let record = Record { at_ms: draft.at_ms, changes };
            acts.push(TxnOp::put(log, record.encode_to_vec(), None));
        }
        if fenced {
            let (compare, act) = fencing.next(&self.layout);
            compares.push(compare);
            acts.push(act);
        }
        asks.push(TxnOp::get(fence.to_vec(), None));
        let transaction = Txn::new().when(compares).and_then(acts).or_else(asks);
        let unsettled_before = fencing.unsettled;
        fencing.unsettled |= fenced;
        let answered = match self.cluster.transact(&transaction).await {
            Ok(answered) => answered,
            Err(trouble) => {
                if fenced && matches!(trouble, Trouble::Refused { error: Error::Full { .. }, .. }) {
                    let done = self.made_all_the_same(fencing).await.map_err(Trouble::after_sending)?;
                    if let Some(revision) = done {
                        return Ok(Made::happened(revision));
                    }
                }
                if trouble.is_unsent() {
                    fencing.unsettled = unsettled_before;
                }
                return Err(trouble);
            }
        };
        let revision = answered.response.header().map_or(0, |header| header.revision());
        let mut responses = answered.response.op_responses().into_iter().map(found);
        if answered.response.succeeded() {
            let latest = responses.next().unwrap_or(Kept::NOTHING).revision;
            if fenced {
                fencing.moved(revision);
            }
            let before = Some(Revision(latest.cast_unsigned()));
            return Ok(Made::Done(Done { revision, before }));
        }
        let mut found: Vec<_> = responses.collect();
        let at_fence = found.pop().unwrap_or(Kept::NOTHING);
        if fenced {
            match fencing.judge(&at_fence) {
                // Nothing else of it is under way.
                Verdict::NotYet if !answered.resent => fencing.unsettled = unsettled_before,
                Verdict::Overrun { .. } if !answered.resent => fencing.move_on(),
                verdict => {
                    let settled = self.settle(fencing, verdict).await;
                    if let Some(revision) = settled.map_err(Trouble::after_sending)? {
                        return Ok(Made::happened(revision));
                    }
                }
            }
        }
        draft.knowledge.forget_spans();
        for (key, kept) in asked.into_iter().zip(found) {
            draft.knowledge.learn(key, kept, revision);
        }
        if as_a_whole {
            draft.knowledge.interrupted_at(Revision(revision.cast_unsigned()));
        }
        Ok(Made::Overtaken)
    }

    /// Whether a transaction has happened, and at which revision, that was refused for want of space: where it
    /// gives out just then, etcd does what it is asked for and then says that it cannot.
    async fn made_all_the_same(&self, fencing: &mut Fencing) -> Result<Option<i64>, Trouble> {
        let (kept, _) = super::fetch::key(&self.cluster, &fencing.key(&self.layout), Moment::Now).await?;
        match fencing.judge(&kept) {
            Verdict::NotYet => Ok(None),
            verdict => self.settle(fencing, verdict).await,
        }
    }

    /// Finds out whether the last transaction has happened, of which more than one copy was sent, and sees to it
    /// that none happens later: a copy that is still on its way may find that its comparisons hold again, since a
    /// key that was absent, and was not in between, is again as it was. Returns its revision, if it has happened.
    async fn settle(&self, fencing: &mut Fencing, verdict: Verdict) -> Result<Option<i64>, Trouble> {
        let (fence, last) = (fencing.key(&self.layout), fencing.last());
        let since = match verdict {
            Verdict::Happened(revision) => return Ok(Some(revision)),
            // Another writer has moved the fence, which shuts out what is under way.
            Verdict::Overrun { since } => since,
            Verdict::NotYet => {
                let since = fencing.revision().unwrap_or_default();
                let (compare, act) = fencing.next(&self.layout);
                let moving = Txn::new().when([compare]).and_then([act]);
                let answered = self.cluster.transact(&moving).await?;
                if answered.response.succeeded() {
                    fencing.moved(answered.response.header().map_or(0, |header| header.revision()));
                    return Ok(None);
                }
                // Somebody has moved it: a copy, another writer, or this very request, sent twice.
                since
            }
        };
        // The fence's history still says who has.
        let happened = find(&self.cluster, &fence, since, last).await?;
        fencing.move_on();
        Ok(happened)
    }
}

fn found(response: TxnOpResponse) -> Kept {
    match response {
        TxnOpResponse::Get(mut found) => found.take_kvs().into_iter().next().map_or(Kept::NOTHING, kept),
        _ => Kept::NOTHING,
    }
}
