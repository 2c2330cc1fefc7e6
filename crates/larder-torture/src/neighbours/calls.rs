//! One call of a worker: what it asks for, and what it is told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Condition, Entry, ErrorKind, Page, Store, View};

use super::notes::{Note, Notes};
use super::{CHURN, Plant};
use crate::moment;
use crate::neighbours::history::{Asked, Effect, Look, Record};
use crate::neighbours::writes::{batch, told};
use crate::random::Random;

const GROUPS: [&str; 12] = [
    "plain",
    "part-1",
    "part-2",
    "keys:one",
    "keys:two",
    "groups:one",
    "groups:two",
    "groups:three",
    "groups:four",
    "bytes:one",
    "bytes:two",
    "large",
];
const KEYS: [&str; 5] = ["k0", "k1", "k2", "k3", "k4"];
const COUNTERS: [&str; 2] = ["n0", "n1"];

/// Entries that expire are here, and nobody deletes them by hand.
const FLEETING: [&str; 2] = ["fleeting", "bytes:fleeting"];

/// A thread that calls.
pub struct Caller<'a> {
    pub store: &'a Store,
    pub notes: &'a Notes,
    pub random: Random,
    pub name: String,
    /// How many calls it has made, so that no value comes twice.
    pub calls: u64,
    pub plant: Option<Plant>,
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn entry(group: &str, key: &str, found: Option<&Entry>) -> Look {
    let found = found.map(|entry| (entry.revision.0, entry.value.to_string_lossy().into_owned()));
    Look::Entry { group: group.to_owned(), key: key.to_owned(), found }
}

/// What a call came to: what was asked, which becomes known only with the answer, and the answer.
pub(super) type Came = (Asked, larder::Result<Option<u64>>);

fn wrote(effects: Vec<Effect>, result: larder::Result<Option<u64>>) -> Came {
    (Asked::Write { seen: Vec::new(), effects }, result)
}

pub(super) fn read(look: larder::Result<Look>) -> Came {
    match look {
        Ok(look) => (Asked::Read(vec![look]), Ok(None)),
        Err(error) => (Asked::Read(Vec::new()), Err(error)),
    }
}

/// Reads a group whole.
pub fn all(view: &View, group: &str) -> larder::Result<Look> {
    let found = view.get_all(group)?;
    let found = found.iter().map(|(key, value)| (key.to_owned(), value.to_string_lossy().into_owned()));
    Ok(Look::Group { group: group.to_owned(), after: None, limit: None, found: found.collect() })
}

/// Reads every group that the judge knows.
pub fn everything(view: &View) -> larder::Result<Vec<Look>> {
    GROUPS.iter().chain(&["counters", "fleeting"]).map(|group| all(view, group)).collect()
}

impl Caller<'_> {
    fn value(&mut self) -> String {
        self.calls += 1;
        let length = match self.random.below(20) {
            0 => 3_000,
            length => length * 4,
        };
        format!("{}.{}{}", self.name, self.calls, "x".repeat(usize::try_from(length).unwrap_or(0)))
    }

    fn group(&mut self) -> &'static str {
        GROUPS[self.random.place(GROUPS.len())]
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.place(KEYS.len())]
    }

    fn set(&mut self) -> Effect {
        let (group, key) = (self.group().to_owned(), self.key().to_owned());
        Effect::Set { group, key, value: self.value(), expires: None }
    }

    /// Makes a call, and notes it.
    pub fn call(&mut self) {
        let (wall_before, invoked) = (wall(), moment::now());
        let (asked, result) = self.some();
        let (mut returned, wall_after) = (moment::now(), wall());
        let (asked, result) = match (asked, result) {
            // What was refused for want of room shows that there was none.
            (
                Asked::Write { effects, .. },
                Err(larder::Error::QuotaExceeded { namespace, resource, limit, wanted }),
            ) => {
                let resource = resource.to_string();
                (Asked::NoRoom { effects, namespace, resource, limit, wanted }, Ok(None))
            }
            came => came,
        };
        let error = result.as_ref().err().map(|error| (error.kind().to_string(), format!("{error:?}")));
        let what = match &asked {
            Asked::Write { .. } => "a write",
            Asked::SetQuota(_) => "setting a quota",
            Asked::Read(_) | Asked::NoRoom { .. } | Asked::Quota(_) => "a read",
        };
        self.notes.write(&Note::Took { what: what.to_owned(), from: invoked, to: returned, error });
        if self.plant == Some(Plant::Early) && matches!(asked, Asked::Write { .. }) {
            returned = invoked;
        }
        let wall = (wall_before, wall_after);
        let (client, told) = (self.name.clone(), told(result));
        self.notes.write(&Note::Call(Record { client, invoked, returned, wall, asked, told }));
    }

    fn some(&mut self) -> Came {
        match self.random.below(34) {
            0..5 => self.set_one(),
            5..8 => self.set_several(),
            8..10 => self.increment(),
            10..13 => self.transaction(),
            13..15 => self.set_if(),
            15 => self.delete(),
            16 => self.delete_group(),
            17 => self.delete_prefix(),
            18..20 => self.set_fleeting(),
            20 => self.churn(),
            21..24 => {
                let (group, key) = (self.group(), self.key());
                let found = self.store.get(group, key);
                read(found.map(|found| {
                    let found = found.map(|value| value.to_string_lossy().into_owned());
                    Look::Value { group: group.to_owned(), key: key.to_owned(), found }
                }))
            }
            24..26 => {
                let (group, key) = match self.random.below(3) {
                    0 => (FLEETING[self.random.place(2)], self.key()),
                    1 => ("counters", COUNTERS[self.random.place(2)]),
                    _ => (self.group(), self.key()),
                };
                read(self.store.entry(group, key).map(|found| entry(group, key, found.as_ref())))
            }
            26 => read(all(self.store, self.random_group())),
            27 => read(self.count()),
            28 => read(self.page()),
            29 => self.scoped(),
            30 => match self.store.snapshot().and_then(|snapshot| everything(&snapshot)) {
                Ok(looks) => (Asked::Read(looks), Ok(None)),
                Err(error) => read(Err(error)),
            },
            31 => self.set_quota(),
            32 => self.quota(),
            _ => self.give_up(),
        }
    }

    fn random_group(&mut self) -> &'static str {
        if self.random.one_in(4) { FLEETING[self.random.place(2)] } else { self.group() }
    }

    fn set_one(&mut self) -> Came {
        let effect = self.set();
        let Effect::Set { group, key, value, .. } = &effect else { return wrote(Vec::new(), Ok(None)) };
        let result = self.store.set(group, key, value.as_str()).map(|revision| Some(revision.0));
        wrote(vec![effect], result)
    }

    fn several(&mut self) -> Vec<Effect> {
        let mut effects = vec![self.set()];
        for _ in 0..=self.random.below(4) {
            effects.push(match self.random.below(8) {
                0 => Effect::DeleteGroup { group: self.group().to_owned() },
                1 => Effect::DeletePrefix { prefix: "part-".into() },
                2 | 3 => Effect::Delete { group: self.group().to_owned(), key: self.key().to_owned() },
                4 => {
                    let key = COUNTERS[self.random.place(2)].to_owned();
                    Effect::Increment { group: "counters".into(), key, by: 1, result: None }
                }
                _ => self.set(),
            });
        }
        effects
    }

    fn set_several(&mut self) -> Came {
        let effects = self.several();
        let result = batch(self.store, &effects).commit().map(|revision| Some(revision.0));
        wrote(effects, result)
    }

    fn increment(&mut self) -> Came {
        let key = COUNTERS[self.random.place(2)].to_owned();
        let by = 1 + i64::from(self.random.one_in(3));
        let result = self.store.increment("counters", &key, by);
        let effect =
            Effect::Increment { group: "counters".into(), key, by, result: result.as_ref().ok().copied() };
        wrote(vec![effect], result.map(|_| None))
    }

    /// Reads two entries, and writes what depends on them.
    fn transaction(&mut self) -> Came {
        let (from, to, key) = (self.group(), self.group(), self.key());
        let counter = COUNTERS[self.random.place(2)];
        let value = self.value();
        let (mut seen, mut effects) = (Vec::new(), Vec::new());
        let result = self.store.transaction(|tx| {
            seen = vec![entry(from, key, tx.entry(from, key)?.as_ref()), all(tx, to)?];
            let (group, key) = (to.to_owned(), key.to_owned());
            effects = vec![Effect::Set { group, key: key.clone(), value: value.clone(), expires: None }];
            tx.set(to, key, value.as_str())?;
            let after = tx.increment("counters", counter, 1)?;
            let (group, key) = ("counters".to_owned(), counter.to_owned());
            effects.push(Effect::Increment { group, key, by: 1, result: Some(after) });
            Ok(())
        });
        if result.is_err() {
            // A counter that was not raised has this number all the same, by somebody else.
            for effect in &mut effects {
                if let Effect::Increment { result, .. } = effect {
                    *result = None;
                }
            }
        }
        (Asked::Write { seen, effects }, result.map(|()| None))
    }

    /// Sets an entry if it is still as it was read, or absent.
    fn set_if(&mut self) -> Came {
        let (group, key, value) = (self.group(), self.key(), self.value());
        let found = match self.store.entry(group, key) {
            Ok(found) => found,
            Err(error) => return read(Err(error)),
        };
        let condition = found.as_ref().map_or(Condition::Absent, |entry| Condition::Revision(entry.revision));
        let look = entry(group, key, found.as_ref());
        let result = self.store.set_if(group, key, condition, value.as_str());
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            let from = found.map(|entry| entry.revision.0);
            return read(Ok(Look::Differs { group: group.to_owned(), key: key.to_owned(), from }));
        }
        let effect = Effect::Set { group: group.to_owned(), key: key.to_owned(), value, expires: None };
        let asked = Asked::Write { seen: vec![look], effects: vec![effect] };
        (asked, result.map(|revision| Some(revision.0)))
    }

    fn delete(&mut self) -> Came {
        let (group, key) = (self.group().to_owned(), self.key().to_owned());
        match self.store.delete(&group, &key) {
            Ok(false) => read(Ok(Look::Entry { group, key, found: None })),
            result => wrote(vec![Effect::Delete { group, key }], result.map(|_| None)),
        }
    }

    fn delete_group(&mut self) -> Came {
        let group = self.group().to_owned();
        let result = self.store.delete_group(&group);
        let effects = vec![Effect::DeleteGroup { group: group.clone() }];
        deleted(result, Look::Count { group, whole: true, found: 0 }, effects)
    }

    fn delete_prefix(&mut self) -> Came {
        let prefix = "part-".to_owned();
        let result = self.store.delete_prefix(&prefix);
        let effects = vec![Effect::DeletePrefix { prefix: prefix.clone() }];
        deleted(result, Look::Count { group: prefix, whole: false, found: 0 }, effects)
    }

    fn set_fleeting(&mut self) -> Came {
        let (group, key) = (FLEETING[self.random.place(2)].to_owned(), self.key().to_owned());
        let (value, ttl) = (self.value(), 1 + self.random.below(800));
        let before = wall();
        let result = self.store.set_with_ttl(&group, &key, value.as_str(), Duration::from_millis(ttl));
        let ttl = i64::try_from(ttl).unwrap_or(0);
        let expires = Some((before + ttl, wall() + ttl + 1));
        wrote(vec![Effect::Set { group, key, value, expires }], result.map(|revision| Some(revision.0)))
    }

    /// Writes where the history is short. It claims its revision, and the judge sees nothing else of it.
    fn churn(&mut self) -> Came {
        let value = self.value();
        let group = format!("{CHURN}-{}", self.random.below(3));
        let result = self.store.set(group, self.key(), value.as_str());
        (Asked::Read(Vec::new()), result.map(|_| None))
    }

    fn count(&mut self) -> larder::Result<Look> {
        let whole = self.random.one_in(2);
        let group =
            if whole { self.random_group() } else { ["part-", "keys:", "bytes:"][self.random.place(3)] };
        let found = if whole { self.store.count(group)? } else { self.store.count_all(group)? };
        Ok(Look::Count { group: group.to_owned(), whole, found })
    }

    fn page(&mut self) -> larder::Result<Look> {
        let (group, limit) = (self.random_group(), 1 + self.random.place(4));
        let after = self.random.one_in(2).then(|| self.key());
        let Page { entries, .. } = self.store.page(group, after, limit)?;
        let found = entries.into_iter().map(|entry| (entry.key, entry.value.to_string_lossy().into_owned()));
        let after = after.map(str::to_owned);
        Ok(Look::Group { group: group.to_owned(), after, limit: Some(limit), found: found.collect() })
    }

    /// Writes or reads through a scoped store, which has other names for the same things.
    fn scoped(&mut self) -> Came {
        let group = loop {
            let group = self.group();
            if group.contains(':') {
                break group;
            }
        };
        let (namespace, inner) = group.split_once(':').unwrap_or_default();
        let (key, value) = (self.key(), self.value());
        let scoped = match self.store.scoped(namespace) {
            Ok(scoped) => scoped,
            Err(error) => return read(Err(error)),
        };
        if self.random.one_in(2) {
            return read(scoped.entry(inner, key).map(|found| entry(group, key, found.as_ref())));
        }
        let result = scoped.batch().set(inner, key, value.as_str()).commit();
        let effect = Effect::Set { group: group.to_owned(), key: key.to_owned(), value, expires: None };
        wrote(vec![effect], result.map(|revision| Some(revision.0)))
    }

    /// A transaction that only reads, and ends with an error of its own: nothing is written.
    fn give_up(&mut self) -> Came {
        let (group, key, value) = (self.group(), self.key(), self.value());
        let effect = Effect::Set { group: group.to_owned(), key: key.to_owned(), value, expires: None };
        let Effect::Set { value, .. } = &effect else { return wrote(Vec::new(), Ok(None)) };
        let mut looks = Vec::new();
        let result: larder::Result<()> = self.store.transaction(|tx| {
            looks = vec![entry(group, key, tx.entry(group, key)?.as_ref())];
            tx.set(group, key, value.as_str())?;
            Err(larder::Error::other(Abandoned))
        });
        match result {
            Err(error) if error.kind() == ErrorKind::Other => (Asked::Read(looks), Ok(None)),
            Err(error) => wrote(vec![effect], Err(error)),
            Ok(()) => wrote(vec![effect], Ok(None)),
        }
    }
}

/// A deletion that found nothing is a read.
fn deleted(result: larder::Result<u64>, mut look: Look, effects: Vec<Effect>) -> Came {
    match result {
        Ok(0) => read(Ok(look)),
        Ok(number) => {
            if let Look::Count { found, .. } = &mut look {
                *found = number;
            }
            (Asked::Write { seen: vec![look], effects }, Ok(None))
        }
        Err(error) => wrote(effects, Err(error)),
    }
}

/// The error of a transaction that its caller gives up.
#[derive(Debug)]
struct Abandoned;

impl std::fmt::Display for Abandoned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("given up")
    }
}

impl std::error::Error for Abandoned {}
