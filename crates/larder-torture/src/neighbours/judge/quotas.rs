//! Which quotas may have held when.
//!
//! A change of a quota is not in the log. So it is known only between which revisions it was made: after those that were
//! there before it was asked for, and before those that were asked for after it was acknowledged.

use std::collections::BTreeMap;

use super::moments::Moments;
use crate::neighbours::history::{Asked, Limit, Record, Told};

/// What a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub keys: u64,
    pub groups: u64,
    pub bytes: u64,
}

impl Limit {
    /// What a namespace may hold to which no quota was given.
    pub fn unlimited(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), keys: u64::MAX, groups: u64::MAX, bytes: u64::MAX }
    }

    fn resources(&self, before: Usage, after: Usage) -> [(&'static str, u64, u64, u64); 3] {
        [
            ("keys", self.keys, before.keys, after.keys),
            ("groups", self.groups, before.groups, after.groups),
            ("bytes", self.bytes, before.bytes, after.bytes),
        ]
    }

    /// Whether it refuses a write: what the write takes no more of is not refused, however much was there.
    pub fn refuses(&self, before: Usage, after: Usage) -> bool {
        self.resources(before, after).iter().any(|(_, limit, before, after)| after > limit && after > before)
    }

    /// Whether it refuses a write with these words.
    pub fn refuses_for(&self, before: Usage, after: Usage, resource: &str, limit: u64, wanted: u64) -> bool {
        self.resources(before, after).iter().any(|(name, own, before, after)| {
            (*name, *own, *after) == (resource, limit, wanted) && after > own && after > before
        })
    }
}

/// When something happened: while the store was at one of the revisions from `begins` until before `ends`, and between
/// two moments of the clients.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub begins: u64,
    pub ends: u64,
    pub invoked: u64,
    pub returned: u64,
}

impl Span {
    /// The commit of a revision.
    pub fn of_commit(revision: u64) -> Self {
        Self { begins: revision, ends: revision, invoked: 0, returned: u64::MAX }
    }
}

/// A quota that was asked for, and at which revision the store was then: at `first` or later, and at `last` or earlier.
#[derive(Debug)]
struct Change {
    limit: Limit,
    first: u64,
    last: u64,
    invoked: u64,
    returned: u64,
    /// Whether it was made.
    is_certain: bool,
}

/// The quotas of all namespaces.
#[derive(Debug, Default)]
pub struct Quotas(BTreeMap<String, Vec<Change>>);

impl Quotas {
    pub fn new(records: &[Record], moments: &Moments) -> Self {
        let mut quotas = Self::default();
        for record in records {
            let Asked::SetQuota(limit) = &record.asked else { continue };
            let (returned, is_certain) = match record.told {
                Told::Done(_) => (record.returned, true),
                Told::Dropped | Told::Killed => (record.returned, false),
                // It may be made at any time, or never.
                Told::Unknown(_) => (u64::MAX, false),
                Told::Refused(_) => continue,
            };
            let changes = quotas.0.entry(limit.namespace.clone()).or_insert_with(|| {
                let limit = Limit::unlimited(&limit.namespace);
                vec![Change { limit, first: 0, last: 0, invoked: 0, returned: 0, is_certain: true }]
            });
            changes.push(Change {
                limit: limit.clone(),
                first: moments.proven_before(record.invoked),
                last: if returned == u64::MAX { u64::MAX } else { moments.last_before(returned) },
                invoked: record.invoked,
                returned,
                is_certain,
            });
        }
        quotas
    }

    /// The namespaces of which it is known.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The quotas of a namespace that may have held at some time of a span.
    pub fn may_hold<'a>(&'a self, namespace: &str, span: Span) -> impl Iterator<Item = &'a Limit> {
        let changes = self.0.get(namespace).map(Vec::as_slice).unwrap_or_default();
        // What certainly was before one that was made before the span does not hold any more.
        let (mut invoked, mut first) = (0, 0);
        let is_made = |change: &&Change| change.last < span.begins || change.returned < span.invoked;
        for change in changes.iter().filter(|change| change.is_certain).filter(is_made) {
            invoked = invoked.max(change.invoked);
            first = first.max(change.first);
        }
        let may_hold = move |change: &&Change| {
            let is_over = change.returned < invoked || change.last < first;
            !is_over && change.invoked <= span.returned && change.first < span.ends
        };
        changes.iter().filter(may_hold).map(|change| &change.limit)
    }
}
