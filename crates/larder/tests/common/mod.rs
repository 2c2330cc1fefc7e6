//! The rig that tests of every engine use, and the one place that lists the engines.
//!
//! A test file says `#[macro_use] mod common;` and writes its tests inside [`on_every_engine!`]. Each becomes
//! one test per engine: `file::…`, `memory::…` and so on. After each test, its store is checked for damage
//! and its counts are compared with a recount.
//!
//! The feature `etcd` adds `etcd::…`, for a store on a cluster of three members that each test file starts
//! and ends. Without etcd installed, those tests do nothing; `tests/cluster.rs` reports that.

// Each test file uses a different part.
#![allow(dead_code, unused_macros, unused_imports)]

mod numbers;
mod own_history;
mod promises;
mod sizes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use larder::{Error, Event, FindingKind, ManualClock, Options, Quota, Store, Usage, View, Watcher};
use tempfile::TempDir;

pub use promises::Promises;

/// The kinds of store that the tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A SQLite file.
    File,
    /// A SQLite file without a cache.
    Uncached,
    /// A SQLite file with a cache so small that it evicts all the time.
    Evicting,
    /// A store in memory.
    Memory,
    /// A cluster of three members.
    #[cfg(feature = "etcd")]
    Etcd,
}

impl Engine {
    /// What this engine promises.
    fn promises(self) -> &'static Promises {
        match self {
            Self::File | Self::Uncached | Self::Evicting => &Promises::FILE,
            Self::Memory => &Promises::MEMORY,
            #[cfg(feature = "etcd")]
            Self::Etcd => &Promises::CLUSTER,
        }
    }
}

/// Turns each function into one test for every engine. Use it once per file.
///
/// ```ignore
/// on_every_engine! {
///     fn setting_clears_a_ttl(rig: &Rig) {
///         let store = rig.store();
///         …
///     }
/// }
/// ```
macro_rules! on_every_engine {
    ($($(#[$attribute:meta])* fn $name:ident($rig:ident: &Rig) $body:block)*) => {
        $(fn $name($rig: &Rig) $body)*
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

/// How long a test waits for something before it fails.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Enough cache for two or three small entries.
const EVICTING_BYTES: u64 = 600;

/// Room for one store, with a clock that stands still until the test moves it.
pub struct Rig {
    /// What the engine promises, for tests where engines differ.
    pub promises: &'static Promises,
    /// The clock of every store that the rig opens.
    pub clock: ManualClock,
    engine: Engine,
    /// Tells the rig's store from those of other rigs in the same cluster.
    number: u64,
    folder: TempDir,
    /// The stores in memory that were opened, to verify them at the end.
    opened: Mutex<Vec<Store>>,
    /// A cluster that no other rig uses, for a test that compacts it.
    #[cfg(feature = "etcd")]
    own_cluster: Option<MutexGuard<'static, larder_cluster::Cluster>>,
    /// The revisions of the store's commits that were asked for so far, where revisions are not consecutive.
    commits: Mutex<Vec<u64>>,
}

impl Rig {
    /// A rig whose store does not exist yet.
    pub fn new(engine: Engine) -> Self {
        static RIGS: AtomicU64 = AtomicU64::new(0);
        Self {
            promises: engine.promises(),
            clock: ManualClock::new(),
            engine,
            number: RIGS.fetch_add(1, Ordering::Relaxed),
            folder: tempfile::tempdir().unwrap(),
            opened: Mutex::default(),
            #[cfg(feature = "etcd")]
            own_cluster: None,
            commits: Mutex::default(),
        }
    }

    /// A second rig of the same engine, with another store.
    pub fn another(&self) -> Self {
        Self::new(self.engine)
    }

    /// Opens the rig's store with the manual clock, without the expiry timer, and with the default for every
    /// other option. In memory each call opens another store; elsewhere it is always the same one.
    pub fn store(&self) -> Store {
        self.open_with(|options| options)
    }

    /// Opens the rig's store like [`store`](Self::store), with some options changed.
    pub fn open_with(&self, change: impl FnOnce(Options) -> Options) -> Store {
        self.try_open_with(change).unwrap()
    }

    /// Like [`open_with`](Self::open_with), for a test that expects an error.
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
            Engine::Etcd => options.connect(self.cluster().location(&self.name())),
        }
    }

    /// A second store of the same data, as another process has it; a clone of the handle where the engine
    /// cannot share.
    pub fn second_handle(&self, store: &Store) -> Store {
        if self.promises.can_be_opened_again { self.store() } else { store.clone() }
    }

    /// Closes a store and opens it again; returns it unchanged where the engine keeps nothing.
    pub fn reopen(&self, store: Store) -> Store {
        self.reopen_with(store, |options| options)
    }

    /// Like [`reopen`](Self::reopen), with some options changed.
    pub fn reopen_with(&self, store: Store, change: impl FnOnce(Options) -> Options) -> Store {
        if !self.promises.can_be_opened_again {
            return store;
        }
        store.close().unwrap();
        self.open_with(change)
    }

    /// The path of the rig's store, if that is a file, whether or not the file exists.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// A folder that is deleted with the rig.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the rig's store in a cluster.
    fn name(&self) -> String {
        format!("rig-{}", self.number)
    }

    /// Advances the clock.
    pub fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// [Verifies](verify) every store of the rig that can still be read.
    fn verify_all(&self) {
        let is_a_file = self.promises.is_a_file;
        if self.promises.can_be_opened_again && (!is_a_file || self.path().exists()) {
            match self.try_open_with(|options| options.create(false).read_only(true)) {
                Ok(store) => verify(&store),
                // A test may leave a file that is not a store. In a cluster there is a store or nothing.
                Err(error) => assert!(
                    is_a_file || matches!(error, Error::NoStore { .. }),
                    "the store that the test left cannot be verified: {error}"
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

/// Runs a test on a new rig, and then verifies the stores it left.
pub fn run(engine: Engine, test: fn(&Rig)) {
    #[cfg(feature = "etcd")]
    if engine == Engine::Etcd && !larder_cluster::etcd_is_installed() {
        return;
    }
    let rig = Rig::new(engine);
    test(&rig);
    rig.verify_all();
}

/// Fails unless a store finds no damage in itself and all its counts, which come from tallies, equal a count
/// of its entries.
#[track_caller]
pub fn verify(store: &Store) {
    let mut found = store.check().unwrap();
    // The shell of the system may leave its version.
    found.retain(|finding| finding.kind != FindingKind::UnsafeSqlite);
    assert_eq!(found, []);
    let counted = recount(store);
    let listed: BTreeMap<String, (u64, u64)> =
        store.groups("").unwrap().into_iter().map(|group| (group.name, (group.keys, group.bytes))).collect();
    assert_eq!(listed, counted, "groups");
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
    assert!(usages.is_empty(), "namespaces missing from the list: {usages:?}");
}

/// The keys and bytes of each group, counted entry by entry.
fn recount(view: &View) -> BTreeMap<String, (u64, u64)> {
    let mut counted = BTreeMap::new();
    for group in view.groups("").unwrap() {
        let entries: Vec<_> = view.entries(&group.name).unwrap().map(Result::unwrap).collect();
        let bytes = entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum::<usize>();
        counted.insert(group.name, (entries.len() as u64, bytes as u64));
    }
    counted
}

/// The namespace that a group belongs to: the part before the first colon, if it consists of letters, digits
/// and hyphens.
pub fn namespace_of(group: &str) -> Option<&str> {
    let (namespace, _) = group.split_once(':')?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!namespace.is_empty() && namespace.bytes().all(fits)).then_some(namespace)
}

/// Waits for a condition, and fails unless it holds within [`WAIT_MAX`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        // Leaves the core to the thread that makes it true.
        thread::park_timeout(ms(1));
    }
}

/// The next event; fails if none arrives within [`WAIT_MAX`].
#[track_caller]
pub fn next_event(watcher: &Watcher) -> Event {
    watcher.recv_timeout(WAIT_MAX).unwrap().expect("an event")
}

/// All events that can be received without waiting.
#[track_caller]
pub fn events_now(watcher: &Watcher) -> Vec<Event> {
    std::iter::from_fn(|| watcher.try_recv().unwrap()).collect()
}

/// Milliseconds as a duration.
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Distinct names that are special to SQL, patterns, file systems or careless programs, and ordinary data
/// here.
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

/// A store with an example of everything.
pub fn furnished(rig: &Rig) -> Store {
    let store = rig.store();
    store.set("config", "colour", "blue").unwrap();
    store.set("binary", "bytes", vec![0xff, 0]).unwrap();
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).unwrap();
    store.set_with_ttl("session", "gone", "abc", Duration::from_secs(1)).unwrap();
    let tenant = store.scoped("tenant-42").unwrap();
    store.set_quota("tenant-42", Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    tenant.set("preferences", "locale", "en-GB").unwrap();
    rig.advance_ms(1000);
    store
}
