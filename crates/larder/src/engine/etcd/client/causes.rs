//! What lies beneath a failed request, told by the types of its causes.

use std::error::Error;
use std::io::{self, ErrorKind};

use etcd_client::Error as EtcdError;

/// What the causes of an error tell.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// What they say, each thing once.
    pub words: String,
    /// The request has not left: no name was found, or nobody was there.
    pub is_unsent: bool,
    /// The connection was closed from the other end.
    pub hang_up: Option<HangUp>,
    /// One end does not trust the other.
    pub distrust: Option<Distrust>,
    /// What came back is no TLS, or not what gRPC speaks.
    pub is_foreign: bool,
}

/// How a connection was closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HangUp {
    /// In the middle of a TLS handshake, in order: whoever does that speaks no TLS.
    InHandshake,
    /// In any other way. Who speaks no TLS may also just reset the connection.
    Otherwise,
}

/// Who is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// The member, by this client.
    OfMember,
    /// This client, by the member.
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
                said.push(status.message().to_owned());
                status.source()
            }
            // It says no more than that it is one.
            EtcdError::TransportError(error) => error.source(),
            other => {
                said.push(other.to_string());
                None
            }
        };
        while let Some(cause) = next {
            causes.look_at(cause);
            // Neither does this one.
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
                // A handshake failed: what comes before it, looking up a name and connecting, is wrapped once more.
                Some(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.hang_up = Some(HangUp::InHandshake);
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
            self.hang_up.get_or_insert(HangUp::Otherwise);
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
                self.hang_up.get_or_insert(HangUp::Otherwise);
            }
            // After the handshake, h2 keeps of an error of TLS its kind and text alone (`proto::Error::Io`). The text
            // is that of `rustls::Error::AlertReceived`: a member tells then that it does not like the client's
            // certificate.
            InvalidData if error.to_string().starts_with("received fatal alert: ") => {
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

/// The cause of a cause. An I/O error says what it holds and gives as its source what is beneath that.
fn beneath<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held),
        None => cause.source(),
    }
}

/// Many a cause repeats what is said above it.
fn without_repetition(said: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for words in said {
        if !kept.iter().any(|above| above.contains(&words)) {
            kept.push(words);
        }
    }
    kept
}
