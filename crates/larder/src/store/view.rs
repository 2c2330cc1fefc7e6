//! Everything that can be read.

use std::fmt;

use serde::de::DeserializeOwned;

use super::scope::Scope;
use super::source::Source;
use super::stream::{EntryStream, GroupStream, KeyStream};
use crate::data::{Entries, Entry, Found, GroupInfo, Page, Result, SmallValue, Value};
use crate::engine::{Columns, Extent, Read, Scan};

/// Everything that can be read: what [`Store`](crate::Store), [`ScopedStore`](crate::ScopedStore),
/// [`Snapshot`](crate::Snapshot) and [`Transaction`](crate::Transaction) have in common.
///
/// Each of them derefs to a view, so these methods can be called on all of them, and a function that takes
/// `&View` accepts any:
///
/// ```
/// use larder::{Store, View};
///
/// fn greeting(view: &View) -> larder::Result<String> {
///     let name = view.get("user", "name")?;
///     Ok(format!("Hello, {}!", name.unwrap_or_default().to_string_lossy()))
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
/// A read never shows an expired entry, to the millisecond, and never writes. On a store each call sees the
/// latest commit; on a snapshot and in a transaction all calls see the same moment.
///
/// Any read fails with [`Error::Closed`](crate::Error::Closed) once the store is closed, with
/// [`Error::Nested`](crate::Error::Nested) on a store from inside its own transaction, and with
/// [`Error::Damaged`](crate::Error::Damaged), [`Error::Busy`](crate::Error::Busy),
/// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Storage`](crate::Error::Storage) if the engine
/// cannot read.
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

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the value of an entry, or `None` if there is no such entry.
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
    /// As any read: see [`View`].
    pub fn get(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Value>> {
        Ok(self.find(group.as_ref(), key.as_ref())?.map(Value::from))
    }

    /// Reads the value of an entry where it is. Returns what `read` returns, or `None` if there is no such entry.
    ///
    /// It costs less than [`get`](Self::get) where several threads read the same entry: a value of up to 256 bytes is
    /// copied instead of counting who has it. `read` may call the store.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "ports", "80,443")?;
    /// let ports = store.get_with("config", "ports", |value| value.split(|byte| *byte == b',').count())?;
    /// assert_eq!(ports, Some(2));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn get_with<T>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let (group, key) = (group.as_ref(), key.as_ref());
        let mut small = SmallValue::default();
        Ok(match self.peek(group, key, &mut small)? {
            Some(is_there) => is_there.then(|| read(small.as_bytes())),
            None => self.find(group, key)?.map(|found| read(found.value())),
        })
    }

    /// Returns the value of an entry, parsed as JSON, or `None` if there is no such entry.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "ports", "[80, 443]")?;
    /// assert_eq!(store.get_json::<Vec<u16>>("config", "ports")?.unwrap(), [80, 443]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not the JSON of a `T`.
    pub fn get_json<T: DeserializeOwned>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Result<Option<T>> {
        self.get(group, key)?.map(|value| value.json()).transpose()
    }

    /// Returns an entry with its revision and expiry, or `None` if there is no such entry.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// let entry = store.entry("config", "colour")?.unwrap();
    /// assert_eq!((entry.revision, entry.expires_at), (revision, None));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn entry(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Entry>> {
        let found = self.find(group.as_ref(), key.as_ref())?;
        Ok(found.map(Entry::from))
    }

    /// Returns whether an entry exists.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert!(store.exists("config", "colour")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn exists(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.find(group.as_ref(), key.as_ref())?.is_some())
    }

    /// Returns all keys and values of a group, as of one moment.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.set("config", "size", "10")?;
    /// let config = store.get_all("config")?;
    /// assert_eq!(config.get("size").unwrap(), "10");
    /// assert_eq!(config.keys().collect::<Vec<_>>(), ["colour", "size"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn get_all(&self, group: impl AsRef<str>) -> Result<Entries> {
        self.scan(Scan::whole(group.as_ref(), Columns::Values))
    }

    /// Iterates over the entries of a group, sorted by key, as of one moment. It reads page by page, or from the cache, so it
    /// takes no memory that grows with the group.
    ///
    /// In a transaction it shows what the transaction writes meanwhile behind the current key.
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
    /// As any read: see [`View`]. So may each item.
    pub fn entries(&self, group: impl AsRef<str>) -> Result<EntryStream> {
        self.entries_after(group.as_ref(), None)
    }

    /// The entries of a group whose keys come after a key.
    pub(crate) fn entries_after(&self, group: &str, after: Option<&str>) -> Result<EntryStream> {
        let group = self.scope.group(group).into_owned();
        GroupStream::open(self.source.clone(), group, after, Columns::All, Entries::entry)
    }

    /// The [entries](Self::entries) of a group that is in memory as a whole. Never blocks.
    #[cfg(feature = "tokio")]
    pub(crate) fn entries_at_hand(&self, group: &str) -> Result<Option<EntryStream>> {
        let group = self.scope.group(group).into_owned();
        GroupStream::open_at_hand(self.source.clone(), group, Columns::All, Entries::entry)
    }

    /// The [keys](Self::keys) of a group that is in memory as a whole. Never blocks.
    #[cfg(feature = "tokio")]
    pub(crate) fn keys_at_hand(&self, group: &str) -> Result<Option<KeyStream>> {
        let group = self.scope.group(group).into_owned();
        GroupStream::open_at_hand(self.source.clone(), group, Columns::Keys, owned_key)
    }

    /// Iterates over the keys of a group, sorted, as [`entries`](Self::entries) does. It reads no values.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "size", "10")?;
    /// store.set("config", "colour", "blue")?;
    /// let keys: Vec<String> = store.keys("config")?.collect::<Result<_, _>>()?;
    /// assert_eq!(keys, ["colour", "size"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`]. So may each item.
    pub fn keys(&self, group: impl AsRef<str>) -> Result<KeyStream> {
        let group = self.scope.group(group.as_ref()).into_owned();
        GroupStream::open(self.source.clone(), group, None, Columns::Keys, owned_key)
    }

    /// Returns up to `limit` entries of a group whose keys come after `after`, and where the next page begins. A
    /// page costs the same at any depth.
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
    /// On a cluster a page costs a look at all keys behind it: list a large group with [`entries`](Self::entries).
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn page(&self, group: impl AsRef<str>, after: Option<&str>, limit: usize) -> Result<Page> {
        let found = self.scan(scan_of_page(group.as_ref(), after, limit))?;
        Ok(page_of(&found, after, limit))
    }

    /// Returns up to `limit` entries of a group after skipping the first `offset`. It takes as many steps as it
    /// skips; [`page`](Self::page) does not.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     store.set("items", key, "x")?;
    /// }
    /// let page = store.get_page("items", 1, 10)?;
    /// assert_eq!(page.len(), 2);
    /// assert_eq!(page[0].key, "b");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn get_page(&self, group: impl AsRef<str>, offset: u64, limit: usize) -> Result<Vec<Entry>> {
        let found = self.scan(Scan { offset, limit, ..Scan::whole(group.as_ref(), Columns::All) })?;
        Ok((0..found.len()).map(|index| found.entry(index)).collect())
    }

    /// Returns how many keys a group has. It costs the same for ten and for ten million.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(store.count("config")?, 1);
    /// assert_eq!(store.count("no such group")?, 0);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn count(&self, group: impl AsRef<str>) -> Result<u64> {
        let group = self.scope.group(group.as_ref());
        Ok(self.reader()?.usage(Extent::Group(&group)).wait()?.keys)
    }

    /// Returns how many keys there are in all groups whose names start with `prefix`; `""` counts all groups.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail.in", "1", "x")?;
    /// store.set("mail.out", "1", "x")?;
    /// assert_eq!(store.count_all("mail.")?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn count_all(&self, prefix: impl AsRef<str>) -> Result<u64> {
        let prefix = self.scope.group(prefix.as_ref());
        Ok(self.reader()?.usage(Extent::Prefix(&prefix)).wait()?.keys)
    }

    /// Returns the groups whose names start with `prefix`, sorted by name; `""` lists all groups.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail.in", "1", "hello")?;
    /// store.set("config", "colour", "blue")?;
    /// let groups = store.groups("mail.")?;
    /// assert_eq!(groups.len(), 1);
    /// assert_eq!((groups[0].name.as_str(), groups[0].keys, groups[0].bytes), ("mail.in", 1, 6));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn groups(&self, prefix: impl AsRef<str>) -> Result<Vec<GroupInfo>> {
        let groups = self.reader()?.groups(&self.scope.group(prefix.as_ref())).wait()?;
        Ok(self.stripped(groups))
    }

    /// Returns whether a group exists, that is, has a key.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert!(store.group_exists("config")?);
    /// assert!(!store.group_exists("mail")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn group_exists(&self, group: impl AsRef<str>) -> Result<bool> {
        Ok(self.count(group)? > 0)
    }

    /// Returns the parts of a value between `separator`, or `None` if there is no such entry.
    ///
    /// It is there for programs that come from go-store, which has it; it does the same as [`get`](Self::get)
    /// and then [`Value::split`].
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "hosts", "a,b")?;
    /// assert_eq!(store.split("web", "hosts", ",")?.unwrap(), ["a", "b"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not UTF-8.
    pub fn split(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        separator: &str,
    ) -> Result<Option<Vec<String>>> {
        self.get(group, key)?.map(|value| value.split(separator)).transpose()
    }

    /// Returns the words of a value, separated by white space, or `None` if there is no such entry.
    ///
    /// It is there for programs that come from go-store, which has it; it does the same as [`get`](Self::get)
    /// and then [`Value::fields`].
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "hosts", " a  b ")?;
    /// assert_eq!(store.fields("web", "hosts")?.unwrap(), ["a", "b"]);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not UTF-8.
    pub fn fields(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Vec<String>>> {
        self.get(group, key)?.map(|value| value.fields()).transpose()
    }

    /// As [`Read::peek`](crate::engine::Read::peek).
    #[inline]
    pub(crate) fn peek(&self, group: &str, key: &str, into: &mut SmallValue) -> Result<Option<bool>> {
        Ok(self.reader()?.peek(&self.scope.group(group), key, into))
    }

    /// As the view names them.
    pub(crate) fn stripped(&self, mut groups: Vec<GroupInfo>) -> Vec<GroupInfo> {
        for group in &mut groups {
            group.name = self.scope.strip(std::mem::take(&mut group.name));
        }
        groups
    }

    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.reader()?.get(&self.scope.group(group), key)
    }

    /// Reads a part of a group, by the name that the view has for it.
    fn scan(&self, scan: Scan<'_>) -> Result<Entries> {
        let group = self.scope.group(scan.group);
        self.reader()?.scan(&Scan { group: &group, ..scan }).wait()
    }

    /// The same of a group that is in memory as a whole. Never blocks.
    #[cfg(feature = "tokio")]
    pub(crate) fn scan_at_hand(&self, scan: Scan<'_>) -> Result<Option<Entries>> {
        let group = self.scope.group(scan.group);
        Ok(self.reader()?.try_scan(&Scan { group: &group, ..scan }))
    }
}

fn owned_key(page: &Entries, index: usize) -> String {
    page.key(index).to_owned()
}

/// What to read for a page: one entry more than it has room for tells whether there is a next page.
pub(crate) fn scan_of_page<'a>(group: &'a str, after: Option<&'a str>, limit: usize) -> Scan<'a> {
    Scan { after, limit: limit.saturating_add(1), ..Scan::whole(group, Columns::All) }
}

/// A page of the entries that were found, of which there may be one more than it has room for.
pub(crate) fn page_of(found: &Entries, after: Option<&str>, limit: usize) -> Page {
    let entries: Vec<Entry> = (0..found.len().min(limit)).map(|index| found.entry(index)).collect();
    // After a page of no entries, the next begins at the same place.
    let last = entries.last().map(|entry| entry.key.as_str()).or(after);
    let next = last.filter(|_| found.len() > limit).map(str::to_owned);
    Page { entries, next }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("prefix", &self.scope.prefix()).finish_non_exhaustive()
    }
}
