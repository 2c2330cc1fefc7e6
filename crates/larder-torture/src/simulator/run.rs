//! One run: a world of one seed, from the first client to the verdict.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::Quota;
use rusqlite::{Connection, OpenFlags};

use super::calls::{self, NAMESPACE, Names};
use super::client::{self, Shared, locked};
use super::disk::Reign;
use super::history::{Asked, Identity, Record};
use super::judge::{Evidence, Found, Held};
use super::plan::{Call, Fault, Plan, Strike, Whom};
use super::restores::{self, Attempt};
use super::{Plant, vfs, world};
use crate::random::Random;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What the store did wrong; empty where it kept its promises.
    pub complaints: Vec<String>,
    /// The same for two runs of one seed.
    pub trace: u64,
    pub steps: u64,
    pub writes: u64,
    pub kills: u64,
    pub cuts: u64,
    pub faults: u64,
    /// How many backups were restored.
    pub restores: u64,
}

/// How many calls of the VFS a client makes, about. Only what is planned depends on it.
const STEPS: u64 = 600;

/// The name of the store's file.
const STORE: &str = "store.db";

/// How many keys the namespace may have, where it has a quota. There are names for eight.
const MAX_KEYS: u64 = 6;

/// What a part of a run is about: a kind of call at which processes end, and about how many of them a few commits make;
/// and a kind of call before which threads like to rest, while others go on.
type Theme = (Option<(Call, u64)>, Option<Call>);

const THEMES: [Theme; 12] = [
    (None, None),
    (None, None),
    (None, Some(Call::Sync)),
    (None, Some(Call::WriteEnded)),
    (Some((Call::Write, 40)), None),
    // What was written and never synced is there after a process has ended, and gone after the machine has.
    (Some((Call::Sync, 6)), None),
    (Some((Call::Sync, 6)), Some(Call::Write)),
    // Somebody else recovers the log while a connection does not know yet what has become of its own commit.
    (Some((Call::Header, 8)), Some(Call::WriteEnded)),
    (Some((Call::Header, 8)), Some(Call::WriteEnded)),
    (Some((Call::Header, 8)), Some(Call::WriteEnded)),
    (Some((Call::Header, 8)), None),
    (Some((Call::WriteEnded, 8)), Some(Call::Header)),
];

/// What ends processes.
fn strikes(random: &mut Random, steps: u64, moment: Option<(Call, u64)>) -> VecDeque<Strike> {
    let mut strikes = VecDeque::new();
    let mut last = None;
    let count = if moment.is_some() { 1 + random.below(3) } else { random.below(4) };
    for _ in 0..count {
        let whom = match random.below(8) {
            // What everybody saw who came after that is in danger.
            0..6 if last == Some(Whom::All) => Whom::Machine,
            0..4 => Whom::Caller,
            4 | 5 => Whom::All,
            _ => Whom::Machine,
        };
        let (at, passes) = match moment {
            Some((call, usual)) => {
                let usual = 1 + random.below(usual);
                (Some(call), random.below(usual))
            }
            None => (None, random.below(steps / 2)),
        };
        strikes.push_back(Strike { whom, at, passes });
        if whom == Whom::Machine {
            break;
        }
        last = Some(whom);
    }
    strikes
}

fn plan(random: &mut Random, clients: u64, plant: Option<Plant>) -> Plan {
    let (moment, rests_at) = THEMES[random.place(THEMES.len())];
    let mut plan = Plan {
        strikes: strikes(random, STEPS * clients, moment),
        rests_at,
        ignores_syncs: plant == Some(Plant::SynchronousOff),
        ..Plan::default()
    };
    if random.one_in(3) {
        let calls = [
            (Call::Write, 200),
            (Call::Sync, 40),
            (Call::Read, 400),
            (Call::Truncate, 4),
            (Call::Map, 10),
            (Call::MemoryLock, 400),
            (Call::Lock, 50),
            (Call::Open, 30),
            (Call::Delete, 12),
            (Call::Rename, 4),
            (Call::Size, 50),
        ];
        let (call, usual) = calls[random.place(calls.len())];
        plan.faults.push(Fault {
            call,
            passes: random.below(usual),
            for_ever: random.one_in(2),
            full: random.one_in(2),
        });
    }
    plan
}

/// How long nothing in a run may move. It is real time, and a call takes microseconds.
const STANDSTILL: Duration = Duration::from_secs(120);

/// Runs a seed on a thread of its own, whose hash tables begin with the seed, too. Ends the program if the run does not
/// end, since its threads cannot be got rid of.
pub fn run(seed: u64, plant: Option<Plant>, folder: &Path) -> Verdict {
    vfs::install();
    larder::simulate();
    // SQLite has one state of random numbers for the whole program.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, ran) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let runner = threads.spawn(|| {
            larder::plant(plant.and_then(Plant::in_larder));
            world::begin(seed, folder);
            vfs::forget_randomness();
            let Ok(mut verdict) = std::panic::catch_unwind(|| eras(seed, plant, folder)) else {
                world::give_up("the run itself panicked");
            };
            let world = world::end();
            larder::plant(None);
            (verdict.trace, verdict.steps) = (world.trace(), world.steps);
            // The other end waits for it.
            let _ = done.send(verdict);
        });
        let mut seen = 0;
        loop {
            match ran.recv_timeout(STANDSTILL) {
                Ok(verdict) => {
                    // Until its thread-locals are gone, too: they take locks that the next run takes as well.
                    if runner.join().is_err() {
                        world::give_up("the run itself panicked");
                    }
                    return verdict;
                }
                Err(_) if world::progress() == seen => world::give_up("nothing moves any more"),
                Err(_) => seen = world::progress(),
            }
        }
    })
}

fn eras(seed: u64, plant: Option<Plant>, folder: &Path) -> Verdict {
    let mut random = Random::new(seed ^ 0x6c61_7264_6572);
    world::with(|world| world.disk.reigns.follow(STORE));
    let shared = Arc::new(Shared {
        path: folder.join(STORE),
        cache_bytes: if random.one_in(4) { 0 } else { 1 << 20 },
        calls: 3 + random.below(8),
        names: Names::choose(&mut random),
        records: Mutex::default(),
        watched: Mutex::default(),
        consumed: Mutex::default(),
        restores: random.one_in(3),
        backups: Mutex::default(),
        saved: Mutex::default(),
        openings: Mutex::default(),
        attempts: Mutex::default(),
        complaints: Mutex::default(),
    });
    let mut verdict = Verdict::default();
    // Otherwise the clients make it, as many at once as come.
    let is_prepared = !random.one_in(4);
    let max_keys = if is_prepared { MAX_KEYS } else { u64::MAX };
    if is_prepared && let Err(error) = prepare(&shared) {
        shared.complain(format!("the store could not be created: {error:?}"));
    }
    for _ in 0..=random.below(3) {
        let clients = 2 + random.below(3);
        let planned = plan(&mut random, clients, plant);
        world::with(|world| world.plan = planned);
        let mut threads: Vec<_> = (0..clients)
            .map(|number| {
                let (shared, random) = (Arc::clone(&shared), random.split());
                std::thread::spawn(move || client::live(&shared, number, random))
            })
            .collect();
        // Plain SQLite does not notice that the file it is about to lock has lost its name.
        if random.one_in(2) && !shared.restores {
            let (shared, random) = (Arc::clone(&shared), random.split());
            threads.push(std::thread::spawn(move || client::checkpoint(&shared, random)));
        }
        for thread in threads {
            if thread.join().is_err() {
                shared.complain("a client panicked".into());
            }
        }
        world::with(|world| {
            let over = std::mem::take(&mut world.plan);
            verdict.kills += over.killed;
            verdict.faults += over.failed;
            if over.is_cut {
                verdict.cuts += 1;
                let mut fate = world.fate.split();
                world.disk.cut_power(&mut fate);
            }
        });
    }
    if let Err(error) = settle(&shared, &mut random) {
        shared.complain(format!("the store could not be used afterwards: {error:?}"));
    }
    let evidence = Evidence {
        records: std::mem::take(&mut locked(&shared.records)),
        watched: std::mem::take(&mut locked(&shared.watched)),
        consumed: std::mem::take(&mut locked(&shared.consumed)),
        saved: std::mem::take(&mut locked(&shared.saved)),
        openings: std::mem::take(&mut locked(&shared.openings)),
        attempts: std::mem::take(&mut locked(&shared.attempts)),
        max_keys,
    };
    verdict.complaints.append(&mut locked(&shared.complaints));
    match found(&shared, &evidence) {
        Ok(found) => verdict.complaints.extend(evidence.judge(&found)),
        Err(error) => verdict.complaints.push(format!("the file could not be read: {error:?}")),
    }
    let is_write = |record: &&Record| matches!(record.asked, Asked::Write { .. } | Asked::Increment);
    verdict.writes = evidence.records.iter().filter(is_write).count() as u64;
    verdict.restores =
        evidence.attempts.iter().filter(|attempt| matches!(attempt.told, Some(Ok(_)))).count() as u64;
    verdict
}

/// Makes the store, and gives the namespace its quota.
fn prepare(shared: &Shared) -> larder::Result<()> {
    let Some(opened) = shared.open(false)? else { return Ok(()) };
    let namespace = NAMESPACE.trim_end_matches(':');
    opened.face.blocking().set_quota(namespace, Quota { max_keys: Some(MAX_KEYS), ..Quota::default() })?;
    if shared.restores {
        // There is something to restore from the beginning on.
        restores::save(shared, &opened);
    }
    opened.face.close()
}

/// Once nothing befalls it any more, the store opens, is sound, and takes a write; also once a backup is restored.
fn settle(shared: &Shared, random: &mut Random) -> larder::Result<()> {
    try_out(shared)?;
    if !shared.restores {
        return Ok(());
    }
    restores::attempt(shared, random);
    if let Some(Attempt { told: Some(Err(error)), .. }) = locked(&shared.attempts).last() {
        shared.complain(format!("nobody has the store open, and a backup cannot be restored: {error}"));
    }
    try_out(shared)
}

fn try_out(shared: &Shared) -> larder::Result<()> {
    let Some(opened) = shared.open(false)? else { return Ok(()) };
    let found = opened.face.blocking().check()?;
    if !found.is_empty() {
        shared.complain(format!("the check found {found:?}"));
    }
    calls::probe(shared, &opened);
    opened.face.close()
}

/// Reads what is there in the end, with plain SQL.
fn found(shared: &Shared, evidence: &Evidence) -> rusqlite::Result<Found> {
    let read = |path: &Path| {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags).and_then(|connection| Held::read(&connection))
    };
    let last = read(&shared.path)?;
    if !shared.restores {
        // Whatever identity it has, there was only one.
        let reigns = vec![Reign { file: Some(0), by: None }];
        let last = Held { identity: Identity::default(), ..last };
        return Ok(Found { reigns, stores: BTreeMap::from([(0, last)]), kept: BTreeMap::new() });
    }
    let (reigns, contents) =
        world::with(|world| (world.disk.reigns.past().to_vec(), world.disk.reigns.contents().clone()));
    let mut stores = BTreeMap::new();
    for (file, content) in contents {
        let name = format!("past{file}.db");
        world::with(|world| world.disk.lay_out(&name, &content));
        // A file that was no store yet has no identity.
        stores.extend(read(&shared.path.with_file_name(name)).ok().map(|held| (file, held)));
    }
    stores.extend(reigns.last().and_then(|reign| reign.file).map(|file| (file, last)));
    let told = evidence.attempts.iter().filter_map(|attempt| attempt.told.as_ref()?.as_ref().ok());
    let kept = told.filter_map(|told| told.old.clone());
    let kept = kept.filter_map(|path| read(&path).ok().map(|held| (path, held))).collect();
    Ok(Found { reigns, stores, kept })
}
