//! Room for a copy of a small value.

use smallvec::SmallVec;

use super::clock::{self, Clock};
use super::facts::Facts;
use super::found::Found;

/// Up to so many bytes, copying a value is cheaper than counting a reference to it that other threads count as well.
const BYTES_MAX: usize = 256;

/// Room for the value of one entry, on the stack of whoever looks for it. It is passed down to the cache, which copies
/// the value into it: to hand it up instead would copy it once for each caller on the way.
#[derive(Default)]
pub(crate) struct SmallValue(SmallVec<[u8; BYTES_MAX]>);

/// What a cache knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peeked {
    /// Nothing, or its value is not small.
    Unknown,
    /// It has no entry.
    Absent,
    /// Its value was copied. It has these facts, and may have expired.
    Copied(Facts),
}

impl Peeked {
    /// Whether there is a live entry; `None` where the cache does not know. Reads the clock only if it can expire.
    #[inline]
    pub fn is_live(self, clock: &dyn Clock) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Absent => Some(false),
            Self::Copied(facts) => Some(facts.expires_at_ms.is_none_or(|at_ms| at_ms > clock::now_ms(clock))),
        }
    }
}

impl SmallValue {
    /// Copies the value of an entry, if it is small.
    #[inline]
    pub fn copy(&mut self, found: &Found) -> Peeked {
        let value = found.value();
        if !found.is_stored() {
            Peeked::Absent
        } else if value.len() > BYTES_MAX {
            Peeked::Unknown
        } else {
            self.0.clear();
            self.0.extend_from_slice(value);
            Peeked::Copied(found.facts())
        }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
