//! The stores that are timed, behind common traits, so that all run through the same loops.

mod bare_map;
mod dashmap;
#[cfg(feature = "etcd")]
mod etcd;
mod fjall;
mod larder;
mod lmdb;
#[cfg(target_os = "linux")]
mod mdbx;
mod moka;
mod redb;
mod sqlite;
#[cfg(not(target_os = "linux"))]
mod without_mdbx;

pub use self::bare_map::BareMap;
pub use self::dashmap::Dashmap;
#[cfg(feature = "etcd")]
pub use self::etcd::{Etcd, TRANSACTION};
pub use self::fjall::Fjall;
pub use self::larder::{Larder, LarderInPlace};
pub use self::lmdb::Lmdb;
#[cfg(target_os = "linux")]
pub use self::mdbx::Mdbx;
pub use self::moka::Moka;
pub use self::redb::Redb;
pub use self::sqlite::{Connected, RawSqlite, SharedSqlite, Table};
#[cfg(not(target_os = "linux"))]
pub use self::without_mdbx::Mdbx;

use crate::Outcome;
use crate::sample::{Key, Sample};

/// All entries of a store, as owned strings.
pub type Strings = Vec<(String, String)>;

/// A store that holds a [`Sample`].
pub trait TimedStore {
    /// Passes the value of a key to `look`, without copying it if the store can.
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>>;

    /// Sets a value in its own commit, which is on the disk when this returns.
    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome;

    /// Writes a sample, with many entries per commit.
    fn fill(&self, sample: &Sample) -> Outcome;
}

/// A store that holds a [`Sample`] and takes many calls at once.
#[cfg(feature = "etcd")]
pub trait AsyncTimedStore {
    /// Like [`TimedStore::get`].
    async fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>>;

    /// Like [`TimedStore::set`].
    async fn set(&self, key: Key<'_>, value: Vec<u8>) -> Outcome;
}

/// The most address space of a peer that maps its file into memory. The file itself grows with its content.
const MAP_BYTES: usize = 32 << 30;

/// How many entries a commit has while a store is filled.
const FILL: u64 = 100_000;

/// The numbers of a sample's keys, commit by commit.
fn commits(sample: &Sample) -> impl Iterator<Item = std::ops::Range<u64>> {
    let len = sample.len();
    (0..len).step_by(FILL as usize).map(move |first| first..len.min(first + FILL))
}
