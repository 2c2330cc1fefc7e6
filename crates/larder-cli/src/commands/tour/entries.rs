//! The tour's steps about single entries: set, expire, change, and change only if.

use std::thread;
use std::time::Duration;

use larder::{Error, EventKind, ResumeToken, Store};

use super::stage::Stage;
use crate::commands::watch;
use crate::failure::Failure;

/// How long anything in the tour may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn settings(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Settings", "A program's settings, kept on the disk from the moment a command returns.")?;
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
    stage.step("A session that ends by itself", "A login that is good for one second, and then gone.")?;
    stage.run(&["set", "session", "ada", "logged in", "--ttl", "1s"])?;
    stage.run(&["list", "session"])?;
    // A program that has the store open removes what has expired, and tells whoever listens.
    let store = stage.store()?;
    let watcher = store.watch(("session", "*"))?;
    stage.program("a program listens, until the second is over:")?;
    let event = watcher.recv_timeout(PATIENCE)?;
    if let Some(event) = &event {
        let line = stage.line_of(|output| watch::print(event, output))?;
        stage.show(&line)?;
    }
    let expired =
        event.is_some_and(|event| event.kind == EventKind::Expire && event.key.as_deref() == Some("ada"));
    stage.check("the session expires, and the listener hears of it", expired)?;
    drop(store);
    stage.run_refused(&["get", "session", "ada"], 1)
}

pub fn changes(stage: &mut Stage) -> Result<(), Failure> {
    stage
        .step("Hearing of changes", "One part of a program writes; another hears of each change at once.")?;
    let store = stage.store()?;
    let began = store.token()?;
    let watcher = store.watch(("config", "*"))?;
    let writer = store.clone();
    let writing = thread::spawn(move || {
        writer.set("config", "colour", "green")?;
        writer.set("elsewhere", "key", "nobody listens here")?;
        writer.set("config", "size", "large")?;
        writer.delete("config", "language")
    });
    stage.program("the listener, while the other part sets two settings and deletes one:")?;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let Some(event) = watcher.recv_timeout(PATIENCE)? else { break };
        let line = stage.line_of(|output| watch::print(&event, output))?;
        stage.show(&line)?;
        heard.push((event.kind, event.key.unwrap_or_default()));
    }
    let written = writing.join().is_ok_and(|written| written.is_ok());
    let expected = [(EventKind::Set, "colour"), (EventKind::Set, "size"), (EventKind::Delete, "language")];
    let as_written =
        heard.iter().map(|(kind, key)| (*kind, key.as_str())).eq(expected) && watcher.try_recv()?.is_none();
    stage.found("it heard of every change, in order, and of nothing else", written && as_written)?;
    going_on(stage, &store, began)
}

/// Part of hearing of changes: a listener that is started again.
fn going_on(stage: &mut Stage, store: &Store, began: ResumeToken) -> Result<(), Failure> {
    stage.program("a listener with a name, which ends after the first, and is started again:")?;
    let mut heard = Vec::new();
    for _ in 0..2 {
        let cursor = store.cursor_from("mailer", ("config", "*"), &began)?;
        let Some(event) = cursor.recv_timeout(PATIENCE)? else { break };
        let line = stage.line_of(|output| watch::print(&event, output))?;
        stage.show(&line)?;
        cursor.ack(&event)?;
        heard.extend(event.key);
    }
    stage.found("it went on where it had stopped", heard == ["colour", "size"])?;
    stage.run(&["cursor", "list"])
}

pub fn conditions(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Only if", "Two workers reach for the same job: the first gets it, the second is told.")?;
    stage.run(&["set", "jobs", "job-7", "worker one", "--if-absent"])?;
    stage.run_refused(&["set", "jobs", "job-7", "worker two", "--if-absent"], 1)?;
    let store = stage.store()?;
    let holder = store.get("jobs", "job-7")?;
    stage.found("the job is still worker one's", holder.is_some_and(|holder| holder == "worker one"))
}

pub fn transaction(stage: &mut Stage) -> Result<(), Failure> {
    stage.step(
        "All or nothing",
        "Money is moved in two steps; where the second fails, the first never was.",
    )?;
    let store = stage.store()?;
    store.batch().set("accounts", "alice", "10").set("accounts", "bob", "0").commit()?;
    let pay = |amount: i64| {
        store.transaction(|tx| {
            tx.increment("accounts", "bob", amount)?;
            if tx.increment("accounts", "alice", -amount)? < 0 {
                return Err(Error::other("alice has not so much money"));
            }
            Ok(())
        })
    };
    stage.program("alice, who has 10, pays bob 7")?;
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
    stage.found("3 and 7 make 10: no money was made or lost", holds("alice", "3") && holds("bob", "7"))
}
