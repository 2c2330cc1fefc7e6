//! Where a watch begins.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;
use super::position::LogPosition;
use super::revision::Revision;

/// A place in the feed of one store, to be kept as text and watched from later: a revision that says which
/// store it is of. See [`Store::token`](crate::Store::token) and [`Watcher::token`](crate::Watcher::token).
///
/// Its text is the store's identity, `@`, and a revision; where the place is in the middle of a commit, a
/// dot and the number of the last change of it, counted from 0.
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

    /// The identity of the store that it is of: see [`Stats::identity`](crate::Stats::identity).
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The commit that it is after, or in.
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

    fn from_str(token: &str) -> Result<Self, Error> {
        parse(token).ok_or_else(|| Error::InvalidToken { token: token.to_owned() })
    }
}

fn parse(token: &str) -> Option<ResumeToken> {
    let (store, place) = token.split_once('@')?;
    let is_identity = store.len() == 32 && store.bytes().all(|byte| byte.is_ascii_hexdigit());
    let place = match place.split_once('.') {
        Some((revision, step)) => LogPosition { revision: Revision(number(revision)?), step: number(step)? },
        None => LogPosition::after(Revision(number(place)?)),
    };
    is_identity.then(|| ResumeToken { store: store.into(), place })
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Where a watch begins: after a revision, or at a [`ResumeToken`]'s place. Made from either, or from a
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// `None` is whichever store is asked.
    store: Option<Arc<str>>,
    place: LogPosition,
}

impl Since {
    /// The place, in the store of this identity.
    pub(crate) fn place_in(self, identity: &str) -> Result<LogPosition, Error> {
        match self.store {
            Some(named) if *named != *identity => {
                Err(Error::OtherStore { named: named.to_string(), this: identity.to_owned() })
            }
            _ => Ok(self.place),
        }
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
