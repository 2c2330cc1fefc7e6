//! A whole group in one allocation.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::clock;
use super::entry::Entry;
use super::facts::Facts;
use super::value::Value;

/// The keys and values of a group, sorted by key, in one allocation: see [`View::get_all`](crate::View::get_all).
///
/// ```
/// # use larder::Store;
/// # let store = Store::in_memory()?;
/// store.set("mail", "host", "smtp.example.com")?;
/// store.set("mail", "port", "587")?;
///
/// let mail = store.get_all("mail")?;
/// assert_eq!(mail.len(), 2);
/// assert_eq!(mail.get("port").unwrap(), "587");
/// for (key, value) in &mail {
///     println!("{key} = {value:?}");
/// }
/// let map: std::collections::BTreeMap<_, _> = mail.into();
/// assert_eq!(map["host"], "smtp.example.com");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Entries {
    /// Shared with whoever else has entries of the same group from the same read.
    rows: Arc<Rows>,
    /// Which of the rows these are.
    range: Range<usize>,
}

/// What one read found.
#[derive(Default)]
struct Rows {
    /// Key, value, key, value and so on. The values that `get` and the iterators return share it.
    arena: Bytes,
    slots: Vec<Slot>,
    /// One for each slot, or empty if the engine was not asked for them.
    facts: Vec<Facts>,
    /// The memory of all this, in bytes.
    memory: usize,
}

impl Rows {
    /// Where a row begins in the arena.
    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.slots[before].end)
    }

    fn key(&self, index: usize) -> &str {
        let bytes = &self.arena[self.start(index)..self.slots[index].value_start];
        // Only `EntriesBuilder::push` fills the arena, and it takes keys as `&str`.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The bounds of one entry in the arena. It begins where the previous entry ends.
#[derive(Clone, Copy)]
struct Slot {
    value_start: usize,
    end: usize,
}

impl Entries {
    /// Returns the number of entries.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.get_all("mail")?.len(), 0);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Returns whether there are no entries.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.get_all("mail")?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Returns the value of a key, found by binary search.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail", "port", "587")?;
    /// let mail = store.get_all("mail")?;
    /// assert_eq!(mail.get("port").unwrap(), "587");
    /// assert_eq!(mail.get("host"), None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn get(&self, key: &str) -> Option<Value> {
        let index = self.first_from(|found| found >= key);
        (index < self.len() && self.key(index) == key).then(|| self.value(index))
    }

    /// The index of the first key for which `is_past` is true, which it stays for all later ones; else how many keys there
    /// are.
    fn first_from(&self, is_past: impl Fn(&str) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_past(self.key(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Returns an iterator over key and value of each entry, sorted by key.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail", "port", "587")?;
    /// let mail = store.get_all("mail")?;
    /// assert_eq!(mail.iter().next(), Some(("port", "587".into())));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { entries: self, indices: 0..self.len() }
    }

    /// Returns an iterator over the keys, sorted.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().set("mail", "port", "587").set("mail", "host", "smtp.example.com").commit()?;
    /// assert!(store.get_all("mail")?.keys().eq(["host", "port"]));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.key(index))
    }

    pub(crate) fn key(&self, index: usize) -> &str {
        self.rows.key(self.range.start + index)
    }

    fn value(&self, index: usize) -> Value {
        let Slot { value_start, end } = self.rows.slots[self.range.start + index];
        Value::from(self.rows.arena.slice(value_start..end))
    }

    fn value_bytes(&self, index: usize) -> &[u8] {
        let Slot { value_start, end } = self.rows.slots[self.range.start + index];
        &self.rows.arena[value_start..end]
    }

    fn facts(&self, index: usize) -> Option<&Facts> {
        self.rows.facts.get(self.range.start + index)
    }

    /// Returns the entry at an index. Revision and expiry are missing if the engine was not asked for them.
    pub(crate) fn entry(&self, index: usize) -> Entry {
        let facts = self.facts(index);
        Entry {
            key: self.key(index).to_owned(),
            // A copy: an entry that a program keeps must not keep the whole page in memory.
            value: Value::from(self.value_bytes(index)),
            revision: facts.map(|facts| facts.revision).unwrap_or_default(),
            expires_at: facts.and_then(|facts| facts.expires_at_ms).map(clock::time),
        }
    }

    /// Returns the bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.start(self.range.end) - self.rows.start(self.range.start)
    }

    /// Returns the last key, after which the next page starts.
    pub(crate) fn last_key(&self) -> Option<&str> {
        self.len().checked_sub(1).map(|last| self.key(last))
    }

    /// Returns a page of these entries, which shares their memory: those after a key, without the first `offset` of them,
    /// up to `limit`, and none after keys and values have `bytes_max` bytes.
    pub(crate) fn page(&self, after: Option<&str>, offset: u64, limit: usize, bytes_max: usize) -> Self {
        let first = after.map_or(0, |after| self.first_from(|key| key > after));
        let first = first.saturating_add(usize::try_from(offset).unwrap_or(usize::MAX)).min(self.len());
        let start = self.range.start + first;
        let most = start.saturating_add(limit).min(self.range.end);
        let full = self.rows.start(start).saturating_add(bytes_max);
        let fitting = self.rows.slots[start..most].partition_point(|slot| slot.end < full);
        // The entry with which the page is full belongs to it.
        let end = start.saturating_add(fitting).saturating_add(1).min(most);
        Self { rows: Arc::clone(&self.rows), range: start..end }
    }

    /// Returns when the first of them expires, in Unix milliseconds.
    pub(crate) fn first_expiry_ms(&self) -> Option<i64> {
        self.rows.facts.get(self.range.clone())?.iter().filter_map(|facts| facts.expires_at_ms).min()
    }

    /// Returns how much memory what they share takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.rows.memory
    }
}

/// How much room is made in advance at most.
const BYTES_EXPECTED_MAX: usize = 64 << 20;
const KEYS_EXPECTED_MAX: usize = 1 << 20;

/// Builds [`Entries`] and copies each row once.
#[derive(Default)]
pub(crate) struct EntriesBuilder {
    arena: Vec<u8>,
    slots: Vec<Slot>,
    facts: Vec<Facts>,
}

impl EntriesBuilder {
    /// Returns a builder with room for this many entries of this many bytes in total, up to a bound.
    /// The bound is there because a damaged tally must not decide how much memory is taken.
    pub fn with_capacity(keys: usize, bytes: usize) -> Self {
        Self {
            arena: Vec::with_capacity(bytes.min(BYTES_EXPECTED_MAX)),
            slots: Vec::with_capacity(keys.min(KEYS_EXPECTED_MAX)),
            facts: Vec::new(),
        }
    }

    /// The same, with room for the facts of each entry.
    pub fn with_facts(mut self) -> Self {
        self.facts.reserve_exact(self.slots.capacity());
        self
    }

    /// Makes room for this many entries of this many bytes, up to the same bound, with what it has already.
    pub fn make_room(&mut self, keys: usize, bytes: usize) {
        let more = keys.min(KEYS_EXPECTED_MAX).saturating_sub(self.slots.len());
        self.arena.reserve_exact(bytes.min(BYTES_EXPECTED_MAX).saturating_sub(self.arena.len()));
        self.slots.reserve_exact(more);
        if !self.facts.is_empty() {
            self.facts.reserve_exact(more);
        }
    }

    pub fn push(&mut self, key: &str, value: &[u8], facts: Option<Facts>) {
        self.arena.extend_from_slice(key.as_bytes());
        let value_start = self.arena.len();
        self.arena.extend_from_slice(value);
        self.slots.push(Slot { value_start, end: self.arena.len() });
        self.facts.extend(facts);
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Returns the key that was pushed last.
    pub fn last_key(&self) -> Option<&[u8]> {
        let (last, before) = self.slots.split_last()?;
        let start = before.last().map_or(0, |before| before.end);
        self.arena.get(start..last.value_start)
    }

    pub fn finish(self) -> Entries {
        let Self { mut arena, mut slots, mut facts } = self;
        // They may be kept, and the room was for more.
        fit(&mut arena);
        fit(&mut slots);
        fit(&mut facts);
        let memory = arena.capacity()
            + slots.capacity() * size_of::<Slot>()
            + facts.capacity() * size_of::<Facts>()
            + size_of::<Rows>();
        let range = 0..slots.len();
        Entries { rows: Arc::new(Rows { arena: Bytes::from(arena), slots, facts, memory }), range }
    }
}

/// Gives back room of which less than half is used.
fn fit<T>(list: &mut Vec<T>) {
    if list.capacity() / 2 > list.len() {
        list.shrink_to_fit();
    }
}

/// An iterator over borrowed keys and values: see [`Entries::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    entries: &'a Entries,
    indices: Range<usize>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.indices.next()?;
        Some((self.entries.key(index), self.entries.value(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.indices.next_back()?;
        Some((self.entries.key(index), self.entries.value(index)))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl FusedIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Entries {
    type Item = (&'a str, Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// An iterator over owned keys and values of [`Entries`].
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("mail", "port", "587")?;
/// for (key, value) in store.get_all("mail")? {
///     assert_eq!((key.as_str(), value), ("port", "587".into()));
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub struct IntoIter {
    entries: Entries,
    indices: Range<usize>,
}

impl Iterator for IntoIter {
    type Item = (String, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.indices.next()?;
        Some((self.entries.key(index).to_owned(), self.entries.value(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl DoubleEndedIterator for IntoIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.indices.next_back()?;
        Some((self.entries.key(index).to_owned(), self.entries.value(index)))
    }
}

impl ExactSizeIterator for IntoIter {}

impl FusedIterator for IntoIter {}

impl IntoIterator for Entries {
    type Item = (String, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { indices: 0..self.len(), entries: self }
    }
}

impl From<Entries> for BTreeMap<String, Value> {
    fn from(entries: Entries) -> Self {
        entries.into_iter().collect()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Revision;

    #[test]
    fn every_key_is_found_and_no_other() {
        let mut builder = EntriesBuilder::default();
        for key in ["", "a", "b\0", "鍵"] {
            builder.push(key, key.as_bytes(), None);
        }
        let entries = builder.finish();
        for key in ["", "a", "b\0", "鍵"] {
            assert_eq!(entries.get(key).unwrap(), key);
        }
        assert_eq!(entries.get("b"), None);
        assert_eq!(entries.get("zz"), None);
        assert_eq!(entries.iter().next_back().unwrap().0, "鍵");
    }

    #[test]
    fn a_page_of_entries_has_the_rows_that_were_asked_for_and_no_others() {
        let mut builder = EntriesBuilder::default().with_facts();
        for (number, key) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            let expires_at_ms = (key != "a").then_some(100 - number as i64);
            builder.push(key, b"12345", Some(Facts { revision: Revision(number as u64), expires_at_ms }));
        }
        let all = builder.finish();
        let keys = |page: Entries| page.keys().map(str::to_owned).collect::<String>();
        let page = |after, offset, limit, bytes_max| keys(all.page(after, offset, limit, bytes_max));
        assert_eq!(page(None, 0, usize::MAX, usize::MAX), "abcde");
        assert_eq!(page(Some("b"), 0, 2, usize::MAX), "cd");
        assert_eq!(page(Some("bb"), 1, 9, usize::MAX), "de");
        assert_eq!(page(Some(""), 0, 0, usize::MAX), "");
        assert_eq!(page(Some("e"), 0, 9, usize::MAX), "");
        assert_eq!(page(None, u64::MAX, usize::MAX, usize::MAX), "");
        // Each entry has six bytes; the one that fills the page is in it.
        assert_eq!([0, 6, 7, 12, 13].map(|bytes| page(None, 0, 9, bytes)), ["a", "a", "ab", "ab", "abc"]);
        let middle = all.page(Some("a"), 0, 3, usize::MAX);
        assert_eq!(middle.bytes(), 18);
        assert_eq!(middle.first_expiry_ms(), Some(97));
        assert_eq!(middle.get("c").unwrap(), "12345");
        assert_eq!([middle.get("a"), middle.get("e")], [None, None]);
        assert_eq!(middle.last_key(), Some("d"));
        assert_eq!(middle.entry(2).revision, Revision(3));
        assert_eq!(keys(middle.page(Some("b"), 0, 9, 1)), "c");
    }
}
