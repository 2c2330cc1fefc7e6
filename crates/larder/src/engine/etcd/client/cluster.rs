//! A cluster as one client sees it: sends each request to one member after another until one answers.
//!
//! All requests go to the same member while it answers. When it stops, the same request goes to the next
//! member. Sending a write twice is safe, because each transaction compares what it is about to change.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Buf;
use etcd_client::{Client, ConnectOptions, Txn, TxnResponse, WatchOptions, WatchStream};
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};

use super::address::Address;
use super::call_error::CallError;
use super::causes::HangUp;
use super::member::{Member, connect_options};
use super::refusal::{Asked, Failure};
use crate::data::{Error, Result};
use crate::engine::etcd::layout::Span;

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
    options: ConnectOptions,
    /// How long a call may take.
    pub timeout: Duration,
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
        Ok(Self {
            location: address.to_string(),
            members: Member::all_of(address),
            current: AtomicUsize::new(0),
            options: connect_options(address)?,
            timeout: timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            uses_tls: address.tls.is_some(),
            shows_certificate: address.tls.as_ref().is_some_and(|files| files.identity.is_some()),
            has_answered: AtomicBool::new(false),
        })
    }

    fn endpoints(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(|member| member.endpoint.as_str()).collect();
        endpoints.join(", ")
    }

    /// Asks one member after another until one answers or the timeout is over.
    pub async fn call<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<Answered<T>, CallError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut attempts = Attempts::new(self);
        let deadline = attempts.began + self.timeout;
        let parts = u32::try_from(self.members.len() + 1).unwrap_or(u32::MAX);
        let member_timeout = (self.timeout / parts).clamp(MEMBER_TIMEOUT_MIN, MEMBER_TIMEOUT_MAX);
        let mut pause = PAUSE_MIN;
        for attempt in 1.. {
            let member = self.current.load(Ordering::Relaxed) % self.members.len();
            let until = deadline.min(Instant::now() + member_timeout);
            match self.ask(member, until, &ask).await {
                Ok(response) => {
                    self.has_answered.store(true, Ordering::Relaxed);
                    return Ok(Answered { response, member, resent: attempts.sent });
                }
                Err(failure) => attempts.record(member, failure)?,
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
        Err(attempts.into_error())
    }

    async fn ask<T, F>(&self, member: usize, until: Instant, ask: &impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let member = &self.members[member];
        let failure = |error| self.asked(member).classify(&error);
        let (client, number) = match timeout_at(until, member.client(&self.options)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(failure(error).before_it_was_sent()),
            Err(_) => return Err(Failure::NotSent("it accepts no connection".into())),
        };
        match timeout_at(until, ask(client)).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => {
                member.drop_connection(number);
                Err(Failure::Lost("it does not answer".into()))
            }
        }
    }

    fn asked<'a>(&'a self, member: &'a Member) -> Asked<'a> {
        let Self { location, uses_tls, shows_certificate, .. } = self;
        Asked {
            location,
            endpoint: &member.endpoint,
            uses_tls: *uses_tls,
            shows_certificate: *shows_certificate,
        }
    }

    /// Makes the next call ask another member first, unless a concurrent call has already done so.
    pub fn turn_from(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Sends a transaction, and sends it again where the answer is lost.
    pub async fn transact(&self, transaction: &Txn) -> Result<Answered<TxnResponse>, CallError> {
        self.call(|client| {
            let transaction = transaction.clone();
            let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
            async move { kv.txn(transaction).await }
        })
        .await
    }

    /// Opens a watch of a span from revision `start` on. Returns it with the index of its member.
    pub async fn watch(&self, span: &Span, start: i64) -> Result<(WatchStream, usize), CallError> {
        let options =
            WatchOptions::new().with_range(span.end.to_vec()).with_start_revision(start).with_fragment();
        let answered = self
            .call(|client| {
                let (key, options) = (span.start.to_vec(), options.clone());
                let mut watch = client.watch_client().max_decoding_message_size(usize::MAX);
                async move { watch.watch(key, Some(options)).await }
            })
            .await?;
        Ok((answered.response, answered.member))
    }

    /// Returns the size in bytes of the asked member's database.
    pub async fn database_bytes(&self) -> Result<u64, CallError> {
        let answered = self.call(|client| async move { client.maintenance_client().status().await }).await?;
        Ok(answered.response.db_size().unsigned_abs())
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
            CallError::Compacted => self.damaged("the cluster has compacted a revision that was just read"),
        }
    }

    /// Converts the error of a write, whose outcome is unknown once it was sent.
    pub fn write_error(&self, error: CallError) -> Error {
        match error {
            CallError::Lost { reason, waited, sent: true } => {
                Error::Unknown { location: self.location.clone(), waited, reason }
            }
            CallError::Refused { error, sent: true } => Error::Unknown {
                location: self.location.clone(),
                waited: self.timeout,
                reason: format!("sent again, it is refused: {error:#}"),
            },
            error => self.error(error),
        }
    }

    /// The error for content of the cluster that larder did not write.
    pub fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::Damaged { location: self.location.clone(), detail: detail.into() }
    }
}

/// The outcomes of one call's attempts so far.
struct Attempts<'a> {
    cluster: &'a Cluster,
    began: Instant,
    /// Whether the request may have reached the cluster.
    sent: bool,
    /// Each member's last words.
    words: Vec<Option<String>>,
    /// Each member's last error, if asking the member again would not change it.
    unfit: Vec<Option<Error>>,
    /// How each member has closed the connection without an answer, if it has.
    hung_up: Vec<Option<HangUp>>,
}

impl<'a> Attempts<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let members = cluster.members.len();
        Self {
            cluster,
            began: Instant::now(),
            sent: false,
            words: vec![None; members],
            unfit: vec![None; members],
            hung_up: vec![None; members],
        }
    }

    /// Records a member's failure. Returns an error where no further attempt can succeed.
    fn record(&mut self, member: usize, failure: Failure) -> Result<(), CallError> {
        self.unfit[member] = None;
        let hung_up_before = self.hung_up[member].take();
        let words = match failure {
            Failure::Compacted => return Err(CallError::Compacted),
            Failure::Refused(error) => return Err(CallError::Refused { error, sent: self.sent }),
            Failure::MemberUnfit { error, words } => {
                self.unfit[member] = Some(error);
                words
            }
            Failure::NotSent(words) => words,
            Failure::Lost(words) => {
                self.sent = true;
                words
            }
            Failure::HungUp(words, hang_up) => {
                self.sent = true;
                // Keeps what proves that the member speaks no TLS: this hang-up may prove nothing.
                let proof = hung_up_before.filter(|before| *before == HangUp::InHandshake);
                self.hung_up[member] = Some(proof.unwrap_or(hang_up));
                match self.words[member].take() {
                    Some(before) if proof.is_some() => before,
                    _ => words,
                }
            }
        };
        self.words[member] = Some(words);
        if self.unfit.iter().all(Option::is_some)
            && let Some(error) = self.unfit.swap_remove(0)
        {
            return Err(CallError::Refused { error, sent: self.sent });
        }
        Ok(())
    }

    /// The error of the call once its timeout is over.
    fn into_error(self) -> CallError {
        let Cluster { members, has_answered, .. } = self.cluster;
        if !has_answered.load(Ordering::Relaxed)
            && self.hung_up.iter().all(Option::is_some)
            && let Some(hang_up) = self.hung_up[0]
        {
            let words = self.words[0].as_deref().unwrap_or_default();
            let error = self.cluster.asked(&members[0]).hung_up(words, hang_up);
            return CallError::Refused { error, sent: self.sent };
        }
        let waited = Duration::from_millis(self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        CallError::Lost { reason: self.reason(), waited, sent: self.sent }
    }

    /// What the members said, once if all said the same.
    fn reason(&self) -> String {
        let members = self.cluster.members.iter().map(|member| &*member.endpoint);
        let words: Vec<_> =
            members.zip(&self.words).filter_map(|(member, words)| Some((member, words.as_ref()?))).collect();
        match &*words {
            [] => "none could be asked".into(),
            [(_, first), rest @ ..] if rest.iter().all(|(_, words)| words == first) => (*first).clone(),
            words => {
                let words: Vec<_> =
                    words.iter().map(|(member, words)| format!("{member}: {words}")).collect();
                words.join(", ")
            }
        }
    }
}
