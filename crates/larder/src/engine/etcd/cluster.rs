//! The members of the cluster, and how one of them is made to answer.
//!
//! One member is asked, the same one as long as it answers. Where it does not, the next one is, with the same
//! request: every transaction of larder's compares what it is about to change, so that it cannot happen twice.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Txn, TxnResponse, WatchOptions, WatchStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::address::Address;
use super::causes::HangUp;
use super::draft::Hitch;
use super::layout::Span;
use super::member::{self, Member};
use super::refusal::{Asked, Failure};
use crate::data::{Error, Result};

/// How long a call may take: what the caller says, within these. Less than it takes to answer would be no
/// time at all.
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one member is waited for: the time of the call, less one part, in as many parts as there are
/// members, but not less or more than these.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
const PATIENCE_MAX: Duration = Duration::from_secs(2);

/// How long to rest once all members were asked in vain.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A cluster, seen by one client.
pub(super) struct Cluster {
    /// How messages call the store.
    pub location: String,
    members: Vec<Member>,
    /// The member that is asked first. Relaxed: it guards nothing.
    current: AtomicUsize,
    options: ConnectOptions,
    /// How long a call may take.
    pub timeout: Duration,
    /// Whether the members are to speak TLS.
    uses_tls: bool,
    /// Whether the client has a certificate of its own.
    shows_certificate: bool,
    /// Whether anything was ever answered. Relaxed: it guards nothing.
    has_answered: AtomicBool,
}

/// What a member has answered.
pub(super) struct Answered<T> {
    pub response: T,
    /// Which member it was.
    pub member: usize,
    /// Whether the request may have reached the cluster once before.
    pub resent: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The cluster does not keep the revision any more.
    Compacted,
    /// Asking again would change nothing. The request may have been sent before, and not been answered.
    Refused { error: Error, sent: bool },
    /// The answer did not come.
    Lost { reason: String, waited: Duration, sent: bool },
}

impl Trouble {
    /// The same, after a request was sent of which it is still to be found out what has become.
    pub fn after_sending(self) -> Self {
        match self {
            Self::Refused { error, .. } => Self::Refused { error, sent: true },
            Self::Lost { reason, waited, .. } => Self::Lost { reason, waited, sent: true },
            Self::Compacted => Self::Compacted,
        }
    }

    /// Whether it is certain that nothing of the request has reached the cluster, nor will.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Refused { sent: false, .. } | Self::Lost { sent: false, .. })
    }
}

impl Cluster {
    pub fn new(address: &Address, timeout: Duration) -> Result<Self> {
        Ok(Self {
            location: address.to_string(),
            members: Member::all_of(address),
            current: AtomicUsize::new(0),
            options: member::options(address)?,
            timeout: timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
            uses_tls: address.tls.is_some(),
            shows_certificate: address.tls.as_ref().is_some_and(|tls| tls.identity.is_some()),
            has_answered: AtomicBool::new(false),
        })
    }

    fn endpoints(&self) -> String {
        let endpoints: Vec<_> = self.members.iter().map(|member| member.endpoint.as_str()).collect();
        endpoints.join(", ")
    }

    /// Asks one member after the other until one answers or the time is over.
    pub async fn call<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<Answered<T>, Trouble>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut attempts = Attempts::new(self);
        let deadline = attempts.began + self.timeout;
        let parts = u32::try_from(self.members.len() + 1).unwrap_or(u32::MAX);
        let patience = (self.timeout / parts).clamp(PATIENCE_MIN, PATIENCE_MAX);
        let mut pause = PAUSE_MIN;
        for attempt in 1.. {
            let member = self.current.load(Ordering::Relaxed) % self.members.len();
            let until = deadline.min(Instant::now() + patience);
            match self.ask(member, until, &ask).await {
                Ok(response) => {
                    self.has_answered.store(true, Ordering::Relaxed);
                    return Ok(Answered { response, member, resent: attempts.sent });
                }
                Err(failure) => attempts.note(member, failure)?,
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
        Err(attempts.lost())
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
            Err(_) => return Err(Failure::NotSent("it lets nobody in".into())),
        };
        match timeout_at(until, ask(client)).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => {
                member.let_go(number);
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

    /// The next call begins with another member, unless somebody has seen to that.
    pub fn turn_from(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes a transaction; the same one again where its answer is lost.
    pub async fn transact(&self, transaction: &Txn) -> Result<Answered<TxnResponse>, Trouble> {
        self.call(|client| {
            let transaction = transaction.clone();
            let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
            async move { kv.txn(transaction).await }
        })
        .await
    }

    /// Starts to watch a range, and says which member it is that does so.
    pub async fn watch(&self, span: &Span, start: i64) -> Result<(WatchStream, usize), Trouble> {
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

    /// How large the asked member's database is.
    pub async fn database_bytes(&self) -> Result<u64, Trouble> {
        let answered = self.call(|client| async move { client.maintenance_client().status().await }).await?;
        Ok(answered.response.db_size().unsigned_abs())
    }

    /// The error that a call fails with that changes nothing.
    pub fn error(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Refused { error, .. } => error,
            Trouble::Lost { reason, waited, .. } => Error::Unreachable {
                location: self.location.clone(),
                endpoints: self.endpoints(),
                waited,
                reason,
            },
            Trouble::Compacted => self.damaged("the cluster has forgotten a revision that was just read"),
        }
    }

    /// The error that a write fails with.
    pub fn write_error(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Lost { reason, waited, sent: true } => {
                Error::Unknown { location: self.location.clone(), waited, reason }
            }
            Trouble::Refused { error, sent: true } => Error::Unknown {
                location: self.location.clone(),
                waited: self.timeout,
                reason: format!("sent again, it is refused: {error:#}"),
            },
            trouble => self.error(trouble),
        }
    }

    /// The error of a step that cannot be made.
    pub fn hitch(&self, hitch: Hitch) -> Error {
        match hitch {
            Hitch::Refused(error) => error,
            Hitch::Damaged(detail) => self.damaged(detail),
            // Whoever makes steps sees to these two.
            Hitch::Needs(_) | Hitch::TooEarly => self.damaged("a step was made too early"),
        }
    }

    /// What lies in the cluster is not what larder wrote.
    pub fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::Damaged { location: self.location.clone(), detail: detail.into() }
    }
}

/// What came of asking so far.
struct Attempts<'a> {
    cluster: &'a Cluster,
    began: Instant,
    /// Whether the request may have reached the cluster.
    sent: bool,
    /// What each member said last.
    said: Vec<Option<String>>,
    /// What a member said that asking it again will not change.
    unfit: Vec<Option<Error>>,
    /// Who closed the connection without an answer, and how.
    hung_up: Vec<Option<HangUp>>,
}

impl<'a> Attempts<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let nothing = vec![None; cluster.members.len()];
        let unfit = vec![None; cluster.members.len()];
        let hung_up = vec![None; cluster.members.len()];
        Self { cluster, began: Instant::now(), sent: false, said: nothing, unfit, hung_up }
    }

    /// Notes what a member has said; fails where asking on would change nothing.
    fn note(&mut self, member: usize, failure: Failure) -> Result<(), Trouble> {
        self.unfit[member] = None;
        let hung_up_before = self.hung_up[member].take();
        let words = match failure {
            Failure::Compacted => return Err(Trouble::Compacted),
            Failure::Refused(error) => return Err(Trouble::Refused { error, sent: self.sent }),
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
                // What is certain is not forgotten for what is not.
                let certain = hung_up_before.filter(|before| *before == HangUp::InHandshake);
                self.hung_up[member] = Some(certain.unwrap_or(hang_up));
                match self.said[member].take() {
                    Some(before) if certain.is_some() => before,
                    _ => words,
                }
            }
        };
        self.said[member] = Some(words);
        if self.unfit.iter().all(Option::is_some)
            && let Some(error) = self.unfit.swap_remove(0)
        {
            return Err(Trouble::Refused { error, sent: self.sent });
        }
        Ok(())
    }

    /// The time is over.
    fn lost(self) -> Trouble {
        let Cluster { members, has_answered, .. } = self.cluster;
        if !has_answered.load(Ordering::Relaxed)
            && self.hung_up.iter().all(Option::is_some)
            && let Some(hang_up) = self.hung_up[0]
        {
            let words = self.said[0].as_deref().unwrap_or_default();
            let error = self.cluster.asked(&members[0]).hung_up(words, hang_up);
            return Trouble::Refused { error, sent: self.sent };
        }
        let waited = Duration::from_millis(self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        Trouble::Lost { reason: self.reason(), waited, sent: self.sent }
    }

    /// What each member said, or all of them.
    fn reason(&self) -> String {
        let members = self.cluster.members.iter().map(|member| &*member.endpoint);
        let said: Vec<_> =
            members.zip(&self.said).filter_map(|(member, words)| Some((member, words.as_ref()?))).collect();
        match &*said {
            [] => "none could be asked".into(),
            [(_, words), rest @ ..] if rest.iter().all(|(_, others)| others == words) => (*words).clone(),
            said => {
                let said: Vec<_> = said.iter().map(|(member, words)| format!("{member}: {words}")).collect();
                said.join(", ")
            }
        }
    }
}

/// Waits for something, but not for longer than `limit`.
pub(super) async fn at_most<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    timeout(limit, future).await.ok()
}
