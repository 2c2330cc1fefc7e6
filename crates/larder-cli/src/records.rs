//! The shapes in which `--json` and NDJSON say what is in a store.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use larder::{CursorInfo, Entry, Event, GroupInfo, NamespaceInfo, Quota, Usage, Value};
use serde::Serialize;

use crate::times;

/// A value: as it is where it is text, otherwise in base64 and under a name that says so.
#[derive(Serialize)]
pub enum Content<'a> {
    #[serde(rename = "value")]
    Text(Option<&'a str>),
    #[serde(rename = "value_base64")]
    Bytes(String),
}

impl<'a> Content<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None => Self::Text(None),
            Some(value) => match value.as_str() {
                Some(text) => Self::Text(Some(text)),
                None => Self::Bytes(BASE64.encode(value.as_bytes())),
            },
        }
    }
}

/// An entry.
#[derive(Serialize)]
pub struct EntryRecord<'a> {
    group: &'a str,
    key: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
    revision: u64,
    expires_at: Option<String>,
}

impl<'a> EntryRecord<'a> {
    pub fn of(group: &'a str, entry: &'a Entry) -> Self {
        Self {
            group,
            key: &entry.key,
            content: Content::of(Some(&entry.value)),
            revision: entry.revision.0,
            expires_at: entry.expires_at.map(times::written),
        }
    }
}

/// An entry as it moves from one store to another: a revision means nothing there.
#[derive(Serialize)]
pub struct ExportRecord<'a> {
    group: &'a str,
    key: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
    expires_at: Option<String>,
}

impl<'a> ExportRecord<'a> {
    pub fn of(group: &'a str, entry: &'a Entry) -> Self {
        let EntryRecord { group, key, content, expires_at, .. } = EntryRecord::of(group, entry);
        Self { group, key, content, expires_at }
    }
}

/// The name of an entry.
#[derive(Serialize)]
pub struct KeyRecord<'a> {
    pub group: &'a str,
    pub key: &'a str,
}

/// An event.
#[derive(Serialize)]
pub struct EventRecord<'a> {
    revision: u64,
    kind: &'a str,
    group: &'a str,
    key: Option<&'a str>,
    #[serde(flatten)]
    content: Content<'a>,
    expires_at: Option<String>,
    at: String,
}

impl<'a> EventRecord<'a> {
    pub fn of(event: &'a Event) -> Self {
        Self {
            revision: event.revision.0,
            kind: event.kind.as_str(),
            group: &event.group,
            key: event.key.as_deref(),
            content: Content::of(event.value.as_ref()),
            expires_at: event.expires_at.map(times::written),
            at: times::written(event.at),
        }
    }
}

/// An entry that was there when a watch with a snapshot began, or that these were all.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SnapshotRecord<'a> {
    Entry {
        revision: u64,
        group: &'a str,
        key: &'a str,
        #[serde(flatten)]
        content: Content<'a>,
        expires_at: Option<String>,
    },
    Current {
        revision: u64,
    },
}

impl<'a> SnapshotRecord<'a> {
    pub fn entry(group: &'a str, entry: &'a Entry) -> Self {
        Self::Entry {
            revision: entry.revision.0,
            group,
            key: &entry.key,
            content: Content::of(Some(&entry.value)),
            expires_at: entry.expires_at.map(times::written),
        }
    }
}

/// A group.
#[derive(Serialize)]
pub struct GroupRecord<'a> {
    name: &'a str,
    keys: u64,
    bytes: u64,
}

impl<'a> GroupRecord<'a> {
    pub fn of(group: &'a GroupInfo) -> Self {
        Self { name: &group.name, keys: group.keys, bytes: group.bytes }
    }
}

/// A namespace, what it holds and what it may hold.
#[derive(Serialize)]
pub struct NamespaceRecord<'a> {
    name: &'a str,
    usage: UsageRecord,
    quota: QuotaRecord,
}

#[derive(Serialize)]
struct UsageRecord {
    keys: u64,
    groups: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct QuotaRecord {
    max_keys: Option<u64>,
    max_groups: Option<u64>,
    max_bytes: Option<u64>,
}

impl<'a> NamespaceRecord<'a> {
    pub fn of(namespace: &'a NamespaceInfo) -> Self {
        let Usage { keys, groups, bytes } = namespace.usage;
        let Quota { max_keys, max_groups, max_bytes } = namespace.quota;
        Self {
            name: &namespace.name,
            usage: UsageRecord { keys, groups, bytes },
            quota: QuotaRecord { max_keys, max_groups, max_bytes },
        }
    }
}

/// A named cursor, and how far it is.
#[derive(Serialize)]
pub struct CursorRecord<'a> {
    name: &'a str,
    revision: u64,
    behind: u64,
    compacted: bool,
    moved_at: String,
}

impl<'a> CursorRecord<'a> {
    pub fn of(cursor: &'a CursorInfo) -> Self {
        Self {
            name: &cursor.name,
            revision: cursor.revision.0,
            behind: cursor.behind,
            compacted: cursor.compacted,
            moved_at: times::written(cursor.moved_at),
        }
    }
}

/// When an entry expires, for a program that reads fields: `-` is never.
pub fn expiry_field(expires_at: Option<SystemTime>) -> String {
    expires_at.map_or_else(|| "-".into(), times::written)
}
