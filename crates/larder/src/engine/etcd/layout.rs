//! Where in the cluster everything lies, and how it is written there: see `docs/etcd-layout.md`.
//!
//! All keys of a store start with its name and a slash. Behind it, one word says what a key is; names
//! follow as they are. A group's name is escaped where something follows it, so that no group's keys can
//! be taken for another's and everything sorts as the names do: a NUL becomes `00 FF`, and the end of the
//! name is `00 01`.

mod messages;
mod span;

use bytes::Bytes;

pub(super) use self::messages::{
    Change, CursorPlace, Fence, GroupTally, Kind, Meta, NamespaceTally, Record, StoredEntry, Weight,
};
pub(super) use self::span::{Span, next_key};

/// The layout that this larder writes, and the latest that it reads.
pub(super) const VERSION: u32 = 1;

const GROUP_END: [u8; 2] = [0, 1];

fn push_escaped(bytes: &mut Vec<u8>, name: &str) {
    for byte in name.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xff);
        }
    }
}

/// The group's name at the start of `bytes`, and what follows its end.
fn unescaped(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [0, 1, behind @ ..] => return Some((String::from_utf8(name).ok()?, behind)),
            [0, 0xff, behind @ ..] => {
                name.push(0);
                rest = behind;
            }
            [0, ..] | [] => return None,
            [byte, behind @ ..] => {
                name.push(*byte);
                rest = behind;
            }
        }
    }
}

/// A time, so that times sort as their bytes do.
fn time_bytes(at_ms: i64) -> [u8; 8] {
    (at_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn time_of(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// The keys of one store.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The store's name and a slash.
    root: Vec<u8>,
}

impl Layout {
    pub fn new(name: &str) -> Self {
        Self { root: format!("{name}/").into_bytes() }
    }

    fn path(&self, word: &str) -> Vec<u8> {
        [&self.root, word.as_bytes()].concat()
    }

    fn named(&self, word: &str, name: &str) -> Bytes {
        [&self.root, word.as_bytes(), name.as_bytes()].concat().into()
    }

    /// Everything of the store.
    pub fn everything(&self) -> Span {
        Span::of_prefix(self.root.clone())
    }

    /// What says that this is a larder store, and which.
    pub fn meta(&self) -> Bytes {
        self.path("larder").into()
    }

    /// The record of the latest commit; its history is the change log.
    pub fn log(&self) -> Bytes {
        self.path("log").into()
    }

    /// Moved by each change of a quota.
    pub fn quotas(&self) -> Bytes {
        self.path("quotas").into()
    }

    /// Entries and log, which lie next to each other so that one watch hears of both. Only `meta` lies
    /// in between, and is never written again.
    pub fn feed(&self) -> Span {
        Span { start: self.path("key/").into(), end: next_key(&self.log()) }
    }

    fn in_group(&self, word: &str, group: &str) -> Vec<u8> {
        let mut key = self.path(word);
        push_escaped(&mut key, group);
        key.extend(GROUP_END);
        key
    }

    fn in_groups(&self, word: &str, prefix: &str) -> Span {
        let mut key = self.path(word);
        push_escaped(&mut key, prefix);
        Span::of_prefix(key)
    }

    pub fn entry(&self, group: &str, key: &str) -> Bytes {
        let mut path = self.in_group("key/", group);
        path.extend(key.as_bytes());
        path.into()
    }

    /// The entries of a group.
    pub fn entries(&self, group: &str) -> Span {
        Span::of_prefix(self.in_group("key/", group))
    }

    /// The entries of all groups that start so.
    pub fn entries_of_groups(&self, prefix: &str) -> Span {
        self.in_groups("key/", prefix)
    }

    /// The group and key of an entry.
    pub fn entry_names(&self, key: &[u8]) -> Option<(String, String)> {
        let (group, key) = unescaped(key.strip_prefix(&*self.path("key/"))?)?;
        Some((group, String::from_utf8(key.to_vec()).ok()?))
    }

    /// The key of an entry, of which the group is known.
    pub fn key_in<'a>(&self, entries: &Span, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key.strip_prefix(&*entries.start)?).ok()
    }

    pub fn group(&self, group: &str) -> Bytes {
        self.named("group/", group)
    }

    /// The tallies of all groups that start so.
    pub fn groups(&self, prefix: &str) -> Span {
        Span::of_prefix([&self.path("group/"), prefix.as_bytes()].concat())
    }

    pub fn group_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("group/"))?.to_vec()).ok()
    }

    pub fn namespace(&self, name: &str) -> Bytes {
        self.named("namespace/", name)
    }

    pub fn namespaces(&self) -> Span {
        Span::of_prefix(self.path("namespace/"))
    }

    pub fn namespace_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("namespace/"))?.to_vec()).ok()
    }

    pub fn expiry(&self, group: &str, at_ms: i64, key: &str) -> Bytes {
        let mut path = self.in_group("expiry/", group);
        path.extend(time_bytes(at_ms));
        path.extend(key.as_bytes());
        path.into()
    }

    /// What expires in a group.
    pub fn expiries(&self, group: &str) -> Span {
        Span::of_prefix(self.in_group("expiry/", group))
    }

    /// What has expired in a group by a time.
    pub fn expired(&self, group: &str, now_ms: i64) -> Span {
        let start = self.in_group("expiry/", group);
        let mut end = start.clone();
        end.extend(time_bytes(now_ms.saturating_add(1)));
        Span { start: start.into(), end: end.into() }
    }

    pub fn expiries_of_groups(&self, prefix: &str) -> Span {
        self.in_groups("expiry/", prefix)
    }

    /// The group, time and key of an expiry.
    pub fn expiry_parts(&self, key: &[u8]) -> Option<(String, i64, String)> {
        let (group, rest) = unescaped(key.strip_prefix(&*self.path("expiry/"))?)?;
        let (at, key) = rest.split_first_chunk()?;
        Some((group, time_of(*at), String::from_utf8(key.to_vec()).ok()?))
    }

    /// That a group has something that expires at this time, or had.
    pub fn due(&self, at_ms: i64, group: &str) -> Bytes {
        [&self.path("due/"), &time_bytes(at_ms)[..], group.as_bytes()].concat().into()
    }

    /// The groups in which something may have expired by a time.
    pub fn due_by(&self, now_ms: i64) -> Span {
        let start = self.path("due/");
        let end = [&start, &time_bytes(now_ms.saturating_add(1))[..]].concat();
        Span { start: start.into(), end: end.into() }
    }

    pub fn all_due(&self) -> Span {
        Span::of_prefix(self.path("due/"))
    }

    /// The time and group of such a key.
    pub fn due_parts(&self, key: &[u8]) -> Option<(i64, String)> {
        let (at, group) = key.strip_prefix(&*self.path("due/"))?.split_first_chunk()?;
        Some((time_of(*at), String::from_utf8(group.to_vec()).ok()?))
    }

    pub fn cursor(&self, name: &str) -> Bytes {
        self.named("cursor/", name)
    }

    /// The cursors whose names start so.
    pub fn cursors(&self, prefix: &str) -> Span {
        Span::of_prefix([&self.path("cursor/"), prefix.as_bytes()].concat())
    }

    pub fn cursor_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("cursor/"))?.to_vec()).ok()
    }

    /// One of a fixed number of keys, of which each writer has one that its transactions compare and move:
    /// so each of them happens once at the most, however often and late it reaches the cluster.
    pub fn fence(&self, number: u16) -> Bytes {
        self.named("fence/", &number.to_string())
    }

    /// Whether a key is one that larder writes.
    pub fn knows(&self, key: &[u8]) -> bool {
        [self.meta(), self.log(), self.quotas()].iter().any(|known| *known == *key)
            || self.entry_names(key).is_some()
            || self.group_name(key).is_some()
            || self.namespace_name(key).is_some()
            || self.expiry_parts(key).is_some()
            || self.due_parts(key).is_some()
            || self.cursor_name(key).is_some()
            || key.starts_with(&self.path("fence/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] =
        &["", "\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "é", "日本"];

    #[test]
    fn entries_sort_as_their_groups_and_keys_do_and_none_is_taken_for_another() {
        let layout = Layout::new("app");
        let mut names: Vec<_> =
            NAMES.iter().flat_map(|group| NAMES.iter().map(move |key| (*group, *key))).collect();
        names.sort();
        let keys: Vec<_> = names.iter().map(|(group, key)| layout.entry(group, key)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for ((group, key), path) in names.iter().zip(&keys) {
            assert_eq!(layout.entry_names(path).unwrap(), ((*group).to_owned(), (*key).to_owned()));
            for other in NAMES {
                assert_eq!(layout.entries(other).contains(path), other == group);
                assert_eq!(layout.entries_of_groups(other).contains(path), group.starts_with(other));
            }
        }
    }

    #[test]
    fn expiries_sort_by_group_and_then_by_time() {
        let layout = Layout::new("app");
        let mut parts = Vec::new();
        for group in NAMES {
            for at_ms in [i64::MIN, -1, 0, 1, 255, 256, i64::MAX] {
                parts.extend(NAMES.iter().map(|key| (*group, at_ms, *key)));
            }
        }
        parts.sort();
        let keys: Vec<_> =
            parts.iter().map(|(group, at_ms, key)| layout.expiry(group, *at_ms, key)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for ((group, at_ms, key), path) in parts.iter().zip(&keys) {
            assert_eq!(layout.expiry_parts(path).unwrap(), ((*group).to_owned(), *at_ms, (*key).to_owned()));
            assert_eq!(layout.expired(group, 0).contains(path), *at_ms <= 0);
        }
    }

    #[test]
    fn one_watch_hears_of_entries_and_log_and_of_nothing_else_that_is_written() {
        let layout = Layout::new("app");
        let feed = layout.feed();
        assert!(feed.contains(&layout.log()) && feed.contains(&layout.entry("", "")));
        let others = [layout.quotas(), layout.group("g"), layout.namespace("n"), layout.cursor("c")];
        let others = others.into_iter().chain([layout.expiry("g", 1, "k"), layout.due(1, "g")]);
        for other in others {
            assert!(!feed.contains(&other) && layout.everything().contains(&other) && layout.knows(&other));
        }
        assert!(!layout.knows(b"app/else") && !layout.everything().contains(b"app2/log"));
    }
}
