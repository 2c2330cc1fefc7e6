use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, WallClock};
#[cfg(feature = "etcd")]
use crate::engine::etcd::{self, Address, EtcdEngine};
use crate::engine::sqlite::{self, SqliteEngine};
use crate::engine::{Commit, Engine, Mutation, Sink};
use crate::expiry::ExpiryTimer;
use crate::location::Location;
use crate::shared::{Audience, Shared};
use crate::watch::Registry;
use crate::{Error, Pattern, Result, Store};

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk: a power cut right after the call returns loses nothing.
    #[default]
    Full,
    /// Once the operating system has it: a crash of the program loses nothing; a power cut may
    /// lose the last moments, whole commits from the end, but damages nothing.
    Relaxed,
}

/// What a read of a store on an etcd cluster may show. A store in a SQLite file is always linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was written before the read began, by whichever client: the cluster is asked.
    #[default]
    Linearizable,
    /// For single entries (`get`, `entry`, `exists`) what this process has in memory of what it has read
    /// before: with everything that it wrote itself, and what others wrote up to a short while ago.
    /// [`Store::cache_age`](crate::Store::cache_age) says how short; where that cannot be known, or is more
    /// than [`Options::cache_age_max`], the cluster is asked, as it is for everything else that is read, and
    /// for what a write is decided by.
    Cached,
}

/// How a store is opened.
///
/// ```
/// use std::time::Duration;
/// use larder::{Durability, Store};
///
/// let store = Store::options()
///     .durability(Durability::Relaxed)
///     .cache_bytes(16 << 20)
///     .history(10_000, 8 << 20)
///     .busy_timeout(Duration::from_secs(1))
///     .in_memory()?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until something is opened with them"]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: u64,
    pub(crate) history_changes_max: u64,
    pub(crate) history_bytes_max: u64,
    pub(crate) busy_timeout: Duration,
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) max_value_bytes: u64,
    pub(crate) consistency: Consistency,
    pub(crate) cache_age_max: Duration,
    pub(crate) clock_difference_max: Duration,
    expiry_timer: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 64 << 20,
            history_changes_max: 100_000,
            history_bytes_max: 64 << 20,
            busy_timeout: Duration::from_secs(5),
            read_only: false,
            create: true,
            max_value_bytes: 64 << 20,
            consistency: Consistency::Linearizable,
            cache_age_max: Duration::from_secs(1),
            clock_difference_max: Duration::ZERO,
            expiry_timer: true,
            clock: Arc::new(WallClock),
        }
    }
}

impl Options {
    /// When a write counts as done. [`Durability::Full`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How much memory the cache may take, in bytes of keys, values and what it takes to find them.
    /// 64 MiB unless set; 0 turns it off. Reads from the cache are never stale, whichever thread or
    /// process wrote last; it is shared by all handles of a store and private to its process.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How much the change log keeps: this many changes of this many bytes (keys, values and what
    /// it takes to find them). 100,000 and 64 MiB unless set. Older changes go little by little
    /// with later writes; those of the latest commit always stay.
    pub fn history(mut self, changes: u64, bytes: u64) -> Self {
        self.history_changes_max = changes;
        self.history_bytes_max = bytes;
        self
    }

    /// How long a call waits for other processes to let go of the file before it fails with
    /// [`Error::Busy`]. Five seconds unless set. On a cluster it is how long a call may take, elections and
    /// members that do not answer included, before it fails with [`Error::Unreachable`] or
    /// [`Error::Unknown`]; less than 200 milliseconds count as that many, more than a day as a day.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Whether writes are refused with [`Error::ReadOnly`]. A file opened so is never created,
    /// migrated or purged.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether a file that is not there is made, which it is unless set to false. Without, opening
    /// it fails with [`Error::NotFound`].
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The largest value that may be set, in bytes. 64 MiB unless set; at most 900 MiB.
    pub fn max_value_bytes(mut self, bytes: u64) -> Self {
        self.max_value_bytes = bytes.min(sqlite::VALUE_BYTES_MAX);
        self
    }

    /// What a read of a store on an etcd cluster may show. [`Consistency::Linearizable`] unless set, here or
    /// in the location (`?consistency=cached`).
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// How old what [`Consistency::Cached`] shows may be. One second unless set.
    pub fn cache_age_max(mut self, age: Duration) -> Self {
        self.cache_age_max = age;
        self
    }

    /// By how much the clocks of the machines may differ that use a store on an etcd cluster. None unless
    /// set. A client judges by its own clock what has expired; but it removes nothing before it has for this
    /// long, so that one whose clock is ahead takes away nothing that others still see. Events of what
    /// expires come so much later. A store in a SQLite file has the one clock of its machine.
    pub fn clock_difference_max(mut self, difference: Duration) -> Self {
        self.clock_difference_max = difference;
        self
    }

    /// Whether a thread of the store removes what has expired, as it does unless set to false.
    /// Reads leave out what has expired in any case. Without it,
    /// [`Store::purge_expired`](crate::Store::purge_expired) removes it.
    pub fn expiry_timer(mut self, on: bool) -> Self {
        self.expiry_timer = on;
        self
    }

    /// Where the store takes the time from. The machine's clock unless set.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the SQLite file at `path`, creating it where there is none; `:memory:` is a store in
    /// memory. Any other path is the name of a file, also one that SQLite would read as a URI, such as
    /// `file:app.db`. A go-store file becomes a larder file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::SeveralNames`], [`Error::NotADatabase`], [`Error::ForeignDatabase`],
    /// [`Error::NewerVersion`], [`Error::Migration`], [`Error::Damaged`], [`Error::Busy`]; the file
    /// is as it was then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        if path == Path::new(sqlite::IN_MEMORY) {
            return self.in_memory();
        }
        self.build(|sink| SqliteEngine::open(path, self, sink))
    }

    /// Opens a store that lives in memory, and only as long as a handle to it does.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] where these options ask for it: there would be nothing to read.
    pub fn in_memory(&self) -> Result<Store> {
        if self.read_only {
            return Err(Error::ReadOnly { location: sqlite::IN_MEMORY.into() });
        }
        self.build(|sink| SqliteEngine::in_memory(self, sink))
    }

    /// Opens what a location names: a path, `sqlite:PATH`, `:memory:`, or, with the feature `etcd`, a store in
    /// a cluster.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] where the location names none of them, and those of
    /// [`open`](Self::open); of a cluster [`Error::Unreachable`], [`Error::NotEtcd`], [`Error::Untrusted`],
    /// [`Error::Unauthorized`], [`Error::ForeignKeys`], [`Error::NestedStores`], [`Error::NewerVersion`],
    /// [`Error::NotFound`]; then nothing was written.
    pub fn connect(&self, location: &str) -> Result<Store> {
        match Location::parse(location)? {
            Location::File(path) => self.open(path),
            Location::Memory => self.in_memory(),
            #[cfg(feature = "etcd")]
            Location::Etcd(address) => self.open_etcd(&address),
        }
    }

    #[cfg(feature = "etcd")]
    fn open_etcd(&self, address: &Address) -> Result<Store> {
        let mut options = self.clone();
        options.max_value_bytes = options.max_value_bytes.min(etcd::VALUE_BYTES_MAX);
        options.consistency = address.consistency.unwrap_or(options.consistency);
        options.build(|sink| EtcdEngine::open(address, &options, sink))
    }

    fn build<E: Engine + 'static>(&self, engine: impl FnOnce(Arc<dyn Sink>) -> Result<E>) -> Result<Store> {
        let registry = Arc::new(Registry::default());
        let timer = (self.expiry_timer && !self.read_only).then(ExpiryTimer::default);
        let alarm = timer.as_ref().map(ExpiryTimer::alarm);
        let engine = engine(Arc::new(Audience { registry: Arc::clone(&registry), alarm }))?;
        let limits = Limits { value_bytes_max: self.max_value_bytes };
        Ok(Store::new(Shared::open(Box::new(engine), registry, Arc::clone(&self.clock), limits, timer)))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("history", &(self.history_changes_max, self.history_bytes_max))
            .field("busy_timeout", &self.busy_timeout)
            .field("read_only", &self.read_only)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The longest group or key, in bytes.
const NAME_BYTES_MAX: u64 = 64 << 10;

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub value_bytes_max: u64,
}

impl Limits {
    /// Refuses a commit with anything too large in it, before any of it is written.
    pub fn check(&self, commit: &Commit) -> Result<()> {
        for requirement in &commit.requirements {
            self.check_name("group", &requirement.group)?;
            self.check_name("key", &requirement.key)?;
        }
        commit.mutations.iter().try_for_each(|mutation| self.check_mutation(mutation))
    }

    pub fn check_mutation(&self, mutation: &Mutation) -> Result<()> {
        match mutation {
            Mutation::Set { group, key, value, .. } => {
                self.check_name("group", group)?;
                self.check_name("key", key)?;
                at_most("value", value.len(), self.value_bytes_max)
            }
            Mutation::Touch { group, key, .. }
            | Mutation::Increment { group, key, .. }
            | Mutation::Delete { group, key } => {
                self.check_name("group", group)?;
                self.check_name("key", key)
            }
            Mutation::DeleteGroup { group } => self.check_name("group", group),
            Mutation::DeletePrefix { prefix } | Mutation::Purge { prefix, .. } => {
                self.check_name("group", prefix)
            }
            Mutation::SetQuota { namespace: name, .. } | Mutation::MoveCursor { name, .. } => {
                self.check_name("group", name)
            }
        }
    }

    /// Refuses a pattern that no name can match.
    pub fn check_pattern(&self, pattern: &Pattern) -> Result<()> {
        self.check_name("group", pattern.group.text())?;
        self.check_name("key", pattern.key.text())
    }

    fn check_name(&self, what: &'static str, name: &str) -> Result<()> {
        at_most(what, name.len(), NAME_BYTES_MAX)
    }
}

fn at_most(what: &'static str, size: usize, limit: u64) -> Result<()> {
    let size = size as u64;
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}
