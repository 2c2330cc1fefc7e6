//! A live configuration follows its group, whatever process changes it, and always fits its type.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use config::{Config, ConfigError};
use larder::{Error, ManualClock, Store};
use larder_config::Live;
use serde::Deserialize;

/// How long a test waits for something before it fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize, PartialEq)]
struct Settings {
    port: u16,
    #[serde(default)]
    name: String,
}

/// A store in memory with a port.
fn store() -> Store {
    let store = Store::in_memory().unwrap();
    store.set("web", "port", "1").unwrap();
    store
}

fn follow<S>(store: &Store<S>) -> Live<Settings> {
    Live::new(store, "web").unwrap()
}

/// Waits until the configuration has a port.
#[track_caller]
fn await_port(live: &Live<Settings>, port: u16) -> Arc<Settings> {
    let deadline = Instant::now() + WAIT_MAX;
    let mut settings = live.current();
    while settings.port != port {
        let left = deadline.saturating_duration_since(Instant::now());
        settings = live.wait_for_change(&settings, left).expect("a configuration with the port");
    }
    settings
}

/// Waits until a change was refused.
#[track_caller]
fn await_error(live: &Live<Settings>) -> Arc<ConfigError> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(error) = live.last_error() {
            return error;
        }
        assert!(Instant::now() < deadline, "timed out waiting for a refused change");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Lets a test block the reloads of a configuration, and count them.
struct Gate {
    reached: Receiver<()>,
    open: SyncSender<()>,
}

impl Gate {
    /// A live configuration whose reloads, except the first, wait at the gate.
    fn before(store: &Store) -> (Self, Live<Settings>) {
        let (reach, reached) = sync_channel(1_000);
        let (open, opened) = sync_channel::<()>(1_000);
        let mut first = true;
        let live = Live::layered(store, "web", move |group| {
            if !std::mem::take(&mut first) {
                reach.send(()).map_err(|_| ConfigError::Frozen)?;
                opened.recv().map_err(|_| ConfigError::Frozen)?;
            }
            Ok(Config::builder().add_source(group))
        });
        (Self { reached, open }, live.unwrap())
    }

    fn await_reload(&self) {
        self.reached.recv_timeout(WAIT_MAX).expect("a reload");
    }

    fn let_through(&self) {
        self.open.send(()).unwrap();
    }
}

#[test]
fn a_change_takes_effect_and_earlier_values_stay_as_they_were() {
    let store = store();
    let live = follow(&store);
    let before = live.current();
    store.batch().set("web", "port", "2").set("web", "name", "new").commit().unwrap();
    let after = live.wait_for_change(&before, WAIT_MAX).unwrap();
    assert_eq!(*after, Settings { port: 2, name: "new".into() });
    assert_eq!(*before, Settings { port: 1, name: String::new() });
    assert_eq!(live.current(), after);
    assert!(live.last_error().is_none());
}

#[test]
fn deletion_and_expiry_reload_the_group_and_other_groups_do_not() {
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory().unwrap();
    store.set("web", "port", "1").unwrap();
    store.set("web", "name", "kept").unwrap();
    store.set_with_ttl("web", "port", "2", Duration::from_secs(1)).unwrap();
    let live = Live::<Settings>::layered(&store, "web", |group| {
        Ok(Config::builder().set_default("port", 9)?.add_source(group))
    })
    .unwrap();
    let first = live.current();
    assert_eq!(*first, Settings { port: 2, name: "kept".into() });
    store.set("website", "port", "3").unwrap();
    assert_eq!(live.wait_for_change(&first, Duration::ZERO), None);

    clock.advance(Duration::from_secs(1));
    store.purge_expired().unwrap();
    assert_eq!(await_port(&live, 9).name, "kept");
    store.set("web", "port", "4").unwrap();
    await_port(&live, 4);
    store.delete_group("web").unwrap();
    assert_eq!(await_port(&live, 9).name, "");
}

#[test]
fn an_invalid_change_keeps_the_last_valid_configuration() {
    let store = store();
    let live = follow(&store);
    let before = live.current();
    store.set("web", "port", "eighty").unwrap();
    let error = await_error(&live).to_string();
    assert!(error.contains("\"eighty\"") && error.contains("`port`"), "{error}");
    assert!(Arc::ptr_eq(&live.current(), &before));
    store.set("web", "port", "80").unwrap();
    await_port(&live, 80);
    assert!(live.last_error().is_none());
}

#[test]
fn an_invalid_initial_configuration_is_refused() {
    let store = Store::in_memory().unwrap();
    let error = Live::<Settings>::new(&store, "web").unwrap_err().to_string();
    assert_eq!(error, "missing configuration field \"port\"");
    store.close().unwrap();
    let Err(ConfigError::Foreign(cause)) = Live::<Settings>::new(&store, "web") else { panic!() };
    assert!(matches!(cause.downcast_ref(), Some(Error::Closed)));
}

#[test]
fn a_change_during_the_first_load_is_not_lost() {
    let store = store();
    let writer = Mutex::new(Some(store.clone()));
    let live = Live::<Settings>::layered(&store, "web", move |group| {
        let config = Config::builder().add_source(group).build()?;
        if let Some(store) = writer.lock().unwrap().take() {
            store.set("web", "port", "2").unwrap();
        }
        Ok(Config::builder().add_source(config))
    })
    .unwrap();
    await_port(&live, 2);
}

#[test]
fn other_sources_are_reloaded_with_the_group() {
    let store = store();
    let other = store.clone();
    store.set("defaults", "name", "old").unwrap();
    let live = Live::<Settings>::layered(&store, "web", move |group| {
        let defaults = larder_config::Group::new(&other, "defaults");
        Ok(Config::builder().add_source(defaults).add_source(group))
    })
    .unwrap();
    assert_eq!(live.current().name, "old");
    store.set("defaults", "name", "new").unwrap();
    store.set("web", "port", "2").unwrap();
    assert_eq!(await_port(&live, 2).name, "new");
}

#[test]
fn readers_never_wait_for_a_reload_and_a_burst_of_changes_causes_one() {
    let store = store();
    let (gate, live) = Gate::before(&store);
    (0..100).fold(store.batch(), |batch, n| batch.set("web", format!("key {n}"), "x")).commit().unwrap();
    gate.await_reload();
    assert_eq!(live.current().port, 1, "not readable during a reload");
    for port in 2..=100 {
        store.set("web", "port", port.to_string()).unwrap();
    }
    gate.let_through();
    gate.await_reload();
    gate.let_through();
    await_port(&live, 100);
    assert!(gate.reached.try_recv().is_err(), "more than two reloads for 199 changes");
}

#[test]
fn changes_that_were_compacted_still_take_effect() {
    let store = Store::options().history(1, 1 << 20).in_memory().unwrap();
    store.set("web", "port", "1").unwrap();
    let (gate, live) = Gate::before(&store);
    store.set("web", "port", "2").unwrap();
    gate.await_reload();
    // More than a mailbox holds, and more than the log keeps.
    for port in 3..=1_200 {
        store.set("web", "port", port.to_string()).unwrap();
    }
    (0..1_000).for_each(|_| gate.let_through());
    await_port(&live, 1_200);
}

#[test]
fn a_temporarily_unreadable_store_is_retried() {
    let store = store();
    let mut reads = 0;
    let live = Live::<Settings>::layered(&store, "web", move |group| {
        reads += 1;
        if reads == 2 {
            return Err(ConfigError::Foreign(Error::other("out of order").into()));
        }
        Ok(Config::builder().add_source(group))
    })
    .unwrap();
    store.set("web", "port", "2").unwrap();
    await_port(&live, 2);
    assert!(live.last_error().is_none());
}

#[test]
fn a_panic_during_a_reload_fails_only_that_reload() {
    let store = store();
    let mut reads = 0;
    let live = Live::<Settings>::layered(&store, "web", move |group| {
        reads += 1;
        assert_ne!(reads, 2, "this panic is part of the test");
        Ok(Config::builder().add_source(group))
    })
    .unwrap();
    store.set("web", "port", "2").unwrap();
    assert_eq!(await_error(&live).to_string(), "reading the configuration panicked");
    store.set("web", "port", "3").unwrap();
    await_port(&live, 3);
}

#[test]
fn a_tenant_follows_its_own_group() {
    let store = store();
    let tenant = store.scoped("tenant-42").unwrap();
    tenant.set("web", "port", "10").unwrap();
    let live = follow(&tenant);
    assert_eq!(live.current().port, 10);
    store.set("web", "port", "2").unwrap();
    assert_eq!(live.wait_for_change(&live.current(), Duration::ZERO), None);
    tenant.set("web", "port", "11").unwrap();
    await_port(&live, 11);
}

#[test]
fn closing_the_store_keeps_the_last_configuration() {
    let store = store();
    let live = follow(&store);
    let (gate, reading) = Gate::before(&store);
    store.set("web", "port", "2").unwrap();
    gate.await_reload();
    await_port(&live, 2);
    store.close().unwrap();
    gate.let_through();
    for (live, port) in [(live, 2), (reading, 1)] {
        let error = await_error(&live);
        let ConfigError::Foreign(cause) = &*error else { panic!("{error}") };
        assert!(matches!(cause.downcast_ref(), Some(Error::Closed)));
        assert_eq!(live.current().port, port);
    }
}

#[test]
fn dropping_the_handle_ends_its_thread_and_releases_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store.db")).unwrap();
    store.set("web", "port", "1").unwrap();
    let live = follow(&store);
    drop(store);
    assert_eq!(live.current().port, 1);
    assert!(live.last_error().is_none(), "it does not keep the store open");
    drop(live);
    // The files that SQLite keeps beside an open file are gone.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn changes_through_another_handle_of_the_file_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    store.set("web", "port", "1").unwrap();
    let live = follow(&store);
    let other = Store::open(&path).unwrap();
    for port in 2..20 {
        other.set("web", "port", port.to_string()).unwrap();
        await_port(&live, port);
    }
}

#[test]
fn changes_by_another_process_take_effect() {
    const PATH: &str = "LARDER_TEST_PATH";
    if let Some(path) = std::env::var_os(PATH) {
        Store::open(Path::new(&path)).unwrap().set("web", "port", "2").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    store.set("web", "port", "1").unwrap();
    let live = follow(&store);
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["changes_by_another_process_take_effect", "--exact"])
        .env(PATH, &path)
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    await_port(&live, 2);
}
