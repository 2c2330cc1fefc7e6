//! What TLS needs, from the files that a location names.

use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use super::address::{Address, Tls};
use crate::data::{Error, Result};

pub(super) fn options(tls: &Tls, address: &Address) -> Result<TlsOptions> {
    let read = |path, setting, what| {
        read(path, what).map_err(|(reason, advice)| Error::InvalidLocation {
            location: address.to_string(),
            reason: format!("the file {} of its setting {setting} {reason}", path.display()),
            advice: advice.into(),
        })
    };
    let mut options =
        TlsOptions::new().ca_certificate(Certificate::from_pem(read(&tls.ca, "ca", "CERTIFICATE")?));
    if let Some((certificate, key)) = &tls.identity {
        let certificate = read(certificate, "cert", "CERTIFICATE")?;
        options = options.identity(Identity::from_pem(certificate, read(key, "key", "PRIVATE KEY")?));
    }
    Ok(options)
}

/// Reads a file that has something of a kind in it, in PEM. Fails with what is wrong with the file, and advice.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, (String, &'static str)> {
    let bytes = std::fs::read(path)
        .map_err(|error| (format!("cannot be read: {error}"), "Check the path and its permissions."))?;
    let marks = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN "));
    let mark = format!("{what}-----");
    if !marks.into_iter().any(|line| line.trim_ascii_end().ends_with(mark.as_bytes())) {
        return Err((format!("has no \"-----BEGIN {mark}\" in it"), "Name a PEM file that has."));
    }
    Ok(bytes)
}
