//! Certificates for clusters that are talked to over TLS.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authority::{Authority, Purpose, Validity};

/// What a cluster and its clients prove with who they are, made with the `openssl` program. Members of the
/// cluster talk to each other in the clear.
///
/// Clones share their files, which are gone with the last of them, or with the process.
///
/// ```
/// use larder_cluster::{Cluster, Settings, Tls};
///
/// # if !larder_cluster::etcd_is_installed() || !Tls::can_be_made() { return Ok(()) }
/// let mut tls = Tls::new()?;
/// tls.client_cert_auth = true;
/// let cluster = Cluster::start_with(&Settings { tls: Some(tls.clone()), ..Settings::default() })?;
/// println!("{} trusts whoever {} has signed", cluster.location("app"), tls.ca.display());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// The authority that has signed everything else here. It is nobody else's: the one of another `Tls` is
    /// a stranger.
    pub ca: PathBuf,
    /// A client's certificate, for the common name `larder-client`.
    pub client_cert: PathBuf,
    /// Its key, and that of the expired one.
    pub client_key: PathBuf,
    /// A certificate for the same client that was good in January 2020.
    pub expired_client_cert: PathBuf,
    /// Let only clients in that show a certificate of this authority (`--client-cert-auth`).
    pub client_cert_auth: bool,
    /// Let the members show a certificate that was good in January 2020.
    pub expired_server: bool,
    authority: Arc<Authority>,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Tls {
    /// Whether there is a program to make certificates with.
    pub fn can_be_made() -> bool {
        Authority::can_be_had()
    }

    /// Makes an authority, and what it signs for clients.
    ///
    /// # Errors
    /// When `openssl` is missing or does not understand what it is told; then the error has its words.
    pub fn new() -> io::Result<Self> {
        let authority = Authority::new()?;
        let client = authority.request("client", "larder-client")?;
        let sign = |file, validity| authority.sign(&client, file, &Purpose::Client, validity);
        Ok(Self {
            ca: authority.certificate(),
            client_cert: sign("client", Validity::Good)?,
            expired_client_cert: sign("expired-client", Validity::Expired)?,
            client_key: client.key,
            client_cert_auth: false,
            expired_server: false,
            authority: Arc::new(authority),
        })
    }

    /// Makes a certificate for a client of this common name, which is the name of a user to a cluster that
    /// has users and asks for certificates. Letters, digits and hyphens, please.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn client(&self, common_name: &str) -> io::Result<Identity> {
        let file = format!("client-{common_name}");
        let request = self.authority.request(&file, common_name)?;
        let cert = self.authority.sign(&request, &file, &Purpose::Client, Validity::Good)?;
        Ok(Identity { cert, key: request.key })
    }

    /// Makes what the members at these addresses show. The files are the cluster's.
    pub(crate) fn server(&self, folder: &Path, addresses: &[IpAddr]) -> io::Result<Identity> {
        let request = self.authority.request_in(folder, "server", "larder-cluster")?;
        let validity = if self.expired_server { Validity::Expired } else { Validity::Good };
        let purpose = Purpose::Server(addresses);
        let cert = self.authority.sign_in(folder, &request, "server", &purpose, validity)?;
        Ok(Identity { cert, key: request.key })
    }
}
