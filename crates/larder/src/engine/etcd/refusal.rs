//! What it means when a member does not do what it was asked.

use std::io::ErrorKind;

use etcd_client::Error as EtcdError;

use crate::{Error, Result};

/// What to make of an error.
pub(super) enum Failure {
    Compacted,
    /// The cluster has understood, and will not.
    Refused(Error),
    /// This member cannot be talked to, whatever is said; another may.
    MemberUnfit(Error),
    /// The request has not left.
    NotSent(String),
    /// It is not known what became of the request.
    Lost(String),
}

/// gRPC's codes, by their numbers.
mod code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNAUTHENTICATED: i32 = 16;
}

/// The largest request that etcd takes unless it is told otherwise.
pub(super) const REQUEST_BYTES_MAX: u64 = 1536 << 10;

pub(super) fn classify(error: &EtcdError, location: &str, endpoint: &str) -> Failure {
    let (words, refused) = chain(error);
    let has = |text: &str| words.contains(text);
    let location = || location.to_owned();
    let storage = || Error::Storage {
        location: location(),
        source: std::sync::Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(words.clone())),
    };
    if let EtcdError::GRpcStatus(status) = error {
        let said = status.message();
        let unauthorized = |hint: &str| {
            Failure::Refused(Error::Unauthorized { location: location(), reason: format!("{said}; {hint}") })
        };
        match i32::from(status.code()) {
            code::OUT_OF_RANGE if said.contains("compacted") => return Failure::Compacted,
            // A member that is behind does not know the revision yet.
            code::OUT_OF_RANGE => return Failure::Lost(said.to_owned()),
            code::RESOURCE_EXHAUSTED if said.contains("database space exceeded") => {
                let source = std::sync::Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(format!(
                    "{said}; compact and defragment it, or raise --quota-backend-bytes, and disarm the alarm"
                )));
                return Failure::Refused(Error::Full { location: location(), source });
            }
            code::INVALID_ARGUMENT | code::RESOURCE_EXHAUSTED if said.contains("too large") => {
                let (what, limit) = ("bytes", REQUEST_BYTES_MAX);
                return Failure::Refused(Error::TooMuchAtOnce {
                    location: location(),
                    what,
                    wanted: limit + 1,
                    limit,
                });
            }
            code::UNAUTHENTICATED => return unauthorized("check user and password"),
            code::INVALID_ARGUMENT if said.contains("authentication failed") => {
                return unauthorized("check user and password");
            }
            code::INVALID_ARGUMENT if said.contains("user name is empty") => {
                return unauthorized("name a user and a password: etcd://user:password@…");
            }
            code::PERMISSION_DENIED => {
                return unauthorized("grant the user's role what lies under the store's name");
            }
            code::FAILED_PRECONDITION if said.contains("authentication is not enabled") => {
                return unauthorized("leave user and password out of the location");
            }
            code::INVALID_ARGUMENT | code::FAILED_PRECONDITION if said.contains("etcdserver") => {
                return Failure::Refused(storage());
            }
            _ => {}
        }
    }
    if has("certificate") || has("fatal alert") || has("CertificateRequired") {
        return Failure::MemberUnfit(Error::Untrusted { location: location(), reason: words });
    }
    if has("http2 error") || has("InvalidContentType") || has("corrupt message") || has("invalid compression")
    {
        return Failure::MemberUnfit(Error::NotEtcd { endpoint: endpoint.to_owned(), reason: words });
    }
    if refused || has("dns error") || has("tcp connect error") {
        return Failure::NotSent(words);
    }
    match error {
        EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) => Failure::Refused(storage()),
        _ => Failure::Lost(words),
    }
}

/// All that an error and its causes say, and whether one of them is that nobody was there.
fn chain(error: &EtcdError) -> (String, bool) {
    let mut words = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        EtcdError::GRpcStatus(status) => {
            words.push(status.message().to_owned());
            std::error::Error::source(status)
        }
        EtcdError::TransportError(error) => Some(error),
        other => {
            words.push(other.to_string());
            None
        }
    };
    let mut refused = false;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            use ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
            let nobody_there = [AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable];
            refused |= nobody_there.contains(&error.kind());
        }
        let said = error.to_string();
        if words.last() != Some(&said) {
            words.push(said);
        }
        cause = error.source();
    }
    (words.join(": "), refused)
}

/// A message that larder wrote, or damage.
pub(super) fn decode<M: prost::Message + Default>(
    bytes: impl bytes::Buf,
    cluster: &super::cluster::Cluster,
) -> Result<M> {
    M::decode(bytes).map_err(|error| cluster.damaged(error.to_string()))
}
