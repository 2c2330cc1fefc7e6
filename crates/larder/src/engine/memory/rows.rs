//! What the trees of a store in memory sort.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::data::{Found, LogPosition, Pattern, Quota, Usage};

/// An entry, expired or not. Sorted by group and key.
#[derive(Clone)]
pub(super) struct Row(pub Found);

/// An entry that expires. Sorted by expiry, then by group and key.
#[derive(Clone)]
pub(super) struct Due {
    pub at_ms: i64,
    pub found: Found,
}

/// What a group has stored, expired or not.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: Arc<str>,
    pub keys: u64,
    pub bytes: u64,
}

/// What a namespace has stored, expired or not, and what it may have.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub name: Arc<str>,
    pub usage: Usage,
    pub quota: Quota,
}

/// A named cursor.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub name: Arc<str>,
    pub position: LogPosition,
    pub pattern: Arc<Pattern>,
    pub moved_at_ms: i64,
}

/// A note that larder keeps for itself.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub name: Arc<str>,
    pub content: Arc<str>,
}

/// How an entry sorts beside a group and key.
#[inline]
pub(super) fn order_of(found: &Found, group: &str, key: &str) -> Ordering {
    found.compare(group, key)
}

/// The bytes of key and value, which quotas count.
pub(super) fn counted_bytes(found: &Found) -> u64 {
    (found.key_len() + found.value().len()) as u64
}

/// Sorts by what `$key` makes of a row.
macro_rules! sorted_by {
    ($type:ty, $row:ident, $other:ident => $compared:expr) => {
        impl Ord for $type {
            fn cmp(&self, $other: &Self) -> Ordering {
                let $row = self;
                $compared
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $type {}
    };
}

sorted_by!(Row, row, other => row.0.order(&other.0));
sorted_by!(Due, row, other => row.at_ms.cmp(&other.at_ms).then_with(|| row.found.order(&other.found)));
sorted_by!(Group, row, other => row.name.cmp(&other.name));
sorted_by!(Namespace, row, other => row.name.cmp(&other.name));
sorted_by!(Cursor, row, other => row.name.cmp(&other.name));
sorted_by!(Note, row, other => row.name.cmp(&other.name));
