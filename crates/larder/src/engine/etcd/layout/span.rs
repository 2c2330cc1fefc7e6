//! Ranges of keys.

use bytes::Bytes;

/// The keys from `start` up to, but without, `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub start: Bytes,
    pub end: Bytes,
}

impl Span {
    /// Returns the span of one key.
    pub fn of_key(key: Bytes) -> Self {
        Self { end: next_key(&key), start: key }
    }

    /// Returns the span of all keys that start with `prefix`.
    pub fn of_prefix(prefix: Vec<u8>) -> Self {
        let end = after_prefix(prefix.clone());
        Self { start: prefix.into(), end: end.into() }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && *key < *self.end
    }
}

/// Returns the least key after all that start with a prefix. No prefix in a store consists of `FF` alone.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

/// Returns the least key after `key`.
pub fn next_key(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}
