//! Parses an `etcd://` location: the cluster's endpoints, the store's name, and the credentials.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::data::{Consistency, Error, Result, without_password};

/// etcd's default client port.
const PORT: u16 = 2379;

const EXAMPLE: &str = "etcd://db1:2379,db2:2379,db3:2379/app";

/// The parsed location of a store in a cluster.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port` of each member.
    pub endpoints: Vec<String>,
    /// The store's name. Every key of the store starts with it and a slash.
    pub name: String,
    /// User name and password.
    pub user: Option<(String, String)>,
    /// `None` connects without TLS.
    pub tls: Option<TlsFiles>,
    pub consistency: Option<Consistency>,
}

/// The PEM files that TLS needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    /// The certificate of the authority that signed the members' certificates.
    pub ca: PathBuf,
    /// The client's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Parses the part of a location after `etcd:`.
    pub fn parse(rest: &str) -> Result<Self> {
        parse(rest).map_err(|reason| {
            // An unescaped / or ? in the password ends the authority early, and the reason then quotes the
            // password.
            let hosts = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
            let reason = if rest.contains('@') && !hosts.contains('@') {
                "percent-encode / ? # @ and % in user and password, as in etcd://user:p%2Fss@host:2379/app"
                    .into()
            } else {
                reason
            };
            Error::InvalidLocation { location: without_password(&format!("etcd:{rest}")), reason }
        })
    }
}

fn parse(rest: &str) -> Result<Address, String> {
    let rest = rest.strip_prefix("//").ok_or_else(|| format!("write it as {EXAMPLE}"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, endpoints) = match authority.rsplit_once('@') {
        Some((user, endpoints)) => (Some(credentials(user)?), endpoints),
        None => (None, authority),
    };
    if endpoints.is_empty() {
        return Err(format!("it names no endpoint; write it as {EXAMPLE}"));
    }
    let endpoints = endpoints.split(',').map(endpoint).collect::<Result<_, _>>()?;
    let (tls, consistency) = settings(query)?;
    Ok(Address { endpoints, name: store_name(name)?, user, tls, consistency })
}

fn credentials(text: &str) -> Result<(String, String), String> {
    let Some((user, password)) = text.split_once(':') else {
        return Err("a user needs a password: etcd://user:password@host:2379/app".into());
    };
    Ok((decoded(user)?, decoded(password)?))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "its percent-encoded text is not UTF-8".into())
}

fn endpoint(text: &str) -> Result<String, String> {
    let invalid = || format!("{text:?} is not an endpoint; write host:port, as in {EXAMPLE}");
    // An IPv6 address contains colons, so it is written in brackets.
    let after_host = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(invalid)?.1,
        None => text.find(':').map_or("", |colon| &text[colon..]),
    };
    let host = &text[..text.len() - after_host.len()];
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:%".contains(&byte);
    if host.is_empty() || !host.bytes().all(fits) {
        return Err(invalid());
    }
    let port = match after_host.strip_prefix(':') {
        None if after_host.is_empty() => PORT,
        None => return Err(invalid()),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?,
    };
    Ok(format!("{host}:{port}"))
}

fn store_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(fits);
    if text.is_empty() {
        return Err(format!("it does not say which store; add its name after a slash, as in {EXAMPLE}"));
    }
    if !text.split('/').all(is_name) {
        return Err(format!(
            "{text:?} cannot be a store's name; use letters, digits, . _ - and single slashes"
        ));
    }
    Ok(text.to_owned())
}

fn settings(query: &str) -> Result<(Option<TlsFiles>, Option<Consistency>), String> {
    let (mut ca, mut cert, mut key, mut consistency) = (None, None, None, None);
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let value = decoded(value)?;
        match name {
            "ca" => ca = Some(PathBuf::from(value)),
            "cert" => cert = Some(PathBuf::from(value)),
            "key" => key = Some(PathBuf::from(value)),
            "consistency" => {
                let parsed = value.parse().map_err(|_| "consistency must be linearizable or cached")?;
                consistency = Some(parsed);
            }
            _ => return Err(format!("{name:?} is not a setting; use ca, cert, key or consistency")),
        }
    }
    let identity = match (cert, key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        _ => {
            return Err(
                "a client certificate needs its key, and the key its certificate: give both cert=FILE and key=FILE".into()
            );
        }
    };
    let tls = match (ca, identity) {
        (Some(ca), identity) => Some(TlsFiles { ca, identity }),
        (None, None) => None,
        (None, Some(_)) => return Err("a client certificate also needs ca=FILE".into()),
    };
    Ok((tls, consistency))
}

/// Writes the location without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd://{}/{}", self.endpoints.join(","), self.name)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_endpoints_and_a_store() {
        let address = Address::parse("//db1:2379,db2,[::1]:99/app/eu").unwrap();
        assert_eq!(address.endpoints, ["db1:2379", "db2:2379", "[::1]:99"]);
        assert_eq!(address.name, "app/eu");
        assert_eq!((address.user.clone(), address.tls.clone()), (None, None));
        assert_eq!(address.to_string(), "etcd://db1:2379,db2:2379,[::1]:99/app/eu");
    }

    #[test]
    fn a_location_carries_credentials_and_never_shows_the_password() {
        let address =
            Address::parse("//root:s%40crt@db/app?ca=ca.pem&cert=c.pem&key=k.pem&consistency=cached");
        let address = address.unwrap();
        assert_eq!(address.user, Some(("root".into(), "s@crt".into())));
        let identity = Some(("c.pem".into(), "k.pem".into()));
        assert_eq!(address.tls, Some(TlsFiles { ca: "ca.pem".into(), identity }));
        assert_eq!(address.consistency, Some(Consistency::Cached));
        assert_eq!(format!("{address} {address:?}"), "etcd://db:2379/app etcd://db:2379/app");
        let refused = Address::parse("//root:secret@db:0/app").unwrap_err().to_string();
        assert!(!refused.contains("secret"), "{refused}");
        for rest in ["//u:sec/ret@db/app", "//u:12/sec@db/app", "//u:12/a?sec@db/app", "//u:sec?a=ret@db/app"]
        {
            let refused = Address::parse(rest).unwrap_err().to_string();
            assert!(!refused.contains("sec") && refused.contains("percent-encode"), "{refused}");
        }
    }

    #[test]
    fn a_location_that_names_no_store_is_refused() {
        for rest in [
            "",
            "db:2379/app",
            "//",
            "///app",
            "//db",
            "//db/",
            "//db:x/app",
            "//db:0/app",
            "//db:2379:1/app",
            "//,/app",
            "//db,/app",
            "//db/a//b",
            "//db/a b",
            "//db/app/",
            "//user@db/app",
            "//db/app?cert=c",
            "//db/app?colour=blue",
            "//db/app?consistency=eventual",
            "//[::1/app",
            "//db/app?cert=c&key=k",
            "//a b/app",
        ] {
            assert!(matches!(Address::parse(rest), Err(Error::InvalidLocation { .. })), "{rest}");
        }
    }
}
