//! Opens stores. Only this module, of those above the engines, names them.

mod backup_files;
mod options;
mod restoring;
mod target;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::backup_files::{OldBackup, Rotation};
pub use self::options::Options;
pub use self::restoring::{Restored, Restoring};
use self::target::Target;
use crate::data::{Error, Result};
#[cfg(feature = "etcd")]
use crate::engine::etcd::{self, Address, EtcdEngine};
use crate::engine::memory::{self, MemoryEngine};
use crate::engine::sqlite::{self, SqliteEngine};
use crate::engine::{Engine, Opened, Sink};
use crate::rules::Limits;
use crate::store::{Audience, Shared, Store};

impl Options {
    /// Opens the SQLite file at `path`, and creates it if it does not exist. The path `:memory:` opens a store in
    /// memory. Any other path names a file, also one that SQLite would read as a URI, such as `file:app.db`. A file of
    /// go-store becomes a larder file.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = larder::Store::options().cache_bytes(16 << 20).open(path)?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::Denied`], [`Error::SeveralNames`], [`Error::MountedFile`], [`Error::UnsafeFileSystem`],
    /// [`Error::UnsafeSqlite`], [`Error::NotADatabase`], [`Error::ForeignDatabase`],
    /// [`Error::NewerVersion`], [`Error::Migration`], [`Error::Damaged`] and [`Error::Busy`]. After each of them
    /// the file is unchanged.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        if path == Path::new(memory::IN_MEMORY) {
            return self.in_memory();
        }
        self.build(sqlite::VALUE_BYTES_MAX, |sink| SqliteEngine::open(path, &self.settings, sink))
    }

    /// Opens a store in memory. It lasts until its last handle is dropped.
    ///
    /// ```
    /// let store = larder::Store::options().cache_bytes(0).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ReadOnly`] if the options say so, since the store would always be empty.
    pub fn in_memory(&self) -> Result<Store> {
        if self.settings.read_only {
            return Err(Error::ReadOnly { location: memory::IN_MEMORY.into() });
        }
        self.build(sqlite::VALUE_BYTES_MAX, |sink| {
            Ok(MemoryEngine::open(&self.settings, sink, sqlite::write_file))
        })
    }

    /// Opens the store at a location: a path, `sqlite:PATH`, `:memory:` or, with the feature `etcd`, a store on a
    /// cluster, such as `etcd://db1:2379,db2:2379,db3:2379/app`. A path need not be UTF-8.
    ///
    /// A cluster's location is `etcd://USER:PASSWORD@HOST:PORT,…/NAME?SETTING=VALUE&…`. User, password, port (2379) and
    /// settings may be left out. What is not a letter or a digit in user, password and settings is written as `%XX`.
    ///
    /// | setting | |
    /// |---|---|
    /// | `ca=FILE` | TLS, with the authority (PEM) that has signed the members' certificates |
    /// | `tls=system` | TLS, with the authorities that this system trusts |
    /// | `tls=off` | allows user and password without TLS to a host that is not this machine |
    /// | `cert=FILE&key=FILE` | the client's own certificate and key (PEM) |
    /// | `password-file=FILE` | the first line is the password; `/dev/fd/N` is an open descriptor |
    /// | `consistency=cached` or `linearizable` | see [`consistency`](Self::consistency) |
    ///
    /// The files are read for each new connection, so that they may change. A [`Location`](crate::Location) keeps a
    /// location and never shows its password.
    ///
    /// ```
    /// let store = larder::Store::options().cache_bytes(0).connect(":memory:")?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] if the location has none of these forms. For a file, those of
    /// [`open`](Self::open). For a cluster, [`Error::Unreachable`], [`Error::NotEtcd`], [`Error::Untrusted`],
    /// [`Error::Unauthorized`], [`Error::ForeignKeys`], [`Error::NestedStores`], [`Error::NewerVersion`] and
    /// [`Error::NoStore`]; after each of them nothing is written.
    pub fn connect(&self, location: impl AsRef<OsStr>) -> Result<Store> {
        match Target::parse(location.as_ref())? {
            Target::File(path) => self.open(path),
            Target::Memory => self.in_memory(),
            #[cfg(feature = "etcd")]
            Target::Etcd(address) => self.open_etcd(&address),
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
        let (watchers_max, batch_max) = (self.watchers_max, self.batch_max);
        let limits = Limits { value_bytes_max, value_bytes_ceiling, watchers_max, batch_max };
        let audience = Audience::new(timed);
        let Opened { engine, identity, revision } = open(Arc::clone(&audience) as Arc<dyn Sink>)?;
        audience.registry.opened_at(revision);
        let clock = Arc::clone(&self.settings.clock);
        Ok(Store::new(Shared::open(Box::new(engine), identity, audience, clock, limits)))
    }
}

impl Store {
    /// Opens the SQLite file at `path` with the default options, and creates it if it does not exist.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = larder::Store::open(path)?;
    /// store.set("config", "colour", "blue")?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Opens a store in memory with the default options. It lasts until its last handle is dropped.
    ///
    /// ```
    /// let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// None with these options.
    pub fn in_memory() -> Result<Self> {
        Self::options().in_memory()
    }

    /// Opens the store at a location with the default options: see [`Options::connect`] for what a location is.
    ///
    /// ```
    /// let store = larder::Store::connect(":memory:")?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Options::connect`].
    pub fn connect(location: impl AsRef<OsStr>) -> Result<Self> {
        Self::options().connect(location)
    }

    /// Returns the default options, to change before a store is opened.
    ///
    /// ```
    /// let store = larder::Store::options().cache_bytes(16 << 20).in_memory()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn options() -> Options {
        Options::default()
    }
}

impl Store {
    /// Returns the file that a location names when [`connect`](Self::connect) is given it, or `None` where it
    /// names a store in memory or on a cluster. Nothing is opened.
    ///
    /// ```
    /// # use std::path::{Path, PathBuf};
    /// # use larder::Store;
    /// assert_eq!(Store::file_of("sqlite:app.db")?.as_deref(), Some(Path::new("app.db")));
    /// assert_eq!(Store::file_of(":memory:")?, None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] where it names nothing that can be opened.
    pub fn file_of(location: impl AsRef<OsStr>) -> Result<Option<PathBuf>> {
        match Target::parse(location.as_ref())? {
            Target::File(path) => Ok(Some(path)),
            _ => Ok(None),
        }
    }
}
