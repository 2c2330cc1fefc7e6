//! The bench that every test stands on, and the one place that lists the engines.
//!
//! A test file says `#[macro_use] mod common;` and writes its tests inside [`on_every_engine!`]. Each
//! of them becomes one test an engine, `file::…`, `memory::…` and so on. After each, the store is checked for
//! damage and counted again.
//!
//! With the feature `etcd` there is one more, `etcd::…`, for a store on a cluster of three members that each
//! test file starts and ends; where etcd is not installed those tests do nothing, as `tests/cluster.rs` says.

// Each test file uses another part of it.
#![allow(dead_code, unused_macros, unused_imports)]

mod numbers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use larder::{Error, Event, ManualClock, Options, Revision, Store, Usage, View, Watcher};
use tempfile::TempDir;

/// The kinds of store that the tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A SQLite file.
    File,
    /// A SQLite file without a cache.
    Uncached,
    /// A SQLite file with a cache so small that it evicts all the time.
    Evicting,
    /// SQLite in memory.
    Memory,
    /// A cluster of three members.
    #[cfg(feature = "etcd")]
    Etcd,
}

/// Turns each function into one test for every engine. One use a file.
///
/// ```ignore
/// on_every_engine! {
///     fn setting_clears_a_ttl(bench: &Bench) {
///         let store = bench.store();
///         …
///     }
/// }
/// ```
macro_rules! on_every_engine {
    ($($(#[$attribute:meta])* fn $name:ident($bench:ident: &Bench) $body:block)*) => {
        $(fn $name($bench: &Bench) $body)*
        on_every_engine!(@engine file File $([$($attribute)*] $name)*);
        on_every_engine!(@engine uncached Uncached $([$($attribute)*] $name)*);
        on_every_engine!(@engine evicting Evicting $([$($attribute)*] $name)*);
        on_every_engine!(@engine memory Memory $([$($attribute)*] $name)*);
        #[cfg(feature = "etcd")]
        on_every_engine!(@engine etcd Etcd $([$($attribute)*] $name)*);
    };
    (@engine $module:ident $engine:ident $([$($attribute:meta)*] $name:ident)*) => {
        mod $module {
            $(
                #[test]
                $(#[$attribute])*
                fn $name() {
                    crate::common::run(crate::common::Engine::$engine, super::$name);
                }
            )*
        }
    };
}

/// How long a bounded wait lasts before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Room in the cache for two or three small entries.
const EVICTING_BYTES: u64 = 600;

/// A place for one store, with a clock that stands still until it is moved.
pub struct Bench {
    /// The clock of every store that the bench opens.
    pub clock: ManualClock,
    engine: Engine,
    /// What tells the bench's store from those of other benches in the same cluster.
    number: u64,
    folder: TempDir,
    /// The stores in memory that were opened, to check them in the end.
    opened: Mutex<Vec<Store>>,
    /// A cluster whose history is this bench's alone, where it is to be cut short.
    #[cfg(feature = "etcd")]
    own: Option<MutexGuard<'static, larder_cluster::Cluster>>,
    /// The revisions of the store's commits, as far as they were asked for; where the engine counts them,
    /// nobody asks.
    numbered: Mutex<Vec<u64>>,
}

impl Bench {
    /// A bench with nothing on it.
    pub fn new(engine: Engine) -> Self {
        static BENCHES: AtomicU64 = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let number = BENCHES.fetch_add(1, Ordering::Relaxed);
        let (clock, opened, numbered) = (ManualClock::new(), Mutex::default(), Mutex::default());
        Self {
            clock,
            engine,
            number,
            folder,
            opened,
            numbered,
            #[cfg(feature = "etcd")]
            own: None,
        }
    }

    /// Opens the bench's store: the manual clock, no expiry timer, and all else by default. Opened
    /// again, it has what it had, unless it lives in memory and is another one.
    pub fn store(&self) -> Store {
        self.open_with(|options| options)
    }

    /// Opens the bench's store with other options than [`store`](Self::store) does.
    pub fn open_with(&self, change: impl FnOnce(Options) -> Options) -> Store {
        self.try_open_with(change).unwrap()
    }

    /// As [`open_with`](Self::open_with), for a test that expects an error.
    pub fn try_open_with(&self, change: impl FnOnce(Options) -> Options) -> Result<Store, Error> {
        let options = change(Store::options().clock(self.clock.clone()).expiry_timer(false));
        match self.engine {
            Engine::File => options.open(self.path()),
            Engine::Uncached => options.cache_bytes(0).open(self.path()),
            Engine::Evicting => options.cache_bytes(EVICTING_BYTES).open(self.path()),
            Engine::Memory => {
                let store = options.in_memory()?;
                self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
                Ok(store)
            }
            #[cfg(feature = "etcd")]
            Engine::Etcd => options.connect(&self.cluster().location(&self.name())),
        }
    }

    /// A second store of the same data beside one that is open, as another process has it; another
    /// handle of the same store where the engine cannot share.
    pub fn beside(&self, store: &Store) -> Store {
        if self.persists() { self.store() } else { store.clone() }
    }

    /// Closes a store and opens it again; gives it back as it is where the engine keeps nothing.
    pub fn reopen(&self, store: Store) -> Store {
        self.reopen_with(store, |options| options)
    }

    /// As [`reopen`](Self::reopen), with other options.
    pub fn reopen_with(&self, store: Store, change: impl FnOnce(Options) -> Options) -> Store {
        if !self.persists() {
            return store;
        }
        store.close().unwrap();
        self.open_with(change)
    }

    /// Whether what was written is still there when the store is opened again.
    pub fn persists(&self) -> bool {
        self.engine != Engine::Memory
    }

    /// Which engine it is, for what only one of them promises.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether the store is one of SQLite's, in a file or in memory.
    pub fn engine_is_sqlite(&self) -> bool {
        self.is_file() || self.engine == Engine::Memory
    }

    /// Whether the store is a file.
    pub fn is_file(&self) -> bool {
        matches!(self.engine, Engine::File | Engine::Uncached | Engine::Evicting)
    }

    /// Where the file of the bench's store is, whether or not it is there.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// A folder that goes away with the bench.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the clock on by milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Verifies every store of the bench that can still be read: see [`verify`].
    fn verify_all(&self) {
        if self.persists() && (!self.is_file() || self.path().exists()) {
            match self.try_open_with(|options| options.create(false).read_only(true)) {
                Ok(store) => verify(&store),
                // Not every file that a test leaves is a store; in a cluster, there is one or nothing at all.
                Err(error) => assert!(
                    self.is_file() || matches!(error, Error::NoStore { .. }),
                    "what the test left cannot be verified: {error}"
                ),
            }
        }
        for store in self.opened.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match store.revision() {
                Err(Error::Closed) => {}
                _ => verify(store),
            }
        }
    }
}

/// Runs a test on a new bench, and then verifies what it left.
pub fn run(engine: Engine, test: fn(&Bench)) {
    #[cfg(feature = "etcd")]
    if engine == Engine::Etcd && !larder_cluster::etcd_is_installed() {
        return;
    }
    let bench = Bench::new(engine);
    test(&bench);
    bench.verify_all();
}

/// A store is sound when it finds no damage in itself, and when all its counts, which come from
/// tallies, are those of its entries counted one by one.
#[track_caller]
pub fn verify(store: &Store) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let counted = recount(store);
    let told: BTreeMap<String, (u64, u64)> =
        store.groups("").unwrap().into_iter().map(|group| (group.name, (group.keys, group.bytes))).collect();
    assert_eq!(told, counted, "groups");
    assert_eq!(
        store.count_all("").unwrap(),
        counted.values().map(|(keys, _)| keys).sum::<u64>(),
        "count_all"
    );

    let mut usages: BTreeMap<String, Usage> = BTreeMap::new();
    for (group, (keys, bytes)) in &counted {
        assert_eq!(store.count(group).unwrap(), *keys, "count of {group:?}");
        if let Some(namespace) = namespace_of(group) {
            let usage = usages.entry(namespace.to_owned()).or_default();
            usage.keys += keys;
            usage.groups += 1;
            usage.bytes += bytes;
        }
    }
    for namespace in store.namespaces().unwrap() {
        let usage = usages.remove(&namespace.name).unwrap_or_default();
        assert_eq!(namespace.usage, usage, "usage of {:?}", namespace.name);
        assert_eq!(store.scoped(&namespace.name).unwrap().usage().unwrap(), usage);
    }
    assert!(usages.is_empty(), "namespaces that are not listed: {usages:?}");
}

/// Keys and bytes of each group, counted entry by entry.
fn recount(view: &View) -> BTreeMap<String, (u64, u64)> {
    let mut counted = BTreeMap::new();
    for group in view.groups("").unwrap() {
        let entries: Vec<_> = view.entries(&group.name).unwrap().map(Result::unwrap).collect();
        let bytes = entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum::<usize>();
        counted.insert(group.name, (entries.len() as u64, bytes as u64));
    }
    counted
}

/// The namespace that a group belongs to, by the design: what stands before the first colon, where
/// that is letters, digits and hyphens.
pub fn namespace_of(group: &str) -> Option<&str> {
    let (namespace, _) = group.split_once(':')?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!namespace.is_empty() && namespace.bytes().all(fits)).then_some(namespace)
}

/// Waits for a condition, and fails where it does not come about within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        // Leaves the core to whoever is to bring it about.
        thread::park_timeout(ms(1));
    }
}

/// The next event, or a failed test where none comes within [`PATIENCE`].
#[track_caller]
pub fn next_event(watcher: &Watcher) -> Event {
    watcher.recv_timeout(PATIENCE).unwrap().expect("an event")
}

/// All events that are there now.
#[track_caller]
pub fn events_now(watcher: &Watcher) -> Vec<Event> {
    std::iter::from_fn(|| watcher.try_recv().unwrap()).collect()
}

/// Milliseconds as a duration.
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Names that mean something to SQL, to a pattern, to a file system or to a careless program, and that
/// are ordinary data here. No two are the same.
pub const STRANGE_NAMES: &[&str] = &[
    "",
    " ",
    "\0",
    "a",
    "A",
    "a ",
    "a\0",
    "a\0b",
    "%",
    "_",
    "^",
    "*",
    "?",
    "[a-z]",
    "\\",
    "'",
    "\"",
    "'; DROP TABLE entries; --",
    "..",
    "../..",
    ":",
    "::",
    "a:b",
    "{{ a }}",
    "\r\n\t",
    "\u{feff}",
    "é",
    "e\u{301}",
    "日本語",
    "العربية",
    "🗝",
    "\u{d7ff}",
    "\u{e000}",
    "\u{10ffff}",
];
