//! The calls that the clients make.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};

use larder::{Clock, Condition, Entry, Error, Result, Revision, ScopedStore, Store, View};

use super::client::{CACHED, Client, PAUSE};
use super::random::Random;
use super::record::{Action, Outcome, Record, Requirement, now_ns};
use super::targets::{
    ACCOUNT_KEYS, ACCOUNT_START, ACCOUNTS, ALL, COUNTER_KEYS, COUNTERS, LEASES, REGISTER_KEYS, REGISTERS,
    SESSION_KEYS, SESSIONS, TENANT, TOGETHER, TRANSFERS,
};

/// The distance between values of registers: too far for increments to lead from one to the next.
const STRIDE: i64 = 10_000;

/// Why a call failed that had not happened: these two need a reason.
pub const RESTORED: &str = "restored";
pub const UNAUTHORIZED: &str = "unauthorized";

/// One thread of a client.
pub struct Worker<'a> {
    pub client: &'a Client,
    pub store: &'a Store,
    pub tenant: ScopedStore,
    pub random: Random,
    /// The last known revision of each register.
    seen: HashMap<String, u64>,
}

impl<'a> Worker<'a> {
    pub fn new(client: &'a Client, random: Random) -> Self {
        let tenant = client.store.scoped(TENANT).unwrap();
        Self { client, store: &client.store, tenant, random, seen: HashMap::new() }
    }

    pub fn work(mut self, only_reads: bool) {
        while only_reads && !self.client.stopped.load(Ordering::Relaxed) {
            match self.random.below(10) {
                0..7 => {
                    let key = self.random.below(REGISTER_KEYS).to_string();
                    self.read_register(&key);
                }
                7 => self.read_together(),
                8 => self.check_quota(),
                _ => self.check_session(),
            }
            if self.client.task.client == CACHED {
                // What is read from memory takes no time, and each read is a line of the journal.
                thread::sleep(Duration::from_millis(5));
            }
        }
        while !self.client.stopped.load(Ordering::Relaxed) {
            match self.random.below(100) {
                0..40 => self.use_register(),
                40..50 => self.count(),
                50..58 => self.set_together(),
                58..64 => self.read_together(),
                64..72 => self.transfer(),
                72..76 => self.audit(),
                76..86 => self.fill(),
                86..90 => self.check_quota(),
                90..94 => self.start_session(),
                94..98 => self.check_session(),
                98 => self.extend_lease(),
                _ => self.ask_revision(),
            }
        }
    }

    /// Records a call, makes it, and records its outcome.
    pub fn call<T>(
        &mut self,
        (group, key): (&str, &str),
        action: Action,
        make: impl FnOnce(&Self) -> Result<T>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Option<T> {
        let id = self.client.call_number();
        let (group, key) = (group.to_owned(), key.to_owned());
        self.client.journal.note(&Record::Call { id, at_ns: now_ns(), group, key, action });
        let made = make(self);
        let at_ns = now_ns();
        let outcome = match &made {
            Ok(made) => outcome(made),
            Err(error) => self.failure(error),
        };
        self.client.journal.note(&Record::Return { id, at_ns, outcome });
        made.ok()
    }

    fn failure(&self, error: &Error) -> Outcome {
        match error {
            Error::Unknown { .. } => Outcome::Unknown,
            Error::Conflict { actual, .. } => Outcome::Conflict(actual.map(|revision| revision.0)),
            Error::Unreachable { .. } => Outcome::Failed("unreachable".into()),
            Error::Contended { .. } => Outcome::Failed("contended".into()),
            Error::QuotaExceeded { .. } => Outcome::Failed("quota".into()),
            Error::SnapshotLost { .. } => Outcome::Failed("snapshot lost".into()),
            Error::ClusterRestored { .. } => Outcome::Failed(RESTORED.into()),
            Error::Unauthorized { .. } => {
                thread::sleep(PAUSE);
                Outcome::Failed(UNAUTHORIZED.into())
            }
            error => {
                self.violation(format!("an unexpected error: {error}"));
                Outcome::Unknown
            }
        }
    }

    pub fn violation(&self, what: String) {
        self.client.journal.note(&Record::Violation(what));
    }

    /// Reads something from one snapshot, and records a violation if `wrong` finds one.
    pub fn check_read<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T>,
        wrong: impl FnOnce(T) -> Option<String>,
    ) {
        match read(self) {
            Ok(seen) => wrong(seen).into_iter().for_each(|what| self.violation(what)),
            Err(error) => drop(self.failure(&error)),
        }
    }

    fn value(&mut self) -> i64 {
        self.client.call_number() as i64 * STRIDE
    }

    pub fn mark(&mut self) -> String {
        format!("mark-{}", self.client.call_number())
    }

    fn use_register(&mut self) {
        let key = self.random.below(REGISTER_KEYS).to_string();
        let (target, value) = ((REGISTERS, &*key), self.value());
        let seen = self.seen.get(&key).copied();
        let set_if = |worker: &mut Self, requirement: Requirement| {
            let condition = match requirement {
                Requirement::Absent => Condition::Absent,
                Requirement::Present => Condition::Present,
                Requirement::Revision(revision) => Condition::Revision(Revision(revision)),
            };
            worker.call(
                target,
                Action::SetIf(requirement, value),
                |worker| worker.store.set_if(REGISTERS, &key, condition, value.to_string()),
                written,
            )
        };
        let revision = match (self.random.below(20), seen) {
            (0..4, _) => self.call(
                target,
                Action::Set(value),
                |worker| worker.store.set(REGISTERS, &key, value.to_string()),
                written,
            ),
            (4..6, _) => set_if(self, Requirement::Absent),
            (6, _) => set_if(self, Requirement::Present),
            (7..10, Some(seen)) => set_if(self, Requirement::Revision(seen)),
            (10..12, _) => {
                let deleted = |was_there: &bool| Outcome::Deleted(*was_there);
                self.call(target, Action::Delete, |worker| worker.store.delete(REGISTERS, &key), deleted);
                None
            }
            (12, Some(seen)) => {
                self.call(
                    target,
                    Action::DeleteIf(seen),
                    |worker| worker.store.delete_if(REGISTERS, &key, Condition::Revision(Revision(seen))),
                    |was_there| Outcome::Deleted(*was_there),
                );
                None
            }
            (13, _) => {
                let by = 1 + self.random.below(3) as i64;
                let sum = |sum: &i64| Outcome::Sum(*sum);
                let increment = |worker: &Self| worker.store.increment(REGISTERS, &key, by);
                self.call(target, Action::Increment(by), increment, sum);
                None
            }
            _ => return self.read_register(&key),
        };
        if let Some(revision) = revision {
            self.seen.insert(key, revision.0);
        }
    }

    fn read_register(&mut self, key: &str) {
        let found = |entry: &Option<Entry>| {
            let parts = |entry: &Entry| (entry.value.parse().unwrap(), Some(entry.revision.0));
            Outcome::Found(entry.as_ref().map(parts))
        };
        let read = |worker: &Self| worker.store.entry(REGISTERS, key);
        if let Some(entry) = self.call((REGISTERS, key), Action::Read, read, found).flatten() {
            self.seen.insert(key.to_owned(), entry.revision.0);
        }
    }

    fn count(&mut self) {
        let key = self.random.below(COUNTER_KEYS).to_string();
        let increment = |worker: &Self| worker.store.increment(COUNTERS, &key, 1);
        self.call((COUNTERS, &key), Action::Increment(1), increment, |sum| Outcome::Sum(*sum));
    }

    fn set_together(&mut self) {
        let value = self.value();
        let commit = |worker: &Self| {
            let batch = worker.store.batch();
            TOGETHER
                .iter()
                .fold(batch, |batch, (group, key)| batch.set(group, *key, value.to_string()))
                .commit()
        };
        self.call((TOGETHER[0].0, ALL), Action::Set(value), commit, written);
    }

    fn read_together(&mut self) {
        // From a snapshot of all groups, from a single read of one group, or in a transaction.
        let way = self.random.below(3);
        let seen = self.call(
            (TOGETHER[0].0, ALL),
            Action::Read,
            |worker| match way {
                0 => {
                    let snapshot = worker.store.snapshot()?;
                    all_of(&snapshot)
                }
                1 => {
                    let group = worker.store.get_all(TOGETHER[0].0)?;
                    Ok(group.into_iter().map(|(_, value)| Some((value.parse().unwrap(), None))).collect())
                }
                _ => worker.store.transaction(|transaction| all_of(transaction)),
            },
            |seen: &Vec<Seen>| Outcome::Found(seen.first().copied().flatten()),
        );
        if let Some(seen) = seen.filter(|seen| seen.iter().any(|other| *other != seen[0])) {
            self.violation(format!("half a batch was seen: {seen:?}"));
        }
    }

    fn transfer(&mut self) {
        let (from, to) = (self.random.below(ACCOUNT_KEYS), self.random.below(ACCOUNT_KEYS - 1));
        let to = if to >= from { to + 1 } else { to };
        let amount = 1 + self.random.below(20) as i64;
        let mark = self.mark();
        let whose = self.random.below(4).to_string();
        let (action, stored) = (Action::Mark(mark.clone()), mark);
        let move_it = |worker: &Self| {
            worker.store.transaction(|transaction| {
                let balance = |account: u64| -> Result<i64> {
                    let value = transaction.get(ACCOUNTS, account.to_string())?;
                    Ok(value.map_or(0, |value| value.parse().unwrap()))
                };
                let (left, right) = (balance(from)? - amount, balance(to)? + amount);
                transaction.set(ACCOUNTS, from.to_string(), left.to_string())?;
                transaction.set(ACCOUNTS, to.to_string(), right.to_string())?;
                transaction.set(TRANSFERS, &whose, &*stored)
            })
        };
        self.call((TRANSFERS, &whose), action, move_it, |()| Outcome::Done);
    }

    fn audit(&mut self) {
        let way = self.random.below(3);
        let read = |worker: &Self| match way {
            0 => {
                let snapshot = worker.store.snapshot()?;
                sum(&snapshot)
            }
            1 => sum(worker.store),
            _ => worker.store.transaction(|transaction| sum(transaction)),
        };
        let wanted = ACCOUNT_KEYS as i64 * ACCOUNT_START;
        self.check_read(read, |sum| {
            (sum != wanted).then(|| format!("the accounts hold {sum} in total, way {way}"))
        });
    }

    fn start_session(&mut self) {
        let key = self.random.below(SESSION_KEYS).to_string();
        let ttl = Duration::from_millis(50 + self.random.below(2500));
        let mark = self.mark();
        let (action, stored) = (Action::Mark(mark.clone()), mark);
        let set = |worker: &Self| worker.store.set_with_ttl(SESSIONS, &key, &*stored, ttl);
        self.call((SESSIONS, &key), action, set, written);
    }

    /// Checks that no read returns an expired entry.
    fn check_session(&mut self) {
        let key = self.random.below(SESSION_KEYS).to_string();
        let way = self.random.below(3);
        let clock = &self.client.clock;
        let (began, ahead_ms) = (clock.now(), clock.ahead_ms());
        let read = |worker: &Self| -> Result<Vec<SystemTime>> {
            let expiries = |view: &View| -> Result<Vec<SystemTime>> {
                let entries = view.entries(SESSIONS)?.collect::<Result<Vec<_>>>()?;
                Ok(entries.into_iter().filter_map(|entry| entry.expires_at).collect())
            };
            match way {
                0 => expiries(worker.store),
                1 => worker.store.transaction(|transaction| expiries(transaction)),
                _ => {
                    let entry = worker.store.entry(SESSIONS, &key)?;
                    Ok(entry.into_iter().filter_map(|entry| entry.expires_at).collect())
                }
            }
        };
        self.check_read(read, |expiries| {
            let late = expiries.into_iter().find(|expires_at| *expires_at <= began)?;
            if clock.ahead_ms() != ahead_ms {
                // The clock was set meanwhile.
                return None;
            }
            Some(format!("an entry was read {:?} after it expired, way {way}", began.duration_since(late)))
        });
    }

    fn extend_lease(&mut self) {
        let key = self.random.below(3).to_string();
        let ttl = Duration::from_millis(100 + self.random.below(1000));
        match self.random.below(4) {
            0 => self.check_read(|worker| worker.store.persist(LEASES, &*key), |_| None),
            1 => self.check_read(|worker| worker.store.touch(LEASES, &*key, ttl), |_| None),
            _ => self.check_read(|worker| worker.store.set_with_ttl(LEASES, &*key, "held", ttl), |_| None),
        }
    }

    fn ask_revision(&mut self) {
        let latest = |revision: &Revision| Outcome::Latest(revision.0);
        self.call(("", ""), Action::Latest, |worker| worker.store.revision(), latest);
    }
}

/// A value with its revision.
type Seen = Option<(i64, Option<u64>)>;

fn all_of(view: &View) -> Result<Vec<Seen>> {
    let read = |(group, key): &(&str, &str)| {
        let entry = view.entry(group, key)?;
        Ok(entry.map(|entry| (entry.value.parse().unwrap(), Some(entry.revision.0))))
    };
    TOGETHER.iter().map(read).collect()
}

fn sum(view: &View) -> Result<i64> {
    Ok(view.get_all(ACCOUNTS)?.iter().map(|(_, value)| value.parse::<i64>().unwrap()).sum())
}

pub fn written(revision: &Revision) -> Outcome {
    Outcome::Written(revision.0)
}
