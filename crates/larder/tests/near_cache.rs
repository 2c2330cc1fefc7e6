//! `Consistency::Cached`: a read from memory is never older than `cache_age` says and never older than the
//! process's own writes. Once its age is unknown, the store stops reading from memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{WAIT_MAX, eventually, ms};
use larder::{Condition, Consistency, Error, ManualClock, Options, Store};
use larder_cluster::{Cluster, Settings, etcd_is_installed};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(3600);

fn cached(age_max: Duration) -> Options {
    Store::options().consistency(Consistency::Cached).cache_age_max(age_max).timeout(WAIT_MAX)
}

/// A store with a near cache of this maximum age, and one without a cache beside it.
fn pair(cluster: &Cluster, name: &str, age_max: Duration) -> (Store, Store) {
    let location = cluster.location(name);
    let store = cached(age_max).connect(&location).unwrap();
    eventually("the cache is fresh", || store.cache_age().unwrap().is_some());
    (store, Store::connect(&location).unwrap())
}

/// Waits until a store shows everything written so far.
fn catch_up(store: &Store) {
    let now = Instant::now();
    eventually("the cache has caught up", || {
        store.cache_age().unwrap().is_some_and(|age| Instant::now() - age > now)
    });
}

#[test]
fn a_value_read_once_is_then_served_from_memory() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let location = cluster.location("app");
    let store = cached(LONG).timeout(ms(300)).connect(&location).unwrap();
    eventually("the cache is fresh", || store.cache_age().unwrap().is_some());
    store.set("g", "there", "value").unwrap();
    assert_eq!(store.get("g", "there").unwrap().unwrap(), "value");
    assert_eq!(store.get("g", "absent").unwrap(), None);
    let revision = store.entry("g", "there").unwrap().unwrap().revision;

    cluster.pause(0);
    assert_eq!(store.get("g", "there").unwrap().unwrap(), "value");
    assert_eq!(store.get("g", "absent").unwrap(), None);
    assert!(store.exists("g", "there").unwrap());
    assert_eq!(store.entry("g", "there").unwrap().unwrap().revision, revision);
    let tenant = store.scoped("tenant").unwrap();
    for unread in [store.get("g", "unread"), store.get("", "there"), tenant.get("g", "there")] {
        assert!(matches!(unread, Err(Error::Unreachable { .. })), "{unread:?}");
    }
    assert!(matches!(store.get_all("g"), Err(Error::Unreachable { .. })));
    cluster.resume(0);
    eventually("uncached entries can be read again", || store.get("g", "unread").is_ok());
}

#[test]
fn a_process_reads_its_own_writes_at_once() {
    if !etcd_is_installed() {
        return;
    }
    let (store, _) = pair(Cluster::shared(), "own-writes", LONG);
    let is = |key: &str, value: Option<&str>| {
        let found = store.get("g", key).unwrap();
        assert_eq!(found.as_ref().and_then(|value| value.as_str()), value, "{key}");
    };
    for round in 0..20 {
        let text = round.to_string();
        store.set("g", "set", text.as_str()).unwrap();
        is("set", Some(&text));
        let revision = store.entry("g", "set").unwrap().unwrap().revision;
        store.set_if("g", "set", Condition::Revision(revision), "again").unwrap();
        is("set", Some("again"));
        store.batch().set("g", "a", text.as_str()).set("g", "b", "first").delete("g", "b").commit().unwrap();
        is("a", Some(&text));
        is("b", None);
        assert_eq!(store.increment("g", "n", 1).unwrap(), round + 1);
        is("n", Some(&(round + 1).to_string()));
        store.transaction(|tx| tx.set("g", "t", text.as_str())).unwrap();
        is("t", Some(&text));
        store.delete("g", "t").unwrap();
        is("t", None);
        store.set("h", "k", text.as_str()).unwrap();
        assert!(store.exists("h", "k").unwrap());
        store.delete_group("h").unwrap();
        assert!(!store.exists("h", "k").unwrap());
        store.set("prefix-1", "k", text.as_str()).unwrap();
        assert!(store.exists("prefix-1", "k").unwrap());
        store.delete_prefix("prefix-").unwrap();
        assert!(!store.exists("prefix-1", "k").unwrap());
    }
}

#[test]
fn an_expired_entry_is_not_served_from_memory() {
    if !etcd_is_installed() {
        return;
    }
    let clock = ManualClock::new();
    let options = cached(LONG).clock(clock.clone()).expiry_timer(false);
    let store = options.connect(Cluster::shared().location("expiring")).unwrap();
    eventually("the cache is fresh", || store.cache_age().unwrap().is_some());
    store.set_with_ttl("g", "k", "v", ms(10)).unwrap();
    clock.advance(ms(9));
    assert!(store.exists("g", "k").unwrap());
    assert!(store.exists("g", "k").unwrap());
    clock.advance(ms(1));
    assert!(!store.exists("g", "k").unwrap());
    store.persist("g", "k").unwrap();
    assert!(!store.exists("g", "k").unwrap());
    store.set("g", "k", "new").unwrap();
    clock.advance(LONG);
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "new");
}

#[test]
fn writes_of_others_are_visible_within_the_stated_age() {
    if !etcd_is_installed() {
        return;
    }
    let (store, other) = pair(Cluster::shared(), "others", ms(200));
    for round in 0..12_u32 {
        let value = round.to_string();
        other.set("g", "k", value.as_str()).unwrap();
        catch_up(&store);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), *value);
        match round % 3 {
            0 => drop(other.delete("g", "k").unwrap()),
            1 => drop(other.delete_group("g").unwrap()),
            _ => drop(other.delete_prefix("").unwrap()),
        }
        catch_up(&store);
        assert_eq!(store.get("g", "k").unwrap(), None);
    }
}

#[test]
fn no_read_is_older_than_the_stated_age_under_any_load() {
    if !etcd_is_installed() {
        return;
    }
    const KEYS: u64 = 8;
    let location = Cluster::shared().location("many");
    let stores: Vec<Store> =
        (0..2).map(|_| cached(Duration::from_secs(2)).connect(&location).unwrap()).collect();
    // The latest acknowledged version of each key.
    let written: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let began = Instant::now();
    let until = began + Duration::from_secs(4);
    let from_memory = AtomicU64::new(0);
    thread::scope(|scope| {
        for (number, store) in stores.iter().enumerate() {
            let written = &written;
            // Each key has one writer, so its versions ascend.
            scope.spawn(move || {
                for version in 1.. {
                    if Instant::now() > until {
                        break;
                    }
                    let key = (version * 2 + number as u64) % KEYS;
                    match version % 5 {
                        0 => drop(store.delete("g", key.to_string()).unwrap()),
                        _ => {
                            store.set("g", key.to_string(), version.to_string()).unwrap();
                            let own = store.get("g", key.to_string()).unwrap().unwrap();
                            assert_eq!(
                                own.parse::<u64>().unwrap(),
                                version,
                                "a writer does not see its own write"
                            );
                            written[key as usize].store(version, Ordering::SeqCst);
                        }
                    }
                }
            });
            let from_memory = &from_memory;
            for reader in 0..2_u64 {
                scope.spawn(move || {
                    let mut seen = [0; KEYS as usize];
                    // Acknowledged versions and when they were noted, oldest first.
                    let mut known: Vec<(Instant, Vec<u64>)> = Vec::new();
                    let mut turn = reader;
                    while Instant::now() < until {
                        turn += 1;
                        let key = (turn % KEYS) as usize;
                        known.push((
                            Instant::now(),
                            written.iter().map(|version| version.load(Ordering::SeqCst)).collect(),
                        ));
                        let before = Instant::now();
                        let age = store.cache_age().unwrap();
                        let Some(value) = store.get("g", key.to_string()).unwrap() else { continue };
                        let version: u64 = value.parse().unwrap();
                        assert!(version >= seen[key], "key {key} went back from {} to {version}", seen[key]);
                        seen[key] = version;
                        let Some(age) = age else { continue };
                        from_memory.fetch_add(1, Ordering::Relaxed);
                        // The read must show at least the versions of that time.
                        let at = before - age;
                        let oldest = known.iter().rposition(|(time, _)| *time <= at);
                        if let Some(oldest) = oldest {
                            known.drain(..oldest);
                            assert!(version >= known[0].1[key], "older than {age:?}");
                        }
                    }
                });
            }
        }
    });
    assert!(from_memory.load(Ordering::Relaxed) > 0);
}

#[test]
fn an_unreachable_cluster_soon_ends_reads_from_memory() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let location = cluster.location("app");
    let store = cached(Duration::from_secs(1)).timeout(ms(500)).connect(&location).unwrap();
    store.set("g", "k", "old").unwrap();
    eventually("the cache is fresh", || store.cache_age().unwrap().is_some());
    store.get("g", "k").unwrap();

    (0..3).for_each(|member| cluster.pause(member));
    eventually("the cache is too old", || store.cache_age().unwrap().is_none());
    assert!(matches!(store.get("g", "k"), Err(Error::Unreachable { .. })));

    (0..3).for_each(|member| cluster.resume(member));
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    Store::connect(&location).unwrap().set("g", "k", "new").unwrap();
    eventually("the cache is fresh again", || store.cache_age().unwrap().is_some());
    catch_up(&store);
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "new");
}

#[test]
fn changes_lost_to_compaction_invalidate_the_near_cache() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let location = cluster.location("app");
    let (store, other) = pair(&cluster, "app", LONG);
    let watcher = store.watch(("g", "*")).unwrap();
    store.set("g", "k", "0").unwrap();
    for round in 1..4 {
        assert!(store.exists("g", "k").unwrap());
        // The change must be written after the restart but before the store's watch has reconnected, and be
        // compacted then.
        cluster.kill(0);
        cluster.restart(0);
        cluster.wait_until_ready(WAIT_MAX).unwrap();
        other.set("g", "k", round.to_string()).unwrap();
        cluster.compact();
        catch_up(&store);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), *round.to_string());
    }
    drop(watcher);
    assert_eq!(Store::connect(&location).unwrap().check().unwrap(), []);
}

#[test]
fn an_unreadable_commit_record_invalidates_the_near_cache() {
    if !etcd_is_installed() {
        return;
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let (store, other) = pair(&cluster, "app", LONG);
    other.set("g", "k", "old").unwrap();
    catch_up(&store);
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "old");
    // Sets `app/key/g 00 01 k` to an entry with the value "new", and `app/log` to the byte FF, in one
    // transaction.
    let foreign_commit = r#"{"success": [
        {"requestPut": {"key": "YXBwL2tleS9nAAFr", "value": "CgNuZXc="}},
        {"requestPut": {"key": "YXBwL2xvZw==", "value": "/w=="}}
    ]}"#;
    cluster.call("/v3/kv/txn", foreign_commit).unwrap();
    // The next record is readable again.
    other.set("g", "other", "x").unwrap();
    catch_up(&store);
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "new");
}

#[test]
fn a_store_without_a_near_cache_is_never_stale() {
    let store = Store::options().consistency(Consistency::Cached).in_memory().unwrap();
    assert_eq!(store.cache_age().unwrap(), Some(Duration::ZERO));
    store.close().unwrap();
    assert!(matches!(store.cache_age(), Err(Error::Closed)));
}
