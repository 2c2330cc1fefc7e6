//! Plain reads: one key, several keys, or a page of a span.

use bytes::Bytes;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};

use super::answer::Shows;
use super::answer_size::ANSWER_BYTES_MAX;
use super::call_error::CallError;
use super::cluster::Cluster;
use crate::engine::etcd::layout::Span;

/// Which state of the cluster is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAt {
    /// The latest state, confirmed by a quorum.
    Linearizable,
    /// The latest state that the asked member has, which may be stale.
    Serializable,
    /// The state at a revision.
    Revision(i64),
}

impl ReadAt {
    fn apply(self, options: GetOptions) -> GetOptions {
        match self {
            Self::Linearizable => options,
            Self::Serializable => options.with_serializable(),
            Self::Revision(revision) => options.with_revision(revision),
        }
    }

    /// Which state of the cluster the answer's header is of.
    pub fn shows(self) -> Shows {
        if self == Self::Serializable { Shows::Perhaps } else { Shows::Latest }
    }

    /// The options of a get of one key.
    pub fn key_options(self) -> GetOptions {
        self.apply(GetOptions::new())
    }

    /// The options of a get of the first `limit` keys of a span; a `limit` beyond `i64` means all.
    pub fn span_options(self, span: &Span, limit: usize) -> GetOptions {
        let limit = i64::try_from(limit).unwrap_or(0);
        self.apply(GetOptions::new().with_range(span.end.to_vec()).with_limit(limit))
    }
}

/// The state of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The revision of its last write; 0 if it is absent.
    pub revision: i64,
    /// `None` if it is absent.
    pub value: Option<Bytes>,
}

impl KeyState {
    pub const ABSENT: Self = Self { revision: 0, value: None };

    /// Splits a pair into its key and its state.
    pub fn with_key(pair: KeyValue) -> (Bytes, Self) {
        let revision = pair.mod_revision();
        let (key, value) = pair.into_key_value();
        (key.into(), Self { revision, value: Some(value.into()) })
    }

    /// The state of the only key that was asked for.
    pub fn of_first(pairs: Vec<KeyValue>) -> Self {
        pairs.into_iter().next().map_or(Self::ABSENT, |pair| Self::with_key(pair).1)
    }
}

/// Some pairs of a span, in order.
pub struct SpanPage {
    pub pairs: Vec<KeyValue>,
    /// Whether the span has further pairs.
    pub more: bool,
    /// The revision of the cluster that was read.
    pub revision: i64,
}

impl Cluster {
    /// Reads one key. Returns its state and the revision of the cluster that was read.
    pub async fn read_key(&self, key: &Bytes, at: ReadAt) -> Result<(KeyState, i64), CallError> {
        let SpanPage { pairs, revision, .. } = self.get(key, at, at.key_options()).await?;
        Ok((KeyState::of_first(pairs), revision))
    }

    /// Reads the latest state of several keys in one request. Returns their states, in the same order, and the
    /// revision of the cluster that was read.
    pub async fn read_keys(&self, keys: &[Bytes]) -> Result<(Vec<KeyState>, i64), CallError> {
        let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(key.to_vec(), None)).collect();
        let answered = self.transact(&Txn::new().and_then(gets)).await?;
        let revision = answered.revision();
        let states = answered.response.op_responses().into_iter().map(first_state);
        Ok((states.collect(), revision))
    }

    /// Reads the first `limit` pairs of a span.
    pub async fn read_span(&self, span: &Span, limit: usize, at: ReadAt) -> Result<SpanPage, CallError> {
        self.get(&span.start, at, at.span_options(span, limit)).await
    }

    /// Reads the first key of a span, without its value.
    pub async fn first_key(&self, span: &Span) -> Result<Option<KeyValue>, CallError> {
        let at = ReadAt::Linearizable;
        let options = at.span_options(span, 1).with_keys_only();
        Ok(self.get(&span.start, at, options).await?.pairs.into_iter().next())
    }

    async fn get(&self, key: &Bytes, at: ReadAt, options: GetOptions) -> Result<SpanPage, CallError> {
        let answered = self
            .call(at.shows(), |client| {
                let (key, options) = (key.to_vec(), options.clone());
                let mut kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
                async move { kv.get(key, Some(options)).await }
            })
            .await?;
        let mut response = answered.response;
        let revision = response.header().map_or(0, |header| header.revision());
        let more = response.more();
        Ok(SpanPage { pairs: response.take_kvs(), more, revision })
    }
}

/// The state of the key that one operation of a transaction has read.
pub fn first_state(response: TxnOpResponse) -> KeyState {
    match response {
        TxnOpResponse::Get(mut found) => KeyState::of_first(found.take_kvs()),
        _ => KeyState::ABSENT,
    }
}
