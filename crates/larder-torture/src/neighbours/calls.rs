//! One call of a worker: what it asks for, and what it is told.

mod reads;
mod transactions;

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Condition, ErrorKind};

pub use self::reads::everything;
use self::reads::seen;

use super::notes::{Note, Notes};
use super::{CHURN, Plant};
use crate::face::{self, Face, call, dropped_after};
use crate::moment;
use crate::neighbours::history::{Asked, Effect, Look, Record, Told};
use crate::neighbours::writes::{filled, told};
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
    pub face: &'a Face,
    /// Makes the current call.
    pub calling: face::Caller<'a>,
    pub notes: &'a Notes,
    pub random: Random,
    pub name: String,
    /// When the current call began, by both clocks.
    pub begun: (u64, i64),
    /// How many calls it has made, so that no value comes twice.
    pub calls: u64,
    pub plant: Option<Plant>,
}

/// Now, in Unix milliseconds.
pub(super) fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What a call came to: what was asked, which becomes known only with the answer, and the answer.
pub(super) struct Came {
    asked: Asked,
    result: larder::Result<Option<u64>>,
    /// Whether it is made even if its future is dropped, at some time.
    runs_on: bool,
}

pub(super) fn came(asked: Asked, result: larder::Result<Option<u64>>) -> Came {
    Came { asked, result, runs_on: false }
}

fn wrote(effects: Vec<Effect>, result: larder::Result<Option<u64>>) -> Came {
    came(Asked::Write { seen: Vec::new(), effects }, result)
}

pub(super) fn read(look: larder::Result<Look>) -> Came {
    match look {
        Ok(look) => came(Asked::Read(vec![look]), Ok(None)),
        Err(error) => came(Asked::Read(Vec::new()), Err(error)),
    }
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
        if self.plant == Some(Plant::Ahead) {
            return self.acknowledge_ahead();
        }
        let pause = Duration::from_micros(10 << self.random.below(9));
        self.calling = face::Caller::new(self.face, &mut self.random).pausing(pause);
        let (wall_before, invoked) = (wall(), moment::now());
        self.begun = (invoked, wall_before);
        let Came { asked, result, runs_on } = self.some();
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
        let failed = result.as_ref().err().filter(|error| dropped_after(error).is_none());
        let error = failed.map(|error| (error.kind().to_string(), format!("{error:?}")));
        let what = match &asked {
            Asked::Write { .. } => "a write",
            Asked::SetQuota(_) => "setting a quota",
            Asked::Read(_) | Asked::Copy { .. } | Asked::NoRoom { .. } | Asked::Quota(_) => "a read",
        };
        self.notes.write(&Note::Took { what: what.to_owned(), from: invoked, to: returned, error });
        if self.plant == Some(Plant::Early) && matches!(asked, Asked::Write { .. }) {
            returned = invoked;
        }
        let wall = (wall_before, wall_after);
        let (client, told) = (self.name.clone(), told(result, runs_on));
        self.notes.write(&Note::Call(Record { client, invoked, returned, wall, asked, told }));
    }

    /// Notes what is about to be asked for, for the judge of a process that is killed before the answer.
    pub(super) fn asks(&self, asked: Asked) {
        let (invoked, before) = self.begun;
        let (client, wall) = (self.name.clone(), (before, i64::MAX));
        let told = Told::Killed;
        self.notes.write(&Note::Asked(Record { client, invoked, returned: invoked, wall, asked, told }));
    }

    fn asks_for(&self, effects: &[Effect]) {
        self.asks(Asked::Write { seen: Vec::new(), effects: effects.to_vec() });
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
                read(self.value_of(group, key))
            }
            24..26 => {
                let (group, key) = match self.random.below(3) {
                    0 => (FLEETING[self.random.place(2)], self.key()),
                    1 => ("counters", COUNTERS[self.random.place(2)]),
                    _ => (self.group(), self.key()),
                };
                read(self.entry(group, key))
            }
            26 => read(self.all()),
            27 => read(self.count()),
            28 => read(self.page()),
            29 => self.scoped(),
            30 => match self.snapshot() {
                Ok(looks) => came(Asked::Read(looks), Ok(None)),
                Err(error) => read(Err(error)),
            },
            31 => self.set_quota(),
            32 => self.quota(),
            _ => self.give_up(),
        }
    }

    /// Says that a write is there, and makes it later, until it is.
    fn acknowledge_ahead(&mut self) {
        let (key, value, at) = (self.key(), self.value(), moment::now());
        let (group, expires) = ("plain".to_owned(), None);
        let effects = vec![Effect::Set { group, key: key.to_owned(), value: value.clone(), expires }];
        let asked = Asked::Write { seen: Vec::new(), effects };
        let (client, wall, told) = (self.name.clone(), (wall(), wall()), Told::Done(None));
        self.notes.write(&Note::Call(Record { client, invoked: at, returned: at, wall, asked, told }));
        // So long that hardly any kill finds it elsewhere.
        sleep(Duration::from_millis(20));
        let set = || self.face.blocking().set("plain", key, value.as_str());
        while set().is_err_and(|error| error.kind() == ErrorKind::Busy) {}
    }

    fn random_group(&mut self) -> &'static str {
        if self.random.one_in(4) { FLEETING[self.random.place(2)] } else { self.group() }
    }

    fn set_one(&mut self) -> Came {
        let effect = self.set();
        self.asks_for(std::slice::from_ref(&effect));
        let Effect::Set { group, key, value, .. } = &effect else { return wrote(Vec::new(), Ok(None)) };
        let result = call!(self.calling, |store| store.set(group, key, value.as_str()));
        let result = result.map(|revision| Some(revision.0));
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
        self.asks_for(&effects);
        let result = call!(self.calling, |store| filled(store.batch(), &effects).commit());
        wrote(effects, result.map(|revision| Some(revision.0)))
    }

    fn increment(&mut self) -> Came {
        let key = COUNTERS[self.random.place(2)].to_owned();
        let by = 1 + i64::from(self.random.one_in(3));
        let effect =
            |result| vec![Effect::Increment { group: "counters".into(), key: key.clone(), by, result }];
        self.asks_for(&effect(None));
        let result = call!(self.calling, |store| store.increment("counters", &key, by));
        wrote(effect(result.as_ref().ok().copied()), result.map(|_| None))
    }

    /// Sets an entry if it is still as it was read, or absent.
    fn set_if(&mut self) -> Came {
        let (group, key, value) = (self.group(), self.key(), self.value());
        let patient = face::Caller::patient(self.face);
        let found = match call!(patient, |store| store.entry(group, key)) {
            Ok(found) => found,
            Err(error) => return read(Err(error)),
        };
        let condition = found.as_ref().map_or(Condition::Absent, |entry| Condition::Revision(entry.revision));
        let look = seen(group, key, found.as_ref());
        let effect =
            Effect::Set { group: group.to_owned(), key: key.to_owned(), value: value.clone(), expires: None };
        let asked = Asked::Write { seen: vec![look], effects: vec![effect] };
        self.asks(asked.clone());
        let result = call!(self.calling, |store| store.set_if(group, key, condition, value.as_str()));
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            let from = found.map(|entry| entry.revision.0);
            return read(Ok(Look::Differs { group: group.to_owned(), key: key.to_owned(), from }));
        }
        came(asked, result.map(|revision| Some(revision.0)))
    }

    fn delete(&mut self) -> Came {
        let (group, key) = (self.group().to_owned(), self.key().to_owned());
        let effects = vec![Effect::Delete { group: group.clone(), key: key.clone() }];
        self.asks_for(&effects);
        match call!(self.calling, |store| store.delete(&group, &key)) {
            Ok(false) => read(Ok(Look::Entry { group, key, found: None })),
            result => wrote(effects, result.map(|_| None)),
        }
    }

    fn delete_group(&mut self) -> Came {
        let group = self.group().to_owned();
        let effects = vec![Effect::DeleteGroup { group: group.clone() }];
        self.asks_for(&effects);
        let result = call!(self.calling, |store| store.delete_group(&group));
        deleted(result, Look::Count { group, whole: true, found: 0 }, effects)
    }

    fn delete_prefix(&mut self) -> Came {
        let prefix = "part-".to_owned();
        let effects = vec![Effect::DeletePrefix { prefix: prefix.clone() }];
        self.asks_for(&effects);
        let result = call!(self.calling, |store| store.delete_prefix(&prefix));
        deleted(result, Look::Count { group: prefix, whole: false, found: 0 }, effects)
    }

    fn set_fleeting(&mut self) -> Came {
        let (group, key) = (FLEETING[self.random.place(2)].to_owned(), self.key().to_owned());
        let (value, ttl) = (self.value(), 1 + self.random.below(800));
        let before = wall();
        let lasting = Duration::from_millis(ttl);
        let ttl = i64::try_from(ttl).unwrap_or(0);
        let effects = |after: i64| {
            let expires = Some((before + ttl, after.saturating_add(ttl + 1)));
            vec![Effect::Set { group: group.clone(), key: key.clone(), value: value.clone(), expires }]
        };
        self.asks_for(&effects(i64::MAX));
        let result = call!(self.calling, |store| store.set_with_ttl(&group, &key, value.as_str(), lasting));
        wrote(effects(wall()), result.map(|revision| Some(revision.0)))
    }

    /// Writes where the history is short. It claims its revision, and the judge sees nothing else of it.
    fn churn(&mut self) -> Came {
        let value = self.value();
        let group = format!("{CHURN}-{}", self.random.below(3));
        let key = self.key();
        let result = call!(self.calling, |store| store.set(&group, key, value.as_str()));
        came(Asked::Read(Vec::new()), result.map(|_| None))
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
        if self.random.one_in(2) {
            let found = call!(self.calling, |store| store.scoped(namespace)?.entry(inner, key));
            return read(found.map(|found| seen(group, key, found.as_ref())));
        }
        let (group, key) = (group.to_owned(), key.to_owned());
        let effects = vec![Effect::Set { group, key: key.clone(), value: value.clone(), expires: None }];
        self.asks_for(&effects);
        let result = call!(self.calling, |store| {
            store.scoped(namespace)?.batch().set(inner, &key, value.as_str()).commit()
        });
        wrote(effects, result.map(|revision| Some(revision.0)))
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
            came(Asked::Write { seen: vec![look], effects }, Ok(None))
        }
        Err(error) => wrote(effects, Err(error)),
    }
}
