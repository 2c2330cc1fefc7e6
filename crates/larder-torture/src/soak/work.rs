//! What goes on during a soak: writers, readers, watchers, a cursor, tenants that come and go, and backups.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use larder::{Quota, Store, Watcher};
use serde::Serialize;

use super::{Plant, watching};
use crate::random::Random;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub const WRITERS: u64 = 3;

/// How many threads hold snapshots. Each takes the next one as soon as it has dropped one, so that there is nearly
/// always one open.
const READERS: u64 = 3;

/// For how long a snapshot is held at most, in milliseconds.
const HELD_MAX: u64 = 300;

/// For how long an entry lives at most, in milliseconds.
const LIFE_MAX: u64 = 2_000;

/// How many keys of each kind there are.
const KEYS: u64 = 100;

/// How many watchers the planted fault leaves unread each time. One needs little: watchers share events.
const WATCHERS_LEFT: u64 = 10;

/// The part of a soak that all its threads share.
pub struct Shift {
    pub store: Store,
    seed: u64,
    plant: Option<Plant>,
    folder: PathBuf,
    /// Nothing new is to begin.
    over: AtomicBool,
    /// Everything is written, and this is the last number of each writer.
    last: Mutex<Option<Vec<u64>>>,
    pub counts: Counts,
}

/// What was done.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Counts {
    pub writes: Count,
    pub short_lives: Count,
    pub snapshots: Count,
    pub watched: Count,
    pub cursor_opened: Count,
    pub acknowledged: Count,
    pub tenants: Count,
    pub backups: Count,
}

/// A number that all threads count up.
#[derive(Debug, Default, Clone)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Serialize for Count {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.number())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, short_lives, snapshots, watched, cursor_opened, acknowledged, tenants, backups } =
            self;
        write!(
            f,
            "{} writes, {} entries with short lives, {} snapshots, {} events watched, a cursor opened {} times and \
             acknowledged {} times, {} tenants, {} backups",
            writes.number(),
            short_lives.number(),
            snapshots.number(),
            watched.number(),
            cursor_opened.number(),
            acknowledged.number(),
            tenants.number(),
            backups.number()
        )
    }
}

impl Shift {
    pub fn new(seed: u64, plant: Option<Plant>, store: Store, folder: &Path) -> Self {
        Self {
            store,
            seed,
            plant,
            folder: folder.into(),
            over: AtomicBool::new(false),
            last: Mutex::new(None),
            counts: Counts::default(),
        }
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// The last number of each writer, once nothing more is written.
    pub fn last(&self) -> Option<Vec<u64>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Random numbers for one thread.
    pub fn random(&self, thread: u64) -> Random {
        let mut random = Random::new(self.seed);
        (0..thread).fold(random.split(), |_, _| random.split())
    }
}

/// The threads of a soak.
pub struct Workers<'scope> {
    writers: Vec<ScopedJoinHandle<'scope, Outcome<u64>>>,
    others: Vec<ScopedJoinHandle<'scope, Outcome<()>>>,
    watching: Vec<ScopedJoinHandle<'scope, Outcome<Vec<String>>>>,
}

pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, shift: &Arc<Shift>) -> Outcome<Workers<'scope>> {
    // They begin before the first write, so that they have to see all of them.
    let all = shift.store.watch(larder::Pattern::all())?;
    drop(watching::cursor(shift)?);
    let with = || Arc::clone(shift);
    let (first, second, third, fourth, fifth) = (with(), with(), with(), with(), with());
    let mut workers = Workers {
        writers: (0..WRITERS)
            .map(|number| (number, with()))
            .map(|(n, s)| scope.spawn(move || write(&s, n)))
            .collect(),
        others: vec![
            scope.spawn(move || tenants(&first)),
            scope.spawn(move || backups(&second)),
            scope.spawn(move || leak(&third)),
        ],
        watching: vec![
            scope.spawn(move || watching::everything(&fourth, &all)),
            scope.spawn(move || watching::acknowledging(&fifth)),
        ],
    };
    for number in 0..READERS {
        let shift = with();
        workers.others.push(scope.spawn(move || read(&shift, number)));
    }
    Ok(workers)
}

/// Ends a soak. Returns what went wrong in it.
pub fn end(shift: &Shift, workers: Outcome<Workers<'_>>) -> Vec<String> {
    shift.over.store(true, Ordering::Relaxed);
    let Workers { writers, others, watching } = match workers {
        Ok(workers) => workers,
        Err(error) => return vec![format!("a soak did not begin: {error}")],
    };
    let mut complaints = Vec::new();
    let mut last = Vec::new();
    for writer in writers {
        last.extend(joined(writer, &mut complaints));
    }
    for other in others {
        joined(other, &mut complaints);
    }
    *shift.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    for watcher in watching {
        let found = joined(watcher, &mut complaints);
        complaints.extend(found.into_iter().flatten());
    }
    complaints
}

fn joined<T>(thread: ScopedJoinHandle<'_, Outcome<T>>, complaints: &mut Vec<String>) -> Option<T> {
    match thread.join() {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            complaints.push(format!("a call failed: {error}"));
            None
        }
        Err(_) => {
            complaints.push("a thread panicked".into());
            None
        }
    }
}

/// Counts up a number of its own, beside other writes. Returns the last.
fn write(shift: &Shift, writer: u64) -> Outcome<u64> {
    let mut random = shift.random(writer);
    let mut number = 0;
    while shift.goes_on() {
        number += 1;
        let group = format!("data-{}", random.below(8));
        let key = format!("key-{}", random.below(KEYS));
        let value = vec![b'x'; random.place(2_000)];
        let batch = shift.store.batch().set("numbers", writer.to_string(), number.to_string());
        let batch = match random.below(4) {
            0 => batch.delete(&group, key),
            1 => batch.increment("counters", key, 1),
            _ => batch.set(&group, key, value),
        };
        batch.commit()?;
        shift.counts.writes.add();
        if random.one_in(2) {
            let life = Duration::from_millis(1 + random.below(LIFE_MAX));
            shift.store.set_with_ttl("short", format!("{writer}-{number}"), "soon gone", life)?;
            shift.counts.short_lives.add();
        }
        thread::sleep(Duration::from_millis(1 + random.below(8)));
    }
    Ok(number)
}

/// Holds one snapshot after the other. What one shows does not change.
fn read(shift: &Shift, reader: u64) -> Outcome<()> {
    let mut random = shift.random(WRITERS + reader);
    while shift.goes_on() {
        let snapshot = shift.store.snapshot()?;
        let before = (snapshot.revision()?, snapshot.get_all("numbers")?);
        thread::sleep(Duration::from_millis(random.below(HELD_MAX)));
        if (snapshot.revision()?, snapshot.get_all("numbers")?) != before {
            return Err("a snapshot changed while it was held".into());
        }
        shift.counts.snapshots.add();
    }
    Ok(())
}

/// Makes a tenant, fills it up to its quota, and removes it.
fn tenants(shift: &Shift) -> Outcome<()> {
    let mut random = shift.random(WRITERS + READERS);
    while shift.goes_on() {
        let name = format!("tenant-{}", random.below(1_000));
        let tenant = shift.store.scoped(&name)?;
        let keys = 1 + random.below(20);
        shift.store.set_quota(&name, Quota { max_keys: Some(keys), ..Quota::default() })?;
        for key in 0..keys {
            tenant.set("group", key.to_string(), "of a tenant")?;
        }
        if !matches!(tenant.set("group", "one more", ""), Err(larder::Error::QuotaExceeded { .. })) {
            return Err(format!("{name} has {keys} keys, and may have one more").into());
        }
        if tenant.usage()?.keys != keys || tenant.delete_prefix("")? != keys {
            return Err(format!("{name} does not have its {keys} keys").into());
        }
        shift.store.set_quota(&name, Quota::default())?;
        shift.counts.tenants.add();
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Makes a backup now and then, and reads it.
fn backups(shift: &Shift) -> Outcome<()> {
    let path = shift.folder.join("backup.db");
    let mut random = shift.random(WRITERS + READERS + 1);
    while shift.goes_on() {
        shift.store.backup_to(&path)?;
        let backup = Store::options().create(false).open(&path)?;
        if let Some(finding) = backup.check()?.first() {
            return Err(format!("a backup: {finding}").into());
        }
        backup.close()?;
        std::fs::remove_file(&path)?;
        shift.counts.backups.add();
        let rests = 10 + random.below(40);
        (0..rests).take_while(|_| shift.goes_on()).for_each(|_| thread::sleep(Duration::from_millis(200)));
    }
    Ok(())
}

/// The planted fault.
fn leak(shift: &Shift) -> Outcome<()> {
    let mut snapshots = Vec::new();
    let mut watchers: Vec<Watcher> = Vec::new();
    while shift.goes_on() {
        match shift.plant {
            None | Some(Plant::ExpiryOff) => {}
            Some(Plant::SnapshotsKept) => snapshots.push(shift.store.snapshot()?),
            Some(Plant::WatchersUnread) => {
                for _ in 0..WATCHERS_LEFT {
                    watchers.push(shift.store.watch(larder::Pattern::all())?);
                }
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
