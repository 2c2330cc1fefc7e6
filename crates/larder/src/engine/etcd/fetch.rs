//! Asks the cluster for what a draft needs.

use bytes::Bytes;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::cluster::{Cluster, Trouble};
use super::draft::span_options;
use super::knowledge::{Kept, Knowledge, Rows, Wanted};
use super::layout::{Span, next_key};

/// How many keys one request asks for, and how many bytes of them.
const KEYS_MAX: usize = 100;
const KEY_BYTES_MAX: usize = 512 << 10;

/// How many requests are under way at once, where one is not enough.
const REQUESTS_AT_ONCE: usize = 8;

/// How many keys of a span come in one answer.
const PAGE_MAX: usize = 1000;

/// Which state of the cluster is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The latest.
    Now,
    /// The latest that the asked member knows of, which may be behind.
    AboutNow,
    /// That of a revision.
    At(i64),
}

impl Moment {
    pub fn apply(self, options: GetOptions) -> GetOptions {
        match self {
            Self::Now => options,
            Self::AboutNow => options.with_serializable(),
            Self::At(revision) => options.with_revision(revision),
        }
    }
}

/// Learns what is wanted, all of one revision, which is returned.
pub(super) async fn fetch(
    cluster: &Cluster,
    wanted: &[Wanted],
    moment: Moment,
    knowledge: &mut Knowledge,
) -> Result<i64, Trouble> {
    // What was in a span and is gone is only noticed where the span is not older than what else is known.
    let has_spans = wanted.iter().any(|wanted| matches!(wanted, Wanted::Span(..)));
    let moment = if moment == Moment::AboutNow && has_spans { Moment::Now } else { moment };
    let (first, rest) = wanted.split_at(fitting(wanted));
    let mut brought = ask(cluster, first, moment).await?;
    if moment == Moment::AboutNow && brought.revision < knowledge.newest() {
        // It may not have heard yet of what this very writer has done, and that it was there once is forgotten.
        brought = ask(cluster, first, Moment::Now).await?;
    }
    let revision = brought.learn(knowledge);
    // What follows is of the same revision.
    let mut under_way = FuturesUnordered::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let (some, later) = rest.split_at(fitting(rest));
        rest = later;
        if under_way.len() == REQUESTS_AT_ONCE
            && let Some(brought) = under_way.next().await
        {
            Brought::learn(brought?, knowledge);
        }
        under_way.push(ask(cluster, some, Moment::At(revision)));
    }
    while let Some(brought) = under_way.next().await {
        Brought::learn(brought?, knowledge);
    }
    Ok(revision)
}

/// How many of the first go into one request.
fn fitting(wanted: &[Wanted]) -> usize {
    let mut bytes = 0;
    let lengths = wanted.iter().take(KEYS_MAX).map(|wanted| match wanted {
        Wanted::Key(key) => key.len(),
        Wanted::Span(span, _) => span.start.len() + span.end.len(),
    });
    let fit = lengths.take_while(|length| {
        bytes += length;
        bytes <= KEY_BYTES_MAX
    });
    // No single one is too long for a request.
    fit.count().max(1).min(wanted.len())
}

/// What one request was for, and what it has brought.
struct Brought {
    revision: i64,
    keys: Vec<(Bytes, Kept)>,
    spans: Vec<(Span, usize, Rows)>,
}

impl Brought {
    /// Returns the revision that it is of.
    fn learn(self, knowledge: &mut Knowledge) -> i64 {
        for (key, kept) in self.keys {
            knowledge.learn(key, kept, self.revision);
        }
        for (span, limit, rows) in self.spans {
            for (key, kept) in &rows.rows {
                knowledge.learn(key.clone(), kept.clone(), self.revision);
            }
            knowledge.learn_span(span, limit, rows);
        }
        self.revision
    }
}

/// Makes one request, and those that the pages of spans take besides.
async fn ask(cluster: &Cluster, wanted: &[Wanted], moment: Moment) -> Result<Brought, Trouble> {
    let operations: Vec<_> = wanted.iter().map(|wanted| operation(wanted, moment)).collect();
    let answered = cluster.transact(&Txn::new().and_then(operations)).await?;
    let revision = match moment {
        Moment::At(revision) => revision,
        _ => answered.response.header().map_or(0, |header| header.revision()),
    };
    let mut brought = Brought { revision, keys: Vec::new(), spans: Vec::new() };
    for (wanted, response) in wanted.iter().zip(answered.response.op_responses()) {
        let TxnOpResponse::Get(mut found) = response else { continue };
        let mut more = found.more();
        let pairs = found.take_kvs();
        match wanted {
            Wanted::Key(key) => {
                let kept = pairs.into_iter().next().map_or(Kept::NOTHING, kept);
                brought.keys.push((key.clone(), kept));
            }
            Wanted::Span(span, limit) => {
                let mut rows: Vec<_> = pairs.into_iter().map(row).collect();
                while more && rows.len() < *limit {
                    more = next_page(cluster, span, revision, &mut rows, *limit).await?;
                }
                brought.spans.push((span.clone(), *limit, Rows { revision, rows, all: !more }));
            }
        }
    }
    Ok(brought)
}

/// Reads keys of the latest moment, not more than one request may ask for; and says which moment it is.
pub(super) async fn keys(cluster: &Cluster, wanted: &[Wanted]) -> Result<(Vec<Kept>, i64), Trouble> {
    let brought = ask(cluster, wanted, Moment::Now).await?;
    Ok((brought.keys.into_iter().map(|(_, kept)| kept).collect(), brought.revision))
}

fn operation(wanted: &Wanted, moment: Moment) -> TxnOp {
    match wanted {
        Wanted::Key(key) => TxnOp::get(key.to_vec(), Some(moment.apply(GetOptions::new()))),
        Wanted::Span(span, limit) => {
            TxnOp::get(span.start.to_vec(), Some(moment.apply(span_options(span, (*limit).min(PAGE_MAX)))))
        }
    }
}

async fn next_page(
    cluster: &Cluster,
    span: &Span,
    revision: i64,
    rows: &mut Vec<(Bytes, Kept)>,
    limit: usize,
) -> Result<bool, Trouble> {
    let start = rows.last().map_or_else(|| span.start.clone(), |(last, _)| next_key(last));
    let rest = Span { start, end: span.end.clone() };
    let page = pairs(cluster, &rest, PAGE_MAX.min(limit - rows.len()), Moment::At(revision), false).await?;
    rows.extend(page.pairs.into_iter().map(row));
    Ok(page.more)
}

/// Some pairs of a span.
pub(super) struct Page {
    pub pairs: Vec<KeyValue>,
    pub more: bool,
    /// The revision of the cluster at which it was read.
    pub revision: i64,
}

/// Reads the first pairs of a span.
pub(super) async fn pairs(
    cluster: &Cluster,
    span: &Span,
    limit: usize,
    moment: Moment,
    keys_only: bool,
) -> Result<Page, Trouble> {
    let mut options = moment.apply(span_options(span, limit));
    if keys_only {
        options = options.with_keys_only();
    }
    get(cluster, &span.start, options).await
}

/// Reads one key.
pub(super) async fn key(cluster: &Cluster, key: &Bytes, moment: Moment) -> Result<(Kept, i64), Trouble> {
    let Page { pairs, revision, .. } = get(cluster, key, moment.apply(GetOptions::new())).await?;
    Ok((pairs.into_iter().next().map_or(Kept::NOTHING, kept), revision))
}

async fn get(cluster: &Cluster, key: &Bytes, options: GetOptions) -> Result<Page, Trouble> {
    let answered = cluster
        .call(|client| {
            let (key, options) = (key.to_vec(), options.clone());
            let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
            async move { kv.get(key, Some(options)).await }
        })
        .await?;
    let mut response = answered.response;
    let revision = response.header().map_or(0, |header| header.revision());
    let more = response.more();
    Ok(Page { pairs: response.take_kvs(), more, revision })
}

pub(super) fn kept(pair: KeyValue) -> Kept {
    let revision = pair.mod_revision();
    let (_, value) = pair.into_key_value();
    Kept { revision, value: Some(value.into()) }
}

fn row(pair: KeyValue) -> (Bytes, Kept) {
    let revision = pair.mod_revision();
    let (key, value) = pair.into_key_value();
    (key.into(), Kept { revision, value: Some(value.into()) })
}
