//! The members of the cluster, and how one of them is made to answer.
//!
//! One member is asked, the same one as long as it answers. Where it does not, the next one is, with the same
//! request: every transaction of larder's compares what it is about to change, so that it cannot happen twice.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Txn, TxnResponse, WatchOptions, WatchStream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::address::Address;
use super::draft::Hitch;
use super::layout::Span;
use super::refusal::{self, Failure};
use crate::{Error, Result};

/// How long one member is waited for, as a part of the time that the whole call has.
const PART_OF_TIME: u32 = 4;
const PATIENCE_MIN: Duration = Duration::from_millis(200);
const PATIENCE_MAX: Duration = Duration::from_secs(2);

/// How long a connection may take to come about.
const CONNECTING_MAX: Duration = Duration::from_secs(1);

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
}

struct Member {
    endpoint: String,
    /// The connection, once there was one. The lock is held while it comes about.
    client: Mutex<Option<Client>>,
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
    /// Asking again would change nothing. Another copy of the request may have been sent before.
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
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECTING_MAX)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((user, password)) = &address.user {
            options = options.with_user(user, password);
        }
        if let Some(tls) = &address.tls {
            options = options.with_tls(super::tls::options(tls)?);
        }
        let scheme = if address.tls.is_some() { "https" } else { "http" };
        let member = |endpoint: &String| Member {
            endpoint: format!("{scheme}://{endpoint}"),
            client: Mutex::default(),
        };
        let members = address.endpoints.iter().map(member).collect();
        Ok(Self { location: address.to_string(), members, current: AtomicUsize::new(0), options, timeout })
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
        let began = Instant::now();
        let deadline = began + self.timeout;
        let patience = (self.timeout / PART_OF_TIME).clamp(PATIENCE_MIN, PATIENCE_MAX);
        let mut pause = PAUSE_MIN;
        let mut sent = false;
        // What each member said that will not change by asking again.
        let mut final_words: Vec<Option<Error>> = self.members.iter().map(|_| None).collect();
        for attempt in 1.. {
            let asked = self.current.load(Ordering::Relaxed) % self.members.len();
            let until = deadline.min(Instant::now() + patience);
            let reason = match timeout_at(until, self.ask(asked, &ask)).await {
                Ok(Ok(response)) => return Ok(Answered { response, member: asked, resent: sent }),
                Ok(Err(error)) => {
                    match refusal::classify(&error, &self.location, &self.members[asked].endpoint) {
                        Failure::Compacted => return Err(Trouble::Compacted),
                        Failure::Refused(error) => return Err(Trouble::Refused { error, sent }),
                        Failure::MemberUnfit(error) => {
                            let reason = error.to_string();
                            final_words[asked] = Some(error);
                            reason
                        }
                        Failure::NotSent(reason) => reason,
                        Failure::Lost(reason) => {
                            sent = true;
                            reason
                        }
                    }
                }
                Err(_) => {
                    sent = true;
                    format!("{} does not answer", self.members[asked].endpoint)
                }
            };
            if let Some(error) =
                final_words.iter().all(Option::is_some).then(|| final_words.remove(0)).flatten()
            {
                return Err(Trouble::Refused { error, sent });
            }
            self.turn_from(asked);
            if Instant::now() >= deadline {
                return Err(Trouble::Lost { reason, waited: began.elapsed(), sent });
            }
            if attempt % self.members.len() == 0 {
                sleep(pause.min(deadline - Instant::now())).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        unreachable!("the loop has no end")
    }

    async fn ask<T, F>(&self, member: usize, ask: &impl Fn(Client) -> F) -> Result<T, etcd_client::Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        ask(self.client(member).await?).await
    }

    /// The next call begins with another member, unless somebody has seen to that.
    pub fn turn_from(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.current.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn client(&self, member: usize) -> Result<Client, etcd_client::Error> {
        let Member { endpoint, client } = &self.members[member];
        let mut client = client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let connected = Client::connect([endpoint], Some(self.options.clone())).await?;
        Ok(client.insert(connected).clone())
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
                reason: error.to_string(),
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

/// Waits for something, but not for longer than `limit`.
pub(super) async fn at_most<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    timeout(limit, future).await.ok()
}
