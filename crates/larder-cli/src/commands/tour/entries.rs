//! The tour's steps about single entries: settings, expiry, events, conditions and transactions.

use std::thread;
use std::time::Duration;

use larder::{Error, EventKind, ResumeToken, Store};

use super::stage::Stage;
use crate::commands::watch;
use crate::failure::Failure;

/// How long a step waits for an event before it fails.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

pub fn settings(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Settings", "A program's settings. Each is on disk when the command returns.")?;
    stage.run(&["set", "config", "colour", "blue"])?;
    stage.run(&["set", "config", "language", "en-GB"])?;
    stage.run(&["get", "config", "colour"])?;
    stage.run(&["list", "config"])?;
    let store = stage.store()?;
    stage.check(
        "config colour is blue",
        store.get("config", "colour")?.is_some_and(|value| value == "blue"),
    )?;
    stage.check("config has 2 keys", store.count("config")? == 2)
}

pub fn session(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Sessions that expire", "A login that is valid for one second.")?;
    stage.run(&["set", "session", "ada", "logged in", "--ttl", "1s"])?;
    stage.run(&["list", "session"])?;
    // A program that has the store open deletes expired entries and sends events to watchers.
    let store = stage.store()?;
    let watcher = store.watch(("session", "*"))?;
    stage.program("a program watches the session until it expires:")?;
    let event = watcher.recv_timeout(EVENT_TIMEOUT)?;
    if let Some(event) = &event {
        let line = stage.line_of(|output| watch::print(event, output))?;
        stage.show(&line)?;
    }
    let expired =
        event.is_some_and(|event| event.kind == EventKind::Expire && event.key.as_deref() == Some("ada"));
    stage.check("the session expires, and the watcher receives the event", expired)?;
    drop(store);
    stage.run_refused(&["get", "session", "ada"], 1)
}

pub fn changes(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Watching changes", "One thread writes. Another receives each change at once.")?;
    let store = stage.store()?;
    let began = store.token()?;
    let watcher = store.watch(("config", "*"))?;
    let writer = store.clone();
    let writing = thread::spawn(move || {
        writer.set("config", "colour", "green")?;
        writer.set("elsewhere", "key", "not watched")?;
        writer.set("config", "size", "large")?;
        writer.delete("config", "language")
    });
    stage.program("a watcher, while another thread sets two settings and deletes one:")?;
    let mut received = Vec::new();
    while received.len() < 3 {
        let Some(event) = watcher.recv_timeout(EVENT_TIMEOUT)? else { break };
        let line = stage.line_of(|output| watch::print(&event, output))?;
        stage.show(&line)?;
        received.push((event.kind, event.key.unwrap_or_default()));
    }
    let written = writing.join().is_ok_and(|written| written.is_ok());
    let expected = [(EventKind::Set, "colour"), (EventKind::Set, "size"), (EventKind::Delete, "language")];
    let as_written = received.iter().map(|(kind, key)| (*kind, key.as_str())).eq(expected)
        && watcher.try_recv()?.is_none();
    stage.found("it received every change, in order, and nothing else", written && as_written)?;
    named_cursor(stage, &store, began)
}

/// Restarts a watcher that has a named cursor.
fn named_cursor(stage: &mut Stage, store: &Store, began: ResumeToken) -> Result<(), Failure> {
    stage.program("a consumer with a named cursor stops after one event and starts again:")?;
    let mut received = Vec::new();
    for _ in 0..2 {
        let cursor = store.cursor_from("mailer", ("config", "*"), &began)?;
        let Some(event) = cursor.recv_timeout(EVENT_TIMEOUT)? else { break };
        let line = stage.line_of(|output| watch::print(&event, output))?;
        stage.show(&line)?;
        cursor.ack(&event)?;
        received.extend(event.key);
    }
    stage.found("it continued where it stopped", received == ["colour", "size"])?;
    stage.run(&["cursor", "list"])
}

pub fn conditions(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "Conditional writes",
        "Two workers claim the same job. The first gets it, the second gets an error.",
    )?;
    stage.run(&["set", "jobs", "job-7", "worker one", "--if-absent"])?;
    stage.run_refused(&["set", "jobs", "job-7", "worker two", "--if-absent"], 1)?;
    let store = stage.store()?;
    let holder = store.get("jobs", "job-7")?;
    stage.found("the job still belongs to worker one", holder.is_some_and(|holder| holder == "worker one"))
}

pub fn transaction(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "All or nothing",
        "A transaction moves money in two steps. If the second fails, the first has no effect.",
    )?;
    let store = stage.store()?;
    store.batch().set("accounts", "alice", "10").set("accounts", "bob", "0").commit()?;
    let pay = |amount: i64| {
        store.transaction(|tx| {
            tx.increment("accounts", "bob", amount)?;
            if tx.increment("accounts", "alice", -amount)? < 0 {
                return Err(Error::other("alice does not have enough money"));
            }
            Ok(())
        })
    };
    stage.program("alice has 10 and pays bob 7")?;
    let first = pay(7);
    stage.check("alice can pay 7", first.is_ok())?;
    stage.program("alice pays bob another 7")?;
    match pay(7) {
        Err(error) => stage.show(&format!("refused: {error}"))?,
        Ok(()) => stage.check("alice cannot pay 7 twice", false)?,
    }
    stage.run(&["list", "accounts"])?;
    let balances = store.get_all("accounts")?;
    let holds = |name: &str, money: &str| balances.get(name).is_some_and(|value| value == money);
    stage.found(
        "the balances are 3 and 7: no money appeared or vanished",
        holds("alice", "3") && holds("bob", "7"),
    )
}
