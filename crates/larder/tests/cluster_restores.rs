//! A cluster that is restored from a snapshot under its clients: nobody is shown, or goes on from, what is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clusters;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clusters::proxy::Proxy;
use clusters::{SHORT, WAIT_MAX, eventually, options, skipped};
use larder::{
    Clock, Condition, Consistency, Cursor, Error, ErrorKind, Event, Pattern, Repair, Revision, Store, Watcher,
};
use larder_cluster::{Cluster, Saved, Settings};

/// A cluster of one member, which restores fastest.
fn one_member() -> Cluster {
    Cluster::start_with(&Settings { members: 1, ..Settings::default() }).unwrap()
}

fn restore(cluster: &Cluster, saved: &Saved) {
    cluster.restore(saved).unwrap();
    cluster.wait_until_ready(WAIT_MAX).unwrap();
}

fn is(store: &Store, key: &str, value: &str) -> bool {
    store.get("g", key).is_ok_and(|found| found.is_some_and(|found| found == value))
}

/// Returns the next event of a cursor; fails if none comes.
#[track_caller]
fn next_of(cursor: &Cursor) -> Event {
    cursor.recv_timeout(WAIT_MAX).unwrap().expect("an event")
}

/// Returns the next event; fails if none comes.
#[track_caller]
fn next(watcher: &Watcher) -> Result<Event, Error> {
    watcher.recv_timeout(WAIT_MAX).transpose().expect("an event or an error")
}

#[track_caller]
fn assert_restored<T: std::fmt::Debug>(result: Result<T, Error>) -> Revision {
    match result {
        Err(error @ Error::ClusterRestored { latest }) => {
            assert_eq!(error.kind(), ErrorKind::Stale);
            latest
        }
        other => panic!("{other:?}"),
    }
}

/// A store that the cluster is saved with at `before`, and that is at `lost` when this returns.
fn saved_and_changed(cluster: &Cluster, store: &Store) -> Saved {
    store.set("g", "k", "before").unwrap();
    let saved = cluster.save().unwrap();
    for _ in 0..20 {
        store.set("g", "k", "lost").unwrap();
    }
    saved
}

#[test]
fn a_near_cache_never_shows_what_a_restore_took_away() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let cached = options().consistency(Consistency::Cached).connect(cluster.location("app")).unwrap();
    let saved = saved_and_changed(&cluster, &cached);
    eventually("the cache is fresh", || cached.cache_age().unwrap().map(drop));
    assert!(is(&cached, "k", "lost"));
    restore(&cluster, &saved);
    // Once any answer has come from the restored cluster, memory holds nothing from before.
    eventually("an answer", || cached.revision().ok());
    assert!(is(&cached, "k", "before"));
    eventually("the cache is fresh again", || cached.cache_age().unwrap().map(drop));
    assert!(is(&cached, "k", "before"));
    Store::connect(cluster.location("app")).unwrap().set("g", "k", "after").unwrap();
    eventually("the cache follows", || is(&cached, "k", "after").then_some(()));
}

#[test]
fn watchers_are_told_of_a_restore_once_and_receive_what_comes_after() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    for _ in 0..21 {
        next(&watcher).unwrap();
    }
    let token = watcher.token();
    restore(&cluster, &saved);
    let latest = assert_restored(next(&watcher));
    assert!(latest < token.revision());
    // The first event has a revision that the watcher has already seen once.
    let revision = eventually("a write", || store.set("g", "k", "after").ok());
    assert!(revision <= token.revision());
    let event = next(&watcher).unwrap();
    assert_eq!((event.value.as_ref().unwrap().as_str(), event.revision), (Some("after"), revision));
    assert_ne!(watcher.token().store(), token.store());
    let error = store.watch_from(Pattern::all(), token).unwrap_err();
    assert!(matches!(error, Error::OtherStore { .. }), "{error:?}");
    drop(store.watch_from(Pattern::all(), watcher.token()).unwrap());
}

#[test]
fn a_watcher_is_told_of_a_restore_even_once_the_revisions_have_grown_past_its_own() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    let store = options().connect(format!("etcd://{}/app", proxy.address)).unwrap();
    let watcher = store.watch(Pattern::group("g")).unwrap();
    let direct = Store::connect(cluster.location("app")).unwrap();
    direct.set("g", "k", "before").unwrap();
    let saved = cluster.save().unwrap();
    direct.set("g", "k", "lost").unwrap();
    next(&watcher).unwrap();
    next(&watcher).unwrap();
    // The client hears nothing until others have written more than was lost.
    proxy.swallow_answers();
    drop(direct);
    restore(&cluster, &saved);
    let direct = Store::connect(cluster.location("app")).unwrap();
    for _ in 0..10 {
        direct.set("g", "k", "after").unwrap();
    }
    proxy.cut();
    assert_restored(next(&watcher));
    direct.set("g", "k", "last").unwrap();
    let events = std::iter::from_fn(|| next(&watcher).ok());
    assert!(events.take(11).any(|event| event.value.unwrap() == "last"));
}

/// Lets the cluster refuse writes because it is full, or no longer.
fn set_full(cluster: &Cluster, is_full: bool) {
    let status = cluster.call("/v3/maintenance/status", "{}").unwrap();
    let (_, member) = status.split_once("\"member_id\":\"").unwrap();
    let (member, action) =
        (member.split('"').next().unwrap(), if is_full { "ACTIVATE" } else { "DEACTIVATE" });
    let alarm = format!(r#"{{"action":"{action}","memberID":"{member}","alarm":"NOSPACE"}}"#);
    cluster.call("/v3/maintenance/alarm", &alarm).unwrap();
}

#[test]
fn a_watcher_receives_nothing_that_came_after_a_restore_before_it_is_told() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    let store = options().connect(format!("etcd://{}/app", proxy.address)).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    // It has yet to read the log, from a place that the restore takes back.
    let watcher = store.watch_from(Pattern::group("g"), store.revision().unwrap()).unwrap();
    proxy.swallow_answers();
    restore(&cluster, &saved);
    let direct = Store::connect(cluster.location("app")).unwrap();
    for _ in 0..30 {
        direct.set("g", "k", "after").unwrap();
    }
    // So the client cannot give the store another identity, and tells nobody yet.
    set_full(&cluster, true);
    proxy.cut();
    eventually("the client notices", || (store.health().unwrap().restores > 0).then_some(()));
    match watcher.recv_timeout(SHORT) {
        Ok(None) | Err(Error::Unreachable { .. }) => {}
        other => panic!("{other:?}"),
    }
    set_full(&cluster, false);
    let told = eventually("it is told", || {
        Some(watcher.recv_timeout(WAIT_MAX)).filter(|told| !matches!(told, Err(Error::Unreachable { .. })))
    });
    assert_restored(told);
    let revision = direct.set("g", "k", "last").unwrap();
    let event = next(&watcher).unwrap();
    assert_eq!((event.value.as_ref().unwrap().as_str(), event.revision), (Some("last"), revision));
}

#[test]
fn a_snapshot_ends_with_the_history_that_it_is_of() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get("g", "k").unwrap().unwrap(), "lost");
    restore(&cluster, &saved);
    // The revision of the snapshot does not exist yet.
    assert_restored(eventually("an answer", || {
        Some(snapshot.get("g", "k")).filter(|read| !matches!(read, Err(Error::Unreachable { .. })))
    }));
    for _ in 0..30 {
        store.set("g", "k", "after").unwrap();
    }
    // Now it does, and is another moment.
    assert_restored(snapshot.get("g", "k"));
    assert_restored(snapshot.get_all("g"));
    assert_restored(snapshot.groups(""));
    assert_restored(snapshot.revision());
    assert_eq!(store.snapshot().unwrap().get("g", "k").unwrap().unwrap(), "after");
}

#[test]
fn a_cursor_continues_where_the_restored_store_remembers_it() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    let cursor = store.cursor("mailer").unwrap();
    store.set("orders", "1", "acknowledged").unwrap();
    cursor.ack(&next_of(&cursor)).unwrap();
    store.set("orders", "2", "kept").unwrap();
    let saved = cluster.save().unwrap();
    store.set("orders", "3", "lost").unwrap();
    cursor.ack(&next_of(&cursor)).unwrap();
    let lost = next_of(&cursor);
    assert_eq!(lost.key.as_deref(), Some("3"));
    restore(&cluster, &saved);
    assert_restored(cursor.recv_timeout(WAIT_MAX));
    let error = cursor.ack(&lost).unwrap_err();
    assert!(matches!(error, Error::NotReceived { .. }), "{error:?}");
    // It was acknowledged, but the store that knew that is gone.
    let again = next_of(&cursor);
    assert_eq!(again.key.as_deref(), Some("2"));
    cursor.ack(&again).unwrap();
    store.set("orders", "3", "new").unwrap();
    assert_eq!(next_of(&cursor).value.unwrap(), "new");
}

#[test]
fn an_acknowledgement_that_a_restore_overtakes_moves_no_cursor() {
    if skipped() {
        return;
    }
    for has_written in [true, false] {
        let cluster = one_member();
        let writer = options().connect(cluster.location("app")).unwrap();
        let store = options().timeout(WAIT_MAX).connect(cluster.location("app")).unwrap();
        let cursor = store.cursor("mailer").unwrap();
        writer.set("orders", "1", "acknowledged").unwrap();
        cursor.ack(&next_of(&cursor)).unwrap();
        writer.set("orders", "2", "kept").unwrap();
        let saved = cluster.save().unwrap();
        for _ in 0..5 {
            writer.set("orders", "3", "lost").unwrap();
        }
        if has_written {
            store.set("orders", "3", "lost").unwrap();
        }
        let events: Vec<Event> = (0..if has_written { 7 } else { 6 }).map(|_| next_of(&cursor)).collect();
        drop(writer);
        cluster.kill(0);
        let acknowledged = thread::scope(|scope| {
            let acknowledging = scope.spawn(|| cursor.ack(events.last().unwrap()));
            restore(&cluster, &saved);
            acknowledging.join().unwrap()
        });
        let error = acknowledged.unwrap_err();
        let is_told = matches!(error, Error::ClusterRestored { .. } | Error::NotReceived { .. });
        assert!(is_told, "{error:?}");
        assert_restored(cursor.recv_timeout(WAIT_MAX));
        assert_eq!(next_of(&cursor).key.as_deref(), Some("2"));
        // What is new has revisions that were given to what is gone.
        let revision = store.set("orders", "3", "new").unwrap();
        assert!(revision <= events[5].revision);
        let new = next_of(&cursor);
        assert_eq!(new.value.as_ref().unwrap().as_str(), Some("new"));
        cursor.ack(&new).unwrap();
        assert!(store.cursor("mailer").unwrap().try_recv().unwrap().is_none());
    }
}

/// Restores the cluster, and lets another client write until its revision has passed what was lost.
fn restore_and_grow(cluster: &Cluster, saved: &Saved) {
    restore(cluster, saved);
    let direct = Store::connect(cluster.location("app")).unwrap();
    for _ in 0..50 {
        direct.set("other", "k", "after").unwrap();
    }
}

#[test]
fn a_transaction_never_sees_what_was_before_a_restore_beside_what_came_after() {
    if skipped() {
        return;
    }
    for writes in [false, true] {
        let cluster = one_member();
        let store = options().timeout(WAIT_MAX).connect(cluster.location("app")).unwrap();
        let set = |value: &str| store.batch().set("g", "k", value).set("h", "k", value).commit().unwrap();
        set("before");
        let saved = cluster.save().unwrap();
        set("lost");
        let mut runs = 0;
        let seen = store.transaction(|transaction| {
            runs += 1;
            let first = transaction.get("g", "k")?.unwrap();
            if runs == 1 {
                assert_eq!(first, "lost");
                restore_and_grow(&cluster, &saved);
            }
            let second = transaction.get("h", "k")?.unwrap();
            assert_eq!(first, second);
            if writes {
                transaction.set("g", "copy", first.clone())?;
            }
            Ok(first)
        });
        assert_eq!(seen.unwrap(), "before");
        // The store gets another identity meanwhile. What the second run writes may come in between: then there is a
        // third run.
        let most = if writes { 3 } else { 2 };
        assert!((2..=most).contains(&runs), "{runs} runs, writes: {writes}");
        assert_eq!(is(&store, "copy", "before"), writes);
    }
}

#[test]
fn a_transaction_that_a_restore_overtakes_decides_by_the_restored_store() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().timeout(WAIT_MAX).connect(cluster.location("app")).unwrap();
    store.set("g", "k", "before").unwrap();
    let saved = cluster.save().unwrap();
    let other = || Store::connect(cluster.location("app")).unwrap();
    let lost = other().set("g", "k", "lost").unwrap();
    let former = store.token().unwrap();
    let mut runs = 0;
    let copied = store.transaction(|transaction| {
        runs += 1;
        let found = transaction.get("g", "k")?.unwrap();
        // From here on it has all that it needs.
        transaction.set("h", "copy", found)?;
        if runs == 1 {
            restore(&cluster, &saved);
            // Another client gives the entry the revision that the lost value had.
            assert_eq!(other().set("g", "k", "after").unwrap(), lost);
            let is_renewed = || (store.token().ok()?.store() != former.store()).then_some(());
            thread::scope(|scope| scope.spawn(|| eventually("another identity", is_renewed)).join().unwrap());
        }
        Ok(())
    });
    copied.unwrap();
    assert_eq!(store.get("h", "copy").unwrap().unwrap(), "after");
    assert_eq!(runs, 2);
}

#[test]
fn each_client_is_told_once_of_a_restore_that_all_of_them_notice() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let stores: Vec<Store> = (0..4).map(|_| options().connect(cluster.location("app")).unwrap()).collect();
    let watchers: Vec<Watcher> =
        stores.iter().map(|store| store.watch(Pattern::group("end")).unwrap()).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for store in &stores {
            for thread in 0..3 {
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        // What fails during the restore does not matter.
                        let _ = store.increment("g", "n", 1);
                        let _ = store.transaction(|transaction| {
                            let found = transaction.get("g", "n")?;
                            transaction.set(
                                "g",
                                format!("copy-{thread}"),
                                found.unwrap_or_else(|| "0".into()),
                            )
                        });
                    }
                });
            }
        }
        let saved = saved_and_changed(&cluster, &stores[0]);
        restore(&cluster, &saved);
        for watcher in &watchers {
            assert_restored(next(watcher));
        }
        let end = eventually("a write", || stores[0].set("end", "k", "v").ok());
        for watcher in &watchers {
            assert_eq!(next(watcher).map(|event| event.revision).ok(), Some(end));
            assert_eq!(watcher.token().store(), stores[0].token().unwrap().store());
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

type Act = Box<dyn FnOnce() + Send>;

/// A clock that does something when it is read for the first time after it was armed.
#[derive(Clone, Default)]
struct Trap(Arc<Mutex<Option<Act>>>);

impl std::fmt::Debug for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trap")
    }
}

impl Trap {
    fn arm(&self, act: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(act));
    }

    fn is_armed(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }
}

impl Clock for Trap {
    fn now(&self) -> SystemTime {
        let armed = self.0.lock().unwrap().take();
        if let Some(act) = armed {
            act();
        }
        SystemTime::now()
    }
}

#[test]
fn a_read_of_many_entries_never_mixes_what_was_before_a_restore_with_what_came_after() {
    if skipped() {
        return;
    }
    let cluster = Arc::new(one_member());
    let clock = Trap::default();
    let store = options().timeout(WAIT_MAX).clock(clock.clone()).connect(cluster.location("app")).unwrap();
    // More than one answer has.
    let set = |value: &str| {
        let batch = (0..100).fold(store.batch(), |batch, key| batch.set("g", format!("{key:03}"), value));
        batch.commit().unwrap();
    };
    set("before");
    let saved = cluster.save().unwrap();
    set("lost");
    // The clock is read after each answer.
    let (restored, during) = (Arc::clone(&cluster), thread::current().id());
    clock.arm(move || {
        assert_ne!(thread::current().id(), during, "not yet inside the read");
        restore_and_grow(&restored, &saved);
    });
    let entries = store.get_all("g").unwrap();
    assert!(!clock.is_armed());
    assert_eq!(entries.len(), 100);
    assert!(entries.iter().all(|(_, value)| value == "before"), "{entries:?}");
}

#[test]
fn a_condition_on_a_revision_fails_if_a_restore_overtakes_it() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().timeout(WAIT_MAX).connect(cluster.location("app")).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    let condition = Condition::Revision(store.entry("g", "k").unwrap().unwrap().revision);
    cluster.kill(0);
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| store.set_if("g", "k", condition, "next"));
        restore(&cluster, &saved);
        writing.join().unwrap()
    });
    // Not a conflict: the revision is not one of this history.
    assert_restored(written);
    assert!(is(&store, "k", "before"));
}

#[test]
fn a_backup_that_is_restored_twice_gives_the_store_an_identity_that_it_never_had() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    let first = store.token().unwrap();
    let renewed = |former: &Store| {
        let before = former.token().unwrap();
        restore(&cluster, &saved);
        eventually("another identity", || {
            let token = former.token().ok()?;
            (token.store() != before.store()).then_some(token)
        })
    };
    let second = renewed(&store);
    // One client knows all three identities, the other only the second.
    let other = options().connect(cluster.location("app")).unwrap();
    drop(store);
    for _ in 0..20 {
        other.set("g", "k", "lost as well").unwrap();
    }
    let third = renewed(&other);
    assert_ne!(third.store(), first.store());
    assert_ne!(third.store(), second.store());
    let error = other.watch_from(Pattern::all(), first).unwrap_err();
    assert!(matches!(error, Error::OtherStore { .. }), "{error:?}");
}

#[test]
fn a_writer_decides_nothing_by_what_a_restore_took_away() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    for _ in 0..10 {
        store.increment("g", "n", 1).unwrap();
    }
    let saved = cluster.save().unwrap();
    // As a lone writer it knows all keys that it needs.
    for key in 0..10 {
        store.increment("g", "n", 1).unwrap();
        store.set("tenant:g", key.to_string(), "lost").unwrap();
    }
    let condition = Condition::Revision(store.entry("tenant:g", "0").unwrap().unwrap().revision);
    restore(&cluster, &saved);
    let sum = eventually("a write", || store.increment("g", "n", 1).ok());
    assert_eq!(sum, 11);
    let error = store.set_if("tenant:g", "0", condition, "new").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(store.count("tenant:g").unwrap(), 0);
    store.set("tenant:g", "0", "new").unwrap();
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn every_client_learns_of_a_restore_that_one_has_noticed() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let (first, second) = (
        options().connect(cluster.location("app")).unwrap(),
        options().connect(cluster.location("app")).unwrap(),
    );
    let saved = saved_and_changed(&cluster, &first);
    second.increment("g", "n", 1).unwrap();
    let former = second.stats().unwrap().identity;
    restore(&cluster, &saved);
    let identity = eventually("the first client notices", || {
        let identity = first.stats().ok()?.identity;
        (identity != former).then_some(identity)
    });
    // A commit compares the identity; the next token has the new one.
    second.increment("g", "n", 1).unwrap();
    eventually("the second client notices", || (second.token().ok()?.store() == identity).then_some(()));
    assert_eq!(Store::connect(cluster.location("app")).unwrap().stats().unwrap().identity, identity);
}

#[test]
fn a_copy_that_follows_a_source_is_exact_or_refused_once_that_is_restored() {
    if skipped() {
        return;
    }
    for exact in [true, false] {
        let cluster = one_member();
        let source = options().connect(cluster.location("app")).unwrap();
        let target = Store::in_memory().unwrap();
        source.set("g", "k", "before").unwrap();
        let saved = cluster.save().unwrap();
        let (mut step, deadline) = (0, Instant::now() + WAIT_MAX);
        let copying = source.copy_to(&target).follow_until(|| {
            assert!(Instant::now() < deadline, "the copy does not come to step {step}");
            match step {
                0 => drop(source.set("g", "lost", "v").unwrap()),
                1 if target.exists("g", "lost").unwrap() => restore(&cluster, &saved),
                1 => return false,
                2 if source.set("g", "k", "after").is_err() => return false,
                2 => {}
                _ => return target.get("g", "k").unwrap().is_some_and(|value| value == "after"),
            }
            step += 1;
            false
        });
        let copied = if exact { copying.exactly().run() } else { copying.run() };
        if exact {
            assert!(copied.unwrap().is_exact());
            assert!(!target.exists("g", "lost").unwrap());
            assert!(target.unfinished_copies().unwrap().is_empty());
        } else {
            let error = copied.unwrap_err();
            assert!(matches!(error, Error::CopyTooOld { .. }), "{error:?}");
        }
    }
}

#[test]
fn an_operator_can_tell_every_client_of_a_restore() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let store = options().connect(cluster.location("told")).unwrap();
    let watcher = store.watch(Pattern::all()).unwrap();
    store.set("g", "k", "v").unwrap();
    next(&watcher).unwrap();
    let token = watcher.token();
    let operator = options().connect(cluster.location("told")).unwrap();
    operator.note_restored().unwrap();
    assert_restored(next(&watcher));
    assert_eq!(watcher.token().store(), operator.token().unwrap().store());
    let error = store.watch_from(Pattern::all(), token).unwrap_err();
    assert!(matches!(error, Error::OtherStore { .. }), "{error:?}");
    store.set("g", "k", "new").unwrap();
    assert_eq!(next(&watcher).unwrap().value.unwrap(), "new");

    let memory = Store::in_memory().unwrap();
    let token = memory.token().unwrap();
    memory.note_restored().unwrap();
    assert_eq!(memory.token().unwrap(), token);
}

#[test]
fn a_store_that_is_found_in_another_cluster_has_another_identity() {
    if skipped() {
        return;
    }
    let (cluster, other) = (one_member(), one_member());
    let store = options().connect(cluster.location("app")).unwrap();
    store.set("g", "k", "v").unwrap();
    let token = store.token().unwrap();
    // As `etcdctl snapshot restore --initial-cluster-token` does, but key by key.
    for put in clusters::puts_of_app(&cluster) {
        other.call("/v3/kv/put", &put).unwrap();
    }
    let moved = options().connect(other.location("app")).unwrap();
    assert!(is(&moved, "k", "v"));
    let error = moved.watch_from(Pattern::all(), token).unwrap_err();
    assert!(matches!(error, Error::OtherStore { .. }), "{error:?}");
    // It keeps the new one.
    let again = options().connect(other.location("app")).unwrap();
    assert_eq!(again.token().unwrap().store(), moved.token().unwrap().store());
}

#[test]
fn a_store_that_was_deleted_while_it_is_open_takes_no_writes() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let store = options().connect(cluster.location("app")).unwrap();
    store.set("g", "k", "v").unwrap();
    cluster.call("/v3/kv/deleterange", r#"{"key":"YXBwLw==","range_end":"YXBwMA=="}"#).unwrap();
    let error = store.set("g", "k", "v").unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }), "{error:?}");
    assert_eq!(clusters::keys(&cluster), 0);
}

#[test]
fn eight_clients_that_open_a_new_store_at_once_open_the_same_one() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    for round in 0..20 {
        let location = cluster.location(&format!("raced-{round}"));
        let (sender, opened) = mpsc::channel();
        thread::scope(|scope| {
            for client in 0..8 {
                let (sender, location) = (sender.clone(), location.clone());
                scope.spawn(move || {
                    let store = options().timeout(Duration::from_secs(20)).connect(&location).unwrap();
                    store.set("g", client.to_string(), "v").unwrap();
                    sender.send(store).unwrap();
                });
            }
        });
        let stores: Vec<Store> = opened.try_iter().collect();
        let identity = stores[0].stats().unwrap().identity;
        for store in &stores {
            assert_eq!(store.stats().unwrap().identity, identity);
            assert_eq!(store.count("g").unwrap(), 8);
        }
    }
    let _ = SHORT;
}

/// A clock that does something when it is read for the second time after it was armed.
#[derive(Clone, Debug, Default)]
struct SecondRead {
    trap: Trap,
    was_read: Arc<AtomicBool>,
}

impl Clock for SecondRead {
    fn now(&self) -> SystemTime {
        if self.trap.is_armed() && self.was_read.swap(true, Ordering::SeqCst) {
            return self.trap.now();
        }
        SystemTime::now()
    }
}

#[test]
fn a_large_batch_that_a_restore_overtakes_is_not_decided_by_a_revision_that_is_gone() {
    if skipped() {
        return;
    }
    let cluster = Arc::new(one_member());
    let clock = SecondRead::default();
    let opening = options().timeout(WAIT_MAX).expiry_timer(false).clock(clock.clone());
    let store = opening.connect(cluster.location("app")).unwrap();
    let saved = saved_and_changed(&cluster, &store);
    // A writer that is not alone may have fewer operations in a transaction that others share.
    let other = Store::connect(cluster.location("app")).unwrap();
    for _ in 0..3 {
        other.set("h", "k", "other").unwrap();
        store.set("h", "k", "own").unwrap();
    }
    other.set("h", "k", "other").unwrap();
    drop(other);
    let condition = Condition::Revision(store.entry("g", "k").unwrap().unwrap().revision);
    let batch = (0..2000).fold(store.batch(), |batch, key| batch.set("large", key.to_string(), "v"));
    // The first time is read for a shared transaction, which it is too large for, the second one for its own.
    let restored = Arc::clone(&cluster);
    clock.trap.arm(move || restore(&restored, &saved));
    // Not a conflict: the revision is not one of this history.
    assert_restored(batch.require("g", "k", condition).commit());
    assert!(!clock.trap.is_armed(), "the restore came too late");
    assert!(is(&store, "k", "before"));
    assert_eq!(store.count("large").unwrap(), 0);
}

#[test]
fn a_repair_that_a_restore_overtakes_begins_again() {
    if skipped() {
        return;
    }
    let cluster = one_member();
    let direct = Store::connect(cluster.location("app")).unwrap();
    let value = "v".repeat(10_000);
    for key in 0..300 {
        direct.set("large", key.to_string(), &value).unwrap();
    }
    // A tally of 7 keys with 7 bytes.
    cluster.put(b"app/group/large", &[0x08, 7, 0x10, 7]).unwrap();
    let saved = cluster.save().unwrap();
    for _ in 0..50 {
        direct.set("g", "k", "lost").unwrap();
    }
    drop(direct);
    let proxy = Proxy::to(&cluster.endpoints()[0]);
    // Longer than a restore takes: a read at a revision that is yet to come ends when this is over.
    let opening = options().timeout(Duration::from_secs(20));
    let store = opening.connect(format!("etcd://{}/app", proxy.address)).unwrap();
    // The survey reads the entries once, of three megabytes. The correction reads them again, at a revision that the
    // restored cluster has yet to come to.
    proxy.refuse_new_connections();
    proxy.cut_after(4_500_000);
    let repaired = thread::scope(|scope| {
        let repairing = scope.spawn(|| store.repair(Repair::default()));
        eventually("the connection is cut", || (!proxy.is_yet_to_cut()).then_some(()));
        restore(&cluster, &saved);
        proxy.accept_new_connections();
        repairing.join().unwrap()
    });
    assert_eq!(repaired.unwrap().left, []);
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(store.count("large").unwrap(), 300);
    assert!(store.health().unwrap().restores > 0);
}
