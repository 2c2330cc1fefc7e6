//! Opens the store of a command with no more access than the command needs.

use std::fs::File;
use std::path::Path;

use larder::{Error, Options, ScopedStore, Snapshot, Store, View};

use crate::arguments::Place;
use crate::failure::Failure;
use crate::links;
use crate::store_files::StoreFiles;

/// An open store, and the namespace given with `--namespace`, if any.
pub struct Opened {
    pub whole: Store,
    pub tenant: Option<ScopedStore>,
}

/// Runs `$body` with the opened namespace, or with the whole store if there is none. The two are different
/// types with the same methods.
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
    /// Returns the readable view of the namespace or the whole store.
    pub fn view(&self) -> &View {
        within!(self, store => store)
    }

    /// Takes a snapshot of the namespace or the whole store.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        Ok(within!(self, store => store.snapshot())?)
    }
}

impl Place {
    /// Opens the store for a command that only reads.
    pub fn reading(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_read(&self.store, false)?)
    }

    /// Opens the store for a command that reads for long, with the expiry timer running.
    pub fn watching(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_read(&self.store, true)?)
    }

    /// Opens the store for a command that writes. Creates the store if it does not exist.
    pub fn writing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, true)?)
    }

    /// Opens the store for a command that changes existing data. Fails if the store does not exist.
    pub fn changing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, false)?)
    }

    /// Opens the store for a command that watches and writes. Fails if the store does not exist.
    pub fn watching_to_write(&self) -> Result<Opened, Failure> {
        self.scoped(open_with(&Store::options().create(false), &self.store)?)
    }

    /// Returns an error if `path` is a file of the store.
    pub fn refuse_own_file(&self, path: &Path) -> Result<(), Failure> {
        StoreFiles::of(&self.store).refuse(path)
    }

    /// Returns an error if `--namespace` was given, for commands that work on the whole store.
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

/// Opens a store to read. It never creates one, purges expired entries only if `expiring`, and accepts a file
/// without write permission.
pub fn open_to_read(location: &str, expiring: bool) -> Result<Store, Failure> {
    StoreFiles::of(location).refuse_as_output()?;
    let options = Store::options().create(false).expiry_timer(expiring);
    match options.connect(location) {
        Err(Error::Denied { .. }) => Ok(options.read_only(true).connect(location)?),
        opened => opened.map_err(|error| no_store(location, error)),
    }
}

/// Opens a store to write. `create` creates it if it does not exist.
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

/// Adds how to create a store to the error, if the store is all that is missing.
fn no_store(location: &str, error: Error) -> Failure {
    match &error {
        Error::NoStore { path, .. } if !path.exists() && links::folder_of(path).is_dir() => Failure::from(
            error,
        )
        .advise(format!("Check --store, or create it with `larder --store {location} set GROUP KEY VALUE`.")),
        _ => error.into(),
    }
}
