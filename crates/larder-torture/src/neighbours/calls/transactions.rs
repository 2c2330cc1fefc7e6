//! Transactions, which run on once their futures were polled.

use std::sync::{Arc, Mutex, PoisonError};

use larder::{ErrorKind, Transaction};

use super::reads::{seen, whole};
use super::{COUNTERS, Caller, Came, came};
use crate::face::{call, dropped_after};
use crate::neighbours::history::{Asked, Effect};

impl Caller<'_> {
    /// Reads two entries, and writes what depends on them.
    pub(super) fn transaction(&mut self) -> Came {
        let (from, to, key) = (self.group(), self.group(), self.key());
        let counter = COUNTERS[self.random.place(2)];
        let value = self.value();
        let written = value.clone();
        let body = move |tx: &Transaction| {
            let looks = vec![seen(from, key, tx.entry(from, key)?.as_ref()), whole(to, &tx.get_all(to)?)];
            tx.set(to, key, written.as_str())?;
            Ok((looks, tx.increment("counters", counter, 1)?))
        };
        let effects = |after| {
            let (group, key, value) = (to.to_owned(), key.to_owned(), value.clone());
            let number =
                Effect::Increment { group: "counters".into(), key: counter.to_owned(), by: 1, result: after };
            vec![Effect::Set { group, key, value, expires: None }, number]
        };
        self.asks_for(&effects(None));
        let result = call!(self.calling, |store| store.transaction(body));
        // A counter that was not raised has this number all the same, by somebody else.
        let (seen, after) = match &result {
            Ok((seen, after)) => (seen.clone(), Some(*after)),
            Err(_) => (Vec::new(), None),
        };
        let effects = effects(after);
        Came { runs_on: true, ..came(Asked::Write { seen, effects }, result.map(|_| None)) }
    }

    /// A transaction that only reads, and ends with an error of its own: nothing is written, whatever becomes of its
    /// future.
    pub(super) fn give_up(&mut self) -> Came {
        let (group, key, value) = (self.group(), self.key(), self.value());
        let effects = vec![Effect::Set {
            group: group.to_owned(),
            key: key.to_owned(),
            value: value.clone(),
            expires: None,
        }];
        let looks = Arc::new(Mutex::new(Vec::new()));
        let seen_there = Arc::clone(&looks);
        let body = move |tx: &Transaction| -> larder::Result<()> {
            let look = seen(group, key, tx.entry(group, key)?.as_ref());
            *seen_there.lock().unwrap_or_else(PoisonError::into_inner) = vec![look];
            tx.set(group, key, value.as_str())?;
            Err(larder::Error::other(Abandoned))
        };
        match call!(self.calling, |store| store.transaction(body)) {
            Err(error) if error.kind() == ErrorKind::Other && dropped_after(&error).is_none() => {
                let looks = std::mem::take(&mut *looks.lock().unwrap_or_else(PoisonError::into_inner));
                came(Asked::Read(looks), Ok(None))
            }
            result => came(Asked::Write { seen: Vec::new(), effects }, result.map(|()| None)),
        }
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
