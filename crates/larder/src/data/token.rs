//! Where a watch begins.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::{Error, Result};
use super::parse::{self, ParseError};
use super::position::LogPosition;
use super::revision::Revision;

/// A position in the change log of one particular store, to keep as text and watch from later.
///
/// [`Store::token`](crate::Store::token) and [`Watcher::token`](crate::Watcher::token) return one. Unlike a
/// plain [`Revision`], it identifies its store: used on another store, it is refused with
/// [`Error::OtherStore`].
///
/// Its text is the store's identity, `@` and a revision. A position in the middle of a commit is followed by a
/// dot and the number of the last change before it, counted from 0.
///
/// ```
/// # use larder::{Error, Pattern, ResumeToken, Store};
/// # let store = Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let kept = store.token()?.to_string();
/// store.set("config", "colour", "green")?;
///
/// let watcher = store.watch_from(Pattern::all(), kept.parse::<ResumeToken>()?)?;
/// assert_eq!(watcher.recv()?.value.unwrap(), "green");
///
/// let elsewhere = Store::in_memory()?.watch_from(Pattern::all(), kept.parse::<ResumeToken>()?);
/// assert!(matches!(elsewhere, Err(Error::OtherStore { .. })));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResumeToken {
    store: Arc<str>,
    place: LogPosition,
}

impl ResumeToken {
    pub(crate) fn new(store: Arc<str>, place: LogPosition) -> Self {
        Self { store, place }
    }

    /// Returns the identity of its store: see [`Stats::identity`](crate::Stats::identity).
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.token()?.store(), store.stats()?.identity);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Returns the commit that the position is after, or in the middle of.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// assert_eq!(store.token()?.revision(), revision);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn revision(&self) -> Revision {
        self.place.revision
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogPosition { revision, step } = self.place;
        write!(f, "{}@{revision}", self.store)?;
        if self.place < LogPosition::after(revision) { write!(f, ".{step}") } else { Ok(()) }
    }
}

impl FromStr for ResumeToken {
    type Err = Error;

    fn from_str(token: &str) -> Result<Self> {
        read(token).ok_or_else(|| Error::InvalidToken { token: token.to_owned() })
    }
}

fn read(token: &str) -> Option<ResumeToken> {
    let (store, place) = token.split_once('@')?;
    let is_identity = store.len() == 32 && store.bytes().all(|byte| byte.is_ascii_hexdigit());
    let place = match place.split_once('.') {
        Some((revision, step)) => {
            LogPosition { revision: Revision(parse::number(revision)?), step: parse::number(step)? }
        }
        None => LogPosition::after(Revision(parse::number(place)?)),
    };
    is_identity.then(|| ResumeToken { store: store.into(), place })
}

/// Where a watch begins: after a revision, or at a [`ResumeToken`].
///
/// It is made from a [`Revision`], a `u64` or a token, so that
/// [`Store::watch_from`](crate::Store::watch_from) and the like take any of them. It can also be parsed from
/// the text of either:
///
/// ```
/// use larder::{Revision, Since};
///
/// let since: Since = "42".parse()?;
/// assert_eq!(since, Since::from(Revision(42)));
/// assert!("yesterday".parse::<Since>().is_err());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Since {
    /// The identity of the store; `None` is any.
    store: Option<Arc<str>>,
    place: LogPosition,
}

impl Since {
    /// Returns the position in the store with this identity.
    ///
    /// # Errors
    /// [`Error::OtherStore`] for a token of another store.
    pub(crate) fn place_in(self, identity: &str) -> Result<LogPosition> {
        match self.store {
            Some(named) if *named != *identity => {
                Err(Error::OtherStore { named: named.to_string(), this: identity.to_owned() })
            }
            _ => Ok(self.place),
        }
    }
}

impl FromStr for Since {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let revision = parse::number(text).map(Self::from);
        revision.or_else(|| read(text).map(Self::from)).ok_or_else(|| {
            ParseError::new(
                "place to begin",
                text,
                "a revision, such as 42, or a resume token, such as 0123456789abcdef0123456789abcdef@42",
            )
        })
    }
}

impl From<Revision> for Since {
    fn from(revision: Revision) -> Self {
        Self { store: None, place: LogPosition::after(revision) }
    }
}

impl From<u64> for Since {
    fn from(revision: u64) -> Self {
        Revision(revision).into()
    }
}

impl From<ResumeToken> for Since {
    fn from(token: ResumeToken) -> Self {
        Self { store: Some(token.store), place: token.place }
    }
}

impl From<&ResumeToken> for Since {
    fn from(token: &ResumeToken) -> Self {
        token.clone().into()
    }
}
