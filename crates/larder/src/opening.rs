//! Opening a store: [`Options`], and what a location names. The only place above the engines that names them.

mod location;
mod options;

use std::path::Path;
use std::sync::Arc;

use self::location::Location;
pub use self::options::Options;
use crate::data::{Error, Result};
#[cfg(feature = "etcd")]
use crate::engine::etcd::{self, Address, EtcdEngine};
use crate::engine::sqlite::{self, SqliteEngine};
use crate::engine::{Engine, Opened, Sink};
use crate::rules::Limits;
use crate::store::{Audience, Shared, Store};

impl Options {
    /// Opens the SQLite file at `path`, creating it where there is none; `:memory:` is a store in
    /// memory. A go-store file becomes a larder file.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::Denied`], [`Error::NotADatabase`], [`Error::ForeignDatabase`],
    /// [`Error::NewerVersion`], [`Error::Migration`], [`Error::Damaged`], [`Error::Busy`]; the file
    /// is as it was then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        if path == Path::new(sqlite::IN_MEMORY) {
            return self.in_memory();
        }
        self.build(sqlite::VALUE_BYTES_MAX, |sink| SqliteEngine::open(path, &self.settings, sink))
    }

    /// Opens a store that lives in memory, and only as long as a handle to it does.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] where these options ask for it: there would be nothing to read.
    pub fn in_memory(&self) -> Result<Store> {
        if self.settings.read_only {
            return Err(Error::ReadOnly { location: sqlite::IN_MEMORY.into() });
        }
        self.build(sqlite::VALUE_BYTES_MAX, |sink| SqliteEngine::in_memory(&self.settings, sink))
    }

    /// Opens what a location names: a path, `sqlite:PATH`, `:memory:`, or, with the feature `etcd`, a store in
    /// a cluster.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] where the location names none of them, and those of
    /// [`open`](Self::open); of a cluster [`Error::Unreachable`], [`Error::NotEtcd`], [`Error::Untrusted`],
    /// [`Error::Unauthorized`], [`Error::ForeignKeys`], [`Error::NestedStores`], [`Error::NewerVersion`],
    /// [`Error::NoStore`]; then nothing was written.
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
        options.settings.consistency = address.consistency.unwrap_or(options.settings.consistency);
        options.build(etcd::VALUE_BYTES_MAX, |sink| EtcdEngine::open(address, &options.settings, sink))
    }

    /// Opens an engine, which takes values of up to `value_bytes_ceiling`, and builds the store around it.
    fn build<E: Engine + 'static>(
        &self,
        value_bytes_ceiling: u64,
        open: impl FnOnce(Arc<dyn Sink>) -> Result<Opened<E>>,
    ) -> Result<Store> {
        let timed = self.expiry_timer && !self.settings.read_only;
        let value_bytes_max = self.max_value_bytes.min(value_bytes_ceiling);
        let limits = Limits { value_bytes_max, value_bytes_ceiling };
        let audience = Audience::new(timed);
        let Opened { engine, identity } = open(Arc::clone(&audience) as Arc<dyn Sink>)?;
        let clock = Arc::clone(&self.settings.clock);
        Ok(Store::new(Shared::open(Box::new(engine), identity, audience, clock, limits)))
    }
}

impl Store {
    /// Opens the SQLite file at `path`, creating it where there is none: see [`Options::open`].
    ///
    /// # Errors
    /// Those of [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens a store that lives in memory.
    ///
    /// # Errors
    /// [`Error::Storage`] where there is no memory for it.
    pub fn in_memory() -> Result<Self> {
        Self::options().in_memory()
    }

    /// Opens what a location names: a path, `sqlite:PATH` or `:memory:`.
    ///
    /// # Errors
    /// Those of [`Options::connect`].
    pub fn connect(location: &str) -> Result<Self> {
        Self::options().connect(location)
    }

    /// How to open a store otherwise than by default.
    pub fn options() -> Options {
        Options::default()
    }
}
