//! Finds out why a request failed, by the types of the error's causes.

use std::error::Error;
use std::io::{self, ErrorKind};

use etcd_client::Error as EtcdError;
use tonic::Status;

/// What the causes of an error say about it.
#[derive(Debug, Default)]
pub struct Causes {
    /// Their messages, each once.
    pub words: String,
    /// The request was not sent: the name was not found, or nobody listens there.
    pub is_unsent: bool,
    /// The other end may not be etcd.
    pub doubt: Option<Doubt>,
    /// One end does not trust the other.
    pub distrust: Option<Distrust>,
    /// The answer is not TLS, or not gRPC.
    pub is_foreign: bool,
}

/// Why the other end may not be etcd. It may also be a member that is stopping, or a proxy without its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It closed the connection properly in the middle of a TLS handshake: only an end that speaks no TLS does that.
    ClosedInHandshake,
    /// It closed the connection in another way. An end that speaks no TLS may also reset the connection.
    Closed,
    /// It answered by HTTP/2, but not in gRPC.
    AnsweredWithPage,
}

/// Which end does not trust the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// This client does not trust the member.
    OfMember,
    /// The member does not trust this client.
    OfClient,
    /// The client's key does not belong to its certificate.
    KeyMismatch,
}

impl Causes {
    pub fn of(error: &EtcdError) -> Self {
        let mut causes = Self::default();
        let mut said = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> = match error {
            EtcdError::GRpcStatus(status) => {
                if is_page(status) {
                    causes.doubt = Some(Doubt::AnsweredWithPage);
                }
                said.push(status.message().to_owned());
                status.source()
            }
            // Its own message says nothing.
            EtcdError::TransportError(error) => error.source(),
            other => {
                said.push(other.to_string());
                None
            }
        };
        while let Some(cause) = next {
            causes.look_at(cause);
            // The message of this type says nothing either.
            if !cause.is::<tonic::transport::Error>() {
                said.push(cause.to_string());
            }
            next = beneath(cause);
        }
        causes.words = without_repetition(said).join(": ");
        causes
    }

    fn look_at(&mut self, cause: &(dyn Error + 'static)) {
        if let Some(error) = cause.downcast_ref::<tonic::ConnectError>() {
            match error.0.downcast_ref::<io::Error>() {
                // The TLS handshake failed. Errors of the steps before it, the look-up of the name and the
                // connection, are wrapped once more.
                Some(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.doubt = Some(Doubt::ClosedInHandshake);
                }
                Some(_) => {}
                None => self.is_unsent = true,
            }
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            self.look_at_io(error);
        } else if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            self.look_at_tls(error);
        } else if let Some(error) = cause.downcast_ref::<h2::Error>() {
            match error.get_io() {
                Some(error) => self.look_at_io(error),
                None => self.is_foreign = true,
            }
        } else if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && (error.is_canceled() || error.is_incomplete_message())
        {
            self.doubt.get_or_insert(Doubt::Closed);
        }
    }

    fn look_at_io(&mut self, error: &io::Error) {
        use ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, InvalidData, NetworkUnreachable, UnexpectedEof,
        };
        match error.kind() {
            AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable => {
                self.is_unsent = true
            }
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
                self.doubt.get_or_insert(Doubt::Closed);
            }
            // After the handshake, h2 keeps only the kind and the text of a TLS error (`proto::Error::Io`). rustls gives
            // this kind to an alert, by which a member rejects the client's certificate, and else only to a record that
            // makes no sense, which TCP does not let through.
            InvalidData if !error.get_ref().is_some_and(|held| held.is::<rustls::Error>()) => {
                self.distrust = Some(Distrust::OfClient);
            }
            _ => {}
        }
    }

    fn look_at_tls(&mut self, error: &rustls::Error) {
        use rustls::Error::{
            AlertReceived, InconsistentKeys, InvalidCertificate, InvalidMessage, NoCertificatesPresented,
        };
        match error {
            InvalidCertificate(_) => self.distrust = Some(Distrust::OfMember),
            InconsistentKeys(_) => self.distrust = Some(Distrust::KeyMismatch),
            AlertReceived(_) | NoCertificatesPresented => self.distrust = Some(Distrust::OfClient),
            InvalidMessage(_) => self.is_foreign = true,
            _ => {}
        }
    }
}

/// Whether the answer is none of gRPC, whose answers have a content type of their own.
pub fn is_page(status: &Status) -> bool {
    let content_type = status.metadata().get("content-type");
    content_type.is_some_and(|name| !name.as_bytes().starts_with(b"application/grpc"))
}

/// The cause of a cause. An I/O error shows the message of the error that it wraps, and its `source` skips that
/// error.
fn beneath<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held),
        None => cause.source(),
    }
}

/// Leaves out messages that repeat one above them.
fn without_repetition(said: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for words in said {
        if !kept.iter().any(|above| above.contains(&words)) {
            kept.push(words);
        }
    }
    kept
}
