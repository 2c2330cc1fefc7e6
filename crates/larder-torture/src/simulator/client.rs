//! A client: opens the store, calls it, is killed perhaps, and begins again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::Store;
use rusqlite::{Connection, OpenFlags};

use super::calls::{self, Habits, Names};
use super::feeds::{Consumer, Watching};
use super::history::{Consumed, Record, Watched};
use super::world;
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
    pub records: Mutex<Vec<Record>>,
    pub watched: Mutex<Vec<Watched>>,
    pub consumed: Mutex<Vec<Consumed>>,
    pub backups: Mutex<u32>,
    /// What went wrong where nothing was to befall the run.
    pub complaints: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn open(&self) -> larder::Result<Store> {
        Store::options().cache_bytes(self.cache_bytes).timeout(Duration::from_secs(5)).open(&self.path)
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

    pub fn has_consumed(&self, consumed: Consumed) {
        locked(&self.consumed).push(consumed);
    }

    /// The path of a new backup.
    pub fn backup(&self) -> PathBuf {
        let mut backups = locked(&self.backups);
        *backups += 1;
        self.path.with_file_name(format!("backup{backups}.db"))
    }
}

/// Lives until its calls are made, or the power is cut.
pub fn live(shared: &Arc<Shared>, number: u64, mut random: Random) {
    for _ in 0..LIVES {
        let process = world::begin_process();
        match shared.open() {
            Ok(store) => {
                let other = random.one_in(2).then(|| {
                    let (shared, store, random) = (Arc::clone(shared), store.clone(), random.split());
                    let name = format!("p{process}b");
                    std::thread::spawn(move || call(&shared, &store, &name, false, random))
                });
                call(shared, &store, &format!("p{process}a"), number == 0, random.split());
                if other.is_some_and(|thread| thread.join().is_err()) {
                    shared.complain(format!("client {number} panicked"));
                }
                if let Err(error) = store.close()
                    && !world::is_dead()
                    && !world::is_disturbed()
                {
                    shared.complain(format!("client {number} could not close: {error:?}"));
                }
            }
            Err(error) => {
                if !world::is_dead() && !world::is_disturbed() {
                    shared.complain(format!("client {number} could not open: {error:?}"));
                }
            }
        }
        if !world::is_dead() || world::with(|world| world.plan.is_cut) {
            return;
        }
    }
}

/// Makes the calls of one thread. One thread of all consumes the named cursor.
fn call(shared: &Shared, store: &Store, name: &str, consumes: bool, mut random: Random) {
    let mut watching = random.one_in(3).then(|| Watching::begin(store, name, &mut random)).flatten();
    let habits = Habits::choose(&mut random);
    let consumer = consumes.then(|| Consumer::begin(shared, store)).flatten();
    for number in 0..shared.calls {
        if world::is_dead() {
            break;
        }
        if random.one_in(4) {
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
        calls::make(shared, store, &habits, (name, number), &mut random);
        if let Some(watching) = &mut watching {
            watching.look();
        }
        if let Some(consumer) = &consumer {
            consumer.consume(shared, &mut random);
        }
    }
    if let Some(watching) = watching {
        watching.end(shared, store);
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
