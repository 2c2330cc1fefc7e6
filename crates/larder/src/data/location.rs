//! The location of a store, which may hold a password.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::redaction::Redacted;

/// The location of a store, to keep and to show: [`Store::connect`](crate::Store::connect) takes it.
///
/// A cluster's location may hold a user and a password. `Display` and `Debug` leave them out, so it can be logged.
/// [`as_os_str`](Self::as_os_str) has them.
///
/// ```
/// use larder::{Location, Store};
///
/// let location = Location::from("etcd://root:s3cret@db1:2379,db2:2379/app");
/// assert_eq!(location.to_string(), "etcd://…@db1:2379,db2:2379/app");
/// assert_eq!(format!("{location:?}"), "\"etcd://…@db1:2379,db2:2379/app\"");
///
/// let store = Store::connect(Location::from(":memory:"))?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Location(OsString);

impl Location {
    /// Returns the whole location, with user and password.
    ///
    /// ```
    /// assert_eq!(larder::Location::from("app.db").as_os_str(), "app.db");
    /// ```
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<OsStr> for Location {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl From<&str> for Location {
    fn from(location: &str) -> Self {
        Self(location.into())
    }
}

impl From<String> for Location {
    fn from(location: String) -> Self {
        Self(location.into())
    }
}

impl From<OsString> for Location {
    fn from(location: OsString) -> Self {
        Self(location)
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self(path.into())
    }
}

impl FromStr for Location {
    type Err = std::convert::Infallible;

    fn from_str(location: &str) -> Result<Self, Self::Err> {
        Ok(location.into())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Redacted(&self.0.to_string_lossy()), f)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_shown_without_user_and_password() {
        for (location, shown) in [
            ("etcd://user:p@ss@h1:2379,h2:2379/app", "etcd://…@h1:2379,h2:2379/app"),
            ("etcd://h1:2379/app", "etcd://h1:2379/app"),
            ("etcd:user:pass@host/app", "etcd:…@host/app"),
            ("user:pass@host:2379", "…@host:2379"),
            ("user:pass@host", "…@host"),
            ("redis://user:pass@host", "redis://…@host"),
            ("me@home.db", "me@home.db"),
            ("a/b:c@d.db", "a/b:c@d.db"),
            ("C:\\data\\me@home.db", "C:\\data\\me@home.db"),
            ("sqlite:user:note@home.db", "sqlite:user:note@home.db"),
        ] {
            assert_eq!(Location::from(location).to_string(), shown, "{location}");
            assert_eq!(Location::from(location).as_os_str(), location);
        }
    }
}
