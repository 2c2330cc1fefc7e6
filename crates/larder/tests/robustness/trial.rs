//! One trial: traffic and faults for a while, then the verdict.

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
use super::listeners::{Listened, check_cursor, listened};
use super::places::{REGISTERS, prepare};
use super::random::Random;
use super::record::{Record, diary_path, read, unix_ms};
use super::{number, replay};

/// How long the last writes may take once all members are well.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// From which length on it is certain that members and clients were hurt, and something was answered.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// How much of what is wrong is said.
const SAID_MAX: usize = 12;

pub fn run(test: &'static str) {
    let seed = number("LARDER_ROBUSTNESS_SEED", unix_ms(SystemTime::now()) % 1_000_000);
    let length = Duration::from_secs(number("LARDER_ROBUSTNESS_SECONDS", 60));
    eprintln!("LARDER_ROBUSTNESS_SEED={seed} LARDER_ROBUSTNESS_SECONDS={}", length.as_secs());
    let apart = members_can_be_cut_off();
    if let Err(reason) = &apart {
        eprintln!("members are not cut off from each other: {reason}");
    }
    let apart = apart.is_ok();
    // A few snapshots each minute, so that a member that was away is given one.
    let snapshot_count = Some(5_000);
    let cluster = Cluster::start_with(&Settings { apart, snapshot_count, ..Settings::default() }).unwrap();
    let location = cluster.location("robust");
    let store = open(&location);
    // A folder in memory where there is one: each fact is a write.
    let folder = tempfile::tempdir_in(cluster.folder()).unwrap();

    let mut crew = Crew::new(test, folder.path().to_owned(), &location, seed);
    crew.start_observer();
    prepare(&store).unwrap();
    crew.start_clients();
    let observer = diary_path(folder.path(), OBSERVER, 0);
    let mut faults = Faults::new(&cluster, &store, observer, Random::of(seed, &[1]), apart);
    let over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let killing = scope.spawn(|| crew.kill_some(Random::of(seed, &[2]), &over));
        faults.make_until(Instant::now() + length);
        over.store(true, Ordering::SeqCst);
        killing.join().unwrap();
    });
    let phase = |name: &str| eprintln!("{:>8.1?} {name}", began.elapsed());
    phase("all members are well");
    crew.stop();
    phase("the traffic is over");
    settle(&store);
    phase("nothing expires any more");
    let end = finish(&store);
    crew.end(end);
    phase("everybody has heard the end");
    let kills = crew.kills;
    keep(folder.path());
    let answered = judge(folder.path(), &store, &faults, kills, end);
    if length >= LONG_ENOUGH {
        // Where nothing happens, nothing goes wrong.
        assert!(answered > 0, "no call was answered");
        assert!(kills > 0, "no client was killed");
        assert!(!faults.made.is_empty(), "no member was hurt");
    }
    // The clients are gone, and nothing expires any more: what is told is what is there.
    verify(&store);
}

/// Copies what the clients have written down to where somebody wants to look at it.
fn keep(folder: &Path) {
    let Some(kept) = std::env::var_os("LARDER_ROBUSTNESS_KEEP") else { return };
    for (client, life, path) in Crew::diaries(folder) {
        fs::copy(path, Path::new(&kept).join(format!("client-{client}-life-{life}"))).unwrap();
    }
}

/// Waits until all that expires has expired and is gone.
fn settle(store: &Store) {
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
        assert!(Instant::now() < deadline, "something never expires");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Writes what ends everything, for each listener to hear.
fn finish(store: &Store) -> u64 {
    store.set(REGISTERS, "0", "0").unwrap().0
}

/// Holds what everybody has written down against each other; how many calls were answered.
fn judge(folder: &Path, store: &Store, faults: &Faults<'_>, kills: u64, end: u64) -> u64 {
    let mut wrong = Vec::new();
    let (mut history, mut all): (History, Vec<Listened>) = Default::default();
    for (client, life, path) in Crew::diaries(folder) {
        let records = read(&path);
        history.add(client, life, &records);
        all.extend(listened(client, life, &records));
        wrong.extend(records.into_iter().filter_map(|record| match record {
            Record::Violation(what) => Some(format!("{client}.{life}: {what}")),
            _ => None,
        }));
    }
    let (feed, differences) = Feed::new(&all);
    wrong.extend(differences);
    wrong.extend(all.iter().flat_map(|listened| listened.check(&feed, &faults.compactions)));
    for client in 1.. {
        let name = format!("cursor-{client}");
        let lives: Vec<_> = all.iter().filter(|listened| listened.cursor.as_deref() == Some(&name)).collect();
        if lives.is_empty() {
            break;
        }
        wrong.extend(check_cursor(&lives, &feed));
    }
    wrong.extend(history.check(&feed));
    let (expired, misfits) = replay::check(&feed, store);
    wrong.extend(misfits);

    let heard: usize = all.iter().flat_map(|listened| &listened.segments).map(|part| part.heard.len()).sum();
    let gaps: usize = all.iter().map(|listened| listened.gaps.len()).sum();
    let troubles: u64 = all.iter().map(|listened| listened.troubles).sum();
    let reached = all.iter().filter(|listened| listened.reached_end).count();
    eprintln!("faults: {:?}; clients killed: {kills}", faults.made);
    eprintln!(
        "calls: {} answered, of which failed {:?}; {} unknown, {} cut short by a kill",
        history.returned, history.failed, history.unknown, history.cut_short
    );
    eprintln!(
        "feed: {} commits of {} events, {expired} expired, covered {:?}; {} listeners heard {heard} events, with {gaps} gaps and {troubles} troubles, {reached} until the end",
        feed.commits(),
        feed.events().count(),
        feed.covered(),
        all.len(),
    );
    let said: Vec<_> =
        wrong.iter().take(SAID_MAX).map(|what| what.chars().take(4000).collect::<String>()).collect();
    assert!(wrong.is_empty(), "{} things are wrong, of which:\n{}", wrong.len(), said.join("\n\n"));
    // Of what nobody has heard, nothing can be found wrong.
    assert!(
        feed.is_whole() && feed.covers(end),
        "not everything up to the end, {end}, was heard: only {:?}",
        feed.covered()
    );
    history.returned
}
