//! The Protocol Buffers messages that the keys of a store hold.

use bytes::Bytes;
use prost::Message;

#[cfg(doc)]
use super::Layout;
use crate::data::namespace::namespace_of;
use crate::data::{Event, EventKind, LogPosition, Pattern, Quota, Revision, Usage, Value, clock};

/// Says which key holds what larder did not write, and why that cannot be read.
pub fn unreadable(key: &[u8], reason: &dyn std::fmt::Display) -> String {
    format!("the key {:?} holds what larder does not write: {reason}", String::from_utf8_lossy(key))
}

/// The value of [`Layout::meta`].
#[derive(Clone, PartialEq, Message)]
pub struct Meta {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The identity of the store: 32 hexadecimal digits.
    #[prost(string, tag = "2")]
    pub identity: String,
    /// The cluster that the store was made in. A restored cluster often has another id.
    #[prost(fixed64, optional, tag = "3")]
    pub cluster_id: Option<u64>,
    /// The identities that it had before, the last ones, in order.
    #[prost(string, repeated, tag = "4")]
    pub former: Vec<String>,
}

impl Meta {
    /// Whether larder wrote the message, in whatever version. Bytes of other programs may decode as well.
    pub fn makes_sense(&self) -> bool {
        self.version > 0
            && self.identity.len() == 32
            && self.identity.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// The value of a [`Layout::entry`]. The entry's revision is the `mod_revision` of its key.
#[derive(Clone, PartialEq, Message)]
pub struct StoredEntry {
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
    #[prost(sint64, optional, tag = "2")]
    pub expires_at_ms: Option<i64>,
}

/// The value of a [`Layout::group`]: what a group has stored, expired entries included. A group without keys
/// has no tally.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct GroupTally {
    #[prost(uint64, tag = "1")]
    pub keys: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// No entry of the group expires sooner. A [`Layout::due`] exists for this time.
    #[prost(sint64, optional, tag = "3")]
    pub first_expiry_ms: Option<i64>,
}

/// The value of a [`Layout::namespace`]: what a namespace has stored, expired entries included, and its quota.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct NamespaceTally {
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

/// The value of a [`Layout::expiry`]: how many bytes the entry counts for.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Weight {
    #[prost(uint64, tag = "1")]
    pub bytes: u64,
}

/// The value of a [`Layout::cursor`].
#[derive(Clone, PartialEq, Message)]
pub struct StoredCursor {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// `None` is after the whole revision.
    #[prost(uint64, optional, tag = "2")]
    pub step: Option<u64>,
    #[prost(sint64, tag = "3")]
    pub moved_at_ms: i64,
    /// As text; `None` in a cursor that an earlier larder has moved, which wants all that its handle sees.
    #[prost(string, optional, tag = "4")]
    pub pattern: Option<String>,
}

impl StoredCursor {
    pub fn new(position: LogPosition, pattern: Option<&Pattern>, moved_at_ms: i64) -> Self {
        let step = (position.step != u64::MAX).then_some(position.step);
        Self { revision: position.revision.0, step, moved_at_ms, pattern: pattern.map(Pattern::to_string) }
    }

    pub fn position(&self) -> LogPosition {
        LogPosition { revision: Revision(self.revision), step: self.step.unwrap_or(u64::MAX) }
    }

    /// What the cursor wants, which is called `name`.
    pub fn wanted(&self, name: &str) -> Pattern {
        let stored = self.pattern.as_deref().and_then(|text| text.parse().ok());
        stored.unwrap_or_else(|| Pattern::of_namespace(namespace_of(name)))
    }
}

/// The value of a [`Layout::note`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoredNote {
    #[prost(string, tag = "1")]
    pub content: String,
}

/// The value of a [`Layout::fence`]: the last transaction of the writer that uses the fence.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StoredFence {
    #[prost(fixed64, tag = "1")]
    pub writer: u64,
    #[prost(uint64, tag = "2")]
    pub number: u64,
}

/// The value of [`Layout::log`]: the changes of one commit, in order.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    #[prost(sint64, tag = "1")]
    pub at_ms: i64,
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<Change>,
}

/// One change of a [`Record`].
#[derive(Clone, PartialEq, Message)]
pub struct Change {
    #[prost(enumeration = "ChangeKind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub group: String,
    /// `None` for the deletion of a group.
    #[prost(string, optional, tag = "3")]
    pub key: Option<String>,
    /// The value that was set, if the same commit has changed the entry again. If not, the entry at the
    /// commit's revision has it.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub value: Option<Bytes>,
    #[prost(sint64, optional, tag = "5")]
    pub expires_at_ms: Option<i64>,
}

/// What a [`Change`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ChangeKind {
    Set = 0,
    Delete = 1,
    DeleteGroup = 2,
    Expire = 3,
}

impl Change {
    pub fn set(group: &str, key: &str, value: Bytes, expires_at_ms: Option<i64>) -> Self {
        let (group, key) = (group.to_owned(), Some(key.to_owned()));
        Self { kind: ChangeKind::Set.into(), group, key, value: Some(value), expires_at_ms }
    }

    pub fn delete(group: &str, key: &str) -> Self {
        let (group, key) = (group.to_owned(), Some(key.to_owned()));
        Self { kind: ChangeKind::Delete.into(), group, key, value: None, expires_at_ms: None }
    }

    pub fn delete_group(group: &str) -> Self {
        let group = group.to_owned();
        Self { kind: ChangeKind::DeleteGroup.into(), group, key: None, value: None, expires_at_ms: None }
    }

    pub fn expire(group: &str, key: &str, expires_at_ms: Option<i64>) -> Self {
        let (group, key) = (group.to_owned(), Some(key.to_owned()));
        Self { kind: ChangeKind::Expire.into(), group, key, value: None, expires_at_ms }
    }

    /// Returns the event of the change in a commit at `revision`. `stored` is the entry at that revision, where
    /// the change itself does not have the value.
    pub fn event(&self, stored: Option<StoredEntry>, revision: Revision, at_ms: i64) -> Event {
        let (value, expires_at_ms) = match stored {
            Some(StoredEntry { value, expires_at_ms }) => (Some(value), expires_at_ms),
            None => (self.value.clone(), self.expires_at_ms),
        };
        let kind = match self.kind() {
            ChangeKind::Set => EventKind::Set,
            ChangeKind::Delete => EventKind::Delete,
            ChangeKind::DeleteGroup => EventKind::DeleteGroup,
            ChangeKind::Expire => EventKind::Expire,
        };
        Event {
            revision,
            kind,
            group: self.group.clone(),
            key: self.key.clone(),
            value: value.map(Value::from),
            expires_at: expires_at_ms.map(clock::time),
            at: clock::time(at_ms),
        }
    }
}
