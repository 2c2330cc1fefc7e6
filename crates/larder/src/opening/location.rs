//! Parses a location: a file, memory or a cluster.

use std::path::PathBuf;

use crate::data::{Error, Result, without_password};
#[cfg(feature = "etcd")]
use crate::engine::etcd::Address;

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    File(PathBuf),
    Memory,
    /// A store on a cluster.
    #[cfg(feature = "etcd")]
    Etcd(Address),
}

impl Location {
    pub fn parse(location: &str) -> Result<Self> {
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
            _ => location,
        };
        if path.is_empty() {
            return refuse("it is empty", "Name a file, or :memory:.");
        }
        if path.contains('\0') {
            return refuse("a path cannot have a NUL byte in it", "Name a file without one.");
        }
        Ok(Self::File(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_unless_it_says_otherwise() {
        for (location, path) in [
            ("app.db", "app.db"),
            ("sqlite:app.db", "app.db"),
            ("sqlite:///var/app.db", "/var/app.db"),
            ("a:b.db", "a:b.db"),
        ] {
            assert_eq!(Location::parse(location).unwrap(), Location::File(path.into()), "{location}");
        }
        assert_eq!(Location::parse(":memory:").unwrap(), Location::Memory);
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
        ] {
            let refused = Location::parse(location).unwrap_err().to_string();
            assert!(!refused.contains("sec") && !refused.contains("ret@"), "{refused}");
        }
    }

    #[test]
    fn what_names_no_store_is_refused() {
        for location in ["", "sqlite:", "redis://host", "etcd://host:2379", "a\0b"] {
            assert!(matches!(Location::parse(location), Err(Error::InvalidLocation { .. })), "{location}");
        }
    }
}
