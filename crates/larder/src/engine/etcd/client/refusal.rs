//! Classifies the errors of members: refused, not sent, lost, or a member that nothing can be asked of.

use std::sync::Arc;

use etcd_client::Error as EtcdError;
use tonic::{Code, Status};

use super::causes::{Causes, Distrust, HangUp};
use crate::data::Error;

/// Why one member has not answered one request.
pub enum Failure {
    /// The cluster has compacted the revision that was asked for.
    Compacted,
    /// The cluster has understood the request and refuses it.
    Refused(Error),
    /// No request to this member can succeed. Another member may answer.
    MemberUnfit { error: Error, words: String },
    /// The request was not sent.
    NotSent(String),
    /// The request was sent. Whether it took effect is unknown.
    Lost(String),
    /// As `Lost`, and the member closed the connection without an answer.
    HungUp(String, HangUp),
}

/// The largest request in bytes that etcd accepts with its default settings.
pub const REQUEST_BYTES_MAX: u64 = 1536 << 10;

/// The messages of etcd errors that share a gRPC code, as in `api/v3rpc/rpctypes/error.go` of its source. etcd's
/// own clients also tell these errors apart by their messages.
mod said {
    pub const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
    pub const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
    pub const REQUEST_TOO_LARGE: &str = "etcdserver: request is too large";
    pub const OLD_AUTH_REVISION: &str = "etcdserver: revision of auth store is old";
    pub const AUTHENTICATION_FAILED: &str = "etcdserver: authentication failed, invalid user ID or password";
    pub const NO_USER: &str = "etcdserver: user name is empty";
    pub const AUTHENTICATION_NOT_ENABLED: &str = "etcdserver: authentication is not enabled";
    /// The message of grpc-go for a request that never reaches etcd (`rpc_util.go`). Two numbers follow.
    pub const MESSAGE_TOO_LARGE: &str = "grpc: received message larger than max";
}

/// How to make room in a cluster's database.
const MAKE_ROOM: &str = "Compact the history of the cluster, defragment each member, perhaps raise \
    --quota-backend-bytes, and disarm the alarm (etcdctl compact, defrag, alarm disarm); then try again.";

impl Failure {
    /// Returns the failure of a step before the request, such as connecting: the request was not sent.
    pub fn before_it_was_sent(self) -> Self {
        match self {
            Self::Lost(words) | Self::HungUp(words, _) => Self::NotSent(words),
            failure => failure,
        }
    }
}

/// The member that was asked, and the store's location, which errors name.
pub struct Asked<'a> {
    pub location: &'a str,
    pub endpoint: &'a str,
    /// Whether the endpoint speaks TLS.
    pub uses_tls: bool,
    /// Whether the client has a certificate of its own.
    pub shows_certificate: bool,
}

impl Asked<'_> {
    pub fn classify(&self, error: &EtcdError) -> Failure {
        if let EtcdError::GRpcStatus(status) = error
            && let Some(failure) = self.refusal(status)
        {
            return failure;
        }
        let Causes { words, is_unsent, hang_up, distrust, is_foreign } = Causes::of(error);
        if let Some(distrust) = distrust {
            let (location, reason) = (self.location.to_owned(), words.clone());
            let advice = self.advice_on(distrust).into();
            return Failure::MemberUnfit { error: Error::Untrusted { location, reason, advice }, words };
        }
        if is_foreign || matches!(error, EtcdError::GRpcStatus(status) if is_no_grpc(status)) {
            let (endpoint, reason) = (self.endpoint.to_owned(), words.clone());
            return Failure::MemberUnfit { error: Error::NotEtcd { endpoint, reason }, words };
        }
        match (error, hang_up) {
            _ if is_unsent => Failure::NotSent(words),
            (EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_), _) => {
                Failure::Refused(self.storage(&words))
            }
            (_, Some(hang_up)) => Failure::HungUp(words, hang_up),
            (_, None) => Failure::Lost(words),
        }
    }

    /// Returns the error for members that close every connection and have never answered.
    pub fn hung_up(&self, words: &str, hang_up: HangUp) -> Error {
        if self.uses_tls && hang_up != HangUp::InHandshake {
            let advice = self.advice_on(Distrust::OfClient);
            return Error::Untrusted {
                location: self.location.to_owned(),
                reason: format!(
                    "the members close every connection once they have seen who connects ({words})"
                ),
                advice: format!("{advice} Where the members speak no TLS, leave ca= out of the location.")
                    .into(),
            };
        }
        let reason = format!("it closes every connection without an answer ({words})");
        Error::NotEtcd { endpoint: self.endpoint.to_owned(), reason }
    }

    /// Classifies an error that etcd itself returns; `None` for an error of the connection.
    fn refusal(&self, status: &Status) -> Option<Failure> {
        let words = status.message();
        let location = || self.location.to_owned();
        let unauthorized = |advice: &'static str| {
            let (location, reason) = (location(), words.to_owned());
            Failure::Refused(Error::Unauthorized { location, reason, advice: advice.into() })
        };
        Some(match (status.code(), words) {
            (Code::OutOfRange, said::COMPACTED) => Failure::Compacted,
            // A lagging member does not know the revision yet.
            (Code::OutOfRange, _) => Failure::Lost(words.to_owned()),
            (Code::ResourceExhausted, said::NO_SPACE) => {
                let (location, source) = (location(), cause(words));
                Failure::Refused(Error::Full { location, advice: MAKE_ROOM.into(), source })
            }
            (Code::InvalidArgument, said::REQUEST_TOO_LARGE) => self.too_large(),
            (Code::ResourceExhausted, _) if words.starts_with(said::MESSAGE_TOO_LARGE) => self.too_large(),
            // A change of users or roles makes all tokens stale for a moment.
            (Code::InvalidArgument, said::OLD_AUTH_REVISION) => Failure::NotSent(words.to_owned()),
            (Code::Unauthenticated, _) | (Code::InvalidArgument, said::AUTHENTICATION_FAILED) => {
                unauthorized("Check user and password.")
            }
            (Code::InvalidArgument, said::NO_USER) => {
                unauthorized("Name a user and a password, as in etcd://user:password@host:2379/app.")
            }
            (Code::PermissionDenied, _) => {
                unauthorized("Grant the user's role what lies under the store's name.")
            }
            (Code::FailedPrecondition, said::AUTHENTICATION_NOT_ENABLED) => {
                unauthorized("Leave user and password out of the location.")
            }
            (Code::InvalidArgument | Code::FailedPrecondition, _) => Failure::Refused(self.storage(words)),
            _ => return None,
        })
    }

    fn too_large(&self) -> Failure {
        let (what, limit) = ("bytes", REQUEST_BYTES_MAX);
        let (location, wanted) = (self.location.to_owned(), limit + 1);
        Failure::Refused(Error::TooMuchAtOnce { location, what, wanted, limit })
    }

    /// Returns the advice for a failed TLS handshake.
    fn advice_on(&self, distrust: Distrust) -> &'static str {
        match distrust {
            Distrust::OfMember => {
                "Check that ca= names the authority that has signed the members' certificates, that these are for \
                 the hosts that the location names, and their dates."
            }
            Distrust::KeyMismatch => {
                "Name the key that belongs to the certificate, as in cert=FILE&key=FILE."
            }
            Distrust::OfClient if self.shows_certificate => {
                "Check that the authority that the cluster trusts has signed this client's certificate, and its dates."
            }
            Distrust::OfClient => {
                "If the cluster wants to see a client's certificate, add cert=FILE&key=FILE to the location."
            }
        }
    }

    fn storage(&self, words: &str) -> Error {
        Error::Storage { location: self.location.to_owned(), source: cause(words) }
    }
}

/// Whether a server has answered that speaks HTTP/2 but not gRPC. tonic then takes the answer for a message, finds an
/// invalid first byte, and reports that only by this text (`codec/decode.rs`).
fn is_no_grpc(status: &Status) -> bool {
    status.code() == Code::Internal
        && status.message().starts_with("protocol error: received message with invalid compression flag")
}

fn cause(words: &str) -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(words))
}
