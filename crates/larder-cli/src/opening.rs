//! Opens the store of a command with no more access than the command needs.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use larder::{Error, Location, Options, ScopedStore, Snapshot, Store, View};

use crate::arguments::{Access, Place};
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
        self.scoped(open_to_read(&self.store, &self.access, false)?)
    }

    /// Opens the store for a command that reads for long, with the expiry timer running.
    pub fn watching(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_read(&self.store, &self.access, true)?)
    }

    /// Opens the store for a command that writes. Creates the store if it does not exist.
    pub fn writing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, &self.access, true)?)
    }

    /// Opens the store for a command that changes existing data. Fails if the store does not exist.
    pub fn changing(&self) -> Result<Opened, Failure> {
        self.scoped(open_to_write(&self.store, &self.access, false)?)
    }

    /// Opens the store for a command that watches and writes. Fails if the store does not exist.
    pub fn watching_to_write(&self) -> Result<Opened, Failure> {
        self.scoped(open_with(&self.access.options().create(false), &self.store)?)
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

/// Returns an error if what was read of a store is not all of it, since some of it cannot be read. What can be read has
/// been put out by then.
pub fn check_complete(store: &Store, location: &Location) -> Result<(), Failure> {
    if left_out(store)? == 0 { Ok(()) } else { Err(incomplete(location)) }
}

/// Returns the error for output that has not everything, since some of the store cannot be read.
pub fn incomplete(location: &Location) -> Failure {
    let detail = "entries that cannot be read were left out".into();
    Failure::from(Error::Damaged { location: location.to_string(), detail }).advise(
        "Use what was put out: it has everything else. `larder check` names what was left out, and `larder check \
         --repair --delete-unreadable` deletes it.",
    )
}

/// Returns how many entries that cannot be read this command has left out so far.
pub fn left_out<S>(store: &Store<S>) -> Result<u64, Failure> {
    Ok(store.health()?.left_out)
}

/// Opens a store to read. It never creates one, purges expired entries only if `expiring`, and accepts a file
/// without write permission.
pub fn open_to_read(location: &Location, access: &Access, expiring: bool) -> Result<Store, Failure> {
    StoreFiles::of(location).refuse_as_output()?;
    let options = access.options().create(false).expiry_timer(expiring);
    match options.connect(location) {
        Err(Error::Denied { .. }) => Ok(options.read_only(true).connect(location)?),
        opened => opened.map_err(|error| no_store(location, error)),
    }
}

/// Opens a store to write. `create` creates it if it does not exist.
pub fn open_to_write(location: &Location, access: &Access, create: bool) -> Result<Store, Failure> {
    open_with(&access.options().create(create).expiry_timer(false), location)
}

fn open_with(options: &Options, location: &Location) -> Result<Store, Failure> {
    StoreFiles::of(location).refuse_as_output()?;
    options.connect(location).map_err(|error| match error {
        Error::Denied { path, .. } if File::open(&path).is_ok() => {
            Error::ReadOnly { location: path.display().to_string() }.into()
        }
        error => no_store(location, error),
    })
}

/// Adds how to create a store to the error, if the store is all that is missing.
fn no_store(location: &Location, error: Error) -> Failure {
    match &error {
        // Not where the path is wrong in another way, which has its own advice.
        Error::NoStore { path, .. } if is_missing(path) && links::folder_of(path).is_dir() => {
            Failure::from(error).advise(format!(
                "Check --store, or create it with `larder --store {} set GROUP KEY VALUE`.",
                location
            ))
        }
        _ => error.into(),
    }
}

/// Whether a file could be created under a path: neither it nor the files that SQLite keeps beside it exist, and their
/// names are not too long.
fn is_missing(path: &Path) -> bool {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-journal");
    [path, Path::new(&beside)]
        .iter()
        .all(|path| matches!(path.metadata(), Err(error) if error.kind() == ErrorKind::NotFound))
}
