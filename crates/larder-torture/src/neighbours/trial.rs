//! The trial: rounds of neighbours, each with a store and a seed of its own.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::notes::Note;
use super::processes::Processes;
use super::verdict::{Count, Verdict, verdict};
use super::{CHURN, END, Plant, open, quotas};
use crate::moment;
use crate::neighbours::history::{Asked, Effect, Record, Told};
use crate::neighbours::judge::Held;

/// The longest round: all that it did is judged at once.
const ROUND: u64 = 60;

/// How many complaints of a round are kept. One fault is seen by many calls.
const COMPLAINTS: usize = 10;

/// What the trial is to do.
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    pub plant: Option<Plant>,
}

/// The result of a trial.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    rounds: u64,
    /// Whether there was a shell `sqlite3`.
    shell: bool,
    calls: u64,
    revisions: u64,
    events: u64,
    holds: u64,
    neighbours: BTreeMap<String, Count>,
    busy: u64,
    full: u64,
    quotas_set: u64,
    dropped: u64,
    killed: u64,
    killed_in_a_call: u64,
    not_restored: u64,
    repaired: u64,
    copies: u64,
    copies_interrupted: u64,
    longest_call_ms: u64,
    longest_hold_ms: u64,
    longest_lag_ms: u64,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    seed: u64,
    complaints: Vec<String>,
}

impl Report {
    pub fn line(&self) -> String {
        format!(
            "{} rounds: {} calls, {} revisions, {} events told, {} holds of neighbours{}, {} calls were busy, {} writes exceeded a quota, which was set {} times, {} writes had their futures dropped, {} processes were killed and {} of their writes with them, {} restores were refused, {} repairs dropped a neighbour's index, {} copies were made, {} of them after an interruption; the longest call took {} ms, the longest hold {} ms, the last change was told within {} ms; {} rounds failed",
            self.rounds,
            self.calls,
            self.revisions,
            self.events,
            self.holds,
            if self.shell { "" } else { " (no shell)" },
            self.busy,
            self.full,
            self.quotas_set,
            self.dropped,
            self.killed,
            self.killed_in_a_call,
            self.not_restored,
            self.repaired,
            self.copies,
            self.copies_interrupted,
            self.longest_call_ms,
            self.longest_hold_ms,
            self.longest_lag_ms,
            self.failures.len()
        )
    }

    fn add(&mut self, round: &Verdict) {
        self.rounds += 1;
        self.calls += round.calls;
        self.revisions += round.revisions;
        self.events += round.events;
        self.holds += round.holds;
        for (what, count) in &round.neighbours {
            let all = self.neighbours.entry(what.clone()).or_default();
            all.tried += count.tried;
            all.done += count.done;
        }
        self.busy += round.busy;
        self.full += round.full;
        self.quotas_set += round.quotas;
        self.dropped += round.dropped;
        self.killed += round.killed;
        self.killed_in_a_call += round.killed_in_a_call;
        self.not_restored += round.not_restored;
        self.repaired += round.repaired;
        self.copies += round.copies;
        self.copies_interrupted += round.interrupted;
        self.longest_call_ms = self.longest_call_ms.max(round.longest_call_ms);
        self.longest_hold_ms = self.longest_hold_ms.max(round.longest_hold_ms);
        self.longest_lag_ms = self.longest_lag_ms.max(round.longest_lag_ms);
    }
}

/// Runs rounds until the seconds are over. Where a fault is planted, ends with the first round that shows it.
pub fn trial(plan: &Plan, bar: &ProgressBar) -> io::Result<Report> {
    let begun = Instant::now();
    let shell = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut report = Report { seed: plan.seed, planted: plan.plant, shell, ..Report::default() };
    let rounds = plan.seconds.div_ceil(ROUND).max(1);
    for (seed, number) in (plan.seed..).zip(0..rounds) {
        let seconds = (plan.seconds - number * ROUND).clamp(1, ROUND);
        let mut round = round(seed, seconds, plan.plant, shell, bar)?;
        report.add(&round);
        if round.complaints.is_empty() {
            continue;
        }
        let more = round.complaints.len().saturating_sub(COMPLAINTS);
        round.complaints.truncate(COMPLAINTS);
        bar.suspend(|| eprintln!("seed {seed}: {}; and {more} more", round.complaints.join("; ")));
        report.failures.push(Failure { seed, complaints: round.complaints });
        if plan.plant.is_some() {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn round(
    seed: u64,
    seconds: u64,
    plant: Option<Plant>,
    shell: bool,
    bar: &ProgressBar,
) -> io::Result<Verdict> {
    let folder = crate::scratch::folder()?;
    let path = folder.path().join("store.db");
    let prepared = prepare(&path).map_err(io::Error::other)?;
    let begun = Instant::now();
    let until = moment::now().saturating_add(seconds.saturating_mul(1_000_000_000));
    let mut processes = Processes::start(folder.path(), seed, until, plant, shell)?;
    for second in 1..=seconds {
        processes.go_on(begun + Duration::from_secs(second))?;
        bar.inc(1);
    }
    processes.fall_silent()?;
    let marker = mark(&path).map_err(io::Error::other)?;
    let last = marker.returned;
    let (notes, mut complaints) = processes.end()?;
    let mut all: Vec<_> = prepared.into_iter().chain([marker]).map(Note::Call).collect();
    all.extend(notes);
    complaints.extend(sound(&path).map_err(io::Error::other)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(io::Error::other)?;
    complaints.extend(is_whole(&connection).map_err(io::Error::other)?);
    let mut held = Held::read(&connection).map_err(io::Error::other)?;
    held.forget(CHURN);
    let mut verdict = verdict(all, &held, last);
    complaints.append(&mut verdict.complaints);
    verdict.complaints = complaints;
    Ok(verdict)
}

/// Makes the store, with a quota for each namespace and a short history for the churn.
fn prepare(path: &Path) -> larder::Result<Vec<Record>> {
    let store = open(path)?;
    let mut records = Vec::new();
    for limit in quotas::first() {
        let invoked = moment::now();
        store.set_quota(&limit.namespace, limit.quota())?;
        let (returned, client) = (moment::now(), "the first".to_owned());
        let (asked, told) = (Asked::SetQuota(limit), Told::Done(None));
        records.push(Record { client, invoked, returned, wall: (0, 0), asked, told });
    }
    store.set_history(CHURN, larder::History { changes: 50, ..larder::History::default() })?;
    store.close()?;
    Ok(records)
}

/// Writes what tells every feed that nothing follows.
fn mark(path: &Path) -> larder::Result<Record> {
    let store = open(path)?;
    let (group, key, value) = (END.0.to_owned(), END.1.to_owned(), "end".to_owned());
    let invoked = moment::now();
    let revision = store.set(&group, &key, value.as_str())?;
    let returned = moment::now();
    store.close()?;
    let effects = vec![Effect::Set { group, key, value, expires: None }];
    let asked = Asked::Write { seen: Vec::new(), effects };
    let told = Told::Done(Some(revision.0));
    Ok(Record { client: "the last".into(), invoked, returned, wall: (0, 0), asked, told })
}

/// The store opens again, and `check` finds nothing. The replicator's tables are no damage.
fn sound(path: &Path) -> larder::Result<Vec<String>> {
    let store = open(path)?;
    let found = store.check()?;
    store.close()?;
    let damage = found.iter().filter(|finding| finding.is_damage());
    Ok(damage.map(|finding| format!("check: {finding}")).collect())
}

/// The file is still a larder store in WAL mode, and SQLite finds nothing either.
fn is_whole(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut complaints = Vec::new();
    let (mode, integrity) = (text("PRAGMA journal_mode")?, text("PRAGMA integrity_check")?);
    let id = number("PRAGMA application_id")?;
    if mode != "wal" {
        complaints.push(format!("the file is in mode {mode}"));
    }
    if integrity != "ok" {
        complaints.push(format!("SQLite finds {integrity}"));
    }
    if id != 0x6c61_7264 {
        complaints.push(format!("the application id is {id:x}"));
    }
    Ok(complaints)
}
