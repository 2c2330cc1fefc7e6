//! What a location leads to: a file, memory or a cluster.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::data::{Error, Result, looks_like_credentials, without_password};
#[cfg(feature = "etcd")]
use crate::engine::etcd::Address;

/// What a location leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    File(PathBuf),
    Memory,
    /// A store on a cluster.
    #[cfg(feature = "etcd")]
    Etcd(Address),
}

impl Target {
    pub fn parse(location: &OsStr) -> Result<Self> {
        if let Some(text) = location.to_str() {
            return Self::parse_text(text);
        }
        // Everything but the name of a file is text.
        let readable = location.to_string_lossy();
        match Self::parse_text(&readable)? {
            Self::File(_) => {
                let prefix = ["sqlite://", "sqlite:"].into_iter().find(|prefix| readable.starts_with(prefix));
                Ok(Self::File(path_after(location, prefix.map_or(0, str::len))))
            }
            _ => Err(Error::InvalidLocation {
                location: without_password(&readable),
                reason: "it is not UTF-8".into(),
                advice: "Write each byte that is not text as %XX.".into(),
            }),
        }
    }

    fn parse_text(location: &str) -> Result<Self> {
        let refuse = |reason: &str, advice: &'static str| {
            let (location, reason) = (without_password(location), reason.to_owned());
            Err(Error::InvalidLocation { location, reason, advice: advice.into() })
        };
        let path = match location.split_once(':') {
            _ if location == ":memory:" => return Ok(Self::Memory),
            Some(("sqlite", "")) => {
                return refuse("it names no file", "Name a file after sqlite:, as in sqlite:app.db.");
            }
            Some(("sqlite", ":memory:")) => return Ok(Self::Memory),
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            #[cfg(feature = "etcd")]
            Some(("etcd", rest)) => return Address::parse(rest).map(Self::Etcd),
            #[cfg(not(feature = "etcd"))]
            Some(("etcd", _)) => {
                return refuse(
                    "this build of larder has no etcd in it",
                    "Install protoc and build larder with its feature etcd: larder = { features = [\"etcd\"] } in a program, cargo build --release -p larder-cli --features etcd for the command line.",
                );
            }
            Some((scheme, rest)) if rest.starts_with("//") => {
                return refuse(
                    &format!("larder knows no stores of the kind {scheme:?}"),
                    "Name a file, :memory:, or a store in a cluster, as in etcd://db1:2379,db2:2379,db3:2379/app.",
                );
            }
            _ if looks_like_credentials(location) && !Path::new(location).exists() => {
                return refuse(
                    "it has a user and a password, which a file does not have",
                    "For a cluster, begin with etcd://, as in etcd://user:password@host:2379/app. For a file of this name, begin with sqlite:.",
                );
            }
            _ => location,
        };
        if path.is_empty() {
            return refuse("it is empty", "Name a file, or :memory:.");
        }
        // A plain path is taken literally.
        if location.starts_with("sqlite:")
            && let Some((_, query)) = path.rsplit_once('?')
            && asks_of_sqlite(query)
            && !Path::new(path).exists()
        {
            return refuse(
                &format!("a file has no query, as \"?{query}\" would be"),
                if query.contains("mode=memory") {
                    "Name :memory: for a store in memory."
                } else {
                    "Leave it out. A program opens a store only to read with the option `read_only`, and only if it exists with `create(false)`."
                },
            );
        }
        if path.contains('\0') {
            return refuse("a path cannot have a NUL byte in it", "Name a file without one.");
        }
        Ok(Self::File(path.into()))
    }
}

/// The path that follows so many characters of ASCII.
#[cfg(unix)]
fn path_after(location: &OsStr, prefix: usize) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(OsStr::from_bytes(&location.as_bytes()[prefix..])).to_owned()
}

/// The path that follows so many characters of ASCII.
#[cfg(windows)]
fn path_after(location: &OsStr, prefix: usize) -> PathBuf {
    use std::os::windows::ffi::{OsStrExt, OsStringExt};
    let rest: Vec<u16> = location.encode_wide().skip(prefix).collect();
    std::ffi::OsString::from_wide(&rest).into()
}

/// Whether what follows a `?` is an SQLite URI's query, such as `mode=ro&cache=shared`, and not the end of a name.
fn asks_of_sqlite(query: &str) -> bool {
    const NAMES: [&str; 8] = ["mode", "cache", "immutable", "vfs", "psow", "nolock", "modeof", "consistency"];
    query.split('&').all(|part| part.split_once('=').is_some_and(|(name, _)| NAMES.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(location: &str) -> Result<Target> {
        Target::parse(OsStr::new(location))
    }

    #[test]
    fn a_location_is_a_path_unless_it_says_otherwise() {
        for (location, path) in [
            ("app.db", "app.db"),
            ("sqlite:app.db", "app.db"),
            ("sqlite:///var/app.db", "/var/app.db"),
            ("a:b.db", "a:b.db"),
            ("why?.db", "why?.db"),
            ("sqlite:a?b=c", "a?b=c"),
            ("app.db?mode=ro", "app.db?mode=ro"),
        ] {
            assert_eq!(parse(location).unwrap(), Target::File(path.into()), "{location}");
        }
        assert_eq!(parse(":memory:").unwrap(), Target::Memory);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_utf8_and_everything_else_must_be() {
        use std::os::unix::ffi::OsStrExt;
        for (location, path) in [
            (&b"\xff.db"[..], &b"\xff.db"[..]),
            (b"sqlite:\xff.db", b"\xff.db"),
            (b"sqlite:///a/\xff", b"/a/\xff"),
        ] {
            let path = Path::new(OsStr::from_bytes(path)).to_owned();
            assert_eq!(Target::parse(OsStr::from_bytes(location)).unwrap(), Target::File(path));
        }
        for location in [&b"etcd://root:sec\xffret@h:1/app"[..], b"redis://root:sec\xffret@host"] {
            let refused = Target::parse(OsStr::from_bytes(location)).unwrap_err();
            assert!(matches!(refused, Error::InvalidLocation { .. }), "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("sec"), "{refused:?}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_a_password() {
        for location in [
            "etdc://root:secret@host/app",
            "etcd://root:secret@host:x/app",
            "etcd://root:sec/ret@host/app",
            "etcd://root:sec?ret@host/app",
            "etcd://root:sec@ret@host:x/app",
            "redis://root:secret@host",
            "etcd:root:secret@host/app",
            "root:secret@host:2379",
            "root:sec@ret@host",
        ] {
            let refused = parse(location).unwrap_err().to_string();
            assert!(!refused.contains("sec") && !refused.contains("ret@"), "{refused}");
        }
    }

    #[test]
    fn what_names_no_store_is_refused() {
        for location in [
            "",
            "sqlite:",
            "redis://host",
            "etcd://host:2379",
            "a\0b",
            "sqlite:app.db?mode=ro",
            "sqlite:///a/app.db?mode=rw&cache=shared",
        ] {
            assert!(matches!(parse(location), Err(Error::InvalidLocation { .. })), "{location}");
        }
    }
}
