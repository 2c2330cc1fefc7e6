//! The calls of a client, chosen at random.

use std::time::{Duration, UNIX_EPOCH};

use larder::{Condition, Error, ErrorKind, Revision, Store, View};
use rusqlite::{Connection, OpenFlags};

use super::client::Shared;
use super::history::{Asked, Effect, Group, Need, Record, Told};
use super::judge::entries;
use super::world;
use crate::random::Random;

/// The namespace that may have a quota.
pub const NAMESPACE: &str = "a:";

/// What is incremented.
pub const COUNTER: (&str, &str) = ("counter", "n");

/// Groups in which nothing expires.
const GROUPS: [&str; 3] = ["a:one", "a:two", "plain"];
/// The group of short lives.
const FLEETING: &str = "fleeting";
const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];

/// How many calls fill the file, so that the log becomes long enough for a checkpoint.
const PADDING: usize = 3000;

/// How long a call may take: as long as the store's timeout, and what it does meanwhile.
const CALL_MAX: i64 = 8000;

fn group(random: &mut Random) -> &'static str {
    GROUPS[random.place(3)]
}

fn key(random: &mut Random) -> &'static str {
    KEYS[random.place(4)]
}

fn set(random: &mut Random, value: &str) -> Effect {
    let padding = "x".repeat(if random.one_in(8) { PADDING } else { 0 });
    let (group, key) = (group(random), key(random));
    Effect::Set { group, key, value: format!("{value}{padding}"), expires_at: None }
}

fn effects(random: &mut Random, value: &str) -> Vec<Effect> {
    let mut effects = vec![set(random, value)];
    if random.one_in(2) {
        for more in 0..=random.below(3) {
            effects.push(match random.below(8) {
                0 => Effect::DeleteGroup { group: group(random) },
                1..4 => Effect::Delete { group: group(random), key: key(random) },
                _ => set(random, &format!("{value}+{more}")),
            });
        }
    }
    effects
}

fn failed(error: &Error) -> Told {
    match error.kind() {
        ErrorKind::OutcomeUnknown => Told::Unknown(error.to_string()),
        ErrorKind::Conflict => Told::Conflict,
        _ if matches!(error, Error::QuotaExceeded { .. }) => Told::OverQuota,
        _ => Told::Refused(format!("{error:?}")),
    }
}

fn told(result: larder::Result<Option<u64>>) -> Told {
    result.map_or_else(|error| failed(&error), Told::Done)
}

fn at(result: larder::Result<Revision>) -> Told {
    told(result.map(|revision| Some(revision.0)))
}

/// Makes one call, and records it.
pub fn make(shared: &Shared, store: &Store, client: &str, number: u64, random: &mut Random) {
    let (invoked, from) = (world::stamp(), world::wall_ms());
    let Some((asked, told)) = one(shared, store, random, &format!("{client}.{number}")) else { return };
    let (returned, until) = (world::stamp(), world::wall_ms());
    let is_write = matches!(asked, Asked::Write { .. } | Asked::Increment);
    let told = match told {
        // Nobody can be told by a killed process.
        _ if world::is_dead() && is_write => Told::Unknown("killed".into()),
        _ if world::is_dead() => return,
        told => told,
    };
    if until - from > CALL_MAX {
        shared.complain(format!("{client} waited for {} ms: {asked:?} {told:?}", until - from));
    }
    world::with(|world| world.note(if let Told::Done(revision) = told { revision.unwrap_or(1) } else { 0 }));
    shared.record(Record { client: client.to_owned(), invoked, returned, from, until, asked, told });
}

/// Chooses a call and makes it. `None` for one that leaves nothing to judge.
fn one(shared: &Shared, store: &Store, random: &mut Random, value: &str) -> Option<(Asked, Told)> {
    Some(match random.below(24) {
        0..8 => write(store, effects(random, value)),
        8 => expiring(store, random, value),
        9 => conditional(store, random, value),
        10 => transaction(store, random, value),
        11 | 12 => {
            let counted = store.increment(COUNTER.0, COUNTER.1, 1);
            (Asked::Increment, counted.map_or_else(|error| failed(&error), Told::Counted))
        }
        13..17 => {
            let (group, key) =
                if random.one_in(5) { (FLEETING, key(random)) } else { (group(random), key(random)) };
            let entry = store.entry(group, key);
            let found = entry.as_ref().ok().cloned().flatten();
            let found = found.map(|entry| (entry.revision.0, entry.value.to_string_lossy().into_owned()));
            (Asked::Entry { group, key, found }, told(entry.map(|_| None)))
        }
        17 | 18 => {
            let group = if random.one_in(4) { FLEETING } else { group(random) };
            let found = all(store, group);
            let told = told(found.as_ref().map(|_| None).map_err(Clone::clone));
            (Asked::Group { group, found: found.unwrap_or_default() }, told)
        }
        19 => {
            let prefix = [NAMESPACE, "a:one", "plain"][random.place(3)];
            let found = store.count_all(prefix);
            let told = told(found.as_ref().map(|_| None).map_err(Clone::clone));
            (Asked::Count { prefix, found: found.unwrap_or_default() }, told)
        }
        20 => snapshot(store),
        21 => return checked(shared, store),
        22 if random.one_in(4) => backup(shared, store)?,
        22 => {
            // What it frees is nobody's promise, and the answers of the others are judged.
            let _ = store.compact();
            return None;
        }
        _ => write(store, vec![set(random, value)]),
    })
}

fn write(store: &Store, effects: Vec<Effect>) -> (Asked, Told) {
    let revision = match &effects[..] {
        [Effect::Set { group, key, value, .. }] => store.set(group, *key, value.as_str()),
        _ => effects
            .iter()
            .fold(store.batch(), |batch, effect| match effect {
                Effect::Set { group, key, value, .. } => batch.set(group, *key, value.as_str()),
                Effect::Delete { group, key } => batch.delete(group, *key),
                Effect::DeleteGroup { group } => batch.delete_group(group),
            })
            .commit(),
    };
    (Asked::Write { needs: Vec::new(), effects }, at(revision))
}

fn expiring(store: &Store, random: &mut Random, value: &str) -> (Asked, Told) {
    let expires_at = world::wall_ms() + random.below(60).cast_signed();
    let (key, time) = (key(random), UNIX_EPOCH + Duration::from_millis(expires_at.unsigned_abs()));
    let written = store.set_until(FLEETING, key, value, Some(time));
    let expires_at = Some(expires_at);
    let effects = vec![Effect::Set { group: FLEETING, key, value: value.to_owned(), expires_at }];
    (Asked::Write { needs: Vec::new(), effects }, at(written))
}

fn conditional(store: &Store, random: &mut Random, value: &str) -> (Asked, Told) {
    let (group, key) = (group(random), key(random));
    let effects = vec![Effect::Set { group, key, value: value.to_owned(), expires_at: None }];
    let known = store.entry(group, key).ok().flatten().filter(|_| random.one_in(2));
    let (condition, revision) = match known {
        Some(entry) => (Condition::Revision(entry.revision), Some(entry.revision.0)),
        None => (Condition::Absent, None),
    };
    let written = store.set_if(group, key, condition, value);
    (Asked::Write { needs: vec![Need { group, key, revision }], effects }, at(written))
}

fn transaction(store: &Store, random: &mut Random, value: &str) -> (Asked, Told) {
    let (group, key) = (group(random), key(random));
    let effect = set(random, value);
    let Effect::Set { group: target, key: to, value, .. } = &effect else { unreachable!("`set` sets") };
    let mut revision = None;
    let written = store.transaction(|transaction| {
        revision = transaction.entry(group, key)?.map(|entry| entry.revision.0);
        transaction.set(target, *to, value.as_str())
    });
    let told = told(written.map(|()| None));
    (Asked::Write { needs: vec![Need { group, key, revision }], effects: vec![effect] }, told)
}

fn all(view: &View, group: &str) -> larder::Result<Group> {
    let entries = view.get_all(group)?;
    Ok(entries.iter().map(|(key, value)| (key.to_owned(), value.to_string_lossy().into_owned())).collect())
}

fn snapshot(store: &Store) -> (Asked, Told) {
    let look = || {
        let snapshot = store.snapshot()?;
        let groups = GROUPS.into_iter().chain([COUNTER.0]);
        let found: larder::Result<Vec<_>> = groups.map(|group| Ok((group, all(&snapshot, group)?))).collect();
        Ok((snapshot.revision()?.0, found?))
    };
    match look() {
        Ok((revision, found)) => (Asked::Snapshot { revision, found }, Told::Done(None)),
        Err(error) => (Asked::Snapshot { revision: 0, found: Vec::new() }, failed(&error)),
    }
}

/// A check beside everything else, which finds nothing. SQLite's own part of it reports a page that could not be read as
/// damage.
fn checked(shared: &Shared, store: &Store) -> Option<(Asked, Told)> {
    if let Ok(found) = store.check()
        && !found.is_empty()
        && !world::is_disturbed()
        && !world::is_dead()
    {
        shared.complain(format!("the check found {found:?}"));
    }
    None
}

/// A backup, and what is in it.
fn backup(shared: &Shared, store: &Store) -> Option<(Asked, Told)> {
    let path = shared.backup();
    let made = store.backup(&path).run();
    if made.is_err() || world::is_dead() {
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(&path, flags).and_then(|connection| entries(&connection));
    match found {
        Ok(found) => Some((Asked::Backup { found }, Told::Done(None))),
        Err(error) => {
            if !world::is_disturbed() && !world::is_dead() {
                shared.complain(format!("a backup could not be read: {error:?}"));
            }
            None
        }
    }
}

/// Writes once, which nothing may prevent.
pub fn probe(shared: &Shared, store: &Store) {
    let (invoked, from) = (world::stamp(), world::wall_ms());
    let effects = vec![Effect::Set { group: "plain", key: "k0", value: "probe".into(), expires_at: None }];
    let (asked, told) = write(store, effects);
    if !matches!(told, Told::Done(_)) {
        shared.complain(format!("the last write failed: {told:?}"));
    }
    let (returned, until) = (world::stamp(), world::wall_ms());
    shared.record(Record { client: "probe".into(), invoked, returned, from, until, asked, told });
}
