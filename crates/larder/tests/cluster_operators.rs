//! What operators do to a cluster under its clients: passwords and roles change, one key goes bad, a write is too large.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::fs;
use std::path::Path;

use clusters::{SHORT, WAIT_MAX, eventually, options, skipped};
use larder::{Error, ErrorKind, Event, Feed, Pattern, Store, Watcher};
use larder_cluster::{Cluster, Settings, Tls};

/// A cluster of one member with the users root and app.
fn with_users() -> Cluster {
    let users = [("root", "top"), ("app", "old")].map(|(name, password)| (name.into(), password.into()));
    let cluster =
        Cluster::start_with(&Settings { members: 1, users: users.into(), ..Settings::default() }).unwrap();
    cluster.grant("app", b"app/").unwrap();
    cluster
}

fn as_app(cluster: &Cluster) -> String {
    cluster.location("app").replace("etcd://", "etcd://app:old@")
}

#[track_caller]
fn next(watcher: &Watcher) -> Result<Event, Error> {
    watcher.recv_timeout(WAIT_MAX).transpose().expect("an event or an error")
}

/// Waits until a watcher is told that the cluster refuses the feed.
#[track_caller]
fn assert_refused(watcher: &Watcher) {
    let error = next(watcher).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}

/// Receives the first event, and makes sure that later ones come from the feed and not from the log.
#[track_caller]
fn go_live(watcher: &Watcher) {
    next(watcher).unwrap();
    assert!(watcher.try_recv().unwrap().is_none());
}

fn feed(store: &Store) -> Feed {
    store.health().unwrap().feed.unwrap()
}

#[test]
fn a_watcher_is_told_that_its_password_was_changed_and_continues_with_the_old_one_back() {
    if skipped() {
        return;
    }
    let cluster = with_users();
    let change = |password: &str| cluster.change_password("app", password).unwrap();
    let store = options().connect(as_app(&cluster)).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    go_live(&watcher);
    change("new");
    assert_refused(&watcher);
    assert!(feed(&store).refusal.is_some());
    // It lasts.
    assert_refused(&watcher);
    let other = Store::connect(as_app(&cluster).replace(":old@", ":new@")).unwrap();
    other.set("g", "k", "meanwhile").unwrap();
    change("old");
    let event = eventually("the change of the time between", || watcher.recv_timeout(SHORT).ok().flatten());
    assert_eq!(event.value.unwrap(), "meanwhile");
    eventually("the feed", || feed(&store).refusal.is_none().then_some(()));
}

#[test]
fn what_was_committed_while_the_feed_was_interrupted_and_refused_comes_afterwards() {
    if skipped() {
        return;
    }
    let cluster = with_users();
    let change = |password: &str| cluster.change_password("app", password).unwrap();
    let store = options().connect(as_app(&cluster)).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    go_live(&watcher);
    change("new");
    // A member goes on sending to a watch that it has. This one has to be opened again, with the old password.
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("the refusal", || {
        watcher.recv_timeout(SHORT).err().filter(|error| matches!(error, Error::Unauthorized { .. }))
    });
    let other = Store::connect(as_app(&cluster).replace(":old@", ":new@")).unwrap();
    other.set("g", "k", "meanwhile").unwrap();
    change("old");
    let event = eventually("the change of the time between", || watcher.recv_timeout(SHORT).ok().flatten());
    assert_eq!(event.value.unwrap(), "meanwhile");
}

#[test]
fn a_watcher_is_told_that_its_role_was_taken_away() {
    if skipped() {
        return;
    }
    let cluster = with_users();
    let store = options().connect(as_app(&cluster)).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    go_live(&watcher);
    let role = r#"{"name":"app","role":"app"}"#;
    cluster.call("/v3/auth/user/revoke", role).unwrap();
    assert_refused(&watcher);
    cluster.grant("app", b"app/").unwrap();
    eventually("a write", || store.set("g", "k", "after").ok());
    let event = eventually("the change", || watcher.recv_timeout(SHORT).ok().flatten());
    assert_eq!(event.value.unwrap(), "after");
}

#[test]
fn a_watcher_is_told_that_passwords_are_asked_for_now() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let store = options().connect(cluster.location("app")).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "k", "before").unwrap();
    go_live(&watcher);
    cluster.call("/v3/auth/user/add", r#"{"name":"root","password":"top"}"#).unwrap();
    cluster.call("/v3/auth/role/add", r#"{"name":"root"}"#).unwrap();
    cluster.call("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#).unwrap();
    cluster.call("/v3/auth/enable", "{}").unwrap();
    assert_refused(&watcher);
}

#[test]
fn the_state_of_the_feed_can_be_asked_for() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let store = options().connect(cluster.location("app")).unwrap();
    let health = store.health().unwrap();
    assert_eq!((health.feed, health.retries, health.unknown, health.restores), (None, 0, 0, 0));
    assert!(cluster.endpoints().contains(&health.member.unwrap().replace("http://", "")));
    let watcher = store.watch(Pattern::all()).unwrap();
    let revision = store.set("g", "k", "v").unwrap();
    go_live(&watcher);
    eventually("the feed is fresh", || feed(&store).lag);
    let Feed { connected_since, member, revision: seen, refusal, interruptions, .. } = feed(&store);
    assert!(connected_since.is_some() && member.is_some());
    assert_eq!((seen, refusal), (revision, None));
    (0..3).for_each(|member| cluster.kill(member));
    eventually("the feed is gone", || feed(&store).connected_since.is_none().then_some(()));
    assert!(matches!(store.set("g", "k", "v"), Err(Error::Unknown { .. } | Error::Unreachable { .. })));
    let health = store.health().unwrap();
    assert!(health.retries > 0);
    assert!(feed(&store).lag.unwrap() > SHORT / 2, "{health:?}");
    (0..3).for_each(|member| cluster.restart(member));
    eventually("the feed is back", || feed(&store).connected_since);
    assert!(feed(&store).interruptions > interruptions);
    drop(watcher);
    eventually("nobody needs the feed", || store.health().unwrap().feed.is_none().then_some(()));
    assert!(Store::in_memory().unwrap().health().unwrap().member.is_none());
}

#[test]
fn a_key_that_another_program_wrote_is_named_and_hides_no_other() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let store = options().connect(cluster.location("bad-key")).unwrap();
    for key in ["a", "b", "c", "d"] {
        store.set("g", key, "good").unwrap();
    }
    let bad = |key: &str| [b"bad-key/key/g\0\x01", key.as_bytes()].concat();
    let spoil = |key: &str| cluster.put(&bad(key), b"\xff\xff").unwrap();
    ["b", "c", "foreign"].iter().for_each(|key| spoil(key));
    let names_it = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(r"bad-key/key/g\0\u{1}b"), "{error}");
    };
    names_it(store.get("g", "b").unwrap_err());
    names_it(store.increment("g", "b", 1).unwrap_err());
    let left_out = || store.health().unwrap().left_out;
    assert_eq!(left_out(), 0);
    let keys = || store.get_all("g").unwrap().iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(), ["a", "d"]);
    assert_eq!(left_out(), 3);
    let listed: Vec<_> = store.entries("g").unwrap().map(|entry| entry.unwrap().key).collect();
    assert_eq!(listed, ["a", "d"]);
    let in_transaction = store.transaction(|tx| Ok(tx.get_all("g")?.len())).unwrap();
    assert_eq!(in_transaction, 2);
    assert!(store.check().unwrap().iter().any(|finding| finding.to_string().contains("bad-key/key/g")));

    let watcher = store.watch(Pattern::group("g")).unwrap();
    store.set("g", "b", "again").unwrap();
    assert_eq!(store.get("g", "b").unwrap().unwrap(), "again");
    assert!(store.delete("g", "c").unwrap());
    assert!(store.delete("g", "foreign").unwrap());
    assert!(!store.delete("g", "foreign").unwrap());
    let before = left_out();
    assert_eq!(keys(), ["a", "b", "d"]);
    assert_eq!(left_out(), before);
    let kinds: Vec<_> = (0..3).map(|_| next(&watcher).unwrap().key.unwrap()).collect();
    assert_eq!(kinds, ["b", "c", "foreign"]);
}

#[test]
fn what_is_certainly_too_large_is_refused_before_anything_is_read() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap();
    let store = options().connect(cluster.location("app")).unwrap();
    cluster.pause(0);
    let batch = (0..20_000).fold(store.batch(), |batch, key| batch.set("g", format!("key-{key}"), "value"));
    let error = batch.commit().unwrap_err();
    // With a request to the cluster it would be unreachable.
    assert!(matches!(error, Error::TooMuchAtOnce { .. }), "{error:?}");
    cluster.resume(0);
}

#[test]
fn certificates_are_read_again_for_each_new_connection() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let mut tls = Tls::new().unwrap();
    tls.client_cert_auth = true;
    let settings = Settings { members: 1, tls: Some(tls.clone()), ..Settings::default() };
    let cluster = Cluster::start_with(&settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("client.pem");
    let replace = |with: &Path| {
        let next = folder.path().join("next.pem");
        fs::copy(with, &next).unwrap();
        fs::rename(next, &certificate).unwrap();
    };
    replace(&tls.client_cert);
    let (ca, key) = (tls.ca.display(), tls.client_key.display());
    let location = format!("{}?ca={ca}&cert={}&key={key}", cluster.location("app"), certificate.display());
    let store = options().connect(&location).unwrap();
    store.set("g", "k", "before").unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();

    // An expired one shows that the file is read again.
    replace(&tls.expired_client_cert);
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("the expired certificate", || {
        store.get("g", "k").err().filter(|error| matches!(error, Error::Untrusted { .. }))
    });
    replace(&tls.client_cert);
    eventually("the renewed certificate", || store.set("g", "k", "after").ok());
    eventually("the change", || watcher.recv_timeout(SHORT).ok().flatten());
    // A file that is missing for a moment stops nobody.
    fs::remove_file(&certificate).unwrap();
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    eventually("the last certificate", || store.set("g", "k", "last").ok());
}
