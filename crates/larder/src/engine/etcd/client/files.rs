//! Reads the files that a location names: certificates, keys, and the password.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use super::address::{Address, Password, TlsFiles};
use crate::data::{Error, Result, Secret};

pub fn tls_options(files: &TlsFiles, address: &Address) -> Result<TlsOptions> {
    let read = |path, setting, label| {
        read_pem(path, label).map_err(|mistake| unusable(address, path, setting, mistake))
    };
    let mut options = match &files.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca, "ca", "CERTIFICATE")?)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &files.identity {
        let certificate = read(certificate, "cert", "CERTIFICATE")?;
        options = options.identity(Identity::from_pem(certificate, read(key, "key", "PRIVATE KEY")?));
    }
    Ok(options)
}

/// Returns a password, from its file if it is in one: the first line, without its end.
pub fn password(password: &Password, address: &Address) -> Result<Secret> {
    let path = match password {
        Password::Given(secret) => return Ok(secret.clone()),
        Password::In(path) => path,
    };
    let read = || {
        let bytes = read_small(path)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line =
            std::str::from_utf8(line).map_err(|_| ("is not UTF-8".into(), "Write the password as text."))?;
        match line.trim_end_matches('\r') {
            "" => Err(("has an empty first line".into(), "Write the password there.")),
            password => Ok(Secret::new(password)),
        }
    };
    read().map_err(|mistake| unusable(address, path, "password-file", mistake))
}

/// What is wrong with a file, and what to do.
type Mistake = (String, &'static str);

fn unusable(address: &Address, path: &Path, setting: &str, (reason, advice): Mistake) -> Error {
    let reason = format!("the file {} of its setting {setting} {reason}", path.display());
    Error::InvalidLocation { location: address.to_string(), reason, advice: advice.into() }
}

/// The largest file that is read, in bytes. A system's whole list of authorities has 250 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read_small(path: &Path) -> Result<Vec<u8>, Mistake> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read()
        .map_err(|error| (format!("cannot be read: {error}"), "Check the path and its permissions."))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((format!("has more than {FILE_BYTES_MAX} bytes"), "Check the path."));
    }
    Ok(bytes)
}

/// Reads a file that must contain a PEM block whose label ends with `label`.
fn read_pem(path: &Path, label: &str) -> Result<Vec<u8>, Mistake> {
    let bytes = read_small(path)?;
    let begins = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"-----BEGIN "));
    let ending = format!("{label}-----");
    if !begins.into_iter().any(|line| line.trim_ascii_end().ends_with(ending.as_bytes())) {
        return Err((format!("contains no \"-----BEGIN {ending}\""), "Name a PEM file that does."));
    }
    Ok(bytes)
}
