//! Broken connections, missing members and lost answers.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::net::TcpListener;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use larder::{Error, Pattern, Store, Watcher};
use larder_cluster::{Cluster, Settings};

use clusters::proxy::Proxy;
use clusters::{SHORT, WAIT_MAX, eventually, options, skipped};

fn number(store: &Store) -> i64 {
    store.get("g", "n").unwrap().map_or(0, |value| value.parse().unwrap())
}

/// One store opened twice: through a proxy and directly.
fn by_proxy(name: &str) -> (Proxy, Store, Store) {
    let cluster = Cluster::shared();
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    let store = options().connect(format!("etcd://{}/{name}", proxy.address)).unwrap();
    (proxy, store, options().connect(cluster.location(name)).unwrap())
}

#[test]
fn a_write_whose_answer_is_lost_happens_once_and_is_acknowledged() {
    if skipped() {
        return;
    }
    let (proxy, store, direct) = by_proxy("lost-answer");
    store.increment("g", "n", 1).unwrap();
    for sum in 2..12 {
        proxy.swallow_answers();
        let writing = thread::spawn({
            let store = store.clone();
            move || store.increment("g", "n", 1)
        });
        eventually("the write", || (number(&direct) == sum).then_some(()));
        proxy.cut();
        assert_eq!(writing.join().unwrap().unwrap(), sum);
        assert_eq!(number(&direct), sum);
    }
}

#[test]
fn a_write_without_any_answer_is_unknown_and_the_store_keeps_working() {
    if skipped() {
        return;
    }
    let (proxy, store, direct) = by_proxy("no-answer");
    store.increment("g", "n", 1).unwrap();
    proxy.swallow_answers();
    let error = store.increment("g", "n", 1).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    assert_eq!(error.advice().unwrap(), "Read what it was to change before trying again.");
    let error = store.get("g", "n").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    proxy.cut();
    eventually("an answer", || store.get("g", "n").ok());
    let so_far = number(&direct);
    assert!((1..=2).contains(&so_far));
    assert_eq!(store.increment("g", "n", 1).unwrap(), so_far + 1);
}

#[test]
fn an_increment_never_happens_twice_wherever_the_connection_is_cut() {
    if skipped() {
        return;
    }
    let (proxy, store, direct) = by_proxy("cuts");
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = seed;
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..300 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        proxy.cut_after((random % 900) as i64);
        match store.increment("g", "n", 1) {
            Ok(sum) => {
                done += 1;
                assert!((done..=done + unknown).contains(&sum), "{sum} after {done} and {unknown}");
            }
            Err(Error::Unknown { .. }) => unknown += 1,
            Err(Error::Unreachable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    proxy.cut();
    let sum = number(&direct);
    assert!((done..=done + unknown).contains(&sum), "{sum} after {done} and {unknown}");
    assert!(done > 200, "{done}");
    assert_eq!(direct.check().unwrap(), []);
}

#[test]
fn the_first_endpoint_may_be_dead() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    // One endpoint refuses connections; the other accepts them and never answers.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for dead in [closed, silent.local_addr().unwrap()] {
        let location = format!("etcd://{dead},{}/first-dead", cluster.endpoints()[1]);
        let store = options().connect(&location).unwrap();
        store.set("g", "k", "v").unwrap();
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "v");
    }
}

#[test]
fn a_timeout_of_zero_is_enough_when_the_cluster_answers() {
    if skipped() {
        return;
    }
    let location = Cluster::shared().location("no-time");
    for timeout in [std::time::Duration::ZERO, std::time::Duration::MAX] {
        let store = Store::options().timeout(timeout).connect(&location).unwrap();
        eventually("a write", || store.set("g", "k", "v").ok());
    }
}

/// Waits until a watcher receives an event with this value.
fn receives_value(watcher: &Watcher, value: &str) {
    eventually(value, || {
        let event = watcher.recv_timeout(SHORT).ok().flatten()?;
        (event.value.as_ref().is_some_and(|found| found == value)).then_some(())
    });
}

#[test]
fn calls_fail_without_a_quorum_and_work_again_with_one() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let store = options().connect(cluster.location("app")).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    receives_value(&watcher, "before");
    cluster.kill(0);
    cluster.kill(1);
    let error = store.get("g", "k").unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    for endpoint in cluster.endpoints() {
        assert!(error.to_string().contains(&endpoint), "{error}");
    }
    let error = store.set("g", "k", "during").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Unknown { .. }), "{error:?}");
    let error = store.transaction(|tx| tx.set("g", "k", "during")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Unknown { .. }), "{error:?}");

    cluster.kill(2);
    let error = store.set("g", "k", "during").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    (0..3).for_each(|member| cluster.restart(member));
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("a write", || store.set("g", "k", "after").ok());
    assert_eq!(eventually("a read", || store.get("g", "k").ok()).unwrap(), "after");
    receives_value(&watcher, "after");
}

#[test]
fn a_restarted_member_that_lost_its_login_tokens_gets_a_new_login() {
    if skipped() {
        return;
    }
    let users = [("root", "r"), ("service", "a")].map(|(name, word)| (name.to_owned(), word.to_owned()));
    let settings = Settings { members: 1, users: users.to_vec(), ..Settings::default() };
    let cluster = Cluster::start_with(&settings).unwrap();
    cluster.grant("service", b"app/").unwrap();
    let store = options().connect(cluster.location("app").replace("//", "//service:a@")).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    receives_value(&watcher, "before");
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("a write", || store.set("g", "k", "after").ok());
    receives_value(&watcher, "after");
    // A new stream uses the client's current login.
    let other = store.watch(Pattern::group("other")).unwrap();
    store.set("other", "k", "v").unwrap();
    receives_value(&other, "v");
}
