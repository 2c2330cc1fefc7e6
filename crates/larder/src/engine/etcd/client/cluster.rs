//! A cluster as one client sees it: sends each request to one member after another until one answers.
//!
//! All requests go to the same member while it answers. When it stops, the same request goes to the next
//! member. Sending a write twice is safe, because each transaction compares what it is about to change.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use etcd_client::{Client, Txn, TxnResponse, WatchOptions, WatchStream};
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};

use super::address::Address;
use super::anchor::{Anchor, record_hash};
use super::answer::{Answer, Shows, header_of};
use super::answer_size::ANSWER_BYTES_MAX;
use super::attempts::Attempts;
use super::call_error::CallError;
use super::counts::Counts;
use super::fresh_options::FreshOptions;
use super::member::{Connected, Member, NotConnected};
use super::refusal::{Endpoint, Failure, storage};
use super::timeline::{Asked, Timeline};
use crate::data::{Error, Result, Secret};
use crate::engine::etcd::layout::{Layout, Span};

/// The bounds of a call's timeout. With less than the minimum, no request could be answered.
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The bounds of the time that one member has to answer. The call's timeout is divided by one more than the
/// number of members.
const MEMBER_TIMEOUT_MIN: Duration = Duration::from_millis(200);
const MEMBER_TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// How long to pause once every member was asked in vain. The pause doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

pub struct Cluster {
    /// The store's location, as messages show it.
    pub location: String,
    members: Vec<Member>,
    /// The index of the member that is asked first. Relaxed: no other memory depends on it.
    current: AtomicUsize,
    pub(super) options: FreshOptions,
    /// The key that makes a store.
    pub(super) meta: Bytes,
    /// How long a call may take.
    pub timeout: Duration,
    /// Whether the cluster is still the one, and at the revision, that earlier answers were of.
    pub timeline: Timeline,
    anchor: Anchor,
    pub counts: Counts,
    /// Whether the members speak TLS.
    uses_tls: bool,
    /// Whether the client has a certificate of its own.
    shows_certificate: bool,
    /// Whether any member has ever answered. Relaxed: no other memory depends on it.
    has_answered: AtomicBool,
}

/// A member's answer.
pub struct Answered<T> {
    pub response: T,
    /// The index of the member.
    pub member: usize,
    /// Whether an earlier attempt may have reached the cluster as well.
    pub resent: bool,
}

impl Answered<TxnResponse> {
    /// The cluster's revision after the transaction.
    pub fn revision(&self) -> i64 {
        self.response.header().map_or(0, |header| header.revision())
    }
}

impl Cluster {
    pub fn new(address: &Address, timeout: Duration) -> Result<Self> {
        let layout = Layout::new(&address.name);
        Ok(Self {
            location: address.to_string(),
            members: Member::all_of(address),
            current: AtomicUsize::new(0),
            options: FreshOptions::new(address)?,
            timeout: timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            timeline: Timeline::new(),
            counts: Counts::default(),
            meta: layout.meta(),
            anchor: Anchor::new(layout.log()),
            uses_tls: address.tls.is_some(),
            shows_certificate: address.tls.as_ref().is_some_and(|files| files.identity.is_some()),
            has_answered: AtomicBool::new(false),
        })
    }

    /// The number of members that the location names.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn member(&self, member: usize) -> &Member {
        &self.members[member % self.members.len()]
    }

    /// The endpoint of a member.
    pub fn endpoint(&self, member: usize) -> &str {
        &self.member(member).endpoint
    }

    /// The endpoint of the member that is asked first.
    pub fn current_endpoint(&self) -> &str {
        self.endpoint(self.current.load(Ordering::Relaxed))
    }

    fn endpoints(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(|member| member.endpoint.as_str()).collect();
        endpoints.join(", ")
    }

    /// Asks one member after another until one answers or the timeout is over.
    pub async fn call<T: Answer, F>(
        &self,
        shows: Shows,
        ask: impl Fn(Client) -> F,
    ) -> Result<Answered<T>, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut attempts = Attempts::new(self.members.iter().map(|member| self.asked(member)));
        let deadline = attempts.began + self.timeout;
        let parts = u32::try_from(self.members.len() + 1).unwrap_or(u32::MAX);
        let member_timeout = (self.timeout / parts).clamp(MEMBER_TIMEOUT_MIN, MEMBER_TIMEOUT_MAX);
        let mut pause = PAUSE_MIN;
        for attempt in 1.. {
            let member = self.current.load(Ordering::Relaxed) % self.members.len();
            let until = deadline.min(Instant::now() + member_timeout);
            let asked = self.timeline.ask();
            match self.ask(member, until, &ask).await {
                Ok(response) if self.comes_from_a_stranger(member, &response).await => {
                    let failure = Failure::MemberUnfit {
                        error: self.other_cluster(member),
                        words: "it belongs to another cluster".into(),
                    };
                    attempts.record(member, failure)?;
                }
                Ok(response) => {
                    if let Some(header) = response.header() {
                        self.timeline.look_at(asked, header_of(header), shows == Shows::Latest);
                    }
                    self.has_answered.store(true, Ordering::Relaxed);
                    return Ok(Answered { response, member, resent: attempts.sent });
                }
                Err(failure) => {
                    attempts.record(member, failure)?;
                    self.counts.retries.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.turn_from(member);
            if attempt % self.members.len() == 0 {
                sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(attempts.into_error(self.has_answered.load(Ordering::Relaxed)))
    }

    async fn comes_from_a_stranger<T: Answer>(&self, member: usize, response: &T) -> bool {
        match response.header() {
            Some(header) => self.is_stranger(member, header_of(header)).await,
            None => false,
        }
    }

    async fn ask<T, F>(&self, member: usize, until: Instant, ask: &impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let member = &self.members[member];
        let failure = |error| self.asked(member).classify(&error);
        let connected = match timeout_at(until, member.connection(&self.options)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(NotConnected { error, password })) => {
                return Err(self.with_another_password(failure(error).before_it_was_sent(), &password));
            }
            Err(_) => return Err(Failure::NotSent("it accepts no connection".into())),
        };
        let Connected { client, number, password } = connected;
        let answer = timeout_at(until, self.recognize_and_ask(member, &client, ask)).await;
        member.note_answer(matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => {
                let was_refused = matches!(failure, Failure::Refused(_));
                let failure = self.with_another_password(failure, &password);
                let is_refused = matches!(failure, Failure::Refused(_));
                // A connection made anew by itself would show the password and the certificate that were read for the
                // first one.
                if was_refused != is_refused
                    || (self.uses_tls && !is_refused && !matches!(failure, Failure::Compacted))
                {
                    member.drop_connection(number);
                }
                Err(failure)
            }
            Err(_) => {
                member.drop_connection(number);
                Err(Failure::Lost("it does not answer".into()))
            }
        }
    }

    /// A request that was refused for its password is sent again where the password's file has another one by now.
    fn with_another_password(&self, failure: Failure, used: &Option<Secret>) -> Failure {
        match failure {
            Failure::Refused(Error::Unauthorized { reason, .. })
                if self.options.password_has_changed(used.as_ref()) =>
            {
                Failure::NotSent(reason)
            }
            failure => failure,
        }
    }

    /// Sends a request. Where the connection may be a new one, also looks whether the cluster is still the same, so
    /// that whoever gets the answer can know that it is not.
    async fn recognize_and_ask<T, F>(
        &self,
        member: &Member,
        client: &Client,
        ask: &impl Fn(Client) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let failure = |error| self.asked(member).classify(&error);
        if !member.may_be_reconnected() {
            return ask(client.clone()).await.map_err(failure);
        }
        // At once, so that it takes no longer.
        let (recognized, answer) =
            tokio::join!(self.anchor.look(&self.timeline, client), ask(client.clone()));
        let answer = answer.map_err(failure)?;
        // By now a write has taken effect, even if this client was forbidden to look a moment later.
        recognized.map_err(|error| failure(error).beside_the_request())?;
        Ok(answer)
    }

    fn asked<'a>(&'a self, member: &'a Member) -> Endpoint<'a> {
        let Self { location, uses_tls, shows_certificate, .. } = self;
        Endpoint {
            location,
            endpoint: &member.endpoint,
            uses_tls: *uses_tls,
            shows_certificate: *shows_certificate,
        }
    }

    /// Notes the record of a commit, from an answer to a request that was sent at `asked`. The client recognizes the
    /// cluster by it.
    pub fn note_commit(&self, asked: Asked, revision: i64, record: &[u8]) {
        self.anchor.note(&self.timeline, asked, revision, record_hash(record));
    }

    /// Makes the next call ask the member that leads the cluster first, if it is among the endpoints and answers.
    pub async fn turn_towards_the_leader(&self) {
        for _ in 1..self.members.len() {
            let status = |client: Client| async move { client.maintenance_client().status().await };
            let Ok(Answered { response, member, .. }) = self.call(Shows::Perhaps, status).await else {
                return;
            };
            if response.header().is_none_or(|header| header.member_id() == response.leader()) {
                return;
            }
            self.turn_from(member);
        }
    }

    /// Makes the next call ask another member first, unless a concurrent call has already done so.
    pub fn turn_from(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Sends a transaction, and sends it again where the answer is lost.
    pub async fn transact(&self, transaction: &Txn) -> Result<Answered<TxnResponse>, CallError> {
        self.transact_showing(Shows::Latest, transaction).await
    }

    /// Does the same for a transaction that perhaps only reads, without a quorum.
    pub async fn transact_showing(
        &self,
        shows: Shows,
        transaction: &Txn,
    ) -> Result<Answered<TxnResponse>, CallError> {
        self.call(shows, |client| {
            let transaction = transaction.clone();
            let mut kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
            async move { kv.txn(transaction).await }
        })
        .await
    }

    /// Opens a watch of a span from revision `start` on. Returns it with the index of its member.
    pub async fn watch(&self, span: &Span, start: i64) -> Result<(WatchStream, usize), CallError> {
        let options =
            WatchOptions::new().with_range(span.end.to_vec()).with_start_revision(start).with_fragment();
        let answered = self
            .call(Shows::Perhaps, |client| {
                let (key, options) = (span.start.to_vec(), options.clone());
                let mut watch = client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
                async move { watch.watch(key, Some(options)).await }
            })
            .await?;
        Ok((answered.response, answered.member))
    }

    /// Returns the size in bytes of the asked member's database, and how many of them are free.
    pub async fn database_bytes(&self) -> Result<(u64, u64), CallError> {
        let status = |client: Client| async move { client.maintenance_client().status().await };
        let answered = self.call(Shows::Perhaps, status).await?;
        let size = answered.response.db_size().unsigned_abs();
        let used = answered.response.raft_used_db_size().unsigned_abs();
        Ok((size, size.saturating_sub(used)))
    }

    /// Decodes a message that larder wrote.
    pub fn decode<M: Message + Default>(&self, bytes: impl Buf) -> Result<M> {
        M::decode(bytes).map_err(|error| self.damaged(error.to_string()))
    }

    /// Converts the error of a call that changes nothing.
    pub fn error(&self, error: CallError) -> Error {
        match error {
            CallError::Refused { error, .. } => error,
            CallError::Lost { reason, waited, .. } => Error::Unreachable {
                location: self.location.clone(),
                endpoints: self.endpoints(),
                waited,
                reason,
            },
            CallError::AnswerTooLarge { reason, .. } => storage(&self.location, &reason),
            CallError::Compacted => self.damaged("the cluster has compacted a revision that was just read"),
        }
    }

    /// Converts the error of a write, whose outcome is unknown once it was sent.
    pub fn write_error(&self, error: CallError) -> Error {
        let error = self.write_error_of(error);
        if matches!(error, Error::Unknown { .. }) {
            self.counts.unknown.fetch_add(1, Ordering::Relaxed);
        }
        error
    }

    fn write_error_of(&self, error: CallError) -> Error {
        match error {
            CallError::Lost { reason, waited, sent: true } | CallError::AnswerTooLarge { reason, waited } => {
                Error::Unknown { location: self.location.clone(), waited, reason, source: None }
            }
            CallError::Refused { error, sent: true } => Error::Unknown {
                location: self.location.clone(),
                waited: self.timeout,
                reason: format!("sent again, it is refused: {error:#}"),
                source: None,
            },
            error => self.error(error),
        }
    }

    /// The error for content of the cluster that larder did not write.
    pub fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::Damaged { location: self.location.clone(), detail: detail.into() }
    }
}
