//! Reads the TLS files that a location names.

use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use super::address::{Address, TlsFiles};
use crate::data::{Error, Result};

pub fn tls_options(files: &TlsFiles, address: &Address) -> Result<TlsOptions> {
    let read = |path, setting, label| {
        read_pem(path, label).map_err(|(reason, advice)| Error::InvalidLocation {
            location: address.to_string(),
            reason: format!("the file {} of its setting {setting} {reason}", path.display()),
            advice: advice.into(),
        })
    };
    let mut options =
        TlsOptions::new().ca_certificate(Certificate::from_pem(read(&files.ca, "ca", "CERTIFICATE")?));
    if let Some((certificate, key)) = &files.identity {
        let certificate = read(certificate, "cert", "CERTIFICATE")?;
        options = options.identity(Identity::from_pem(certificate, read(key, "key", "PRIVATE KEY")?));
    }
    Ok(options)
}

/// Reads a file that must contain a PEM block whose label ends with `label`. The error says what is wrong with the
/// file, and what to do.
fn read_pem(path: &Path, label: &str) -> Result<Vec<u8>, (String, &'static str)> {
    let bytes = std::fs::read(path)
        .map_err(|error| (format!("cannot be read: {error}"), "Check the path and its permissions."))?;
    let begins = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN "));
    let ending = format!("{label}-----");
    if !begins.into_iter().any(|line| line.trim_ascii_end().ends_with(ending.as_bytes())) {
        return Err((format!("contains no \"-----BEGIN {ending}\""), "Name a PEM file that does."));
    }
    Ok(bytes)
}
