//! What a cluster does not take, and what a caller is told then.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod clusters;

use std::thread;
use std::time::Duration;

use larder::{Error, Revision, Store};
use larder_cluster::{Cluster, Settings};

use clusters::{PATIENCE, eventually, keys, left_out, options};

const MEBIBYTE: usize = 1 << 20;

fn store(name: &str) -> Store {
    store_in(Cluster::shared(), name)
}

fn store_in(cluster: &Cluster, name: &str) -> Store {
    options().busy_timeout(Duration::from_secs(20)).connect(&cluster.location(name)).unwrap()
}

#[test]
fn a_value_has_a_mebibyte_and_no_more() {
    if left_out() {
        return;
    }
    let store = store("values");
    store.set("g", "k", vec![b'x'; MEBIBYTE]).unwrap();
    assert_eq!(store.get("g", "k").unwrap().unwrap().len(), MEBIBYTE);
    let error = store.set("g", "k", vec![b'y'; MEBIBYTE + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "value", limit: 1_048_576, .. }), "{error:?}");
    assert!(error.to_string().contains("no more than 1 MiB"), "{error}");
    assert!(store.get("g", "k").unwrap().unwrap().as_bytes().iter().all(|byte| *byte == b'x'));
}

#[test]
fn names_and_a_value_of_the_greatest_length_that_expire_are_too_much_at_once() {
    if left_out() {
        return;
    }
    let store = store("names");
    let (group, key) = ("g".repeat(64 << 10), "k".repeat(64 << 10));
    // Besides the value, the group's name is written five times and the key's three times.
    let error = store.set_with_ttl(&group, &key, vec![0; MEBIBYTE], Duration::from_secs(600)).unwrap_err();
    assert!(matches!(error, Error::TooMuchAtOnce { what: "bytes", .. }), "{error:?}");
    assert_eq!(store.get(&group, &key).unwrap(), None);
    assert_eq!(store.revision().unwrap(), Revision(0));
    store.set("g", "k", "v").unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_more_than_a_request_holds_is_refused_whole() {
    if left_out() {
        return;
    }
    // Of its own, so that nobody else's keys are counted.
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let store = store_in(&cluster, "batches");
    store.set("g", "k", "v").unwrap();
    let before = keys(&cluster);
    let too_large =
        (0..3).fold(store.batch(), |batch, key| batch.set("large", key.to_string(), vec![0; 600 << 10]));
    let too_many = (0..60_000).fold(store.batch(), |batch, key| batch.set("many", key.to_string(), "v"));
    for batch in [too_large, too_many] {
        let error = batch.commit().unwrap_err();
        assert!(matches!(error, Error::TooMuchAtOnce { .. }), "{error:?}");
        assert!(error.to_string().contains("in several smaller ones"), "{error}");
    }
    let error = store.transaction(|tx| {
        (0..3).try_for_each(|key| tx.set("large", key.to_string(), vec![0; 600 << 10]).map(drop))
    });
    assert!(matches!(error, Err(Error::TooMuchAtOnce { what: "bytes", .. })), "{error:?}");
    assert_eq!((store.count("large").unwrap(), store.count("many").unwrap()), (0, 0));
    assert_eq!(keys(&cluster), before);
    let many = (0..2000).fold(store.batch(), |batch, key| batch.set("many", key.to_string(), "v"));
    many.commit().unwrap();
    assert_eq!(store.count("many").unwrap(), 2000);
}

/// A log is counted up to `COUNTED_MAX` commits, see `log.rs`, and by these the rest is estimated.
#[test]
fn of_a_log_too_long_to_be_counted_the_figures_are_exact_where_all_commits_are_alike() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 1275;
    if left_out() {
        return;
    }
    let store = store("counted");
    store.increment(WRITERS.to_string(), "n", 1).unwrap();
    let first = store.stats().unwrap();
    assert_eq!(first.history_changes, 1);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            // Each is connected by itself, and waits for each of its writes, so that no two share a commit.
            scope.spawn(move || {
                let store = self::store("counted");
                for sum in 1..=EACH {
                    assert_eq!(store.increment(writer.to_string(), "n", 1).unwrap(), sum.cast_signed());
                }
            });
        }
    });
    let commits = 1 + WRITERS * EACH;
    let stats = store.stats().unwrap();
    assert_eq!((stats.keys, stats.history_from), (WRITERS + 1, Revision(0)));
    assert_eq!((stats.history_changes, stats.history_bytes), (commits, commits * first.history_bytes));
}

#[test]
fn a_full_cluster_refuses_writes_serves_reads_and_goes_on_once_there_is_room() {
    if left_out() {
        return;
    }
    let settings = Settings { members: 1, quota_backend_bytes: Some(16 << 20), ..Settings::default() };
    let cluster = Cluster::start_with(&settings).unwrap();
    let stores: Vec<Store> = (0..2).map(|_| options().connect(&cluster.location("app")).unwrap()).collect();
    // Both at once, so that the space gives out with something under way.
    let counts: Vec<(i64, Error)> = thread::scope(|scope| {
        let filling: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(writer, store)| {
                scope.spawn(move || {
                    for count in 1.. {
                        let batch = store.batch().increment("g", writer.to_string(), 1).set(
                            "large",
                            writer.to_string(),
                            vec![0; 100 << 10],
                        );
                        if let Err(error) = batch.commit() {
                            return (count - 1, error);
                        }
                    }
                    unreachable!("there is no end")
                })
            })
            .collect();
        filling.into_iter().map(|filling| filling.join().unwrap()).collect()
    });
    for (writer, (count, error)) in counts.iter().enumerate() {
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        for words in ["nothing was written", "defragment", "disarm", "--quota-backend-bytes"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        let stored =
            stores[writer].get("g", writer.to_string()).unwrap().unwrap().to_string_lossy().into_owned();
        assert_eq!(stored, count.to_string());
    }
    assert_eq!(stores[0].get("large", "0").unwrap().unwrap().len(), 100 << 10);

    cluster.compact();
    cluster.call("/v3/maintenance/defragment", "{}").unwrap();
    let alarms = cluster.call("/v3/maintenance/alarm", r#"{"action":"GET"}"#).unwrap();
    let (_, member) = alarms.split_once("\"memberID\":\"").unwrap();
    let member = member.split('"').next().unwrap();
    let disarm = format!(r#"{{"action":"DEACTIVATE","memberID":"{member}","alarm":"NOSPACE"}}"#);
    cluster.call("/v3/maintenance/alarm", &disarm).unwrap();
    cluster.wait_until_ready(PATIENCE).unwrap();
    eventually("a write", || stores[0].set("g", "k", "v").ok());
    assert_eq!(stores[1].check().unwrap(), Vec::<String>::new());
}
