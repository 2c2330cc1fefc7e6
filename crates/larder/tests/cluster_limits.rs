//! What a cluster does not take, and what a caller is told then.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod clusters;

use larder::{Error, Store};
use larder_cluster::{Cluster, Settings};

use clusters::{PATIENCE, eventually, keys, left_out, options};

const MEBIBYTE: usize = 1 << 20;

fn store(name: &str) -> Store {
    options()
        .busy_timeout(std::time::Duration::from_secs(20))
        .connect(&Cluster::shared().location(name))
        .unwrap()
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
fn names_and_values_of_the_greatest_length_are_written_or_refused() {
    if left_out() {
        return;
    }
    let store = store("names");
    let (group, key) = ("g".repeat(64 << 10), "k".repeat(64 << 10));
    match store.set_with_ttl(&group, &key, vec![0; MEBIBYTE], std::time::Duration::from_secs(600)) {
        Ok(_) => assert_eq!(store.get(&group, &key).unwrap().unwrap().len(), MEBIBYTE),
        Err(error) => {
            assert!(matches!(error, Error::TooMuchAtOnce { what: "bytes", .. }), "{error:?}");
            assert_eq!(store.get(&group, &key).unwrap(), None);
        }
    }
    store.set("g", "k", "v").unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_more_than_a_request_holds_is_refused_whole() {
    if left_out() {
        return;
    }
    let store = store("batches");
    store.set("g", "k", "v").unwrap();
    let before = keys(Cluster::shared());
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
    // The store's own fence may be new.
    assert!(keys(Cluster::shared()) <= before + 64);
    let many = (0..2000).fold(store.batch(), |batch, key| batch.set("many", key.to_string(), "v"));
    many.commit().unwrap();
    assert_eq!(store.count("many").unwrap(), 2000);
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
    let counts: Vec<(i64, Error)> = std::thread::scope(|scope| {
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
