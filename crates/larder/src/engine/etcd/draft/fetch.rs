//! Fetches the facts that a draft needs from the cluster.

use bytes::Bytes;
use etcd_client::{Txn, TxnOp, TxnOpResponse};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::knowledge::{Knowledge, SpanState, Wanted};
use super::{Basis, Draft};
use crate::engine::etcd::client::{CallError, Cluster, KeyState, ReadAt};
use crate::engine::etcd::layout::{Span, next_key};

/// How many facts one request fetches, and how many bytes their keys may have.
const FACTS_MAX: usize = 100;
const KEY_BYTES_MAX: usize = 512 << 10;

/// How many requests run at once, if one is not enough.
const REQUESTS_AT_ONCE: usize = 8;

/// How many pairs of a span the first request reads. It shows how large they are.
const PAGE_PAIRS: usize = 1000;

/// How many pairs a later request reads at most, and about how many bytes.
const PAGE_PAIRS_MAX: usize = 10_000;
const PAGE_BYTES: usize = 2 << 20;

impl Draft {
    /// Fetches facts for a draft on a snapshot. The first fetch takes the snapshot.
    pub async fn fetch_snapshot(
        &mut self,
        cluster: &Cluster,
        mut wanted: Vec<Wanted>,
    ) -> Result<(), CallError> {
        let at = match self.basis {
            Basis::Snapshot(Some(revision)) => ReadAt::Revision(revision),
            _ => {
                wanted.extend([self.layout().log(), self.layout().quotas()].map(Wanted::Key));
                ReadAt::Linearizable
            }
        };
        let revision = fetch(cluster, &wanted, at, &mut self.knowledge).await?;
        self.basis = Basis::Snapshot(Some(revision));
        Ok(())
    }
}

/// Fetches facts, all of one revision, which it returns.
pub async fn fetch(
    cluster: &Cluster,
    wanted: &[Wanted],
    at: ReadAt,
    knowledge: &mut Knowledge,
) -> Result<i64, CallError> {
    // Guards do not show that a key has gone from a span, so spans are never read from a lagging member.
    let has_spans = wanted.iter().any(|wanted| matches!(wanted, Wanted::Span(..)));
    let at = if at == ReadAt::Serializable && has_spans { ReadAt::Linearizable } else { at };
    let (first, mut rest) = wanted.split_at(request_size(wanted));
    let mut facts = request(cluster, first, at).await?;
    if at == ReadAt::Serializable && facts.revision < knowledge.newest() {
        // The member lags behind this writer's own commits. A key that was absent before them and is absent
        // again would pass for unchanged.
        facts = request(cluster, first, ReadAt::Linearizable).await?;
    }
    let revision = facts.teach(knowledge);
    let at = ReadAt::Revision(revision);
    let mut running = FuturesUnordered::new();
    while !rest.is_empty() {
        let (next, later) = rest.split_at(request_size(rest));
        rest = later;
        if running.len() == REQUESTS_AT_ONCE
            && let Some(facts) = running.next().await
        {
            FetchedFacts::teach(facts?, knowledge);
        }
        running.push(request(cluster, next, at));
    }
    while let Some(facts) = running.next().await {
        FetchedFacts::teach(facts?, knowledge);
    }
    Ok(revision)
}

/// How many of the first facts fit into one request: at least one, since no single one is too long.
fn request_size(wanted: &[Wanted]) -> usize {
    let mut bytes = 0;
    let lengths = wanted.iter().take(FACTS_MAX).map(|wanted| match wanted {
        Wanted::Key(key) => key.len(),
        Wanted::Span(span, _) => span.start.len() + span.end.len(),
    });
    let fitting = lengths.take_while(|length| {
        bytes += length;
        bytes <= KEY_BYTES_MAX
    });
    fitting.count().max(1).min(wanted.len())
}

/// The facts that one request has brought.
struct FetchedFacts {
    revision: i64,
    keys: Vec<(Bytes, KeyState)>,
    spans: Vec<(Span, usize, SpanState)>,
}

impl FetchedFacts {
    /// Adds the facts to the knowledge. Returns the revision that they are of.
    fn teach(self, knowledge: &mut Knowledge) -> i64 {
        for (key, state) in self.keys {
            knowledge.learn(key, state, self.revision);
        }
        for (span, limit, span_state) in self.spans {
            for (key, state) in &span_state.pairs {
                knowledge.learn(key.clone(), state.clone(), self.revision);
            }
            knowledge.learn_span(span, limit, span_state);
        }
        self.revision
    }
}

/// Sends one request, and one for each further page of its spans.
async fn request(cluster: &Cluster, wanted: &[Wanted], at: ReadAt) -> Result<FetchedFacts, CallError> {
    let gets: Vec<_> = wanted.iter().map(|wanted| get(wanted, at)).collect();
    let answered = cluster.transact_showing(at.shows(), &Txn::new().and_then(gets)).await?;
    let revision = match at {
        ReadAt::Revision(revision) => revision,
        _ => answered.revision(),
    };
    let mut facts = FetchedFacts { revision, keys: Vec::new(), spans: Vec::new() };
    for (wanted, response) in wanted.iter().zip(answered.response.op_responses()) {
        let TxnOpResponse::Get(mut found) = response else { continue };
        let mut more = found.more();
        let pairs = found.take_kvs();
        match wanted {
            Wanted::Key(key) => facts.keys.push((key.clone(), KeyState::of_first(pairs))),
            Wanted::Span(span, limit) => {
                let mut pairs: Vec<_> = pairs.into_iter().map(KeyState::with_key).collect();
                while more && pairs.len() < *limit {
                    more = next_page(cluster, span, revision, &mut pairs, *limit).await?;
                }
                facts.spans.push((span.clone(), *limit, SpanState { revision, pairs, is_whole: !more }));
            }
        }
    }
    Ok(facts)
}

fn get(wanted: &Wanted, at: ReadAt) -> TxnOp {
    match wanted {
        Wanted::Key(key) => TxnOp::get(key.to_vec(), Some(at.key_options())),
        Wanted::Span(span, limit) => {
            TxnOp::get(span.start.to_vec(), Some(at.span_options(span, (*limit).min(PAGE_PAIRS))))
        }
    }
}

/// Reads the next pairs of a span. Returns whether there are more.
async fn next_page(
    cluster: &Cluster,
    span: &Span,
    revision: i64,
    pairs: &mut Vec<(Bytes, KeyState)>,
    limit: usize,
) -> Result<bool, CallError> {
    let start = pairs.last().map_or_else(|| span.start.clone(), |(last, _)| next_key(last));
    let rest = Span { start, end: span.end.clone() };
    let bytes: usize =
        pairs.iter().map(|(key, state)| key.len() + state.value.as_ref().map_or(0, Bytes::len)).sum();
    let pair_bytes = (bytes / pairs.len().max(1)).max(1);
    let wanted = (PAGE_BYTES / pair_bytes).clamp(1, PAGE_PAIRS_MAX).min(limit - pairs.len());
    let page = cluster.read_span(&rest, wanted, ReadAt::Revision(revision)).await?;
    pairs.extend(page.pairs.into_iter().map(KeyState::with_key));
    Ok(page.more)
}
