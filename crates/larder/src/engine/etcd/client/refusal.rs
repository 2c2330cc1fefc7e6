//! Classifies the errors of members: refused, not sent, lost, or a member that nothing can be asked of.

use std::sync::Arc;

use etcd_client::Error as EtcdError;
use tonic::{Code, Status};

use super::causes::{Causes, Distrust, Doubt, is_page};
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
    /// The request was sent, and its answer is larger than this client takes. Another member's would be, too.
    AnswerTooLarge(String),
    /// As `Lost`, and the member may not be etcd.
    Doubtful(String, Doubt),
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
    /// The message of tonic for an answer that it does not decode (`codec/decode.rs`). What follows has two numbers.
    pub const ANSWER_TOO_LARGE: &str = "Error, decoded message length too large: ";
}

/// How to make room in a cluster's database.
const MAKE_ROOM: &str = "Compact the history of the cluster, defragment each member, perhaps raise \
    --quota-backend-bytes, and disarm the alarm (etcdctl compact, defrag, alarm disarm); then try again.";

impl Failure {
    /// Returns the failure of a step beside the request, whose own answer may have been that it took effect: whatever
    /// the step says, the request is not refused.
    pub fn beside_the_request(self) -> Self {
        match self {
            Self::Compacted => Self::Lost("a revision is compacted".into()),
            Self::Refused(error) => Self::Lost(error.to_string()),
            Self::MemberUnfit { words, .. } | Self::NotSent(words) => Self::Lost(words),
            Self::AnswerTooLarge(words) => Self::Lost(words),
            failure @ (Self::Lost(_) | Self::Doubtful(..)) => failure,
        }
    }

    /// Returns the failure of a step before the request, such as connecting: the request was not sent.
    pub fn before_it_was_sent(self) -> Self {
        match self {
            Self::Lost(words) | Self::AnswerTooLarge(words) | Self::Doubtful(words, _) => {
                Self::NotSent(words)
            }
            failure => failure,
        }
    }
}

/// The member that was asked, and the store's location, which errors name.
pub struct Endpoint<'a> {
    pub location: &'a str,
    pub endpoint: &'a str,
    /// Whether the endpoint speaks TLS.
    pub uses_tls: bool,
    /// Whether the client has a certificate of its own.
    pub shows_certificate: bool,
}

impl Endpoint<'_> {
    pub fn classify(&self, error: &EtcdError) -> Failure {
        if let EtcdError::GRpcStatus(status) = error
            && !is_page(status)
            && let Some(failure) = self.refusal(status)
        {
            return failure;
        }
        let Causes { words, is_unsent, doubt, distrust, is_foreign } = Causes::of(error);
        if let Some(distrust) = distrust {
            let (location, reason) = (self.location.to_owned(), words.clone());
            let advice = self.advice_on(distrust).into();
            return Failure::MemberUnfit { error: Error::Untrusted { location, reason, advice }, words };
        }
        if is_foreign {
            let (endpoint, reason) = (self.endpoint.to_owned(), words.clone());
            return Failure::MemberUnfit { error: Error::NotEtcd { endpoint, reason }, words };
        }
        match (error, doubt) {
            _ if is_unsent => Failure::NotSent(words),
            (EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_), _) => {
                Failure::Refused(self.storage(&words))
            }
            (_, Some(doubt)) => Failure::Doubtful(words, doubt),
            (_, None) => Failure::Lost(words),
        }
    }

    /// Returns the error for members that all may not be etcd, and have never answered.
    pub fn doubtful(&self, words: &str, doubt: Doubt) -> Error {
        let does = match doubt {
            Doubt::AnsweredWithPage => "answers, but not as etcd does",
            Doubt::Closed if self.uses_tls => {
                let advice = self.advice_on(Distrust::OfClient);
                return Error::Untrusted {
                    location: self.location.to_owned(),
                    reason: format!(
                        "the members close every connection once they have seen who connects ({words})"
                    ),
                    advice: format!(
                        "{advice} Where the members speak no TLS, leave ca= out of the location."
                    )
                    .into(),
                };
            }
            Doubt::ClosedInHandshake | Doubt::Closed => "closes every connection without an answer",
        };
        Error::NotEtcd { endpoint: self.endpoint.to_owned(), reason: format!("it {does} ({words})") }
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
            _ if is_compacted(status) => Failure::Compacted,
            (Code::OutOfRange, _) if words.starts_with(said::ANSWER_TOO_LARGE) => {
                let numbers = words.trim_start_matches(said::ANSWER_TOO_LARGE);
                Failure::AnswerTooLarge(format!("the answer of {} is too large: {numbers}", self.endpoint))
            }
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
        storage(self.location, words)
    }
}

/// The error of a cluster that fails, in its own words.
pub fn storage(location: &str, words: &str) -> Error {
    Error::Storage { location: location.to_owned(), source: cause(words) }
}

/// Whether the cluster has compacted the revision that was asked for.
pub fn is_compacted(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message() == said::COMPACTED
}

fn cause(words: &str) -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_of_a_step_beside_a_request_says_that_the_request_took_no_effect() {
        let error = || Error::NotEtcd { endpoint: "h:1".into(), reason: "of a test".into() };
        for failure in [
            Failure::Compacted,
            Failure::Refused(error()),
            Failure::MemberUnfit { error: error(), words: "unfit".into() },
            Failure::NotSent("not sent".into()),
            Failure::Lost("lost".into()),
            Failure::AnswerTooLarge("too large".into()),
        ] {
            assert!(matches!(failure.beside_the_request(), Failure::Lost(_)));
        }
        let doubtful = Failure::Doubtful("closed".into(), Doubt::Closed).beside_the_request();
        assert!(matches!(doubtful, Failure::Doubtful(..)));
    }
}
