//! Classifies the errors of members: refused, not sent, lost, or a member that nothing can be asked of.

use std::io::ErrorKind;

use etcd_client::Error as EtcdError;

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
    HungUp(String),
}

/// gRPC's status codes.
mod code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNAUTHENTICATED: i32 = 16;
}

/// The largest request in bytes that etcd accepts with its default settings.
pub const REQUEST_BYTES_MAX: u64 = 1536 << 10;

impl Failure {
    /// Returns the failure of a step before the request, such as connecting: the request was not sent.
    pub fn before_it_was_sent(self) -> Self {
        match self {
            Self::Lost(words) | Self::HungUp(words) => Self::NotSent(words),
            failure => failure,
        }
    }
}

/// The member that was asked, and the store's location, which errors name.
pub struct Asked<'a> {
    pub location: &'a str,
    pub endpoint: &'a str,
    /// Whether the client has a certificate of its own.
    pub shows_certificate: bool,
}

impl Asked<'_> {
    pub fn classify(&self, error: &EtcdError) -> Failure {
        let said = Said::by(error);
        if let EtcdError::GRpcStatus(status) = error
            && let Some(failure) = self.refusal(status.code().into(), status.message())
        {
            return failure;
        }
        let unfit = |error| Failure::MemberUnfit { error, words: said.words.clone() };
        if let Some(hint) = self.distrust(&said) {
            let reason = format!("{}; {hint}", said.words);
            return unfit(Error::Untrusted { location: self.location.to_owned(), reason });
        }
        if NO_ETCD.iter().any(|words| said.has(words)) {
            let reason = said.words.clone();
            return unfit(Error::NotEtcd { endpoint: self.endpoint.to_owned(), reason });
        }
        if said.nobody_there || said.has("dns error") || said.has("tcp connect error") {
            return Failure::NotSent(said.words);
        }
        match error {
            EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) => {
                Failure::Refused(self.storage(said.words))
            }
            _ if said.hung_up || HANGING_UP.iter().any(|words| said.has(words)) => {
                Failure::HungUp(said.words)
            }
            _ => Failure::Lost(said.words),
        }
    }

    /// Returns the error for members that close every connection and have never answered.
    pub fn hung_up(&self, words: &str) -> Error {
        if self.endpoint.starts_with("https:") && !speaks_no_tls(words) {
            let hint = self.certificate_hint();
            let reason = format!(
                "the members close every connection once they have seen who connects ({words}); {hint}; \
                 or they speak no TLS, and the location has to do without ca="
            );
            return Error::Untrusted { location: self.location.to_owned(), reason };
        }
        let reason = format!("it closes every connection without an answer ({words})");
        Error::NotEtcd { endpoint: self.endpoint.to_owned(), reason }
    }

    /// Classifies an error that etcd itself returns; `None` for an error of the connection.
    fn refusal(&self, code: i32, said: &str) -> Option<Failure> {
        let location = || self.location.to_owned();
        let unauthorized = |hint: &str| {
            let reason = format!("{said}; {hint}");
            Some(Failure::Refused(Error::Unauthorized { location: location(), reason }))
        };
        match code {
            code::OUT_OF_RANGE if said.contains("compacted") => Some(Failure::Compacted),
            // A lagging member does not know the revision yet.
            code::OUT_OF_RANGE => Some(Failure::Lost(said.to_owned())),
            code::RESOURCE_EXHAUSTED if said.contains("database space exceeded") => {
                let source = cause(said.to_owned());
                Some(Failure::Refused(Error::Full { location: location(), source }))
            }
            code::INVALID_ARGUMENT | code::RESOURCE_EXHAUSTED
                if said.contains("too large") || said.contains("larger than max") =>
            {
                let (what, limit) = ("bytes", REQUEST_BYTES_MAX);
                let (location, wanted) = (location(), limit + 1);
                Some(Failure::Refused(Error::TooMuchAtOnce { location, what, wanted, limit }))
            }
            // A change of users or roles makes all tokens stale for a moment.
            code::INVALID_ARGUMENT
                if said.contains("auth store is old") || said.contains("in header is old") =>
            {
                Some(Failure::NotSent(said.to_owned()))
            }
            code::UNAUTHENTICATED => unauthorized("check user and password"),
            code::INVALID_ARGUMENT if said.contains("authentication failed") => {
                unauthorized("check user and password")
            }
            code::INVALID_ARGUMENT if said.contains("user name is empty") => {
                unauthorized("name a user and a password: etcd://user:password@…")
            }
            code::PERMISSION_DENIED => unauthorized("grant the user's role what lies under the store's name"),
            code::FAILED_PRECONDITION if said.contains("authentication is not enabled") => {
                unauthorized("leave user and password out of the location")
            }
            code::INVALID_ARGUMENT | code::FAILED_PRECONDITION if said.contains("etcdserver") => {
                Some(Failure::Refused(self.storage(said.to_owned())))
            }
            _ => None,
        }
    }

    /// Returns the advice for a failed TLS handshake; `None` for another failure.
    fn distrust(&self, said: &Said) -> Option<&'static str> {
        if said.has("invalid peer certificate") {
            return Some(
                "check that ca= names the authority that has signed the members' certificates, that these are for the hosts that the location names, and their dates",
            );
        }
        if said.has("KeyMismatch") {
            return Some("name the key that belongs to the certificate: cert=FILE&key=FILE");
        }
        if !said.has("fatal alert") && !said.has("no certificates") {
            return None;
        }
        Some(self.certificate_hint())
    }

    fn certificate_hint(&self) -> &'static str {
        if self.shows_certificate {
            "check that the authority that the cluster trusts has signed this client's certificate, and its dates"
        } else {
            "it may want to see a client's certificate: add cert=FILE&key=FILE to the location"
        }
    }

    fn storage(&self, words: String) -> Error {
        Error::Storage { location: self.location.to_owned(), source: cause(words) }
    }
}

/// The words of errors that only a server other than etcd causes.
const NO_ETCD: [&str; 4] = ["http2 error", "InvalidContentType", "corrupt message", "invalid compression"];

/// The words of errors for a connection that the other end has closed, besides the kinds of I/O errors.
const HANGING_UP: [&str; 5] =
    ["broken pipe", "connection reset", "connection closed", "unexpected end of file", NO_TLS];
const NO_TLS: &str = "tls handshake eof";

/// Returns whether the words prove that the other end speaks no TLS. A reset connection proves nothing.
pub fn speaks_no_tls(words: &str) -> bool {
    words.contains(NO_TLS)
}

fn cause(words: String) -> std::sync::Arc<dyn std::error::Error + Send + Sync> {
    std::sync::Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(words))
}

/// The words of an error and of its causes.
struct Said {
    words: String,
    /// Whether one of the causes is that nobody listens there.
    nobody_there: bool,
    /// Whether one of the causes is that the other end closed the connection.
    hung_up: bool,
}

impl Said {
    fn by(error: &EtcdError) -> Self {
        let mut all: Vec<String> = Vec::new();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
            EtcdError::GRpcStatus(status) => {
                all.push(status.message().to_owned());
                std::error::Error::source(status)
            }
            EtcdError::TransportError(error) => Some(error),
            other => {
                all.push(other.to_string());
                None
            }
        };
        let (mut nobody_there, mut hung_up) = (false, false);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                use ErrorKind::{
                    AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
                    HostUnreachable, NetworkUnreachable, UnexpectedEof,
                };
                let kinds = [AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable];
                nobody_there |= kinds.contains(&error.kind());
                let kinds = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
                hung_up |= kinds.contains(&error.kind());
            }
            all.push(error.to_string());
            cause = error.source();
        }
        // A cause often repeats the words of the error above it, and "transport error" says nothing.
        let mut words: Vec<String> = Vec::new();
        for said in all {
            if said != "transport error" && !words.iter().any(|above| above.contains(&said)) {
                words.push(said);
            }
        }
        Self { words: words.join(": "), nobody_there, hung_up }
    }

    fn has(&self, words: &str) -> bool {
        self.words.contains(words)
    }
}
