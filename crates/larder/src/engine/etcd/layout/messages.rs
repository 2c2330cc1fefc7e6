//! What lies under the keys of a store.

use bytes::Bytes;
use prost::Message;

#[cfg(doc)]
use super::Layout;
use crate::data::{LogPosition, Quota, Revision, Usage};

/// What lies at [`Layout::meta`].
#[derive(Clone, PartialEq, Message)]
pub(in crate::engine::etcd) struct Meta {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// What tells the store from every other.
    #[prost(string, tag = "2")]
    pub identity: String,
}

impl Meta {
    /// Whether it is one that larder wrote, of whatever version: something else may well decode.
    pub fn makes_sense(&self) -> bool {
        self.version > 0
            && self.identity.len() == 32
            && self.identity.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// An entry; its revision is that at which the key was last modified.
#[derive(Clone, PartialEq, Message)]
pub(in crate::engine::etcd) struct StoredEntry {
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
    #[prost(sint64, optional, tag = "2")]
    pub expires_at_ms: Option<i64>,
}

/// How much a group has stored, expired or not. A group without keys has none.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::engine::etcd) struct GroupTally {
    #[prost(uint64, tag = "1")]
    pub keys: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// Nothing in the group expires sooner. There is a [`Layout::due`] for it.
    #[prost(sint64, optional, tag = "3")]
    pub first_expiry_ms: Option<i64>,
}

/// How much a namespace has stored, expired or not, and may have.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::engine::etcd) struct NamespaceTally {
    #[prost(uint64, tag = "1")]
    pub keys: u64,
    #[prost(uint64, tag = "2")]
    pub groups: u64,
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
    #[prost(uint64, optional, tag = "4")]
    pub max_keys: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub max_groups: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub max_bytes: Option<u64>,
}

impl NamespaceTally {
    pub fn usage(&self) -> Usage {
        Usage { keys: self.keys, groups: self.groups, bytes: self.bytes }
    }

    pub fn quota(&self) -> Quota {
        Quota { max_keys: self.max_keys, max_groups: self.max_groups, max_bytes: self.max_bytes }
    }
}

/// What lies at a [`Layout::expiry`]: what the entry counts for.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::engine::etcd) struct Weight {
    #[prost(uint64, tag = "1")]
    pub bytes: u64,
}

/// A named cursor.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::engine::etcd) struct CursorPlace {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// `None` is after the whole revision.
    #[prost(uint64, optional, tag = "2")]
    pub step: Option<u64>,
    #[prost(sint64, tag = "3")]
    pub moved_at_ms: i64,
}

impl CursorPlace {
    pub fn new(place: LogPosition, moved_at_ms: i64) -> Self {
        let step = (place.step != u64::MAX).then_some(place.step);
        Self { revision: place.revision.0, step, moved_at_ms }
    }

    pub fn place(&self) -> LogPosition {
        LogPosition { revision: Revision(self.revision), step: self.step.unwrap_or(u64::MAX) }
    }
}

/// What lies at a [`Layout::fence`]: the last transaction that was made behind it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(in crate::engine::etcd) struct Fence {
    #[prost(fixed64, tag = "1")]
    pub writer: u64,
    #[prost(uint64, tag = "2")]
    pub number: u64,
}

/// What one commit did, in order: what lies at [`Layout::log`].
#[derive(Clone, PartialEq, Message)]
pub(in crate::engine::etcd) struct Record {
    #[prost(sint64, tag = "1")]
    pub at_ms: i64,
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<Change>,
}

/// One change of a [`Record`].
#[derive(Clone, PartialEq, Message)]
pub(in crate::engine::etcd) struct Change {
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub group: String,
    #[prost(string, optional, tag = "3")]
    pub key: Option<String>,
    /// The value that was set, where the same commit has changed the entry once more. Else it is what
    /// the entry had at the commit's revision.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub value: Option<Bytes>,
    #[prost(sint64, optional, tag = "5")]
    pub expires_at_ms: Option<i64>,
}

/// What a [`Change`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in crate::engine::etcd) enum Kind {
    Set = 0,
    Delete = 1,
    DeleteGroup = 2,
    Expire = 3,
}
