//! One trial: traffic and faults for a while, then the checks.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use larder::Store;
use larder_cluster::members_can_be_cut_off;

use super::client::{open, options};
use super::clock::SkewedClock;
use super::common::verify;
use super::crew::{Crew, OBSERVER};
use super::faults::Faults;
use super::judge::Judge;
use super::number;
use super::place::Place;
use super::random::Random;
use super::record::unix_ms;
use super::signs;
use super::targets::{REGISTERS, prepare};

/// How long entries may take to expire once all members serve.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A trial at least this long certainly has faults, kills and answered calls.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

pub fn run(test: &'static str) {
    let seed = number("LARDER_ROBUSTNESS_SEED", unix_ms(SystemTime::now()) % 1_000_000);
    let length = Duration::from_secs(number("LARDER_ROBUSTNESS_SECONDS", 50));
    eprintln!("LARDER_ROBUSTNESS_SEED={seed} LARDER_ROBUSTNESS_SECONDS={}", length.as_secs());
    let own_networks = members_can_be_cut_off();
    if let Err(reason) = &own_networks {
        eprintln!("no member is cut off from the others: {reason}");
    }
    let own_networks = own_networks.is_ok();
    // One in four has neither users nor encryption.
    let place = Place::start(own_networks, !seed.is_multiple_of(4));
    let store = open(&place.for_root());
    // In memory if possible, because each fact is a write.
    let folder = tempfile::tempdir_in(place.cluster.folder()).unwrap();

    let crew = Crew::new(test, folder.path().to_owned(), &place, seed);
    crew.start_observer();
    prepare(&store).unwrap();
    crew.start_clients();
    let lives = crew.hold().lives();
    let writing: Vec<_> = lives.into_iter().filter(|(client, _)| *client != OBSERVER).collect();
    signs::wait_for_cursors(crew.folder(), &writing);
    let mut faults = Faults::new(&place, &crew, &store, Random::of(seed, &[1]), own_networks);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let killing = scope.spawn(|| crew.kill_some(Random::of(seed, &[2]), &over));
        faults.make_until(Instant::now() + length);
        over.store(true, Ordering::SeqCst);
        killing.join().unwrap();
    });
    let Faults { made, eras, untold, .. } = faults;
    let phase = |name: &str| eprintln!("{:>8.1?} {name}", began.elapsed());
    phase("all members serve");
    crew.stop();
    phase("the traffic is over");
    wait_for_expiries(&store, &open_in_the_past(&place.for_root()));
    phase("every expiring entry has expired");
    let end = finish(&store);
    let ends = crew.end(end);
    phase("every listener has received the last revision");
    keep(folder.path());
    let kills = crew.kills();
    eprintln!("made: {made:?}; clients killed: {kills}");
    assert!(untold.is_empty(), "{untold:#?}");
    let answered = Judge::new(folder.path(), &eras, &ends).check(&store, end);
    phase("everything is checked");
    if length >= LONG_ENOUGH {
        // Without faults and answers, the checks would prove nothing.
        assert!(answered > 0, "no call was answered");
        assert!(kills > 0, "no client was killed");
        assert!(!made.is_empty(), "no fault was made");
    }
    // The clients are gone and nothing expires any more, so the store does not change.
    verify(&store);
}

/// Copies the journals to `LARDER_ROBUSTNESS_KEEP`, if that is set.
fn keep(folder: &Path) {
    let Some(kept) = std::env::var_os("LARDER_ROBUSTNESS_KEEP") else { return };
    fs::create_dir_all(&kept).unwrap();
    for (client, life, path) in Crew::journals(folder) {
        fs::copy(path, Path::new(&kept).join(format!("client-{client}-life-{life}"))).unwrap();
    }
}

/// Opens the store with a clock that is far behind, and so sees everything that is stored.
fn open_in_the_past(location: &str) -> Store {
    let clock = SkewedClock::default();
    clock.set(-3_600_000);
    options().clock(clock).read_only(true).connect(location).unwrap()
}

/// Waits until every expiring entry has expired and is removed. `past` is a store that still sees what has expired.
fn wait_for_expiries(store: &Store, past: &Store) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let expiring = || -> larder::Result<bool> {
            let mut any = store.purge_expired()? > 0;
            for group in past.groups("")? {
                for entry in past.entries(&group.name)? {
                    any |= entry?.expires_at.is_some();
                }
            }
            Ok(any)
        };
        if !expiring().unwrap() {
            return;
        }
        assert!(Instant::now() < deadline, "an entry never expires");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Writes the last revision, at which every listener stops.
fn finish(store: &Store) -> u64 {
    store.set(REGISTERS, "0", "0").unwrap().0
}
