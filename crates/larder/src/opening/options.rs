//! How a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::data::{Clock, Consistency, Durability};
use crate::engine::{Settings, sqlite};
use crate::rules::BatchMax;

/// How a store is opened: see [`Store::options`](crate::Store::options).
///
/// Each method sets one option and returns the options. [`open`](Self::open), [`connect`](Self::connect) and
/// [`in_memory`](Self::in_memory) open a store with them, as often as needed.
///
/// ```
/// use std::time::Duration;
/// use larder::{Durability, Store};
///
/// let store = Store::options()
///     .durability(Durability::Relaxed)
///     .cache_bytes(16 << 20)
///     .history(10_000, 8 << 20)
///     .timeout(Duration::from_secs(1))
///     .in_memory()?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct Options {
    pub(super) settings: Settings,
    pub(super) max_value_bytes: u64,
    pub(super) watchers_max: u64,
    pub(super) batch_max: BatchMax,
    pub(super) expiry_timer: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            max_value_bytes: 64 << 20,
            watchers_max: 1000,
            batch_max: BatchMax { steps: 10_000, bytes: 64 << 20 },
            expiry_timer: true,
        }
    }
}

impl Options {
    /// Sets when a write is acknowledged. The default is [`Durability::Full`].
    ///
    /// A store in memory ignores this option. So does a cluster: there, every write is on the disks of most members when
    /// it returns.
    ///
    /// ```
    /// use larder::{Durability, Store};
    /// let store = Store::options().durability(Durability::Relaxed).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Limits the memory of the cache of entries and whole groups, in bytes of keys, values and what it needs to find them.
    /// The default is 256 MiB; 0 turns the cache off. Memory is taken only as entries are read and written.
    ///
    /// All handles of a store share its cache, and no other process does. Reads from it are never stale,
    /// whichever thread or process wrote last. A store in memory needs no cache. On a cluster the limit applies to what
    /// [`Consistency::Cached`] keeps.
    ///
    /// ```
    /// let store = larder::Store::options().cache_bytes(16 << 20).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// Limits the change log to this many changes and this many bytes, of keys, values and what it needs to
    /// find them. The defaults are 100,000 changes and 64 MiB.
    ///
    /// Groups that [`Store::set_history`](crate::Store::set_history) gave a history of their own do not count, and
    /// with `set_history("", …)` the store has a limit for all processes, which replaces this one.
    ///
    /// Each write removes a few of the oldest changes that exceed the limits, except for those that a named cursor has
    /// yet to acknowledge: see [`cursor_bytes_max`](Self::cursor_bytes_max). The changes of the latest commit
    /// always stay. On a cluster the change log reaches back as far as etcd's own history, whatever is set here.
    ///
    /// ```
    /// let store = larder::Store::options().history(10_000, 8 << 20).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn history(mut self, changes: u64, bytes: u64) -> Self {
        (self.settings.history.changes, self.settings.history.bytes) = (changes, bytes);
        self
    }

    /// Limits how many bytes of changes are kept because a named cursor has not acknowledged them. The default is
    /// 1 GiB. With 0, a cursor keeps nothing from being removed.
    ///
    /// It applies to each history of the store by itself: see [`Store::set_history`](crate::Store::set_history). A
    /// history that is larger loses its oldest changes beyond its own limits, and a cursor that needs them gets
    /// [`Error::Compacted`](crate::Error::Compacted). On a cluster it has no effect.
    ///
    /// ```
    /// let store = larder::Store::options().history(100, 1 << 20).cursor_bytes_max(16 << 20).in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// for number in 0..1000 {
    ///     store.set("orders", number.to_string(), "a book")?;
    /// }
    /// assert_eq!(mailer.recv()?.key.as_deref(), Some("0"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn cursor_bytes_max(mut self, bytes: u64) -> Self {
        self.settings.cursor_bytes_max = bytes;
        self
    }

    /// Limits how long a call may wait, for a lock or for a cluster. The default is 5 seconds.
    ///
    /// With a file, a call that waits longer for another process fails with [`Error::Busy`](crate::Error::Busy).
    /// With a cluster, a call that takes longer, elections and unreachable members included, fails with
    /// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Unknown`](crate::Error::Unknown); there,
    /// less than 200 milliseconds count as 200 milliseconds, and more than a day counts as a day. With a file,
    /// `Duration::MAX` waits as long as it takes.
    ///
    /// ```
    /// use std::time::Duration;
    /// let store = larder::Store::options().timeout(Duration::from_secs(1)).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets whether every write fails with [`Error::ReadOnly`](crate::Error::ReadOnly). The default is false.
    ///
    /// A store that is opened read-only is neither created nor migrated, and nothing that has expired is removed.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// use larder::{Error, Store};
    /// Store::open(&path)?.set("config", "colour", "blue")?;
    ///
    /// let store = Store::options().read_only(true).open(&path)?;
    /// assert!(matches!(store.set("config", "colour", "red"), Err(Error::ReadOnly { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.settings.read_only = read_only;
        self
    }

    /// Sets whether opening creates a store that does not exist. The default is true; with false, opening fails
    /// with [`Error::NoStore`](crate::Error::NoStore).
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// use larder::{Error, Store};
    /// let opened = Store::options().create(false).open(&path);
    /// assert!(matches!(opened, Err(Error::NoStore { .. })));
    /// ```
    pub fn create(mut self, create: bool) -> Self {
        self.settings.create = create;
        self
    }

    /// Sets whether the group of a new file may read and write it, too. The default is false: only the user that creates
    /// a store may use its file.
    ///
    /// The option is about files that are created: the store, what SQLite keeps beside it, and backups. A file that
    /// exists keeps its permissions. On Windows files inherit the permissions of their folder, whatever is set here; a
    /// cluster ignores this option.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = larder::Store::options().group_access(true).open(&path)?;
    /// # #[cfg(unix)]
    /// # {
    /// use std::os::unix::fs::PermissionsExt;
    /// assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    /// # }
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn group_access(mut self, group_access: bool) -> Self {
        self.settings.group_access = group_access;
        self
    }

    /// Sets whether a file may be opened that lies on a file system over a network, or on one that a host shares with
    /// its guests. The default is false: opening it fails with
    /// [`Error::UnsafeFileSystem`](crate::Error::UnsafeFileSystem).
    ///
    /// On such a file system SQLite damages the file once two machines use it at the same time, or if the file system
    /// does not implement locks. Set this only if you know that neither is the case. On Linux, NFS, SMB, 9p, virtiofs,
    /// cluster file systems and FUSE are refused, unless FUSE is known to be local; on macOS whatever the system calls
    /// not local; on Windows nothing.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = larder::Store::options().allow_unsafe_file_system(true).open(path)?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn allow_unsafe_file_system(mut self, allow: bool) -> Self {
        self.settings.allow_unsafe_file_system = allow;
        self
    }

    /// Sets whether what a commit appends to the log of a file is written with one call. The benchmarks show what it is
    /// worth.
    #[doc(hidden)]
    pub fn gather_log_writes(mut self, gather: bool) -> Self {
        self.settings.gathers_log_writes = gather;
        self
    }

    /// Limits the size of a value, in bytes. The default is 64 MiB, and more than 900 MiB counts as 900 MiB.
    /// A cluster never takes more than 1 MiB.
    ///
    /// Larger values are refused with [`Error::TooLarge`](crate::Error::TooLarge).
    ///
    /// ```
    /// use larder::{Error, Store};
    /// let store = Store::options().max_value_bytes(3).in_memory()?;
    /// store.set("config", "colour", "red")?;
    /// assert!(matches!(store.set("config", "colour", "blue"), Err(Error::TooLarge { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn max_value_bytes(mut self, bytes: u64) -> Self {
        self.max_value_bytes = bytes.min(sqlite::VALUE_BYTES_MAX);
        self
    }

    /// Limits how many watchers the scoped handles of one namespace have at a time, in this process: watchers, mirrors and
    /// cursors together. The default is 1,000. Handles to the whole store have no such limit, and do not count.
    ///
    /// Beyond it, a new one is refused with [`Error::QuotaExceeded`](crate::Error::QuotaExceeded).
    ///
    /// ```
    /// use larder::{Error, Store};
    /// let store = Store::options().watchers_max(1).in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// let watcher = tenant.watch(("preferences", "*"))?;
    /// assert!(matches!(tenant.watch(("other", "*")), Err(Error::QuotaExceeded { .. })));
    ///
    /// drop(watcher);
    /// assert!(tenant.watch(("other", "*")).is_ok());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn watchers_max(mut self, watchers: u64) -> Self {
        self.watchers_max = watchers;
        self
    }

    /// Limits how large one batch or transaction of a scoped store may be: how many steps it may have, and how many bytes
    /// the names and values in them. The default is 10,000 steps and 64 MiB. Handles to the whole store have no such limit.
    ///
    /// Everybody else's writes wait while a batch is applied, whatever its size, so this bounds for how long one tenant
    /// can hold them up. A write and a condition are a step each, and deleting a group or a prefix counts as 64. What has
    /// one step only is never refused by this limit: [`max_value_bytes`](Self::max_value_bytes) bounds it.
    ///
    /// A larger batch is refused as a whole with [`Error::QuotaExceeded`](crate::Error::QuotaExceeded), before anything of
    /// it waits or is written. A touch writes the value to the change log again, so that counts as well: a batch whose
    /// touches go beyond the limit is refused when it is applied, and leaves nothing behind. In a transaction, the step that goes beyond the limit is refused in this way.
    ///
    /// ```
    /// use larder::{Error, Store};
    /// let store = Store::options().batch_max(2, 1 << 20).in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.batch().set("g", "1", "a").set("g", "2", "b").commit()?;
    /// let refused = tenant.batch().set("g", "3", "c").set("g", "4", "d").set("g", "5", "e").commit();
    /// assert!(matches!(refused, Err(Error::QuotaExceeded { wanted: 3, limit: 2, .. })));
    /// assert_eq!(tenant.count("g")?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn batch_max(mut self, steps: u64, bytes: u64) -> Self {
        self.batch_max = BatchMax { steps, bytes };
        self
    }

    /// Sets how fresh the reads of a store on an etcd cluster are. The default is
    /// [`Consistency::Linearizable`].
    ///
    /// A location that says `?consistency=cached` or `?consistency=linearizable` overrides this option.
    ///
    /// ```
    /// use larder::{Consistency, Store};
    /// let store = Store::options().consistency(Consistency::Cached).in_memory()?; // always linearizable
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.settings.consistency = consistency;
        self
    }

    /// Limits how old a read with [`Consistency::Cached`] may be. The default is 1 second.
    ///
    /// ```
    /// use std::time::Duration;
    /// let options = larder::Store::options().cache_age_max(Duration::from_millis(200));
    /// ```
    pub fn cache_age_max(mut self, age: Duration) -> Self {
        self.settings.cache_age_max = age;
        self
    }

    /// Sets by how much the clocks of a cluster's clients may differ. The default is zero.
    ///
    /// Each client decides by its own clock what has expired, but removes an entry only this long after the
    /// entry has expired. So a client whose clock is fast does not remove what others can still read. The events
    /// of expired entries come later by the same time. Quotas count an entry for as long, so that they hold by the
    /// clocks of all clients. A write is decided by the time at which it began, so allow for the time that one may take
    /// as well. A store in a SQLite file ignores this option.
    ///
    /// ```
    /// use std::time::Duration;
    /// let options = larder::Store::options().clock_difference_max(Duration::from_millis(500));
    /// ```
    pub fn clock_difference_max(mut self, difference: Duration) -> Self {
        self.settings.clock_difference_max = difference;
        self
    }

    /// Sets whether a thread of the store removes what has expired. The default is true.
    ///
    /// Reads leave out expired entries in either case. Without the thread,
    /// [`Store::purge_expired`](crate::Store::purge_expired) removes them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use larder::{ManualClock, Store};
    /// let clock = ManualClock::new();
    /// let store = Store::options().expiry_timer(false).clock(clock.clone()).in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(store.get("session", "token")?, None);
    /// assert_eq!(store.purge_expired()?, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn expiry_timer(mut self, on: bool) -> Self {
        self.expiry_timer = on;
        self
    }

    /// Sets the clock of the store. The default is [`WallClock`](crate::WallClock).
    ///
    /// ```
    /// use larder::{ManualClock, Store};
    /// let store = Store::options().clock(ManualClock::new()).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            durability,
            cache_bytes,
            history,
            cursor_bytes_max,
            timeout,
            read_only,
            create,
            group_access,
            allow_unsafe_file_system,
            gathers_log_writes,
            consistency,
            cache_age_max,
            clock_difference_max,
            clock,
        } = &self.settings;
        f.debug_struct("Options")
            .field("durability", durability)
            .field("cache_bytes", cache_bytes)
            .field("history", &(history.changes, history.bytes))
            .field("cursor_bytes_max", cursor_bytes_max)
            .field("timeout", timeout)
            .field("read_only", read_only)
            .field("create", create)
            .field("group_access", group_access)
            .field("allow_unsafe_file_system", allow_unsafe_file_system)
            .field("gather_log_writes", gathers_log_writes)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("watchers_max", &self.watchers_max)
            .field("batch_max", &(self.batch_max.steps, self.batch_max.bytes))
            .field("consistency", consistency)
            .field("cache_age_max", cache_age_max)
            .field("clock_difference_max", clock_difference_max)
            .field("expiry_timer", &self.expiry_timer)
            .field("clock", clock)
            .finish()
    }
}
