//! A client: opens the store, calls it, is killed perhaps, and begins again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder::{Error, Store};
use rusqlite::{Connection, OpenFlags};

use super::calls::{self, Habits, Names};
use super::feeds::{Consumer, Watching};
use super::history::{Consumed, Identity, Record, Watched};
use super::restores::{self, Attempt, Opening, Saved};
use super::world;
use crate::face::Face;
use crate::random::Random;

/// How often a client begins again after it was killed.
const LIVES: u32 = 3;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Shared {
    pub path: PathBuf,
    pub cache_bytes: u64,
    pub calls: u64,
    pub names: Names,
    /// Whether clients restore backups.
    pub restores: bool,
    pub records: Mutex<Vec<Record>>,
    pub watched: Mutex<Vec<Watched>>,
    pub consumed: Mutex<Vec<(Identity, Consumed)>>,
    pub backups: Mutex<u32>,
    pub saved: Mutex<Vec<Saved>>,
    pub openings: Mutex<Vec<Opening>>,
    pub attempts: Mutex<Vec<Attempt>>,
    /// What went wrong where nothing was to befall the run.
    pub complaints: Mutex<Vec<String>>,
}

/// A store that a client has open.
pub struct Opened {
    pub face: Face,
    pub identity: Identity,
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Opens the store. `None` where it cannot be known which store it is, since a call has failed.
    pub fn open(&self, is_async: bool) -> larder::Result<Option<Opened>> {
        let from = world::reigns();
        let options = Store::options().cache_bytes(self.cache_bytes).timeout(Duration::from_secs(5));
        let face = Face::open(options, &self.path, is_async)?;
        if !self.restores {
            return Ok(Some(Opened { face, identity: Identity::default() }));
        }
        let token = face.blocking().token();
        if world::is_dead() {
            return Ok(None);
        }
        let identity = match token {
            Ok(token) => Identity::from(token.store()),
            Err(_) if world::is_disturbed() => return Ok(None),
            Err(error) => return Err(error),
        };
        locked(&self.openings).push(Opening {
            identity: Identity::clone(&identity),
            from,
            until: world::reigns(),
        });
        Ok(Some(Opened { face, identity }))
    }

    pub fn complain(&self, what: String) {
        locked(&self.complaints).push(what);
    }

    pub fn record(&self, record: Record) {
        locked(&self.records).push(record);
    }

    pub fn has_watched(&self, watched: Watched) {
        locked(&self.watched).push(watched);
    }

    pub fn has_consumed(&self, store: &Identity, consumed: Consumed) {
        locked(&self.consumed).push((Identity::clone(store), consumed));
    }

    /// The path of a new backup.
    pub fn backup(&self) -> PathBuf {
        let mut backups = locked(&self.backups);
        *backups += 1;
        self.path.with_file_name(format!("backup{backups}.db"))
    }
}

/// Lives until its calls are made, or the power is cut. Where backups are restored, some make more calls after that, and
/// restore one before.
pub fn live(shared: &Arc<Shared>, number: u64, mut random: Random) {
    for _ in 0..LIVES {
        if world::with(|world| world.plan.is_cut) {
            return;
        }
        let is_killed = shared.restores && random.one_in(2) && {
            world::begin_process();
            restores::attempt(shared, &mut random);
            world::is_dead()
        };
        if !is_killed {
            open_and_call(shared, number, &mut random);
        }
        if !(world::is_dead() || shared.restores && random.one_in(2)) {
            return;
        }
    }
}

fn open_and_call(shared: &Arc<Shared>, number: u64, random: &mut Random) {
    let process = world::begin_process();
    match shared.open(random.one_in(4)) {
        Ok(Some(opened)) => {
            let opened = Arc::new(opened);
            let other = random.one_in(2).then(|| {
                let (shared, opened, random) = (Arc::clone(shared), Arc::clone(&opened), random.split());
                let name = format!("p{process}b");
                std::thread::spawn(move || call(&shared, &opened, &name, false, random))
            });
            call(shared, &opened, &format!("p{process}a"), number == 0, random.split());
            if other.is_some_and(|thread| thread.join().is_err()) {
                shared.complain(format!("client {number} panicked"));
            }
            if let Err(error) = opened.face.close()
                && !world::is_dead()
                && !world::is_disturbed()
            {
                shared.complain(format!("client {number} could not close: {error:?}"));
            }
        }
        Ok(None) => {}
        // A backup may have taken the place of what was being opened.
        Err(Error::Replaced { .. }) if shared.restores => {}
        Err(error) => {
            if !world::is_dead() && !world::is_disturbed() {
                shared.complain(format!("client {number} could not open: {error:?}"));
            }
        }
    }
}

/// Makes the calls of one thread. One thread of all consumes the named cursor.
fn call(shared: &Shared, opened: &Opened, name: &str, consumes: bool, mut random: Random) {
    let mut watching = random.one_in(3).then(|| Watching::begin(opened, name, &mut random)).flatten();
    let habits = Habits::choose(&mut random, shared.restores);
    let mut consumer = consumes.then(|| Consumer::begin(shared, opened)).flatten();
    for number in 0..shared.calls {
        if world::is_dead() {
            break;
        }
        if random.one_in(4) {
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
        calls::make(shared, opened, &habits, (name, number), &mut random);
        if let Some(watching) = &mut watching {
            watching.look(opened);
        }
        if let Some(consumer) = &mut consumer {
            consumer.consume(shared, opened, &mut random);
        }
    }
    if let Some(watching) = watching {
        watching.end(shared, opened);
    }
}

/// A program that checkpoints the file by itself.
pub fn checkpoint(shared: &Shared, mut random: Random) {
    world::begin_process();
    for _ in 0..random.below(6) {
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(connection) = Connection::open_with_flags(&shared.path, flags) else { return };
        let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][random.place(4)];
        // Whatever comes of it, larder's answers must be right.
        let _ = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        if world::is_dead() {
            return;
        }
    }
}
