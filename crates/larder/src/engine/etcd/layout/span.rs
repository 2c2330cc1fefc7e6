//! Ranges of keys.

use bytes::Bytes;

/// A range of keys, from `start` up to but without `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::engine::etcd) struct Span {
    pub start: Bytes,
    pub end: Bytes,
}

impl Span {
    /// All keys that start so.
    pub(super) fn of_prefix(prefix: Vec<u8>) -> Self {
        let end = after_prefix(prefix.clone());
        Self { start: prefix.into(), end: end.into() }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && *key < *self.end
    }
}

/// The least key that is greater than all that start with a prefix; no prefix here is all `FF`.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

/// The least key that is greater than this one.
pub(in crate::engine::etcd) fn next_key(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}
