//! One trial: traffic and faults for a while, then the checks.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use larder::Store;
use larder_cluster::{Cluster, Settings, members_can_be_cut_off};

use super::client::open;
use super::common::verify;
use super::crew::{Crew, OBSERVER};
use super::faults::Faults;
use super::feed::Feed;
use super::history::History;
use super::listeners::{Listener, check_cursor, listeners_of};
use super::random::Random;
use super::record::{Record, journal_path, read, unix_ms};
use super::targets::{REGISTERS, prepare};
use super::{number, replay};

/// How long entries may take to expire once all members serve.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A trial at least this long certainly has faults, kills and answered calls.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// How many inconsistencies are shown.
const SHOWN_MAX: usize = 12;

pub fn run(test: &'static str) {
    let seed = number("LARDER_ROBUSTNESS_SEED", unix_ms(SystemTime::now()) % 1_000_000);
    let length = Duration::from_secs(number("LARDER_ROBUSTNESS_SECONDS", 60));
    eprintln!("LARDER_ROBUSTNESS_SEED={seed} LARDER_ROBUSTNESS_SECONDS={}", length.as_secs());
    let own_networks = members_can_be_cut_off();
    if let Err(reason) = &own_networks {
        eprintln!("no member is cut off from the others: {reason}");
    }
    let own_networks = own_networks.is_ok();
    // Several Raft snapshots a minute, so that a member that was away receives one.
    let snapshot_count = Some(5_000);
    let cluster =
        Cluster::start_with(&Settings { own_networks, snapshot_count, ..Settings::default() }).unwrap();
    let location = cluster.location("robust");
    let store = open(&location);
    // In memory if possible, because each fact is a write.
    let folder = tempfile::tempdir_in(cluster.folder()).unwrap();

    let mut crew = Crew::new(test, folder.path().to_owned(), &location, seed);
    crew.start_observer();
    prepare(&store).unwrap();
    crew.start_clients();
    let observer = journal_path(folder.path(), OBSERVER, 0);
    let mut faults = Faults::new(&cluster, &store, observer, Random::of(seed, &[1]), own_networks);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let killing = scope.spawn(|| crew.kill_some(Random::of(seed, &[2]), &over));
        faults.make_until(Instant::now() + length);
        over.store(true, Ordering::SeqCst);
        killing.join().unwrap();
    });
    let phase = |name: &str| eprintln!("{:>8.1?} {name}", began.elapsed());
    phase("all members serve");
    crew.stop();
    phase("the traffic is over");
    wait_for_expiries(&store);
    phase("every expiring entry has expired");
    let end = finish(&store);
    crew.end(end);
    phase("every listener has received the last revision");
    let kills = crew.kills;
    keep(folder.path());
    let answered = check_everything(folder.path(), &store, &faults, kills, end);
    if length >= LONG_ENOUGH {
        // Without faults and answers, the checks would prove nothing.
        assert!(answered > 0, "no call was answered");
        assert!(kills > 0, "no client was killed");
        assert!(!faults.made.is_empty(), "no fault was made");
    }
    // The clients are gone and nothing expires any more, so the store does not change.
    verify(&store);
}

/// Copies the journals to `LARDER_ROBUSTNESS_KEEP`, if that is set.
fn keep(folder: &Path) {
    let Some(kept) = std::env::var_os("LARDER_ROBUSTNESS_KEEP") else { return };
    for (client, life, path) in Crew::journals(folder) {
        fs::copy(path, Path::new(&kept).join(format!("client-{client}-life-{life}"))).unwrap();
    }
}

/// Waits until every expiring entry has expired and is removed.
fn wait_for_expiries(store: &Store) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let expiring = |store: &Store| -> larder::Result<bool> {
            let mut any = store.purge_expired()? > 0;
            for group in store.groups("")? {
                for entry in store.entries(&group.name)? {
                    any |= entry?.expires_at.is_some();
                }
            }
            Ok(any)
        };
        if !expiring(store).unwrap() {
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

/// Checks all journals against each other and the store. Returns how many calls were answered.
fn check_everything(folder: &Path, store: &Store, faults: &Faults<'_>, kills: u64, end: u64) -> u64 {
    let mut wrong = Vec::new();
    let (mut history, mut all): (History, Vec<Listener>) = Default::default();
    for (client, life, path) in Crew::journals(folder) {
        let records = read(&path);
        history.add(client, life, &records);
        all.extend(listeners_of(client, life, &records));
        wrong.extend(records.into_iter().filter_map(|record| match record {
            Record::Violation(what) => Some(format!("{client}.{life}: {what}")),
            _ => None,
        }));
    }
    let (feed, differences) = Feed::new(&all);
    wrong.extend(differences);
    wrong.extend(all.iter().flat_map(|listener| listener.check(&feed, &faults.compactions)));
    for client in 1.. {
        let name = format!("cursor-{client}");
        let lives: Vec<_> = all.iter().filter(|listener| listener.cursor.as_deref() == Some(&name)).collect();
        if lives.is_empty() {
            break;
        }
        wrong.extend(check_cursor(&lives, &feed));
    }
    wrong.extend(history.check(&feed));
    let (expired, misfits) = replay::check(&feed, store);
    wrong.extend(misfits);

    let received: usize =
        all.iter().flat_map(|listener| &listener.segments).map(|part| part.events.len()).sum();
    let gaps: usize = all.iter().map(|listener| listener.gaps.len()).sum();
    let failures: u64 = all.iter().map(|listener| listener.failures).sum();
    let reached = all.iter().filter(|listener| listener.reached_end).count();
    eprintln!("faults: {:?}; clients killed: {kills}", faults.made);
    eprintln!(
        "calls: {} answered, of which {:?} failed; {} unknown, {} interrupted by a kill",
        history.returned, history.failed, history.unknown, history.cut_short
    );
    eprintln!(
        "feed: {} commits of {} events, {expired} expired, covered {:?}; {} listeners received {received} events, with {gaps} gaps and {failures} failures, {reached} up to the end",
        feed.commits(),
        feed.events().count(),
        feed.covered(),
        all.len(),
    );
    let shown: Vec<_> =
        wrong.iter().take(SHOWN_MAX).map(|what| what.chars().take(4000).collect::<String>()).collect();
    assert!(wrong.is_empty(), "{} inconsistencies, among them:\n{}", wrong.len(), shown.join("\n\n"));
    // Events that no listener received cannot be checked.
    assert!(
        feed.is_whole() && feed.covers(end),
        "not every revision up to the last, {end}, was received: only {:?}",
        feed.covered()
    );
    history.returned
}
