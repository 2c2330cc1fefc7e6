//! Opening the store that a command is about, no more than it needs.

use std::fs::File;
use std::path::Path;

use larder::{Error, Options, ScopedStore, Snapshot, Store, View};

use crate::arguments::Place;
use crate::failure::Failure;
use crate::links;
use crate::store_files::StoreFiles;

/// An open store, and the namespace of it that the command sees, if it was given one.
pub struct Opened {
    pub whole: Store,
    pub tenant: Option<ScopedStore>,
}

/// Does the same with the namespace that was opened, or else with the whole store: two types with
/// the same methods.
macro_rules! within {
    ($opened:expr, $store:ident => $body:expr) => {
        match &$opened.tenant {
            Some($store) => $body,
            None => {
                let $store = &$opened.whole;
                $body
            }
        }
    };
}
pub(crate) use within;

impl Opened {
    /// What can be read.
    pub fn view(&self) -> &View {
        within!(self, store => store)
    }

    /// All that can be read, as it is now.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(within!(self, store => store.snapshot())?)
    }
}

impl Place {
    /// Opens the store for a command that only reads.
    pub fn reading(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_read(&self.store, false)?)
    }

    /// Opens the store for a command that reads for so long that entries expire meanwhile.
    pub fn watching(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_read(&self.store, true)?)
    }

    /// Opens the store for a command that writes, and makes it where there is none.
    pub fn writing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, true)?)
    }

    /// Opens the store for a command that changes what is there, and has nothing to do where there
    /// is no store.
    pub fn changing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, false)?)
    }

    /// Opens the store for a command that does both, and makes none.
    pub fn watching_to_write(&self) -> Result<Opened, Failure> {
        self.scoped(open_with(&Store::options().create(false), &self.store)?)
    }

    /// Refuses a file of the store where another is to be written to, or read.
    pub fn refuse_own_file(&self, path: &Path) -> Result<(), Failure> {
        StoreFiles::of(&self.store).refuse(path)
    }

    /// Refuses a namespace, for commands that are about the whole store.
    pub fn whole(&self, command: &str) -> Result<&Self, Failure> {
        match self.namespace {
            None => Ok(self),
            Some(_) => Err(Failure::Usage(format!("`larder {command}` is about the whole store"))
                .advise("Leave out --namespace.")),
        }
    }

    fn scoped(&self, whole: Store) -> Result<Opened, Failure> {
        let tenant = self.namespace.as_ref().map(|namespace| whole.scoped(namespace)).transpose()?;
        Ok(Opened { whole, tenant })
    }
}

/// Opens a store to read: none is made, nothing is purged (unless `expiring`), and a file that may
/// not be written will do.
pub fn open_to_read(location: &str, expiring: bool) -> Result<Store, Failure> {
    StoreFiles::of(location).refuse_as_output()?;
    let options = Store::options().create(false).expiry_timer(expiring);
    match options.connect(location) {
        Err(Error::Denied { .. }) => Ok(options.read_only(true).connect(location)?),
        opened => opened.map_err(|error| no_store(location, error)),
    }
}

/// Opens a store to write to it. `create` makes one where there is none.
pub fn open_to_write(location: &str, create: bool) -> Result<Store, Failure> {
    open_with(&Store::options().create(create).expiry_timer(false), location)
}

fn open_with(options: &Options, location: &str) -> Result<Store, Failure> {
    StoreFiles::of(location).refuse_as_output()?;
    options.connect(location).map_err(|error| match error {
        Error::Denied { path, .. } if File::open(&path).is_ok() => {
            Error::ReadOnly { location: path.display().to_string() }.into()
        }
        error => no_store(location, error),
    })
}

/// Where all that is wrong is that there is no store yet, says how one comes to be.
fn no_store(location: &str, error: Error) -> Failure {
    match &error {
        Error::NoStore { path, .. } if !path.exists() && links::folder_of(path).is_dir() => Failure::from(
            error,
        )
        .advise(format!("Check --store, or create it with `larder --store {location} set GROUP KEY VALUE`.")),
        _ => error.into(),
    }
}
