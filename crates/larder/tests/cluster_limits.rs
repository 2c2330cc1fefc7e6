//! The limits of a cluster, and the errors beyond them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::future::Future;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use larder::{AsyncStore, Error, EventKind, ManualClock, Revision, Store};
use larder_cluster::{Cluster, Settings};

use clusters::answers::AnswerProxy;
use clusters::{WAIT_MAX, eventually, keys, options, skipped, told};

const MEBIBYTE: usize = 1 << 20;

fn store(name: &str) -> Store {
    store_in(Cluster::shared(), name)
}

fn store_in(cluster: &Cluster, name: &str) -> Store {
    options().timeout(Duration::from_secs(20)).connect(cluster.location(name)).unwrap()
}

#[test]
fn a_value_may_have_1_mib_and_not_a_byte_more() {
    if skipped() {
        return;
    }
    let store = store("values");
    store.set("g", "k", vec![b'x'; MEBIBYTE]).unwrap();
    assert_eq!(store.get("g", "k").unwrap().unwrap().len(), MEBIBYTE);
    let error = store.set("g", "k", vec![b'y'; MEBIBYTE + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "value", limit: 1_048_576, .. }), "{error:?}");
    assert_eq!(error.advice().unwrap(), "Shorten it.", "no option raises this limit");
    assert!(store.get("g", "k").unwrap().unwrap().as_bytes().iter().all(|byte| *byte == b'x'));
}

#[test]
fn an_expiring_entry_with_everything_at_its_limit_is_too_much_at_once() {
    if skipped() {
        return;
    }
    let store = store("names");
    let (group, key) = ("g".repeat(64 << 10), "k".repeat(64 << 10));
    // Besides the value, a commit has the group's name five times and the key three times.
    let error = store.set_with_ttl(&group, &key, vec![0; MEBIBYTE], Duration::from_secs(600)).unwrap_err();
    assert!(matches!(error, Error::TooMuchAtOnce { what: "bytes", .. }), "{error:?}");
    assert_eq!(store.get(&group, &key).unwrap(), None);
    assert_eq!(store.revision().unwrap(), Revision(0));
    store.set("g", "k", "v").unwrap();
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_commit_larger_than_a_request_is_refused_whole() {
    if skipped() {
        return;
    }
    // Its own cluster, so that only its keys are counted.
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
        assert_eq!(error.advice().unwrap(), "Write it in several smaller ones.");
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

/// Up to `COUNTED_MAX` commits are counted (see `log.rs`); the rest is estimated from them.
#[test]
fn the_figures_of_a_very_long_log_are_exact_when_all_commits_are_alike() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 1275;
    if skipped() {
        return;
    }
    let store = store("counted");
    store.increment(WRITERS.to_string(), "n", 1).unwrap();
    let first = store.stats().unwrap();
    assert_eq!(first.history_changes, 1);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            // Each writer has its own connection and waits for each write, so that no two writes share a
            // commit.
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
fn a_transaction_with_any_number_of_expiring_entries_commits() {
    if skipped() {
        return;
    }
    let store = store("expiring");
    let hour = Duration::from_secs(3600);
    // At about these counts, the writes exceed what one of etcd's transactions takes, but the comparisons do
    // not.
    for count in [1, 40, 61, 62, 63, 80, 86, 87, 90, 100, 121, 122, 123, 124, 200] {
        let in_one = store.transaction(|tx| {
            (0..count).try_for_each(|n| tx.set_with_ttl("one", format!("{count}-{n}"), "v", hour))
        });
        in_one.unwrap_or_else(|error| panic!("{count} in one group: {error}"));
        let in_many = store.transaction(|tx| {
            (0..count).try_for_each(|n| tx.set_with_ttl(format!("{count}-{n}"), "k", "v", hour))
        });
        in_many.unwrap_or_else(|error| panic!("{count} in {count} groups: {error}"));
        let batch = (0..count)
            .fold(store.batch(), |batch, n| batch.set_with_ttl("batches", format!("{count}-{n}"), "v", hour));
        batch.commit().unwrap_or_else(|error| panic!("{count} in a batch: {error}"));
    }
    assert_eq!(store.check().unwrap(), []);
}

/// A store whose process is the only writer. Such a writer combines any number of its callers' writes in one
/// commit.
fn alone(name: &str) -> AsyncStore {
    let store = store(name);
    (0..6).for_each(|n| assert!(store.set("g", "k", n.to_string()).is_ok()));
    store.into_async()
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

#[test]
fn any_number_of_cursors_can_be_created_and_deleted_at_once() {
    if skipped() {
        return;
    }
    let store = alone("cursors");
    in_runtime(async {
        let name = |n: usize| format!("c{n}");
        let made = join_all((0..300).map(|n| store.cursor_from(name(n), ("g", "*"), 0))).await;
        assert_eq!(made.iter().find_map(|made| Some(made.as_ref().err()?.to_string())), None);
        assert_eq!(store.cursors().await.unwrap().len(), 300);
        drop(made);
        for gone in join_all((0..300).map(|n| store.delete_cursor(name(n)))).await {
            gone.unwrap();
        }
        assert_eq!(store.cursors().await.unwrap().len(), 0);
    });
}

#[test]
fn a_commit_that_fits_alone_is_never_refused_because_of_others() {
    if skipped() {
        return;
    }
    let store = alone("company");
    in_runtime(async {
        for (bytes, name_bytes, count) in
            [(290 << 10, 4 << 10, 5), (90 << 10, 32 << 10, 40), (0, 63 << 10, 60)]
        {
            let set = |n: usize| store.set(format!("g{n}"), format!("{n:0name_bytes$}"), vec![b'x'; bytes]);
            for set in join_all((0..count).map(set)).await {
                set.unwrap_or_else(|error| panic!("{bytes} bytes, names of {name_bytes}: {error}"));
            }
        }
        let get = |n: usize| store.get(format!("g{n}"), format!("{n:064512}"));
        for found in join_all((0..60).map(get)).await {
            assert!(found.unwrap().is_some());
        }
        assert_eq!(store.check().await.unwrap(), []);
    });
}

#[test]
fn refilling_a_group_beyond_a_request_is_refused_at_once_and_whole() {
    if skipped() {
        return;
    }
    let store = store("refilled");
    store.set("g", "k", "v").unwrap();
    for count in [1000, 2400, 5000] {
        let refilled = store.transaction(|tx| {
            tx.delete_group("g")?;
            (0..count).try_for_each(|n| tx.set("g", format!("{n:0200}"), "0123456789"))
        });
        match refilled {
            Ok(()) => assert!(count == 1000 && store.count("g").unwrap() == count),
            Err(Error::TooMuchAtOnce { what: "bytes", .. }) => assert_eq!(store.count("g").unwrap(), 1000),
            Err(error) => panic!("{count}: {error:?}"),
        }
    }
}

#[test]
fn a_group_with_more_expired_entries_than_fit_a_commit_can_be_deleted() {
    if skipped() {
        return;
    }
    let clock = ManualClock::new();
    let options = options().clock(clock.clone()).expiry_timer(false).timeout(Duration::from_secs(20));
    let store = options.connect(Cluster::shared().location("expired")).unwrap();
    let group = "g".repeat(1000);
    for round in 0..8 {
        let batch = (0..300).fold(store.batch(), |batch, n| {
            batch.set_with_ttl(&group, format!("{round}-{n}"), "v", Duration::from_secs(1))
        });
        batch.commit().unwrap();
    }
    let before = store.set(&group, "stays", "v").unwrap();
    clock.advance(Duration::from_secs(2));
    assert_eq!(store.delete_group(&group).unwrap(), 1);
    let watcher = store.watch_from((&*group, "*"), before).unwrap();
    let mut kinds: Vec<EventKind> = Vec::new();
    while let Some(event) = watcher.try_recv().unwrap() {
        kinds.push(event.kind);
    }
    assert_eq!(kinds.pop(), Some(EventKind::DeleteGroup));
    assert_eq!(kinds, vec![EventKind::Expire; 2400]);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_full_cluster_refuses_writes_serves_reads_and_recovers_when_there_is_space() {
    if skipped() {
        return;
    }
    let settings = Settings { members: 1, quota_backend_bytes: Some(16 << 20), ..Settings::default() };
    let cluster = Cluster::start_with(&settings).unwrap();
    let stores: Vec<Store> = (0..2).map(|_| options().connect(cluster.location("app")).unwrap()).collect();
    // Two stores write at once, so that the space runs out while requests are in flight.
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
                    unreachable!("the loop has no end")
                })
            })
            .collect();
        filling.into_iter().map(|filling| filling.join().unwrap()).collect()
    });
    for (writer, (count, error)) in counts.iter().enumerate() {
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        for words in ["nothing was written", "defragment", "disarm", "--quota-backend-bytes"] {
            assert!(told(error).contains(words), "{error}");
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
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("a write", || stores[0].set("g", "k", "v").ok());
    assert_eq!(stores[1].check().unwrap(), []);
}

#[test]
fn an_answer_beyond_1_gib_is_refused_before_room_is_made_for_it_and_the_client_goes_on() {
    if skipped() {
        return;
    }
    let proxy = AnswerProxy::to(&Cluster::shared().endpoints()[0]);
    let store = options().connect(format!("etcd://{}/answers", proxy.address)).unwrap();
    store.set("g", "k", "first").unwrap();
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "first");
    proxy.claim(2 << 30);
    // None of its bytes comes, so whoever waited for them would only say that nothing has come.
    let is_told = |error: &Error| {
        let told = format!("{error:#}");
        assert!(told.contains("2147483648 bytes") && told.contains("1073741824"), "{told}");
    };
    let read = store.get("g", "k").unwrap_err();
    assert!(matches!(read, Error::Storage { .. }) && !read.is_retryable(), "{read:?}");
    is_told(&read);
    is_told(&store.get_all("g").unwrap_err());
    // The write was made; only its answer is not to be had.
    let written = store.set("g", "k", "second").unwrap_err();
    assert!(matches!(written, Error::Unknown { .. }), "{written:?}");
    is_told(&written);
    assert!(proxy.replaced() >= 3);
    proxy.forward();
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "second");
    store.set("g", "k", "third").unwrap();
    assert_eq!(store.get_all("g").unwrap().len(), 1);
    assert_eq!(store.check().unwrap(), []);
}
