//! What a read found under a key: one allocation that caches and values share.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use triomphe::ThinArc;

use super::clock::{self, Clock};
use super::facts::Facts;
use super::revision::Revision;

/// What a read found under a key, expired or not: names, facts and value in one allocation, which the cache, the
/// returned value and its clones share. So a hit waits for one place in memory and counts one reference, and
/// what SQLite returns is copied once.
#[derive(Clone)]
pub(crate) struct Found(ThinArc<Head, u8>);

/// Precedes the group, the key and the value in the allocation. It is small: together with a hundred bytes of
/// names and value it fits in three cache lines.
struct Head {
    revision: Revision,
    /// Unix milliseconds, or `NEVER`.
    expires_at_ms: i64,
    group_bytes: u32,
    key_bytes: u32,
    /// Whether anything is stored under the key.
    is_stored: bool,
    /// Whether the cache has returned it lately. Relaxed: it guards nothing.
    read: AtomicBool,
}

/// The expiry of an entry that does not expire. No clock reaches it.
const NEVER: i64 = i64::MAX;

/// Up to this size, names and value are joined on the stack, which saves an allocation.
const SMALL_BYTES: usize = 512;

impl Found {
    /// Copies what is stored under a key. It always copies: a value that is part of a larger allocation must not
    /// keep all of it in memory.
    pub fn new(group: &str, key: &str, value: &[u8], facts: Facts) -> Self {
        let expires_at_ms = facts.expires_at_ms.unwrap_or(NEVER);
        Self::of([group.as_bytes(), key.as_bytes(), value], facts.revision, expires_at_ms, true)
    }

    /// Records that nothing is stored under a key.
    pub fn absence(group: &str, key: &str) -> Self {
        Self::absence_at(group, key, Revision(0))
    }

    /// Records that nothing was stored under a key at a revision.
    pub fn absence_at(group: &str, key: &str, revision: Revision) -> Self {
        Self::of([group.as_bytes(), key.as_bytes(), &[]], revision, NEVER, false)
    }

    fn of(parts: [&[u8]; 3], revision: Revision, expires_at_ms: i64, is_stored: bool) -> Self {
        // SQLite cannot store names of 4 GiB.
        let [group_bytes, key_bytes, _] = parts.map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX));
        let read = AtomicBool::new(false);
        let head = Head { revision, expires_at_ms, group_bytes, key_bytes, is_stored, read };
        let mut buffer = [0; SMALL_BYTES];
        let len = parts.iter().map(|part| part.len()).sum();
        Self(match buffer.get_mut(..len) {
            Some(bytes) => {
                let mut rest = &mut *bytes;
                for part in parts {
                    let (here, behind) = rest.split_at_mut(part.len());
                    here.copy_from_slice(part);
                    rest = behind;
                }
                ThinArc::from_header_and_slice(head, bytes)
            }
            None => ThinArc::from_header_and_slice(head, &parts.concat()),
        })
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// Returns whether it was found under this key.
    #[inline]
    pub fn is_of(&self, group: &str, key: &str) -> bool {
        let Head { group_bytes, key_bytes, .. } = *self.head();
        group_bytes as usize == group.len()
            && key_bytes as usize == key.len()
            && self.0.slice[group.len()..group.len() + key.len()] == *key.as_bytes()
            && self.0.slice[..group.len()] == *group.as_bytes()
    }

    pub fn group(&self) -> &str {
        self.name(0..self.head().group_bytes as usize)
    }

    pub fn key(&self) -> &str {
        let start = self.head().group_bytes as usize;
        self.name(start..start + self.head().key_bytes as usize)
    }

    /// Returns whether both share one allocation.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }

    /// Returns whether it was found in this group.
    #[inline]
    pub fn is_of_group(&self, group: &str) -> bool {
        self.names().0 == group.as_bytes()
    }

    /// How long the key is, in bytes.
    #[inline]
    pub fn key_len(&self) -> usize {
        self.head().key_bytes as usize
    }

    /// How it sorts beside a group and key: first by group, then by key, each by its bytes.
    #[inline]
    pub fn compare(&self, group: &str, key: &str) -> Ordering {
        self.compare_bytes(group.as_bytes(), key.as_bytes())
    }

    /// How it sorts beside another.
    #[inline]
    pub fn order(&self, other: &Self) -> Ordering {
        let (group, key) = other.names();
        self.compare_bytes(group, key)
    }

    #[inline]
    fn compare_bytes(&self, group: &[u8], key: &[u8]) -> Ordering {
        let (own_group, own_key) = self.names();
        own_group.cmp(group).then_with(|| own_key.cmp(key))
    }

    /// Its group and key.
    #[inline]
    fn names(&self) -> (&[u8], &[u8]) {
        let Head { group_bytes, key_bytes, .. } = *self.head();
        let (group, rest) = self.0.slice.split_at(group_bytes as usize);
        (group, &rest[..key_bytes as usize])
    }

    fn name(&self, range: std::ops::Range<usize>) -> &str {
        // `of` took it from a `&str`.
        std::str::from_utf8(&self.0.slice[range]).unwrap_or_default()
    }

    /// Returns the bytes of the value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let Head { group_bytes, key_bytes, .. } = *self.head();
        &self.0.slice[group_bytes as usize + key_bytes as usize..]
    }

    /// Returns revision and expiry.
    pub fn facts(&self) -> Facts {
        let Head { revision, expires_at_ms, .. } = *self.head();
        Facts { revision, expires_at_ms: (expires_at_ms != NEVER).then_some(expires_at_ms) }
    }

    /// Returns whether anything is stored under the key.
    #[inline]
    pub fn is_stored(&self) -> bool {
        self.head().is_stored
    }

    /// Returns whether it has not expired. Reads the clock only if it can expire.
    #[inline]
    pub fn is_live(&self, clock: &dyn Clock) -> bool {
        let expires_at_ms = self.head().expires_at_ms;
        expires_at_ms == NEVER || expires_at_ms > clock::now_ms(clock)
    }

    /// Records that the cache returns it.
    #[inline]
    pub fn mark_read(&self) {
        // Written only if it changes, so that readers on several cores can share the cache line.
        if !self.head().read.load(Relaxed) {
            self.head().read.store(true, Relaxed);
        }
    }

    /// Returns whether the cache has returned it since the last call.
    pub fn take_read(&self) -> bool {
        self.head().read.swap(false, Relaxed)
    }

    /// Returns the memory that it occupies, including what the allocator adds, for names and a value of so many bytes.
    pub const fn memory(names_and_value: usize) -> usize {
        size_of::<Head>() + 2 * size_of::<usize>() + 16 + names_and_value
    }

    /// Returns the bytes of its names and value.
    pub fn len(&self) -> usize {
        self.0.slice.len()
    }
}
