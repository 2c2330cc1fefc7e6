//! Parses an `etcd://` location: the cluster's endpoints, the store's name, and the credentials.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::data::{Consistency, Error, ParseError, Result, Secret, without_password};

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
    pub user: Option<User>,
    /// `None` connects without TLS.
    pub tls: Option<TlsFiles>,
    pub consistency: Option<Consistency>,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub password: Password,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Password {
    Given(Secret),
    /// The file holds it.
    In(PathBuf),
}

/// The PEM files that TLS needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    /// The certificate of the authority that signed the members' certificates; `None` trusts those that the system
    /// trusts.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Whether the password is in a file, which may get another one.
    pub fn has_password_file(&self) -> bool {
        self.user.as_ref().is_some_and(|user| matches!(user.password, Password::In(_)))
    }

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
        Some((user, endpoints)) => (Some(user), endpoints),
        None => (None, authority),
    };
    if endpoints.is_empty() {
        return Err(Mistake::new("it names no endpoint", AS_IN));
    }
    let endpoints: Vec<_> = endpoints.split(',').map(endpoint).collect::<Result<_, _>>()?;
    let Settings { ca, cert, key, password_file, tls, consistency } = Settings::parse(query)?;
    let user = who(user, password_file)?;
    let is_plain_allowed = tls == Some(Tls::Off);
    let tls = tls_files(tls, ca, cert.zip(key))?;
    if user.is_some() && tls.is_none() && !is_plain_allowed && !endpoints.iter().all(|host| is_loopback(host))
    {
        return Err(Mistake::new(
            "it would send the password in plain text over the network",
            "Add ca=FILE, with the authority of the members' certificates, or tls=system, for the authorities that this \
             system trusts. If the network is safe, add tls=off.",
        ));
    }
    Ok(Address { endpoints, name: store_name(name)?, user, tls, consistency })
}

/// The user of a location, from what precedes its `@` and the setting `password-file`.
fn who(user: Option<&str>, file: Option<PathBuf>) -> Result<Option<User>, Mistake> {
    let Some(user) = user else {
        return match file {
            None => Ok(None),
            Some(_) => Err(Mistake::new(
                "it has a password, but no user",
                "Name the user, as in etcd://user@host:2379/app?password-file=FILE.",
            )),
        };
    };
    let (name, password) = match (user.split_once(':'), file) {
        (Some((name, password)), None) => (name, Password::Given(Secret::new(decoded(password)?))),
        (None, Some(file)) => (user, Password::In(file)),
        (Some(_), Some(_)) => {
            let advice = "Leave one of them out.";
            return Err(Mistake::new("it has a password, and a file with another", advice));
        }
        (None, None) => {
            return Err(Mistake::new(
                "a user needs a password",
                "Write it, as in etcd://user:password@host:2379/app, or name a file that holds it: \
                 etcd://user@host:2379/app?password-file=FILE.",
            ));
        }
    };
    Ok(Some(User { name: decoded(name)?, password }))
}

fn tls_files(
    tls: Option<Tls>,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
) -> Result<Option<TlsFiles>, Mistake> {
    match (tls, ca, identity) {
        (None, None, None) | (Some(Tls::Off), None, None) => Ok(None),
        (None, Some(ca), identity) => Ok(Some(TlsFiles { ca: Some(ca), identity })),
        (Some(Tls::System), None, identity) => Ok(Some(TlsFiles { ca: None, identity })),
        (Some(Tls::Off), ..) => Err(Mistake::new(
            "it turns TLS off, and has certificates for it",
            "Leave out tls=off, or ca, cert and key.",
        )),
        (Some(Tls::System), Some(_), _) => Err(Mistake::new(
            "it trusts the system's authorities, and one of its own",
            "Leave out tls=system, or ca.",
        )),
        (None, None, Some(_)) => Err(Mistake::new(
            "it has a client certificate, but no authority for the members' certificates",
            "Name the authority too, as in ca=FILE, or trust those of the system: tls=system.",
        )),
    }
}

/// Whether what is sent to an endpoint stays on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address: IpAddr| address.is_loopback())
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

/// What follows the `?` of a location.
#[derive(Default)]
struct Settings {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    password_file: Option<PathBuf>,
    tls: Option<Tls>,
    consistency: Option<Consistency>,
}

/// The setting `tls`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Off,
    /// Trusts the authorities that the system trusts.
    System,
}

impl Settings {
    fn parse(query: &str) -> Result<Self, Mistake> {
        let mut settings = Self::default();
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let value = decoded(value)?;
            match name {
                "ca" => settings.ca = Some(value.into()),
                "cert" => settings.cert = Some(value.into()),
                "key" => settings.key = Some(value.into()),
                "password-file" => settings.password_file = Some(value.into()),
                "tls" => {
                    settings.tls = Some(match value.as_str() {
                        "off" => Tls::Off,
                        "system" => Tls::System,
                        _ => {
                            let reason = "tls can be off or system";
                            return Err(Mistake::new(reason, "Write tls=system, tls=off, or ca=FILE."));
                        }
                    });
                }
                "consistency" => {
                    let parsed = value.parse().map_err(|error: ParseError| {
                        let advice = "Write consistency=linearizable or consistency=cached.";
                        Mistake::new(error.to_string(), advice)
                    })?;
                    settings.consistency = Some(parsed);
                }
                _ => {
                    return Err(Mistake::new(
                        format!("{name:?} is not a setting"),
                        "Use the settings ca, cert, key, tls, password-file and consistency.",
                    ));
                }
            }
        }
        if settings.cert.is_some() != settings.key.is_some() {
            let reason = "a client certificate needs its key, and the key its certificate";
            return Err(Mistake::new(reason, "Write both, as in cert=FILE&key=FILE."));
        }
        Ok(settings)
    }
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
        let user = User { name: "root".into(), password: Password::Given(Secret::new("s@crt")) };
        assert!(!format!("{user:?}").contains("crt"), "{user:?}");
        assert_eq!(address.user, Some(user));
        let identity = Some(("c.pem".into(), "k.pem".into()));
        assert_eq!(address.tls, Some(TlsFiles { ca: Some("ca.pem".into()), identity }));
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
    fn a_password_leaves_the_machine_only_with_tls_or_where_that_is_said() {
        for rest in
            ["db", "10.0.0.1", "[fd00::1]:2379", "localhost,db", "localhost.example:1", "127.0.0.1,128.0.0.1"]
        {
            for (user, query) in [("u:secret", ""), ("u", "password-file=f&")] {
                let refused = Address::parse(&format!("//{user}@{rest}/app?{query}")).unwrap_err();
                assert!(refused.to_string().contains("plain text"), "{refused}");
                assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused:?}");
                for tls in ["ca=f", "tls=system", "tls=off"] {
                    Address::parse(&format!("//{user}@{rest}/app?{query}{tls}")).unwrap();
                }
            }
            Address::parse(&format!("//{rest}/app")).unwrap();
        }
        for rest in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:2379,[::1]:2379"] {
            Address::parse(&format!("//u:secret@{rest}/app")).unwrap();
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
            "//db/app?tls=on",
            "//db/app?tls=off&ca=c",
            "//db/app?tls=system&ca=c",
            "//db/app?tls=off&cert=c&key=k",
            "//db/app?password-file=f",
            "//u:p@db/app?tls=system&password-file=f",
            "//a b/app",
        ] {
            assert!(matches!(Address::parse(rest), Err(Error::InvalidLocation { .. })), "{rest}");
        }
    }
}
