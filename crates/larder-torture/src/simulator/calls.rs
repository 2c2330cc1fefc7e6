//! The calls of a client, chosen at random.

use std::time::{Duration, UNIX_EPOCH};

use larder::{Condition, Entries, Error, ErrorKind, Revision};

use super::client::{Opened, Shared};
use super::history::{Asked, Effect, Group, Identity, Need, Record, Told};
use super::restores;
use super::world;
use crate::face::{Caller, Face, call, dropped_after};
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

/// How many of the groups and keys a run uses. With few of them, what one client keeps in its cache is what another
/// writes.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    groups: usize,
    keys: usize,
}

impl Names {
    pub fn choose(random: &mut Random) -> Self {
        if random.one_in(2) {
            return Self { groups: GROUPS.len(), keys: KEYS.len() };
        }
        Self { groups: 1 + random.place(GROUPS.len()), keys: 1 + random.place(KEYS.len()) }
    }

    fn group(self, random: &mut Random) -> &'static str {
        GROUPS[random.place(self.groups)]
    }

    fn key(self, random: &mut Random) -> &'static str {
        KEYS[random.place(self.keys)]
    }
}

fn set(names: Names, random: &mut Random, value: &str) -> Effect {
    let padding = "x".repeat(if random.one_in(8) { PADDING } else { 0 });
    let (group, key) = (names.group(random), names.key(random));
    Effect::Set { group, key, value: format!("{value}{padding}"), expires_at: None }
}

fn effects(names: Names, random: &mut Random, value: &str) -> Vec<Effect> {
    let mut effects = vec![set(names, random, value)];
    if random.one_in(2) {
        for more in 0..=random.below(3) {
            effects.push(match random.below(8) {
                0 => Effect::DeleteGroup { group: names.group(random) },
                1..4 => Effect::Delete { group: names.group(random), key: names.key(random) },
                _ => set(names, random, &format!("{value}+{more}")),
            });
        }
    }
    effects
}

fn failed(error: &Error) -> Told {
    match error.kind() {
        _ if dropped_after(error).is_some() => Told::Dropped,
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

/// A kind of call.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Batch,
    Set,
    Expiring,
    Conditional,
    Transaction,
    Increment,
    Entry,
    Group,
    Count,
    Snapshot,
    Check,
    Backup,
    Compact,
}

/// How often each is usual.
const USUAL: [(Kind, u64); 13] = [
    (Kind::Batch, 32),
    (Kind::Set, 4),
    (Kind::Expiring, 4),
    (Kind::Conditional, 4),
    (Kind::Transaction, 4),
    (Kind::Increment, 8),
    (Kind::Entry, 16),
    (Kind::Group, 8),
    (Kind::Count, 4),
    (Kind::Snapshot, 4),
    (Kind::Check, 4),
    (Kind::Backup, 1),
    (Kind::Compact, 3),
];

/// Which calls one thread makes, and how often each. Every other thread prefers some and never makes others: what needs
/// many calls of one kind in a row would otherwise never happen.
#[derive(Debug)]
pub struct Habits(Vec<(Kind, u64)>);

impl Habits {
    /// `restores` is whether backups are restored, and so made more often.
    pub fn choose(random: &mut Random, restores: bool) -> Self {
        let backups = restores.then_some((Kind::Backup, 8));
        if random.one_in(2) {
            return Self(USUAL.into_iter().chain(backups).collect());
        }
        let mut habits: Vec<_> =
            USUAL.iter().map(|(kind, usual)| (*kind, usual * [0, 0, 1, 4][random.place(4)])).collect();
        // Something is left to do.
        habits.push(USUAL[random.place(USUAL.len())]);
        habits.extend(backups);
        Self(habits)
    }

    fn next(&self, random: &mut Random) -> Kind {
        let mut left = random.below(self.0.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in &self.0 {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *kind,
            }
        }
        Kind::Entry
    }
}

/// Makes one call, and records it.
pub fn make(
    shared: &Shared,
    opened: &Opened,
    habits: &Habits,
    (client, number): (&str, u64),
    random: &mut Random,
) {
    let (invoked, from) = (world::stamp(), world::wall_ms());
    let value = format!("{client}.{number}");
    let Some((asked, told)) = one(shared, opened, habits.next(random), random, &value) else { return };
    let (returned, until) = (world::stamp(), world::wall_ms());
    let is_write = matches!(asked, Asked::Write { .. } | Asked::Increment);
    let told = match told {
        Told::Dropped if !is_write => return,
        // Nobody can be told by a killed process.
        _ if world::is_dead() && is_write => Told::Unknown("killed".into()),
        _ if world::is_dead() => return,
        told => told,
    };
    if until - from > CALL_MAX {
        shared.complain(format!("{client} waited for {} ms: {asked:?} {told:?}", until - from));
    }
    world::with(|world| world.note(if let Told::Done(revision) = told { revision.unwrap_or(1) } else { 0 }));
    let (client, store) = (client.to_owned(), Identity::clone(&opened.identity));
    let process = world::with(|world| world.process());
    shared.record(Record { client, process, store, invoked, returned, from, until, asked, told });
}

/// Makes a call. `None` for one that leaves nothing to judge.
fn one(
    shared: &Shared,
    opened: &Opened,
    kind: Kind,
    random: &mut Random,
    value: &str,
) -> Option<(Asked, Told)> {
    let (names, store) = (shared.names, &Caller::new(&opened.face, random));
    Some(match kind {
        Kind::Batch => write(store, effects(names, random, value)),
        Kind::Expiring => expiring(store, names, random, value),
        Kind::Conditional => conditional(store, names, random, value),
        Kind::Transaction => transaction(store, names, random, value),
        Kind::Increment => {
            let counted = call!(store, |store| store.increment(COUNTER.0, COUNTER.1, 1));
            (Asked::Increment, counted.map_or_else(|error| failed(&error), Told::Counted))
        }
        Kind::Entry => {
            let (group, key) = if random.one_in(5) {
                (FLEETING, names.key(random))
            } else {
                (names.group(random), names.key(random))
            };
            let entry = call!(store, |store| store.entry(group, key));
            let found = entry.as_ref().ok().cloned().flatten();
            let found = found.map(|entry| (entry.revision.0, entry.value.to_string_lossy().into_owned()));
            (Asked::Entry { group, key, found }, told(entry.map(|_| None)))
        }
        Kind::Group => {
            let group = if random.one_in(4) { FLEETING } else { names.group(random) };
            let found = call!(store, |store| store.get_all(group)).map(listed);
            let told = told(found.as_ref().map(|_| None).map_err(Clone::clone));
            (Asked::Group { group, found: found.unwrap_or_default() }, told)
        }
        Kind::Count => {
            let prefix = [NAMESPACE, "a:one", "plain"][random.place(3)];
            let found = call!(store, |store| store.count_all(prefix));
            let told = told(found.as_ref().map(|_| None).map_err(Clone::clone));
            (Asked::Count { prefix, found: found.unwrap_or_default() }, told)
        }
        Kind::Snapshot => snapshot(store),
        Kind::Check => return checked(shared, store),
        Kind::Backup => restores::save(shared, opened)?,
        Kind::Compact => {
            // What it frees is nobody's promise, and the answers of the others are judged.
            let _ = call!(store, |store| store.compact());
            return None;
        }
        Kind::Set => write(store, vec![set(names, random, value)]),
    })
}

fn write(store: &Caller<'_>, effects: Vec<Effect>) -> (Asked, Told) {
    let revision = match &effects[..] {
        [Effect::Set { group, key, value, .. }] => {
            call!(store, |store| store.set(group, *key, value.as_str()))
        }
        _ => call!(store, |store| {
            let batch = effects.iter().fold(store.batch(), |batch, effect| match effect {
                Effect::Set { group, key, value, .. } => batch.set(group, *key, value.as_str()),
                Effect::Delete { group, key } => batch.delete(group, *key),
                Effect::DeleteGroup { group } => batch.delete_group(group),
            });
            batch.commit()
        }),
    };
    (Asked::Write { needs: Vec::new(), effects }, at(revision))
}

fn expiring(store: &Caller<'_>, names: Names, random: &mut Random, value: &str) -> (Asked, Told) {
    let expires_at = world::wall_ms() + random.below(60).cast_signed();
    let (key, time) = (names.key(random), UNIX_EPOCH + Duration::from_millis(expires_at.unsigned_abs()));
    let written = call!(store, |store| store.set_until(FLEETING, key, value, Some(time)));
    let expires_at = Some(expires_at);
    let effects = vec![Effect::Set { group: FLEETING, key, value: value.to_owned(), expires_at }];
    (Asked::Write { needs: Vec::new(), effects }, at(written))
}

fn conditional(store: &Caller<'_>, names: Names, random: &mut Random, value: &str) -> (Asked, Told) {
    let (group, key) = (names.group(random), names.key(random));
    let effects = vec![Effect::Set { group, key, value: value.to_owned(), expires_at: None }];
    let known = call!(Caller::patient(store.face), |store| store.entry(group, key))
        .ok()
        .flatten()
        .filter(|_| random.one_in(2));
    let (condition, revision) = match known {
        Some(entry) => (Condition::Revision(entry.revision), Some(entry.revision.0)),
        None => (Condition::Absent, None),
    };
    let written = call!(store, |store| store.set_if(group, key, condition, value));
    (Asked::Write { needs: vec![Need { group, key, revision }], effects }, at(written))
}

fn transaction(store: &Caller<'_>, names: Names, random: &mut Random, value: &str) -> (Asked, Told) {
    let (group, key) = (names.group(random), names.key(random));
    let effect = set(names, random, value);
    let Effect::Set { group: target, key: to, value, .. } = effect.clone() else {
        unreachable!("`set` sets")
    };
    // It is made once its future was polled, whatever becomes of that: then nobody is told what it has read.
    let store = &Caller::patient(store.face);
    let written = call!(store, |store| {
        let value = value.clone();
        store.transaction(move |transaction| {
            let revision = transaction.entry(group, key)?.map(|entry| entry.revision.0);
            transaction.set(target, to, value.as_str())?;
            Ok(revision)
        })
    });
    // Where it is not told what was read, nothing is known of it.
    let needs = match &written {
        Ok(revision) => vec![Need { group, key, revision: *revision }],
        Err(_) => Vec::new(),
    };
    let told = told(written.map(|_| None));
    (Asked::Write { needs, effects: vec![effect] }, told)
}

fn listed(entries: Entries) -> Group {
    entries.iter().map(|(key, value)| (key.to_owned(), value.to_string_lossy().into_owned())).collect()
}

fn snapshot(store: &Caller<'_>) -> (Asked, Told) {
    let groups = || GROUPS.into_iter().chain([COUNTER.0]);
    let look = || match store.face {
        Face::Blocking(store) => {
            let snapshot = store.snapshot()?;
            let found: larder::Result<Vec<_>> =
                groups().map(|group| Ok((group, listed(snapshot.get_all(group)?)))).collect();
            Ok((snapshot.revision()?.0, found?))
        }
        Face::Async(own, runtime) => store.wait(runtime, async {
            let snapshot = own.snapshot().await?;
            let mut found = Vec::new();
            for group in groups() {
                found.push((group, listed(snapshot.get_all(group).await?)));
            }
            Ok((snapshot.revision().await?.0, found))
        }),
    };
    match look() {
        Ok((revision, found)) => (Asked::Snapshot { revision, found }, Told::Done(None)),
        Err(error) => (Asked::Snapshot { revision: 0, found: Vec::new() }, failed(&error)),
    }
}

/// A check beside everything else, which finds nothing. SQLite's own part of it reports a page that could not be read as
/// damage.
fn checked(shared: &Shared, store: &Caller<'_>) -> Option<(Asked, Told)> {
    if let Ok(found) = call!(store, |store| store.check())
        && !found.is_empty()
        && !world::is_disturbed()
        && !world::is_dead()
    {
        shared.complain(format!("the check found {found:?}"));
    }
    None
}

/// Writes once, which nothing may prevent.
pub fn probe(shared: &Shared, opened: &Opened) {
    let (invoked, from) = (world::stamp(), world::wall_ms());
    let value = format!("probe{invoked}");
    let effects = vec![Effect::Set { group: "plain", key: "k0", value, expires_at: None }];
    let (asked, told) = write(&Caller::patient(&opened.face), effects);
    if !matches!(told, Told::Done(_)) {
        shared.complain(format!("the last write failed: {told:?}"));
    }
    let (returned, until) = (world::stamp(), world::wall_ms());
    let (client, store) = ("probe".into(), Identity::clone(&opened.identity));
    let process = world::with(|world| world.process());
    shared.record(Record { client, process, store, invoked, returned, from, until, asked, told });
}
