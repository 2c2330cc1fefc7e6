//! The keys of a store in the cluster, and the messages they hold: see `docs/etcd-layout.md`.
//!
//! Every key of a store starts with the store's name and a slash. One word follows that says what the key
//! holds, then the names. Where more follows a group's name, the name is escaped: a NUL becomes `00 FF`, and
//! `00 01` ends the name. So no group's key can be mistaken for another's, and keys sort as the names do.

mod messages;
mod span;

use bytes::Bytes;

pub(super) use self::messages::{
    Change, ChangeKind, GroupTally, Meta, NamespaceTally, Record, StoredCursor, StoredEntry, StoredFence,
    StoredNote, Weight, unreadable,
};
pub(super) use self::span::{Span, next_key};

/// The version of the layout that this larder writes, and the latest that it reads.
pub(super) const VERSION: u32 = 2;

/// The first version whose notes have keys of their own. Before, they were entries.
pub(super) const WITH_NOTES: u32 = 2;

const GROUP_END: [u8; 2] = [0, 1];

fn push_escaped(bytes: &mut Vec<u8>, name: &str) {
    for byte in name.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xff);
        }
    }
}

/// Splits an escaped group's name off the start of `bytes`.
fn unescaped(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [0, 1, after @ ..] => return Some((String::from_utf8(name).ok()?, after)),
            [0, 0xff, after @ ..] => {
                name.push(0);
                rest = after;
            }
            [0, ..] | [] => return None,
            [byte, after @ ..] => {
                name.push(*byte);
                rest = after;
            }
        }
    }
}

/// Encodes a time so that the bytes sort as the times do.
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

    /// All keys of the store.
    pub fn everything(&self) -> Span {
        Span::of_prefix(self.root.clone())
    }

    /// Holds the layout's version and the store's identity.
    pub fn meta(&self) -> Bytes {
        self.path("larder").into()
    }

    /// Holds the record of the latest commit. The key's history is the change log.
    pub fn log(&self) -> Bytes {
        self.path("log").into()
    }

    /// Holds nothing. It is written whenever a tally or a quota changes without a commit record.
    pub fn quotas(&self) -> Bytes {
        self.path("quotas").into()
    }

    /// The entries and the log, which are adjacent so that one watch receives both. Only `meta` lies between
    /// them, and it is written once.
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

    /// Holds an entry.
    pub fn entry(&self, group: &str, key: &str) -> Bytes {
        let mut path = self.in_group("key/", group);
        path.extend(key.as_bytes());
        path.into()
    }

    /// The entries of a group.
    pub fn entries(&self, group: &str) -> Span {
        Span::of_prefix(self.in_group("key/", group))
    }

    /// The entries of all groups whose names start with `prefix`.
    pub fn entries_of_groups(&self, prefix: &str) -> Span {
        self.in_groups("key/", prefix)
    }

    /// Parses the group and the key from the path of an entry.
    pub fn entry_names(&self, key: &[u8]) -> Option<(String, String)> {
        let (group, key) = unescaped(key.strip_prefix(&*self.path("key/"))?)?;
        Some((group, String::from_utf8(key.to_vec()).ok()?))
    }

    /// Whether a key is where entries are, whatever it is called.
    pub fn is_in_entries(&self, key: &[u8]) -> bool {
        key.starts_with(&self.path("key/"))
    }

    /// Parses the key from the path of an entry in a known group's `entries`.
    pub fn key_in<'a>(&self, entries: &Span, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key.strip_prefix(&*entries.start)?).ok()
    }

    /// Holds the tally of a group.
    pub fn group(&self, group: &str) -> Bytes {
        self.named("group/", group)
    }

    /// The tallies of all groups whose names start with `prefix`.
    pub fn groups(&self, prefix: &str) -> Span {
        Span::of_prefix([&self.path("group/"), prefix.as_bytes()].concat())
    }

    pub fn group_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("group/"))?.to_vec()).ok()
    }

    /// Holds the tally and the quota of a namespace.
    pub fn namespace(&self, name: &str) -> Bytes {
        self.named("namespace/", name)
    }

    pub fn namespaces(&self) -> Span {
        Span::of_prefix(self.path("namespace/"))
    }

    pub fn namespace_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("namespace/"))?.to_vec()).ok()
    }

    /// Exists while an entry has this expiry.
    pub fn expiry(&self, group: &str, at_ms: i64, key: &str) -> Bytes {
        let mut path = self.in_group("expiry/", group);
        path.extend(time_bytes(at_ms));
        path.extend(key.as_bytes());
        path.into()
    }

    /// The expiries of a group, soonest first.
    pub fn expiries(&self, group: &str) -> Span {
        Span::of_prefix(self.in_group("expiry/", group))
    }

    /// The expiries of a group up to a time.
    pub fn expired(&self, group: &str, now_ms: i64) -> Span {
        let start = self.in_group("expiry/", group);
        let mut end = start.clone();
        end.extend(time_bytes(now_ms.saturating_add(1)));
        Span { start: start.into(), end: end.into() }
    }

    /// The expiries of all groups whose names start with `prefix`.
    pub fn expiries_of_groups(&self, prefix: &str) -> Span {
        self.in_groups("expiry/", prefix)
    }

    /// Parses the group, the time and the key from the path of an expiry.
    pub fn expiry_parts(&self, key: &[u8]) -> Option<(String, i64, String)> {
        let (group, rest) = unescaped(key.strip_prefix(&*self.path("expiry/"))?)?;
        let (at, key) = rest.split_first_chunk()?;
        Some((group, time_of(*at), String::from_utf8(key.to_vec()).ok()?))
    }

    /// Exists where an entry of a group expires at this time, or did before it was overwritten.
    pub fn due(&self, at_ms: i64, group: &str) -> Bytes {
        [&self.path("due/"), &time_bytes(at_ms)[..], group.as_bytes()].concat().into()
    }

    /// The groups in which an entry may have expired by a time, the soonest first.
    pub fn due_by(&self, now_ms: i64) -> Span {
        let start = self.path("due/");
        let end = [&start, &time_bytes(now_ms.saturating_add(1))[..]].concat();
        Span { start: start.into(), end: end.into() }
    }

    pub fn all_due(&self) -> Span {
        Span::of_prefix(self.path("due/"))
    }

    /// Parses the time and the group from the path of a `due` key.
    pub fn due_parts(&self, key: &[u8]) -> Option<(i64, String)> {
        let (at, group) = key.strip_prefix(&*self.path("due/"))?.split_first_chunk()?;
        Some((time_of(*at), String::from_utf8(group.to_vec()).ok()?))
    }

    /// Holds the position of a named cursor.
    pub fn cursor(&self, name: &str) -> Bytes {
        self.named("cursor/", name)
    }

    /// The cursors whose names start with `prefix`.
    pub fn cursors(&self, prefix: &str) -> Span {
        Span::of_prefix([&self.path("cursor/"), prefix.as_bytes()].concat())
    }

    pub fn cursor_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("cursor/"))?.to_vec()).ok()
    }

    /// Holds a note that larder keeps for itself.
    pub fn note(&self, name: &str) -> Bytes {
        self.named("note/", name)
    }

    /// The notes whose names start with `prefix`.
    pub fn notes(&self, prefix: &str) -> Span {
        Span::of_prefix([&self.path("note/"), prefix.as_bytes()].concat())
    }

    pub fn note_name(&self, key: &[u8]) -> Option<String> {
        String::from_utf8(key.strip_prefix(&*self.path("note/"))?.to_vec()).ok()
    }

    /// One of a fixed number of keys. Each writer uses one, which all its transactions compare and write: so
    /// each transaction takes effect once at most, however often and late it reaches the cluster.
    pub fn fence(&self, number: u16) -> Bytes {
        self.named("fence/", &number.to_string())
    }

    /// Returns whether a key is one that larder writes.
    pub fn knows(&self, key: &[u8]) -> bool {
        [self.meta(), self.log(), self.quotas()].iter().any(|known| *known == *key)
            || self.entry_names(key).is_some()
            || self.group_name(key).is_some()
            || self.namespace_name(key).is_some()
            || self.expiry_parts(key).is_some()
            || self.due_parts(key).is_some()
            || self.cursor_name(key).is_some()
            || self.note_name(key).is_some()
            || key.starts_with(&self.path("fence/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] =
        &["", "\0", "\0\0", "\0\u{1}", "\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "é", "日本"];

    #[test]
    fn entries_sort_by_group_and_key_and_belong_to_one_group_only() {
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
    fn one_watch_receives_entries_and_the_log_and_nothing_else() {
        let layout = Layout::new("app");
        let feed = layout.feed();
        assert!(feed.contains(&layout.log()) && feed.contains(&layout.entry("", "")));
        let others =
            [layout.quotas(), layout.group("g"), layout.namespace("n"), layout.cursor("c"), layout.note("n")];
        let others = others.into_iter().chain([layout.expiry("g", 1, "k"), layout.due(1, "g")]);
        for other in others {
            assert!(!feed.contains(&other) && layout.everything().contains(&other) && layout.knows(&other));
        }
        assert!(!layout.knows(b"app/else") && !layout.everything().contains(b"app2/log"));
    }
}
