//! Everything that can be read.

use std::fmt;

use serde::de::DeserializeOwned;

use super::scope::Scope;
use super::source::Source;
use super::stream::{EntryStream, KeyStream, Stream};
use crate::data::{Entries, Entry, Found, GroupInfo, Page, Result, Value};
use crate::engine::{Columns, Extent, Read, Scan};

/// Everything that can be read: what [`Store`](crate::Store), [`ScopedStore`](crate::ScopedStore),
/// [`Snapshot`](crate::Snapshot) and [`Transaction`](crate::Transaction) have in common.
///
/// Each of them derefs to a view, so these methods can be called on all of them, and a function
/// that takes `&View` can be given any:
///
/// ```
/// use larder::{Store, View};
///
/// fn greeting(view: &View) -> larder::Result<String> {
///     view.render("Hello, {{ name }}!", "user")
/// }
///
/// let store = Store::in_memory()?;
/// store.set("user", "name", "Ada")?;
/// assert_eq!(greeting(&store)?, "Hello, Ada!");
/// let snapshot = store.snapshot()?;
/// assert_eq!(greeting(&snapshot)?, "Hello, Ada!");
/// # Ok::<(), larder::Error>(())
/// ```
///
/// Every read leaves out what has expired, to the millisecond, and writes nothing. On a store each
/// call sees the moment at which it is made; on a snapshot and in a transaction all see the same.
///
/// Any read fails with [`Error::Closed`](crate::Error::Closed) once the store is closed, with
/// [`Error::Nested`](crate::Error::Nested) when made on a store from inside its own transaction,
/// and with [`Error::Damaged`](crate::Error::Damaged), [`Error::Busy`](crate::Error::Busy) or
/// [`Error::Storage`](crate::Error::Storage) where the engine cannot read.
#[derive(Clone)]
pub struct View {
    source: Source,
    scope: Scope,
}

impl View {
    pub(crate) fn new(source: Source, scope: Scope) -> Self {
        Self { source, scope }
    }

    pub(crate) fn reader(&self) -> Result<&dyn Read> {
        self.source.reader()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The value of an entry, or `None` where there is no such entry.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(store.get("config", "colour")?.unwrap(), "blue");
    /// assert_eq!(store.get("config", "size")?, None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`View`].
    pub fn get(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Value>> {
        Ok(self.find(group.as_ref(), key.as_ref())?.map(Value::from))
    }

    /// What the value of an entry says as JSON, or `None` where there is no such entry.
    ///
    /// # Errors
    /// See [`View`], and [`Error::Unreadable`](crate::Error::Unreadable) where it is not the JSON of
    /// a `T`.
    pub fn get_json<T: DeserializeOwned>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Result<Option<T>> {
        self.get(group, key)?.map(|value| value.json()).transpose()
    }

    /// An entry with its revision and expiry, or `None` where there is no such entry.
    ///
    /// # Errors
    /// See [`View`].
    pub fn entry(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Entry>> {
        let found = self.find(group.as_ref(), key.as_ref())?;
        Ok(found.map(Entry::from))
    }

    /// Whether there is such an entry.
    ///
    /// # Errors
    /// See [`View`].
    pub fn exists(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.find(group.as_ref(), key.as_ref())?.is_some())
    }

    /// All keys and values of a group, of one moment.
    ///
    /// # Errors
    /// See [`View`].
    pub fn get_all(&self, group: impl AsRef<str>) -> Result<Entries> {
        self.scan(group.as_ref(), None, 0, usize::MAX, Columns::Values)
    }

    /// The entries of a group one after the other, sorted by key: one moment of it, in constant
    /// memory however large it is. (In a transaction, which can write meanwhile, what it wrote
    /// behind the current key shows.)
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// for entry in store.entries("config")? {
    ///     let entry = entry?;
    ///     println!("{} is {:?} since {}", entry.key, entry.value, entry.revision);
    /// }
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`View`].
    pub fn entries(&self, group: impl AsRef<str>) -> Result<EntryStream> {
        Ok(EntryStream(self.stream(group.as_ref(), None, Columns::All)?))
    }

    /// As [`entries`](Self::entries), from behind a key on.
    pub(crate) fn entries_after(&self, group: &str, after: &str) -> Result<EntryStream> {
        Ok(EntryStream(self.stream(group, Some(after), Columns::All)?))
    }

    /// The keys of a group one after the other, sorted, as [`entries`](Self::entries), but without
    /// reading a value.
    ///
    /// # Errors
    /// See [`View`].
    pub fn keys(&self, group: impl AsRef<str>) -> Result<KeyStream> {
        Ok(KeyStream(self.stream(group.as_ref(), None, Columns::Keys)?))
    }

    /// Up to `limit` entries of a group that come after a key, and where to go on. It costs the same
    /// at any depth.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// for number in 0..25 {
    ///     store.set("items", format!("{number:02}"), "x")?;
    /// }
    /// let mut after = None;
    /// let mut seen = 0;
    /// loop {
    ///     let page = store.page("items", after.as_deref(), 10)?;
    ///     seen += page.entries.len();
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(seen, 25);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`View`].
    pub fn page(&self, group: impl AsRef<str>, after: Option<&str>, limit: usize) -> Result<Page> {
        // One more than asked for tells whether there is a next page.
        let found = self.scan(group.as_ref(), after, 0, limit.saturating_add(1), Columns::All)?;
        let more = found.len() > limit;
        let entries: Vec<Entry> = (0..found.len().min(limit)).map(|index| found.entry(index)).collect();
        // A page of no entries goes on where it was asked to begin.
        let last = entries.last().map(|entry| entry.key.as_str()).or(after);
        let next = last.filter(|_| more).map(str::to_owned);
        Ok(Page { entries, next })
    }

    /// `limit` entries of a group after leaving out `offset`. It costs as many steps as `offset`:
    /// [`page`](Self::page) does not.
    ///
    /// # Errors
    /// See [`View`].
    pub fn get_page(&self, group: impl AsRef<str>, offset: u64, limit: usize) -> Result<Vec<Entry>> {
        let found = self.scan(group.as_ref(), None, offset, limit, Columns::All)?;
        Ok((0..found.len()).map(|index| found.entry(index)).collect())
    }

    /// How many keys a group has. It costs the same for ten and for ten million.
    ///
    /// # Errors
    /// See [`View`].
    pub fn count(&self, group: impl AsRef<str>) -> Result<u64> {
        let group = self.scope.group(group.as_ref());
        Ok(self.reader()?.usage(Extent::Group(&group)).wait()?.keys)
    }

    /// How many keys all groups together have whose names start with `prefix`; `""` is all groups.
    ///
    /// # Errors
    /// See [`View`].
    pub fn count_all(&self, prefix: impl AsRef<str>) -> Result<u64> {
        let prefix = self.scope.group(prefix.as_ref());
        Ok(self.reader()?.usage(Extent::Prefix(&prefix)).wait()?.keys)
    }

    /// The groups whose names start with `prefix`, sorted by name; `""` is all groups.
    ///
    /// # Errors
    /// See [`View`].
    pub fn groups(&self, prefix: impl AsRef<str>) -> Result<Vec<GroupInfo>> {
        let mut groups = self.reader()?.groups(&self.scope.group(prefix.as_ref())).wait()?;
        for group in &mut groups {
            group.name = self.scope.strip(std::mem::take(&mut group.name));
        }
        Ok(groups)
    }

    /// Whether a group has a key.
    ///
    /// # Errors
    /// See [`View`].
    pub fn group_exists(&self, group: impl AsRef<str>) -> Result<bool> {
        Ok(self.count(group)? > 0)
    }

    /// The parts of a value between `separator`, or `None` where there is no such entry. The value
    /// `a,b` split at `,` has the parts `a` and `b`; an empty value has one empty part. An empty
    /// separator gives the characters.
    ///
    /// # Errors
    /// See [`View`], and [`Error::Unreadable`](crate::Error::Unreadable) where the value is not UTF-8.
    pub fn split(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        separator: &str,
    ) -> Result<Option<Vec<String>>> {
        self.get(group, key)?.map(|value| value.split(separator)).transpose()
    }

    /// The words of a value, which white space separates, or `None` where there is no such entry.
    ///
    /// # Errors
    /// See [`View`], and [`Error::Unreadable`](crate::Error::Unreadable) where the value is not UTF-8.
    pub fn fields(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Vec<String>>> {
        self.get(group, key)?.map(|value| value.fields()).transpose()
    }

    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.reader()?.get(&self.scope.group(group), key).wait()
    }

    fn scan(
        &self,
        group: &str,
        after: Option<&str>,
        offset: u64,
        limit: usize,
        columns: Columns,
    ) -> Result<Entries> {
        let group = self.scope.group(group);
        self.reader()?
            .scan(&Scan { group: &group, after, offset, limit, bytes_max: usize::MAX, columns })
            .wait()
    }

    fn stream(&self, group: &str, after: Option<&str>, columns: Columns) -> Result<Stream> {
        Stream::open(self.source.clone(), self.scope.group(group).into_owned(), after, columns)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("prefix", &self.scope.prefix()).finish_non_exhaustive()
    }
}
