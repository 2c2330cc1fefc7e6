//! Makes backups, and restores them.

use std::path::PathBuf;

use larder::{Error, Restored, Store};
use rusqlite::{Connection, OpenFlags};

use super::client::{Opened, Shared, locked};
use super::history::{Asked, Identity, Told};
use super::judge::Held;
use super::world::{self, Process};
use crate::face::{Caller, call};
use crate::random::Random;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Saved {
    path: PathBuf,
    /// The store of which it is one.
    pub of: Identity,
    pub held: Held,
    /// How many steps of the consumers there were before it was begun, and once it was made.
    pub steps: (usize, usize),
}

/// A client has opened the store.
#[derive(Clone, Debug)]
pub struct Opening {
    pub identity: Identity,
    /// How many files had had the name of the store before it began, and once it was open.
    pub from: usize,
    pub until: usize,
}

/// An attempt to restore a backup.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub by: Process,
    /// The place of the backup among those that were made.
    pub saved: usize,
    /// As with an opening.
    pub from: usize,
    pub until: usize,
    /// What it has done; `None` where nobody knows: an error says so, or its process was killed.
    pub told: Option<Result<Restored, String>>,
}

fn open(path: &PathBuf) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Makes a backup, and reads what is in it.
pub fn save(shared: &Shared, opened: &Opened) -> Option<(Asked, Told)> {
    let path = shared.backup();
    let steps = || locked(&shared.consumed).len();
    let before = steps();
    let caller = Caller::patient(&opened.face);
    let made = call!(caller, |store| store.backup(&path).run());
    if made.is_err() || world::is_dead() {
        return None;
    }
    let steps = (before, steps());
    match open(&path).and_then(|connection| Held::read(&connection)) {
        Ok(held) => {
            let found = held.entries();
            locked(&shared.saved).push(Saved { path, of: Identity::clone(&opened.identity), held, steps });
            Some((Asked::Backup { found }, Told::Done(None)))
        }
        Err(error) => {
            if !world::is_disturbed() && !world::is_dead() {
                shared.complain(format!("a backup could not be read: {error:?}"));
            }
            None
        }
    }
}

/// Restores one of the backups, where there is one. Others that have the store open prevent it.
pub fn attempt(shared: &Shared, random: &mut Random) {
    let saved = random.place(locked(&shared.saved).len());
    let Some(path) = locked(&shared.saved).get(saved).map(|saved| saved.path.clone()) else { return };
    let restoring = Store::restore(path, &shared.path);
    let restoring = if random.one_in(2) { restoring.keep_old() } else { restoring };
    let (by, from) = (world::with(|world| world.process()), world::reigns());
    let told = restoring.run();
    let until = world::reigns();
    let told = match told {
        _ if world::is_dead() => None,
        Err(Error::Unknown { .. }) if world::is_disturbed() => None,
        Ok(restored) => Some(Ok(restored)),
        Err(error) => {
            if !matches!(error, Error::InUse { .. }) && !world::is_disturbed() {
                shared.complain(format!("a backup could not be restored: {error:?}"));
            }
            Some(Err(format!("{error:?}")))
        }
    };
    locked(&shared.attempts).push(Attempt { by, saved, from, until, told });
}
