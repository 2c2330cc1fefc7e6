//! Certificates for clusters with TLS.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::authority::{Authority, Purpose, Request, Validity};

/// The certificates of a cluster and its clients, made with the `openssl` program. Members of the cluster
/// talk to each other without TLS.
///
/// Clones share their files, which are deleted with the last clone, or with the process.
///
/// ```
/// use larder_cluster::{Cluster, Settings, Tls};
///
/// # if !larder_cluster::etcd_is_installed() || !Tls::can_be_made() { return Ok(()) }
/// let mut tls = Tls::new()?;
/// tls.client_cert_auth = true;
/// let cluster = Cluster::start_with(&Settings { tls: Some(tls.clone()), ..Settings::default() })?;
/// println!("{} trusts certificates signed by {}", cluster.location("app"), tls.ca.display());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate of the authority that signed the others. Each `Tls` has its own authority.
    pub ca: PathBuf,
    /// A client certificate with the common name `larder-client`.
    pub client_cert: PathBuf,
    /// The key of both client certificates.
    pub client_key: PathBuf,
    /// A certificate of the same client that was valid in January 2020.
    pub expired_client_cert: PathBuf,
    /// Require client certificates of this authority (`--client-cert-auth`).
    pub client_cert_auth: bool,
    /// Let the members show a certificate that was valid in January 2020.
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
    /// Returns whether `openssl` is installed.
    pub fn can_be_made() -> bool {
        Authority::is_available()
    }

    /// Makes an authority and its client certificates.
    ///
    /// # Errors
    /// When `openssl` is missing or fails; the error then has its message.
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

    /// Makes a client certificate. On a cluster that has users and requires certificates, the common name is
    /// the user's name. It may have letters, digits and hyphens.
    ///
    /// # Errors
    /// The same as for [`new`](Self::new).
    pub fn client(&self, common_name: &str) -> io::Result<Identity> {
        let file = format!("client-{common_name}");
        let request = self.authority.request(&file, common_name)?;
        let cert = self.authority.sign(&request, &file, &Purpose::Client, Validity::Good)?;
        Ok(Identity { cert, key: request.key })
    }

    /// Makes the certificate of the members at these addresses, in the cluster's folder.
    pub(crate) fn server(&self, folder: &Path, addresses: &[IpAddr]) -> io::Result<Identity> {
        let request = self.authority.request_in(folder, "server", "larder-cluster")?;
        let purpose = Purpose::Server(addresses);
        let cert = self.authority.sign_in(folder, &request, "server", &purpose, self.validity())?;
        Ok(Identity { cert, key: request.key })
    }

    /// Signs the request of the members in a cluster's folder again, and replaces their certificate at once.
    pub(crate) fn renew_server(&self, folder: &Path) -> io::Result<()> {
        let request = Request::in_folder(folder, "server");
        let extensions = fs::read_to_string(folder.join("server.extensions"))?;
        let purpose = Purpose::Same(&extensions);
        let next = self.authority.sign_in(folder, &request, "server-next", &purpose, self.validity())?;
        fs::rename(next, folder.join("server.pem"))
    }

    fn validity(&self) -> Validity {
        if self.expired_server { Validity::Expired } else { Validity::Good }
    }
}
