use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use triomphe::ThinArc;

use crate::Revision;
use crate::entries::Facts;

/// An entry as a cache keeps it: its names, its facts and its value in one piece of memory, which the
/// values that are handed out share. A hit waits for that one place and counts one reference.
#[derive(Clone)]
pub(crate) struct Cached(ThinArc<Head, u8>);

/// What lies before the group, the key and the value, which follow one after the other. It is kept
/// small: with names and a value of a hundred bytes it fits in three lines of the processor's cache.
struct Head {
    hash: u64,
    /// Shared by all entries of a group: whether they count no longer. Relaxed suffices for it: it is
    /// written and read under the cache's lock.
    dropped: Arc<AtomicBool>,
    revision: Revision,
    /// Unix milliseconds, or `NEVER`.
    expires_at_ms: i64,
    group_bytes: u32,
    key_bytes: u16,
    /// Whether anything is stored under the key, expired or not.
    is_stored: bool,
    /// Whether it was read of late. Relaxed: it guards nothing.
    read: AtomicBool,
}

/// The expiry of what does not expire. No clock gets there.
const NEVER: i64 = i64::MAX;

impl Cached {
    /// Copies an entry. It is a copy in any case: a value that is part of a larger piece of memory must
    /// not keep all of that. `None` where the names are longer than is worth keeping.
    pub fn new(
        hash: u64,
        (group, key): (&str, &str),
        stored: Option<(&[u8], Facts)>,
        dropped: Arc<AtomicBool>,
        read: bool,
    ) -> Option<Self> {
        let head = Head {
            hash,
            dropped,
            revision: stored.map_or(Revision(0), |(_, facts)| facts.revision),
            expires_at_ms: stored.and_then(|(_, facts)| facts.expires_at_ms).unwrap_or(NEVER),
            group_bytes: u32::try_from(group.len()).ok()?,
            key_bytes: u16::try_from(key.len()).ok()?,
            is_stored: stored.is_some(),
            read: AtomicBool::new(read),
        };
        let value = stored.map_or(&[][..], |(value, _)| value);
        let parts = [group.as_bytes(), key.as_bytes(), value];
        // Small ones are put together without asking for memory twice.
        let mut buffer = [0; 512];
        let len = parts.iter().map(|part| part.len()).sum();
        let thin = match buffer.get_mut(..len) {
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
        };
        Some(Self(thin))
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    pub fn hash(&self) -> u64 {
        self.head().hash
    }

    /// Whether this is the entry of a key, and its group was not dropped.
    #[inline]
    pub fn is(&self, group: &str, key: &str) -> bool {
        let head = self.head();
        head.group_bytes as usize == group.len()
            && head.key_bytes as usize == key.len()
            && self.0.slice[group.len()..group.len() + key.len()] == *key.as_bytes()
            && self.0.slice[..group.len()] == *group.as_bytes()
            && !self.is_dropped()
    }

    pub fn group(&self) -> &str {
        // It was made from a `&str`.
        std::str::from_utf8(&self.0.slice[..self.head().group_bytes as usize]).unwrap_or_default()
    }

    #[inline]
    pub fn is_dropped(&self) -> bool {
        self.head().dropped.load(Ordering::Relaxed)
    }

    /// The flag that this entry shares with its group.
    pub fn dropped(&self) -> &Arc<AtomicBool> {
        &self.head().dropped
    }

    /// Notes that it was read.
    #[inline]
    pub fn mark_read(&self) {
        // Only written where it changes, so that readers on several cores share the line.
        if !self.head().read.load(Ordering::Relaxed) {
            self.head().read.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was read since this was last asked.
    pub fn take_read(&self) -> bool {
        self.head().read.swap(false, Ordering::Relaxed)
    }

    /// What is known beside the value, which is this entry's; `None` where nothing is stored.
    #[inline]
    pub fn facts(&self) -> Option<Facts> {
        let Head { revision, expires_at_ms, is_stored, .. } = *self.head();
        let expires_at_ms = (expires_at_ms != NEVER).then_some(expires_at_ms);
        is_stored.then_some(Facts { revision, expires_at_ms })
    }

    /// The value's bytes.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.0.slice[self.head().group_bytes as usize + self.head().key_bytes as usize..]
    }

    /// The bytes that it takes up, with what the allocator adds.
    pub fn bytes(&self) -> usize {
        Self::bytes_of(self.0.slice.len())
    }

    /// As [`bytes`](Self::bytes), of an entry whose names and value have so many.
    pub fn bytes_of(names_and_value: usize) -> usize {
        size_of::<Head>() + 2 * size_of::<usize>() + 16 + names_and_value
    }
}
