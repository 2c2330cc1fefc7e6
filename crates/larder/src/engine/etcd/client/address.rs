//! Parses an `etcd://` location: the cluster's endpoints, the store's name, and the credentials.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::data::{Consistency, Error, ParseError, Result, without_password};

/// etcd's default client port.
const PORT: u16 = 2379;

/// Advice with an example of a location.
const AS_IN: &str = "Write it as in etcd://db1:2379,db2:2379,db3:2379/app.";

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
        parse(rest).map_err(|mistake| {
            // An unescaped / or ? in the password ends the authority early, and the reason then quotes the
            // password.
            let hosts = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
            let mistake = if rest.contains('@') && !hosts.contains('@') {
                Mistake::new(
                    "its user or password has a slash or a question mark",
                    "Percent-encode each / ? # @ % in user and password, as in etcd://user:p%2Fss@host:2379/app.",
                )
            } else {
                mistake
            };
            let Mistake { reason, advice } = mistake;
            let (location, reason) = (without_password(&format!("etcd:{rest}")), reason.into_owned());
            Error::InvalidLocation { location, reason, advice: advice.into() }
        })
    }
}

/// What is wrong with a location, and what to write instead.
struct Mistake {
    reason: Cow<'static, str>,
    advice: &'static str,
}

impl Mistake {
    fn new(reason: impl Into<Cow<'static, str>>, advice: &'static str) -> Self {
        Self { reason: reason.into(), advice }
    }
}

fn parse(rest: &str) -> Result<Address, Mistake> {
    let rest = rest.strip_prefix("//").ok_or_else(|| Mistake::new("it has no // after etcd:", AS_IN))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, endpoints) = match authority.rsplit_once('@') {
        Some((user, endpoints)) => (Some(credentials(user)?), endpoints),
        None => (None, authority),
    };
    if endpoints.is_empty() {
        return Err(Mistake::new("it names no endpoint", AS_IN));
    }
    let endpoints = endpoints.split(',').map(endpoint).collect::<Result<_, _>>()?;
    let (tls, consistency) = settings(query)?;
    Ok(Address { endpoints, name: store_name(name)?, user, tls, consistency })
}

fn credentials(text: &str) -> Result<(String, String), Mistake> {
    let Some((user, password)) = text.split_once(':') else {
        let advice = "Write both, as in etcd://user:password@host:2379/app.";
        return Err(Mistake::new("a user needs a password", advice));
    };
    Ok((decoded(user)?, decoded(password)?))
}

fn decoded(text: &str) -> Result<String, Mistake> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        Mistake::new("its percent-encoded text is not UTF-8", "Percent-encode the bytes of UTF-8 text.")
    })
}

fn endpoint(text: &str) -> Result<String, Mistake> {
    let invalid = || {
        let advice = "Write host:port, as in etcd://db1:2379,db2:2379,db3:2379/app.";
        Mistake::new(format!("{text:?} is not an endpoint"), advice)
    };
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

fn store_name(text: &str) -> Result<String, Mistake> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(fits);
    if text.is_empty() {
        let advice = "Add its name after a slash, as in etcd://db1:2379,db2:2379,db3:2379/app.";
        return Err(Mistake::new("it does not say which store of the cluster", advice));
    }
    if !text.split('/').all(is_name) {
        let advice = "Use letters, digits, . _ - and single slashes.";
        return Err(Mistake::new(format!("{text:?} cannot be a store's name"), advice));
    }
    Ok(text.to_owned())
}

fn settings(query: &str) -> Result<(Option<TlsFiles>, Option<Consistency>), Mistake> {
    let (mut ca, mut cert, mut key, mut consistency) = (None, None, None, None);
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let value = decoded(value)?;
        match name {
            "ca" => ca = Some(PathBuf::from(value)),
            "cert" => cert = Some(PathBuf::from(value)),
            "key" => key = Some(PathBuf::from(value)),
            "consistency" => {
                let parsed = value.parse().map_err(|error: ParseError| {
                    Mistake::new(error.to_string(), "Write consistency=linearizable or consistency=cached.")
                })?;
                consistency = Some(parsed);
            }
            _ => {
                let reason = format!("{name:?} is not a setting");
                return Err(Mistake::new(reason, "Use the settings ca, cert, key and consistency."));
            }
        }
    }
    let identity = match (cert, key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        _ => {
            let reason = "a client certificate needs its key, and the key its certificate";
            return Err(Mistake::new(reason, "Write both, as in cert=FILE&key=FILE."));
        }
    };
    let tls = match (ca, identity) {
        (Some(ca), identity) => Some(TlsFiles { ca, identity }),
        (None, None) => None,
        (None, Some(_)) => {
            let reason = "it has a client certificate, but no authority for the members' certificates";
            return Err(Mistake::new(reason, "Name the authority too, as in ca=FILE."));
        }
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
            let refused = Address::parse(rest).unwrap_err();
            let advice = refused.advice().unwrap();
            assert!(advice.starts_with("Percent-encode"), "{advice}");
            assert!(!format!("{refused} {refused:?} {advice}").contains("sec"), "{refused:?}");
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
