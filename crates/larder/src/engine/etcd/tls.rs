//! What TLS needs, from the files that a location names.

use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use super::address::Tls;
use crate::{Error, Result};

pub(super) fn options(tls: &Tls) -> Result<TlsOptions> {
    let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca)?));
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(options)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Denied {
        path: path.to_owned(),
        reason: format!("{error}; the location names it as a part of its TLS settings"),
    })
}
