//! Whether a store kept what it promised: compares what its clients were told with what it holds in the end.
//!
//! The store's own log orders all writes by their revisions. So the judge needs no search: it replays the log, and looks
//! whether each answer fits somewhere between what was acknowledged before the call and what was asked before its
//! answer. The log itself is read with plain SQL.

mod feeds;
mod held;
mod lineages;

use std::collections::{BTreeMap, BTreeSet};

pub use self::held::Held;
use self::held::{Row, State};
pub use self::lineages::{Evidence, Found};
use super::calls::{COUNTER, NAMESPACE};
use super::history::{Asked, Effect, Record, Told};

/// The values that a write sets: no two writes set the same.
fn values(record: &Record) -> Vec<String> {
    match (&record.asked, &record.told) {
        (Asked::Write { effects, .. }, _) => effects.iter().filter_map(set_by).cloned().collect(),
        (Asked::Increment, Told::Counted(number)) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

fn set_by(effect: &Effect) -> Option<&String> {
    match effect {
        Effect::Set { value, .. } => Some(value),
        _ => None,
    }
}

/// Where each value was set.
type Revisions<'a> = BTreeMap<&'a String, u64>;

/// An answer that some state must explain, and between which revisions that state must have been.
struct Window<'a> {
    record: &'a Record,
    first: u64,
    last: u64,
    fits: bool,
}

impl Window<'_> {
    fn is_explained_by(&self, state: &State, max_keys: u64) -> bool {
        match (&self.record.asked, &self.record.told) {
            (Asked::Write { needs, .. }, Told::Conflict) => needs.iter().any(|need| !state.holds(need)),
            (Asked::Write { effects, .. }, Told::OverQuota) => {
                let mut state = state.clone();
                for effect in effects {
                    state.apply(u64::MAX, effect);
                }
                state.keys(NAMESPACE) > max_keys
            }
            (asked, _) => state.is_shown_by(asked, (self.record.from, self.record.until)),
        }
    }
}

/// What is wrong with a store, of which these are the calls. `base` is the latest revision that it has from a backup, and
/// `max_keys` is how many keys the namespace may have.
fn judge(records: &[Record], held: &Held, base: u64, max_keys: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let revision_of: Revisions<'_> = held
        .log
        .iter()
        .flat_map(|(revision, rows)| {
            rows.iter().filter_map(|row| Some((row.change.value.as_ref()?, *revision)))
        })
        .collect();
    let claimed = claim(records, &revision_of, &mut wrong);
    let mut windows = windows(records, &revision_of, &claimed, held, base, &mut wrong);
    let mut state = State::default();
    let mut place = |state: &State, from: u64, to: u64| {
        for window in windows.iter_mut().filter(|window| window.first < to && window.last >= from) {
            window.fits = window.fits || window.is_explained_by(state, max_keys);
        }
    };
    let mut uncounted = records
        .iter()
        .filter(|record| {
            matches!((&record.asked, &record.told), (Asked::Increment, Told::Unknown(_) | Told::Dropped))
        })
        .count();
    let mut before = 0;
    for (revision, rows) in &held.log {
        place(&state, before, *revision);
        before = *revision;
        match claimed.get(revision) {
            Some(record) if *revision <= base => {
                wrong.push(format!("revision {revision} was there before this began: {record:?}"));
            }
            None if *revision <= base => {}
            Some(record) => wrong.extend(differs(&state, *revision, rows, record)),
            None if rows.iter().all(|row| row.change.kind == "expire") => {}
            None if is_increment(&state, rows) && uncounted > 0 => uncounted -= 1,
            None => wrong.push(format!("nobody wrote revision {revision}: {rows:?}")),
        }
        wrong.extend(rows.iter().filter_map(|row| state.replay(*revision, row)));
        if state.keys(NAMESPACE) > max_keys {
            wrong.push(format!("revision {revision} exceeds the quota"));
        }
    }
    place(&state, before, u64::MAX);
    for window in windows.iter().filter(|window| !window.fits) {
        wrong.push(format!(
            "no state between revisions {} and {} explains this: {:?}",
            window.first, window.last, window.record
        ));
    }
    if state != held.state {
        wrong.push(format!("the log leads to {state:?}, and the entries are {:?}", held.state));
    }
    wrong
}

/// Which record wrote which revision.
fn claim<'a>(
    records: &'a [Record],
    revision_of: &Revisions<'_>,
    wrong: &mut Vec<String>,
) -> BTreeMap<u64, &'a Record> {
    let mut claimed: BTreeMap<u64, &Record> = BTreeMap::new();
    for record in records {
        let found: BTreeSet<u64> =
            values(record).iter().filter_map(|value| revision_of.get(value).copied()).collect();
        let is_write = matches!(record.asked, Asked::Write { .. } | Asked::Increment);
        match &record.told {
            Told::Refused(_) | Told::Conflict | Told::OverQuota if !found.is_empty() => {
                wrong.push(format!("a refused write is there: {record:?}"));
            }
            Told::Done(Some(revision)) if is_write && !found.contains(revision) => {
                wrong.push(format!(
                    "an acknowledged write is not at its revision but at {found:?}: {record:?}"
                ));
            }
            Told::Done(None) | Told::Counted(_) if is_write && found.is_empty() => {
                wrong.push(format!("an acknowledged write is nowhere: {record:?}"));
            }
            _ => {}
        }
        if found.len() > 1 {
            wrong.push(format!("one write is at several revisions, {found:?}: {record:?}"));
        }
        for revision in found {
            if let Some(other) = claimed.insert(revision, record) {
                wrong.push(format!("two writes share revision {revision}: {other:?} and {record:?}"));
            }
        }
    }
    claimed
}

/// What a revision has that its writer did not ask for, or lacks.
fn differs(state: &State, revision: u64, rows: &[Row], record: &Record) -> Option<String> {
    let mut after = state.clone();
    let expected: Vec<_> = match (&record.asked, &record.told) {
        (Asked::Write { needs, effects }, _) => {
            if let Some(need) = needs.iter().find(|need| !state.holds(need)) {
                return Some(format!(
                    "revision {revision} was written although {need:?} did not hold: {record:?}"
                ));
            }
            effects.iter().filter_map(|effect| after.apply(revision, effect)).collect()
        }
        (Asked::Increment, Told::Counted(number)) if *number == counted(state) + 1 => return None,
        _ => return Some(format!("revision {revision} is {rows:?}, after {}: {record:?}", counted(state))),
    };
    // An expired entry that is written to is removed first.
    let changes = rows.iter().map(|row| &row.change).filter(|change| change.kind != "expire");
    let is_same = expected.iter().eq(changes);
    (!is_same).then(|| format!("revision {revision} holds {rows:?} and not {expected:?}"))
}

fn counted(state: &State) -> i64 {
    state.counter(COUNTER.0, COUNTER.1)
}

/// Whether these rows are one more in the counter.
fn is_increment(state: &State, rows: &[Row]) -> bool {
    let [Row { change, .. }] = rows else { return false };
    let next = (counted(state) + 1).to_string();
    (change.group.as_str(), change.key.as_deref()) == (COUNTER.0, Some(COUNTER.1))
        && change.value == Some(next)
}

/// The latest revision that a record proves was there when it returned.
fn proven(record: &Record, revision_of: &Revisions<'_>) -> u64 {
    let latest = |values: &mut dyn Iterator<Item = &String>| {
        values.filter_map(|value| revision_of.get(value).copied()).max().unwrap_or_default()
    };
    match (&record.asked, &record.told) {
        (Asked::Write { .. }, Told::Done(Some(revision))) => *revision,
        (Asked::Write { .. }, Told::Done(None)) | (Asked::Increment, Told::Counted(_)) => {
            latest(&mut values(record).iter())
        }
        (Asked::Entry { found: Some((revision, _)), .. }, Told::Done(_)) => *revision,
        (Asked::Snapshot { revision, .. }, Told::Done(_)) => *revision,
        (Asked::Group { found, .. }, Told::Done(_)) => latest(&mut found.iter().map(|(_, value)| value)),
        (Asked::Backup { found }, Told::Done(_)) => {
            found.values().map(|(revision, _)| *revision).max().unwrap_or_default()
        }
        _ => 0,
    }
}

/// Between which revisions the state of each answer must have been; and whether writes have their revisions in the
/// order of time.
fn windows<'a>(
    records: &'a [Record],
    revision_of: &Revisions<'_>,
    claimed: &BTreeMap<u64, &Record>,
    held: &Held,
    base: u64,
    wrong: &mut Vec<String>,
) -> Vec<Window<'a>> {
    let mut windows = Vec::new();
    for record in records {
        let earlier = records.iter().filter(|other| other.returned < record.invoked);
        let first = earlier.map(|other| proven(other, revision_of)).max().unwrap_or_default().max(base);
        let is_write = matches!(record.asked, Asked::Write { .. } | Asked::Increment);
        match &record.told {
            Told::Done(_) | Told::Counted(_) if is_write => {
                let revision = proven(record, revision_of);
                if revision <= first {
                    wrong.push(format!("revision {first} was there before this began: {record:?}"));
                }
                let dropped = records.iter().filter(|other| {
                    other.told == Told::Dropped
                        && other.process == record.process
                        && other.returned < record.invoked
                        && values(other).iter().any(|value| revision_of.get(value) > Some(&revision))
                });
                wrong.extend(dropped.map(|other| format!("{other:?} was made after {record:?}")));
            }
            Told::Done(_) | Told::Conflict | Told::OverQuota => {
                let asked = records.iter().filter(|other| other.invoked < record.returned);
                let asked = asked.flat_map(values).filter_map(|value| revision_of.get(&value).copied());
                // What nobody claims, an expiry or an increment whose outcome is unknown, may follow right after.
                let mut last = asked.max().unwrap_or_default().max(first);
                let later = held.log.range(last + 1..).map(|(revision, _)| *revision);
                last = later.take_while(|revision| !claimed.contains_key(revision)).last().unwrap_or(last);
                let window = match &record.asked {
                    Asked::Snapshot { revision, .. } if *revision < first || *revision > last => {
                        wrong.push(format!("not between revisions {first} and {last}: {record:?}"));
                        continue;
                    }
                    Asked::Snapshot { revision, .. } => (*revision, *revision),
                    _ => (first, last),
                };
                windows.push(Window { record, first: window.0, last: window.1, fits: false });
            }
            _ => {}
        }
    }
    windows
}
