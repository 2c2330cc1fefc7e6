//! Where a sequence has its store: the engine, the folder, the clock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::{AsyncStore, Durability, ManualClock, Options, Result, Store};
use serde::Serialize;
use tempfile::TempDir;

use super::call::{Cache, Setup};
use super::face::{Driver, Face, Kind};

/// What keeps the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A SQLite file.
    File,
    /// A store in memory.
    Memory,
    /// An etcd cluster of three members on this machine. It needs the feature `etcd`, and etcd.
    Cluster,
}

/// On which face of the store the calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// `Store`.
    Blocking,
    /// `AsyncStore`.
    Async,
}

/// Enough cache for two or three small entries.
const SMALL_BYTES: u64 = 600;

/// Room for one store, with a clock that stands still until it is moved.
pub struct Place {
    pub engine: Engine,
    side: Side,
    pub clock: ManualClock,
    pub driver: Driver,
    folder: TempDir,
    number: u64,
}

impl Place {
    pub fn new(engine: Engine, side: Side, driver: Driver) -> std::io::Result<Self> {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            engine,
            side,
            clock: ManualClock::new(),
            driver,
            folder: crate::scratch::folder()?,
            number,
        })
    }

    /// Whether a second handle finds the same entries.
    pub fn can_be_opened_again(&self) -> bool {
        self.engine != Engine::Memory
    }

    /// Whether each commit adds 1 to the revision, and a backup keeps the revisions.
    pub fn has_own_revisions(&self) -> bool {
        self.engine != Engine::Cluster
    }

    pub fn options(&self) -> Options {
        Store::options().clock(self.clock.clone()).expiry_timer(false).durability(Durability::Relaxed)
    }

    pub fn open(&self, setup: Setup) -> Result<Face> {
        let options = match setup.cache {
            Cache::Full => self.options(),
            Cache::Small => self.options().cache_bytes(SMALL_BYTES),
            Cache::None => self.options().cache_bytes(0),
        };
        let location = match self.engine {
            Engine::File => self.store_file().into_os_string(),
            Engine::Memory => ":memory:".into(),
            Engine::Cluster => self.location()?.into(),
        };
        self.connect(options, location)
    }

    /// An empty store in memory, to copy to.
    pub fn empty(&self) -> Result<Face> {
        self.connect(self.options(), ":memory:".into())
    }

    fn connect(&self, options: Options, location: std::ffi::OsString) -> Result<Face> {
        let driver = self.driver.clone();
        let kind = match self.side {
            Side::Blocking => Kind::Blocking(driver.now(|| options.connect(location))?),
            Side::Async => Kind::Async(driver.wait(AsyncStore::connect_with(options, location))?),
        };
        Ok(Face { kind, driver })
    }

    /// Where the store is, if it is one in a file.
    pub fn store_file(&self) -> PathBuf {
        self.file("store.db")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[cfg(feature = "etcd")]
    fn location(&self) -> Result<String> {
        if !larder_cluster::etcd_is_installed() {
            return Err(larder::Error::other("etcd is not installed"));
        }
        let name = format!("model-{}-{}", std::process::id(), self.number);
        Ok(larder_cluster::Cluster::shared().location(&name))
    }

    #[cfg(not(feature = "etcd"))]
    fn location(&self) -> Result<String> {
        let number = self.number;
        Err(larder::Error::other(format!(
            "store {number}: larder-torture is built without the feature `etcd`"
        )))
    }
}
