//! Keeps passwords out of messages.

use std::fmt;

/// What stands for what is not shown.
const HIDDEN: char = '…';

/// Text that no message shows, such as a password.
#[cfg(feature = "etcd")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

#[cfg(feature = "etcd")]
impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text. Only what sends it to the cluster calls this.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "etcd")]
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HIDDEN}")
    }
}

/// A location without what precedes its last `@`, which may contain a password. A file may have an `@` in its name.
pub(crate) struct Redacted<'a>(pub &'a str);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(location) = *self;
        let Some((before, hosts)) = location.rsplit_once('@') else { return f.write_str(location) };
        match before.split_once(':') {
            Some(("sqlite", _)) => f.write_str(location),
            Some((scheme, rest)) if rest.starts_with("//") => write!(f, "{scheme}://{HIDDEN}@{hosts}"),
            Some(("etcd", _)) => write!(f, "etcd:{HIDDEN}@{hosts}"),
            _ if looks_like_credentials(location) => write!(f, "{HIDDEN}@{hosts}"),
            _ => f.write_str(location),
        }
    }
}

/// Returns a location without what precedes its last `@`.
pub(crate) fn without_password(location: &str) -> String {
    Redacted(location).to_string()
}

/// Whether a location without a scheme begins with a user and a password, as in `user:password@host`.
pub(crate) fn looks_like_credentials(location: &str) -> bool {
    let user = location.rsplit_once('@').and_then(|(before, _)| before.split_once(':'));
    // One letter is a drive of Windows.
    user.is_some_and(|(user, _)| user.len() > 1 && !user.contains(['/', '\\']))
}
