//! `check` and `repair` of a store in a cluster, whose keys another program has changed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::time::Duration;

use larder::{Consistency, Error, EventKind, FindingKind, ManualClock, Pattern, Quota, Repair, Store};
use larder_cluster::Cluster;

use clusters::{WAIT_MAX, eventually, skipped};

/// Bytes as etcd's gateway wants them.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits_of = |chunk: &[u8]| {
        let bits =
            chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]));
        let text: String = digits.iter().take(chunk.len() + 1).collect();
        format!("{text:=<4}")
    };
    bytes.chunks(3).map(digits_of).collect()
}

/// Another program, which writes to larder's keys.
struct Meddler<'a>(&'a Cluster);

impl Meddler<'_> {
    fn put(&self, key: &[u8], value: &[u8]) {
        let (key, value) = (base64(&[b"app/", key].concat()), base64(value));
        self.0.call("/v3/kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#)).unwrap();
    }

    /// Deletes the keys from `start` up to `end`.
    fn delete(&self, start: &[u8], end: &[u8]) {
        let (start, end) = (base64(&[b"app/", start].concat()), base64(&[b"app/", end].concat()));
        let deleted =
            self.0.call("/v3/kv/deleterange", &format!(r#"{{"key":"{start}","range_end":"{end}"}}"#));
        assert!(deleted.unwrap().contains("deleted"), "nothing was deleted");
    }
}

fn open(cluster: &Cluster, clock: &ManualClock) -> Store {
    let location = format!("etcd://{}/app", cluster.endpoints().join(","));
    Store::options().clock(clock.clone()).expiry_timer(false).connect(&location).unwrap()
}

fn furnish(store: &Store) {
    store.set("config", "colour", "blue").unwrap();
    store.set("config", "size", "9").unwrap();
    for (key, seconds) in [("token", 60), ("late", 3600)] {
        store.set_with_ttl("session", key, "abc", Duration::from_secs(seconds)).unwrap();
    }
    let tenant = store.scoped("tenant").unwrap();
    store.set_quota("tenant", Quota { max_keys: Some(5), ..Quota::default() }).unwrap();
    tenant.set("g", "k", "v").unwrap();
}

fn entries(store: &Store) -> Vec<(String, larder::Entry)> {
    let groups = ["config", "session", "tenant:g"].into_iter();
    let all = groups.flat_map(|group| {
        let entries = store.entries(group).unwrap().map(Result::unwrap);
        entries.map(move |entry| (group.to_owned(), entry)).collect::<Vec<_>>()
    });
    all.collect()
}

/// What another program writes over tallies (keys, bytes) and indexes.
fn spoil(cluster: &Cluster) {
    let meddler = Meddler(cluster);
    meddler.put(b"group/config", &[0x08, 7, 0x10, 7]);
    meddler.put(b"group/ghost", &[0x08, 1, 0x10, 1]);
    meddler.put(b"group/session", b"no message");
    meddler.put(b"namespace/tenant", &[0x08, 9, 0x10, 1, 0x18, 9, 0x20, 5]);
    meddler.put(b"expiry/config\0\x01\x80\0\0\0\0\0\0\0colour", &[0x08, 1]);
    meddler.delete(b"expiry/session\0\x01", b"expiry/session\0\x02");
    meddler.delete(b"due/", b"due0");
}

#[test]
fn a_repair_of_a_cluster_corrects_what_is_derived_and_changes_no_entry() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let clock = ManualClock::new();
    let store = open(&cluster, &clock);
    furnish(&store);
    let before = entries(&store);
    assert_eq!(store.check().unwrap(), []);
    spoil(&cluster);
    let found = store.check().unwrap();
    let kinds: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    for kind in [FindingKind::GroupTally, FindingKind::NamespaceTally, FindingKind::ExpiryIndex] {
        assert!(kinds.contains(&kind), "{found:?}");
    }
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        words.concat().contains("\"config\" has 2 keys of 15 bytes, and its tally says 7 of 7"),
        "{words:?}"
    );

    let done = store.repair(Repair::default()).unwrap();
    assert_eq!(done.left, []);
    assert!(done.repaired.len() >= 3, "{done:?}");
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(entries(&store), before);
    assert_eq!((store.count("config").unwrap(), store.count("session").unwrap()), (2, 2));
    assert_eq!(store.groups("").unwrap().len(), 3);
    assert_eq!(store.scoped("tenant").unwrap().quota().unwrap().max_keys, Some(5));
    // The index of expiries is whole again.
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.purge_expired().unwrap(), 1);
    assert_eq!(store.check().unwrap(), []);

    let read_only = Store::options().read_only(true);
    let location = format!("etcd://{}/app", cluster.endpoints().join(","));
    let refused = read_only.connect(&location).unwrap().repair(Repair::default());
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
}

#[test]
fn a_writer_that_relies_on_what_it_knows_counts_right_after_a_repair() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let clock = ManualClock::new();
    // A lone writer relies on the tallies that it knows, and reads none of them again.
    let (store, writer) = (open(&cluster, &clock), open(&cluster, &clock));
    furnish(&writer);
    for round in 0..3_u64 {
        for number in 0..5 {
            writer.set("config", format!("{round}-{number}"), "x").unwrap();
        }
        // What it knows is wrong from now on, and then right again.
        Meddler(&cluster).put(b"group/config", &[0x08, 7, 0x10, 7]);
        Meddler(&cluster).put(b"quotas", b"");
        writer.set_with_ttl("session", format!("{round}"), "x", Duration::from_secs(60)).unwrap();
        writer.delete("config", "nothing").unwrap();
        writer.set("config", format!("{round}-5"), "x").unwrap();
        assert_ne!(store.check().unwrap(), []);
        store.repair(Repair::default()).unwrap();
        writer.set("config", format!("{round}-6"), "x").unwrap();
        assert_eq!(store.check().unwrap(), []);
        assert_eq!(store.count("config").unwrap(), 2 + 7 * (round + 1));
    }
}

/// The key of an entry below the store's name.
fn entry_key(group: &str, key: &[u8]) -> Vec<u8> {
    [b"key/", group.as_bytes(), b"\0\x01", key].concat()
}

/// What no entry decodes from.
const NONSENSE: &[u8] = b"\xff\xff";

#[test]
fn entries_that_cannot_be_read_are_deleted_only_if_that_is_asked_for_and_no_others() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let clock = ManualClock::new();
    let store = open(&cluster, &clock);
    furnish(&store);
    store.set("config", "mode", "dark").unwrap();
    let location = format!("etcd://{}/app", cluster.endpoints().join(","));
    let cached = Store::options().clock(clock.clone()).expiry_timer(false).consistency(Consistency::Cached);
    let cached = cached.connect(&location).unwrap();
    let cached_mode = || cached.get("config", "mode");
    assert_eq!(cached_mode().unwrap().unwrap(), "dark");
    let before: Vec<_> = entries(&store).into_iter().filter(|(_, entry)| entry.key != "mode").collect();
    // One that was an entry, one that never was, one without a name, and one whose group has a spoilt tally.
    let meddler = Meddler(&cluster);
    for key in [entry_key("config", b"mode"), entry_key("config", b"odd"), entry_key("config", b"\xff")] {
        meddler.put(&key, NONSENSE);
    }
    meddler.put(&entry_key("lost", b"k"), NONSENSE);
    meddler.put(b"group/lost", NONSENSE);

    let found = store.check().unwrap();
    let foreign = found.iter().find(|finding| finding.kind == FindingKind::ForeignEntry).unwrap();
    assert_eq!(foreign.count, 4, "{foreign}");
    assert!(foreign.is_damage() && foreign.is_repairable());
    assert!(foreign.advice().contains("--delete-unreadable"), "{}", foreign.advice());
    // Unless it is asked for, each stays as it is.
    let left = store.repair(Repair::default()).unwrap().left;
    assert!(left.contains(foreign), "{left:?}");
    assert_eq!(entries(&store), before);

    let watcher = store.watch(Pattern::group("config")).unwrap();
    let done = store.repair(Repair::default().delete_unreadable(true)).unwrap();
    assert_eq!(done.left, []);
    assert!(done.repaired.contains(foreign), "{done:?}");
    assert_eq!(entries(&store), before);
    assert_eq!(store.check().unwrap(), []);
    assert_eq!((store.count("config").unwrap(), store.count("lost").unwrap()), (2, 0));
    let deleted = [(); 2].map(|()| watcher.recv_timeout(WAIT_MAX).unwrap().unwrap());
    assert!(deleted.iter().all(|event| event.kind == EventKind::Delete));
    assert_eq!(deleted.map(|event| event.key.unwrap()), ["mode", "odd"]);
    eventually("a cache knows that it is gone", || cached_mode().unwrap().is_none().then_some(()));
}

#[test]
fn what_is_set_while_a_repair_deletes_stays() {
    if skipped() {
        return;
    }
    const KEYS: usize = 40;
    let cluster = Cluster::start().unwrap();
    let clock = ManualClock::new();
    let (store, writer) = (open(&cluster, &clock), open(&cluster, &clock));
    furnish(&store);
    let names: Vec<String> = (0..KEYS).map(|number| format!("{number:02}")).collect();
    for name in &names {
        Meddler(&cluster).put(&entry_key("config", name.as_bytes()), NONSENSE);
    }
    std::thread::scope(|scope| {
        // From the other end, so that they meet.
        let setting = scope.spawn(|| {
            for name in names.iter().rev() {
                writer.set("config", name, "v").unwrap();
            }
        });
        let repaired = store.repair(Repair::default().delete_unreadable(true));
        assert!(matches!(repaired, Ok(_) | Err(Error::Contended { .. })), "{repaired:?}");
        setting.join().unwrap();
    });
    assert_eq!(store.keys("config").unwrap().count(), KEYS + 2);
    store.repair(Repair::default()).unwrap();
    assert_eq!(store.check().unwrap(), []);
}
