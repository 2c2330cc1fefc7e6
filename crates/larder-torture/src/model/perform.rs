//! Makes the writes of a sequence: single changes, batches and transactions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use larder::{Batch, Condition, Error, Result, Revision, Transaction};

use super::face::{Face, call};
use super::plain::{EntryName, Plain, Refusal, Step, When};

/// What conditions and times mean at a moment of the model.
#[derive(Clone)]
pub struct Meaning {
    pub plain: Plain,
    pub now: SystemTime,
}

impl Meaning {
    pub fn condition(&self, at: &EntryName, when: When) -> Condition {
        condition(when, Revision(self.plain.rows.get(&at.owned()).map_or(0, |row| row.revision)))
    }

    pub fn until(&self, ms: u64) -> SystemTime {
        self.now + Duration::from_millis(ms)
    }
}

fn condition(when: When, revision: Revision) -> Condition {
    match when {
        When::Absent => Condition::Absent,
        When::Present => Condition::Present,
        When::Unchanged => Condition::Revision(revision),
        When::Changed => Condition::Revision(revision.next()),
    }
}

/// Makes one change. `strip` is what comes before the names of the groups within the store.
pub fn one<S: 'static>(face: &Face<S>, step: &Step, strip: &str, meaning: &Meaning) -> Result<i64> {
    let name = |group: &'static str| group.strip_prefix(strip).unwrap_or(group);
    by_method!(call, face, step, name, |at, when| meaning.condition(at, when), |ms| meaning.until(ms))
}

macro_rules! plainly {
    ($on:expr, |$store:ident| $call:expr) => {{
        let $store = $on;
        $call
    }};
}

fn within(tx: &Transaction, step: &Step, plain: &Plain, begun: &Meaning) -> Result<i64> {
    // What the transaction wrote itself has a revision that only it knows.
    let condition = |at: &EntryName, when| {
        let own = plain.rows.get(&at.owned()).filter(|row| row.revision > begun.plain.revision);
        let seen = own.and_then(|_| tx.entry(at.group, at.key).ok().flatten()).map(|entry| entry.revision);
        seen.map_or_else(
            || Meaning::condition(&Meaning { plain: plain.clone(), now: begun.now }, at, when),
            |seen| condition(when, seen),
        )
    };
    by_method!(plainly, tx, step, |group| group, condition, |ms| begun.until(ms))
}

/// Adds conditions and steps to a batch.
pub fn batch<F>(
    mut batch: Batch<F>,
    requires: &[(EntryName, When)],
    steps: &[Step],
    meaning: &Meaning,
) -> Batch<F> {
    for (at, when) in requires {
        batch = batch.require(at.group, at.key, meaning.condition(at, *when));
    }
    for step in steps {
        let until = |in_ms: &Option<u64>| in_ms.map(|ms| meaning.until(ms));
        batch = match step {
            Step::Set { at, value, ttl_ms: None } => batch.set(at.group, at.key, value),
            Step::Set { at, value, ttl_ms: Some(ttl) } => {
                batch.set_with_ttl(at.group, at.key, value, Duration::from_millis(*ttl))
            }
            Step::SetUntil { at, value, in_ms } => batch.set_until(at.group, at.key, value, until(in_ms)),
            Step::SetIf { at, when, value, ttl_ms: None } => {
                batch.set_if(at.group, at.key, meaning.condition(at, *when), value)
            }
            Step::SetIf { at, when, value, ttl_ms: Some(ttl) } => {
                let condition = meaning.condition(at, *when);
                batch.set_if_with_ttl(at.group, at.key, condition, value, Duration::from_millis(*ttl))
            }
            Step::Touch { at, ttl_ms } => batch.touch(at.group, at.key, Duration::from_millis(*ttl_ms)),
            Step::Persist { at } => batch.persist(at.group, at.key),
            Step::Increment { at, by } => batch.increment(at.group, at.key, *by),
            Step::Delete { at } => batch.delete(at.group, at.key),
            Step::DeleteIf { at, when } => batch.delete_if(at.group, at.key, meaning.condition(at, *when)),
            Step::DeleteGroup { group } => batch.delete_group(group),
            Step::DeletePrefix { prefix } => batch.delete_prefix(prefix),
        };
    }
    batch
}

/// What the closure of a transaction did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub any: bool,
    pub given_up: Option<Refusal>,
    pub complaint: Option<String>,
}

/// The closure of a transaction, and what it did when it ran last.
pub fn transaction(
    steps: &[Step],
    stubborn: bool,
    abort: bool,
    begun: &Meaning,
) -> (impl FnMut(&Transaction) -> Result<()> + Send + 'static, Arc<Mutex<Done>>) {
    let (steps, begun) = (steps.to_vec(), begun.clone());
    let note = Arc::new(Mutex::new(Done::default()));
    let noted = Arc::clone(&note);
    let body = move |tx: &Transaction| {
        let mut plain = begun.plain.clone();
        let mut done = Done::default();
        let answer = steps.iter().try_for_each(|step| {
            let answer = within(tx, step, &plain, &begun);
            let expected = plain.checked_step(step);
            if !agree(&answer, &expected.clone().map(|(_, outcome)| outcome)) {
                done.complaint =
                    Some(format!("in the transaction, {step:?} answered {answer:?} instead of {expected:?}"));
            }
            done.any |= expected.as_ref().is_ok_and(|(changed, _)| *changed);
            match (expected, answer) {
                (Err(refusal), Err(error)) if !stubborn => {
                    done.given_up = Some(refusal);
                    Err(error)
                }
                _ => Ok(()),
            }
        });
        let count = tx.count_all("").ok();
        if answer.is_ok() && count != Some(plain.usage("").keys) {
            done.complaint =
                Some(format!("the transaction counts {count:?} keys instead of {}", plain.usage("").keys));
        }
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = done;
        if abort && answer.is_ok() { Err(Error::other("given up")) } else { answer }
    };
    (body, note)
}

/// Whether an answer is the expected one.
pub fn agree<T: PartialEq>(answer: &Result<T>, expected: &Result<T, Refusal>) -> bool {
    match (answer, expected) {
        (Ok(answer), Ok(expected)) => answer == expected,
        (Err(error), Err(refusal)) => refusal.is(error),
        _ => false,
    }
}
