//! Whether a store kept what it promised: compares what its clients were told with what it holds in the end.
//!
//! The store's own log orders all writes by their revisions. So the judge needs no search: it replays the log, and looks
//! whether each answer fits somewhere between what was acknowledged before the call and what was asked before its
//! answer. The log itself is read with plain SQL.

mod held;
mod moments;
mod nameless;
mod quotas;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::held::{Change, Held, Row};
use self::moments::Moments;
use self::nameless::Nameless;
use self::quotas::{Quotas, Span};
use self::state::{Expected, State};
use crate::neighbours::history::{Asked, Effect, Limit, Look, Record, Told};

/// Where a value is in the log. No two writes set one key to the same value.
type Places<'a> = BTreeMap<(&'a str, &'a str, &'a str), BTreeSet<u64>>;

fn places(held: &Held) -> Places<'_> {
    let mut places = Places::new();
    for (revision, rows) in &held.log {
        for Change { group, key, value, .. } in rows.iter().map(|row| &row.change) {
            if let (Some(key), Some(value)) = (key, value) {
                places.entry((group, key, value)).or_default().insert(*revision);
            }
        }
    }
    places
}

/// At which revisions the values of a write are. What it does not name by a value is not looked for.
fn found(effects: &[Effect], places: &Places) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for effect in effects {
        let number;
        let (group, key, value) = match effect {
            Effect::Set { group, key, value, .. } => (group, key, value),
            Effect::Increment { group, key, result: Some(result), .. } => {
                number = result.to_string();
                (group, key, &number)
            }
            _ => continue,
        };
        found.extend(places.get(&(group.as_str(), key.as_str(), value.as_str())).into_iter().flatten());
    }
    found
}

/// Whether a write leaves something in the log that names it.
fn is_named(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Set { .. } | Effect::Increment { result: Some(_), .. }))
}

/// A call whose moment is to be found, and between which revisions it must be.
struct Window<'a> {
    record: &'a Record,
    first: u64,
    last: u64,
}

/// What is wrong with a run.
pub fn judge(records: &[Record], held: &Held) -> Vec<String> {
    let mut wrong = Vec::new();
    let places = places(held);
    let mut claimed: BTreeMap<u64, &Record> = BTreeMap::new();
    for record in records {
        let Asked::Write { effects, .. } = &record.asked else { continue };
        let mut found = found(effects, &places);
        match &record.told {
            Told::Refused(error) if !found.is_empty() => {
                wrong.push(format!("a refused write is there ({error}): {record:?}"));
            }
            Told::Done(Some(revision)) if is_named(effects) && !found.contains(revision) => {
                wrong.push(format!(
                    "an acknowledged write is not at its revision but at {found:?}: {record:?}"
                ));
            }
            Told::Done(None) if is_named(effects) && found.is_empty() => {
                wrong.push(format!("an acknowledged write is not there: {record:?}"));
            }
            // Only deletes: the log knows it by nothing but its revision, where one with that content is expected.
            Told::Done(Some(revision)) if !is_named(effects) => drop(found.insert(*revision)),
            Told::Done(_) | Told::Refused(_) | Told::Unknown(_) | Told::Dropped | Told::Killed => {}
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
    let moments = Moments::new(records, &places, &claimed);
    for (revision, record) in &claimed {
        let first = moments.proven_before(record.invoked);
        if *revision <= first {
            wrong.push(format!("revision {first} was there before this at {revision} began: {record:?}"));
        }
        let last = moments.last_before(record.returned);
        if record.told.is_cut_short() && *revision > last {
            wrong.push(format!(
                "a dropped write is at revision {revision}, after one asked for later: {record:?}"
            ));
        }
    }
    let mut windows: Vec<Window> = Vec::new();
    let mut nameless: Vec<Window> = Vec::new();
    for record in records {
        let window = Window {
            record,
            first: moments.proven_before(record.invoked),
            last: moments.last_before(record.returned),
        };
        match (&record.asked, &record.told) {
            (Asked::Read(_) | Asked::Copy { .. } | Asked::NoRoom { .. } | Asked::Quota(_), Told::Done(_)) => {
                windows.push(window)
            }
            (Asked::Write { effects, .. }, told)
                if (*told == Told::Done(None) || told.is_cut_short()) && !is_named(effects) =>
            {
                nameless.push(window);
            }
            (Asked::Write { effects, .. }, Told::Unknown(_)) if !is_named(effects) => {
                nameless.push(Window { last: u64::MAX, ..window });
            }
            _ => {}
        }
    }
    let quotas = Quotas::new(records, &moments);
    let mut replay = Replay {
        reads: Reads::new(windows, &quotas),
        nameless: Nameless::new(nameless),
        claimed,
        quotas: &quotas,
        state: State::default(),
        wrong,
    };
    let mut before = 0;
    for (revision, rows) in &held.log {
        replay.reads.place(&replay.state, before, *revision, &mut replay.wrong);
        before = *revision;
        replay.revision(*revision, rows);
    }
    replay.reads.place(&replay.state, before, u64::MAX, &mut replay.wrong);
    let Replay { mut reads, nameless, state, mut wrong, .. } = replay;
    reads.give_up(u64::MAX, &mut wrong);
    nameless.complain(&mut wrong);
    for namespace in quotas.namespaces() {
        let found = held.quotas.get(namespace).cloned().unwrap_or_else(|| Limit::unlimited(namespace));
        if !quotas.may_hold(namespace, Span::of_commit(u64::MAX)).any(|last| *last == found) {
            wrong.push(format!("in the end there is a quota that nobody set last: {found:?}"));
        }
    }
    if state.entries != held.entries {
        wrong.push(format!("the log leads to {:?}, and the entries are {:?}", state.entries, held.entries));
    }
    wrong
}

/// The log, as far as it was gone through.
struct Replay<'a> {
    reads: Reads<'a>,
    nameless: Nameless<'a>,
    claimed: BTreeMap<u64, &'a Record>,
    quotas: &'a Quotas,
    state: State,
    wrong: Vec<String>,
}

impl Replay<'_> {
    fn revision(&mut self, revision: u64, rows: &[Row]) {
        // Time makes an entry expire, not a client.
        let (expired, rest): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| row.change.kind == "expire");
        for row in expired {
            if let Some(complaint) = self.state.expire(row) {
                self.wrong.push(format!("revision {revision}: {complaint}"));
            }
        }
        match self.claimed.remove(&revision) {
            Some(record) => {
                if let Asked::Write { seen, effects } = &record.asked {
                    if let Some(look) = seen.iter().find(|look| !self.state.shows(look, record.wall)) {
                        self.wrong.push(format!(
                            "revision {revision} follows a state that did not show {look:?}: {record:?}"
                        ));
                    }
                    let expected = self.state.after(revision, effects);
                    if !fit(&expected, &rest) {
                        self.wrong.push(format!("revision {revision} holds {rest:?} and not {expected:?}"));
                    }
                }
            }
            None if rest.is_empty() => {}
            None => self.nameless.look(&self.state, revision, &rest),
        }
        let at = rows.iter().map(|row| row.at).max().unwrap_or_default();
        let is_of = |namespace: &&str| rows.iter().any(|row| state::is_of(&row.change.group, namespace));
        let limited = self.quotas.namespaces().filter(is_of);
        let held: Vec<_> = limited.map(|namespace| (namespace, self.state.usage(namespace, at))).collect();
        for row in &rest {
            self.state.replay(revision, row);
        }
        for group in rows.iter().map(|row| &row.change.group) {
            self.reads.touch(group);
        }
        for (namespace, before) in held {
            let after = self.state.usage(namespace, at);
            let mut quotas = self.quotas.may_hold(namespace, Span::of_commit(revision));
            if quotas.all(|limit| limit.refuses(before, after)) {
                let quotas: Vec<_> = self.quotas.may_hold(namespace, Span::of_commit(revision)).collect();
                self.wrong.push(format!(
                    "revision {revision} exceeds the quota: {namespace} held {before:?} and then {after:?}, and may hold {quotas:?}"
                ));
            }
        }
    }
}

/// Whether the rows of the log are those that a write makes.
fn fit(expected: &[Expected], rows: &[&Row]) -> bool {
    let same = |((change, expires), row): (&Expected, &&Row)| {
        let in_time = match (expires, row.expires_at) {
            (None, None) => true,
            (Some((from, to)), Some(at)) => (*from..=*to).contains(&at),
            _ => false,
        };
        *change == row.change && in_time
    };
    expected.len() == rows.len() && expected.iter().zip(rows).all(same)
}

/// The reads that no state was found for yet.
struct Reads<'a> {
    /// Those to come, the next one last.
    waiting: Vec<Window<'a>>,
    /// Those whose first revision is reached.
    active: Vec<Window<'a>>,
    /// Groups that changed since the active ones were last looked at.
    touched: BTreeSet<String>,
    /// How copies that do not fit differ from the state at their revision, by the moments when they were asked for.
    differing: BTreeMap<u64, String>,
    quotas: &'a Quotas,
}

impl<'a> Reads<'a> {
    fn new(mut windows: Vec<Window<'a>>, quotas: &'a Quotas) -> Self {
        windows.sort_by_key(|window| std::cmp::Reverse(window.first));
        Self {
            waiting: windows,
            active: Vec::new(),
            touched: BTreeSet::new(),
            differing: BTreeMap::new(),
            quotas,
        }
    }

    fn touch(&mut self, group: &str) {
        if !self.active.is_empty() && !self.touched.contains(group) {
            self.touched.insert(group.to_owned());
        }
    }

    /// Looks which reads show `state`, which was there from one revision until before another.
    fn place(&mut self, state: &State, from: u64, to: u64, wrong: &mut Vec<String>) {
        self.give_up(from, wrong);
        let touched = std::mem::take(&mut self.touched);
        self.active
            .retain(|window| !window.is_touched(&touched) || !window.fits(state, from, to, self.quotas));
        while self.waiting.last().is_some_and(|window| window.first < to) {
            let Some(window) = self.waiting.pop() else { break };
            if window.last < from || !window.fits(state, from, to, self.quotas) {
                self.active.push(window);
            }
        }
        for window in &self.active {
            if let Some(differs) = window.differs(state, from, to) {
                self.differing.insert(window.record.invoked, differs);
            }
        }
    }

    /// Complains of those that had to be before a revision.
    fn give_up(&mut self, from: u64, wrong: &mut Vec<String>) {
        let late = |window: &Window| window.last < from || from == u64::MAX;
        for Window { record, first, last } in self.active.iter().filter(|window| late(window)) {
            let differs = self.differing.get(&record.invoked).cloned().unwrap_or_default();
            wrong.push(format!(
                "a read shows no state between revisions {first} and {last}: {differs}{record:?}"
            ));
        }
        self.active.retain(|window| !late(window));
    }
}

impl Window<'_> {
    /// Whether it shows a state that was there from one revision until before another.
    fn fits(&self, state: &State, from: u64, to: u64, quotas: &Quotas) -> bool {
        let Record { invoked, returned, wall, ref asked, .. } = *self.record;
        let (begins, ends) = (from.max(self.first), to.min(self.last.saturating_add(1)));
        let span = Span { begins, ends, invoked, returned };
        match asked {
            Asked::Read(looks) => looks.iter().all(|look| state.shows(look, wall)),
            Asked::Copy { revision, found } => {
                (begins..ends).contains(revision) && found.iter().all(|look| state.shows(look, wall))
            }
            Asked::NoRoom { effects, namespace, resource, limit, wanted } => {
                let usages = state.usages(namespace, effects, wall);
                quotas.may_hold(namespace, span).any(|quota| {
                    let refuses = |(before, after): &(_, _)| {
                        quota.refuses_for(*before, *after, resource, *limit, *wanted)
                    };
                    usages.iter().any(refuses)
                })
            }
            Asked::Quota(found) => quotas.may_hold(&found.namespace, span).any(|quota| quota == found),
            Asked::Write { .. } | Asked::SetQuota(_) => false,
        }
    }

    /// How a copy differs from the state at its revision, if that was there from one revision until before another.
    fn differs(&self, state: &State, from: u64, to: u64) -> Option<String> {
        let Asked::Copy { revision, found } = &self.record.asked else { return None };
        let looks = found.iter().filter(|look| !state.shows(look, self.record.wall));
        (from..to).contains(revision).then(|| looks.map(|look| state.difference(look)).collect())
    }

    /// Whether a change of these groups may make it fit. A copy, and what depends on a quota, may fit at any revision.
    fn is_touched(&self, groups: &BTreeSet<String>) -> bool {
        let Asked::Read(looks) = &self.record.asked else { return true };
        looks.iter().any(|look| match look {
            Look::Entry { group, .. }
            | Look::Value { group, .. }
            | Look::Differs { group, .. }
            | Look::Group { group, .. }
            | Look::Count { group, whole: true, .. } => groups.contains(group),
            Look::Count { group, .. } => groups.iter().any(|name| name.starts_with(group)),
        })
    }
}
