//! Exchanges the certificates of a running cluster, as operators do: files are replaced in place.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::cluster::Cluster;
use crate::tls::Tls;

/// The file with the authorities whose client certificates the members accept.
pub(crate) fn trusted(folder: &Path) -> PathBuf {
    folder.join("trusted.pem")
}

/// Replaces that file at once: a reader sees the old file or the new one.
pub(crate) fn trust(folder: &Path, authorities: &[&Tls]) -> io::Result<()> {
    let mut all = Vec::new();
    for tls in authorities {
        all.extend(fs::read(&tls.ca)?);
    }
    let next = folder.join("trusted.next");
    fs::write(&next, all)?;
    fs::rename(next, trusted(folder))
}

impl Cluster {
    /// Lets the members show a new certificate, signed by the authority of `tls`, with their key. They read it for each
    /// new connection.
    ///
    /// # Errors
    /// When the cluster was started without TLS, or `openssl` fails.
    pub fn show_certificate_of(&self, tls: &Tls) -> io::Result<()> {
        tls.renew_server(self.folder())
    }

    /// Sets whose client certificates the members accept, if they ask for any. etcd reads the list when it starts, so
    /// [restart](Self::restart) one member after another.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn accept_certificates_of(&self, authorities: &[&Tls]) -> io::Result<()> {
        trust(self.folder(), authorities)
    }
}
