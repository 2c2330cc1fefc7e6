//! Runs a sequence on a store and on the model, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use larder::{AsyncSnapshot, Clock, Event, Revision, Snapshot};

use super::call::{Call, Cut, Sequence, Setup};
use super::face::{AnyView, BOUND, Driver, Face, Kind, Looker, call};
use super::feeds::Feed;
use super::listeners::Listener;
use super::looks::{self, Depth, failed, same};
use super::names::namespace_of;
use super::perform::{self, Meaning, agree};
use super::place::{Engine, Place};
use super::plain::{EntryName, Plain, Refusal, Row, Step};
use super::replay::Replay;
use super::restores::Saved;
use super::wanted::Wanted;
use super::{Outcome, Plant};

/// When a sequence began: the model counts milliseconds from there.
#[derive(Clone, Copy, Debug)]
pub struct Began(pub SystemTime);

/// A store and its model.
pub struct Run<'a> {
    pub place: &'a Place,
    pub setup: Setup,
    pub plant: Option<Plant>,
    pub face: Face,
    /// A second handle of the same data, or the same one.
    pub other: Face,
    /// Where copies go.
    pub target: Face,
    pub plain: Plain,
    pub replay: Replay,
    pub began: Began,
    pub feeds: Vec<Feed>,
    /// The place in the log after what each cursor has acknowledged, and what it wants.
    pub cursors: BTreeMap<&'static str, (usize, Wanted)>,
    pub listeners: Vec<Listener>,
    pub held: Option<(Held, Plain)>,
    pub saved: Option<Saved>,
    /// The cursors that were not moved since the store was restored.
    pub unaware: BTreeSet<&'static str>,
    /// How many calls were made.
    pub turn: usize,
}

pub enum Held {
    Blocking(Snapshot),
    Async(AsyncSnapshot),
}

impl Held {
    pub fn looker<'a>(&'a self, driver: &'a Driver) -> Looker<'a> {
        let view = match self {
            Self::Blocking(snapshot) => AnyView::Blocking(snapshot),
            Self::Async(snapshot) => AnyView::Async(snapshot),
        };
        Looker { view, driver }
    }
}

/// What a cut leaves open.
enum Unknown {
    /// It is made or not, before whatever is called next.
    Write,
    /// It is made, some time later.
    Certain,
    /// It was never begun.
    Never,
}

/// Runs a sequence. `told` is told each call before it is made.
pub fn run(place: &Place, sequence: &Sequence, plant: Option<Plant>, told: &dyn Fn(&str)) -> Outcome {
    let setup = sequence.setup;
    let open = || place.open(setup).map_err(failed("opening"));
    let face = open()?;
    let other = if setup.is_shared && place.can_be_opened_again() { open()? } else { face.another() };
    let mut run = Run {
        place,
        setup,
        plant,
        face,
        other,
        target: place.empty().map_err(failed("opening a store in memory"))?,
        plain: Plain::default(),
        replay: Replay::default(),
        began: Began(place.clock.now()),
        feeds: Vec::new(),
        cursors: BTreeMap::new(),
        listeners: Vec::new(),
        held: None,
        saved: None,
        unaware: BTreeSet::new(),
        turn: 0,
    };
    for call in &sequence.calls {
        told(&format!("{call:?}"));
        place.driver.begin(format!("{call:?}"));
        run.make(call).map_err(|complaint| format!("call {} ({call:?}): {complaint}", run.turn))?;
        run.turn += 1;
    }
    told("the end");
    place.driver.begin("the end".to_owned());
    run.end().map_err(|complaint| format!("at the end: {complaint}"))
}

impl Run<'_> {
    fn make(&mut self, call: &Call) -> Outcome {
        match call {
            Call::One { scoped, step, cut } => self.one(*scoped, step, *cut)?,
            Call::Batch { requires, steps, cut } => {
                let meaning = self.meaning();
                let mut after = self.plain.clone();
                let expected = after.batch(requires, steps);
                self.cut_write(*cut);
                let answer = match &self.face.kind {
                    Kind::Blocking(store) => {
                        let batch = perform::batch(store.batch(), requires, steps, &meaning);
                        self.face.driver.now(|| batch.commit())
                    }
                    Kind::Async(store) => {
                        let batch = perform::batch(store.batch(), requires, steps, &meaning);
                        self.face.driver.wait(batch.commit())
                    }
                };
                let changed = matches!(expected, Ok(true));
                let agrees = match (&answer, &expected) {
                    (Err(error), Err(refusal)) => refusal.is(error),
                    (answer, expected) => answer.is_ok() == expected.is_ok(),
                };
                let what = format!("{answer:?}, expected {expected:?}");
                let was_cut = self.judge(agrees, &what, changed, after, unknown(cut, false))?;
                if let (false, Ok(revision)) = (was_cut, answer) {
                    same("the revision of the batch", &revision.0, &self.plain.revision)?;
                }
            }
            Call::Transaction { steps, stubborn, abort, cut } => {
                self.transact(steps, *stubborn, *abort, *cut)?
            }
            Call::SetQuota { namespace, quota, cut } => {
                let mut after = self.plain.clone();
                after.set_quota(namespace, *quota);
                self.cut_write(*cut);
                let answer = call!(self.face, |store| store.set_quota(namespace, *quota));
                if self.face.driver.was_cut() {
                    self.barrier(None)?;
                    let tenant = self.face.scoped(namespace).map_err(failed("scoped"))?;
                    let now = call!(tenant, |store| store.quota()).map_err(failed("quota"))?;
                    if now == after.quota(namespace) {
                        self.plain.set_quota(namespace, *quota);
                    }
                } else {
                    answer.map_err(failed("set_quota"))?;
                    self.plain = after;
                    self.follow(false)?;
                }
            }
            Call::Purge { namespace, cut } => {
                let prefix = namespace.map(|name| format!("{name}:")).unwrap_or_default();
                let due = self.replay.due(&prefix, self.plain.now);
                // A late purge with nothing to do would be noticed by nobody, until there is something to do.
                self.cut(cut.filter(|_| due > 0));
                let answer = match namespace {
                    None => call!(self.face, |store| store.purge_expired()),
                    Some(name) => {
                        let tenant = self.face.scoped(name).map_err(failed("scoped"))?;
                        call!(tenant, |store| store.purge_expired())
                    }
                };
                let after = self.plain.clone();
                self.took(due > 0, &answer, &Ok(due), after, unknown(cut, true))?;
            }
            other => self.make_other(other)?,
        }
        if let Some(late) = self.face.driver.late() {
            return Err(late);
        }
        // On a cluster, a comparison takes a hundred round trips.
        if self.place.has_own_revisions() || self.turn.is_multiple_of(5) {
            self.compare(Depth::Turn(self.turn))?;
        }
        Ok(())
    }

    fn one(&mut self, scoped: bool, step: &Step, cut: Option<Cut>) -> Outcome {
        let meaning = self.meaning();
        let mut after = self.plain.clone();
        let expected = after.checked_step(step);
        self.cut_write(cut);
        let answer = match namespace_of(step.group()).filter(|_| scoped) {
            None => perform::one(&self.face, step, "", &meaning),
            Some(name) => {
                let tenant = self.face.scoped(name).map_err(failed("scoped"))?;
                perform::one(&tenant, step, &format!("{name}:"), &meaning)
            }
        };
        let changed = expected.as_ref().is_ok_and(|(changed, _)| *changed);
        self.took(changed, &answer, &expected.map(|(_, outcome)| outcome), after, unknown(&cut, false))
    }

    fn transact(&mut self, steps: &[Step], stubborn: bool, abort: bool, cut: Option<Cut>) -> Outcome {
        let (mut after, mut any, mut refused) = (self.plain.clone(), false, None);
        for step in steps {
            match after.checked_step(step) {
                Ok((changed, _)) => any |= changed,
                Err(refusal) if !stubborn => {
                    refused = Some(refusal);
                    break;
                }
                Err(_) => {}
            }
        }
        let (body, note) = perform::transaction(steps, stubborn, abort, &self.meaning());
        self.cut(cut);
        let answer = match &self.face.kind {
            Kind::Blocking(store) => self.face.driver.now(|| store.transaction(body)),
            Kind::Async(store) => self.face.driver.wait(store.transaction(body)),
        };
        // Its future was dropped, and it may still run.
        let begun = Instant::now();
        while std::sync::Arc::strong_count(&note) > 1 {
            if begun.elapsed() > BOUND {
                return Err("a transaction whose future was dropped does not end".to_owned());
            }
            std::thread::yield_now();
        }
        let done = note.lock().map(|done| done.clone()).unwrap_or_default();
        if let Some(complaint) = done.complaint {
            return Err(complaint);
        }
        let changed = any && refused.is_none() && !abort;
        if abort && refused.is_none() && !self.face.driver.was_cut() {
            same(
                "an aborted transaction",
                &answer.map_err(|error| error.to_string()),
                &Err("given up".to_owned()),
            )?;
            return self.follow(false);
        }
        let expected = refused.map_or(Ok(()), Err);
        self.took(changed, &answer, &expected, after, unknown(&cut, true))
    }

    fn cut(&self, cut: Option<Cut>) {
        self.face.driver.cut_next(cut);
    }

    /// Lets the next write end early. On a cluster, where there are callbacks, it would be made all the same, some time
    /// later.
    fn cut_write(&self, cut: Option<Cut>) {
        let is_open = self.place.engine != Engine::Cluster || self.listeners.is_empty();
        self.cut(cut.filter(|_| is_open));
    }

    fn meaning(&self) -> Meaning {
        Meaning { plain: self.plain.clone(), now: self.place.clock.now() }
    }

    /// Judges the answer of a write. Returns whether its future was dropped.
    fn took<T: PartialEq + std::fmt::Debug>(
        &mut self,
        changed: bool,
        answer: &larder::Result<T>,
        expected: &Result<T, Refusal>,
        after: Plain,
        unknown: Unknown,
    ) -> Outcome {
        let what = format!("{answer:?}, expected {expected:?}");
        self.judge(agree(answer, expected), &what, changed, after, unknown).map(drop)
    }

    fn judge(
        &mut self,
        agrees: bool,
        what: &str,
        changed: bool,
        after: Plain,
        unknown: Unknown,
    ) -> Outcome<bool> {
        let was_cut = self.face.driver.was_cut();
        match (was_cut, unknown) {
            (true, Unknown::Never) => self.follow(false),
            (true, Unknown::Write) => self.barrier(changed.then_some(after)),
            (true, Unknown::Certain) => {
                let begun = Instant::now();
                while changed && self.revision()?.0 == self.plain.revision {
                    if begun.elapsed() > BOUND {
                        return Err(
                            "a call whose future was dropped after its first poll was never made".into()
                        );
                    }
                    std::thread::yield_now();
                }
                self.adopt(changed, after)
            }
            (false, _) if agrees => self.adopt(changed, after),
            (false, _) => Err(format!("the answer is {what}")),
        }
        .map(|()| was_cut)
    }

    fn adopt(&mut self, changed: bool, after: Plain) -> Outcome {
        if changed {
            self.plain = after;
        }
        self.follow(changed)
    }

    fn revision(&self) -> Outcome<Revision> {
        call!(self.face, |store| store.revision()).map_err(failed("revision"))
    }

    /// Follows a call that made one commit, or none.
    pub fn follow(&mut self, changed: bool) -> Outcome {
        let revision = self.revision()?.0;
        let is_next = match (changed, self.place.has_own_revisions()) {
            (false, _) => revision == self.plain.revision,
            (true, true) => revision == self.plain.revision + 1,
            (true, false) => revision > self.plain.revision,
        };
        if !is_next {
            let before = self.plain.revision;
            return Err(format!(
                "the revision is {revision} after {before}; a commit was expected: {changed}"
            ));
        }
        self.plain.adopt(revision);
        let events = self.replay.read(&self.other)?;
        self.replay.take(events, &self.plain, self.began)
    }

    /// Finds out whether a write whose future was dropped was made, by one that follows it.
    fn barrier(&mut self, after: Option<Plain>) -> Outcome {
        let value = larder::Value::from(self.turn.to_string());
        let step = Step::Set { at: EntryName { group: "", key: "barrier" }, value, ttl_ms: None };
        perform::one(&self.face, &step, "", &self.meaning())
            .map_err(failed("the write after a dropped one"))?;
        let events = self.replay.read(&self.other)?;
        let is_own = |event: &&Event| event.key.as_deref() == Some("barrier") && event.value.is_some();
        let first = events.iter().find(|event| !is_own(event)).map(|event| event.revision.0);
        match (first, after) {
            (None, _) => {}
            (Some(revision), Some(after)) => {
                self.plain = after;
                self.plain.adopt(revision);
            }
            (Some(_), None) => return Err(format!("a write that changes nothing has made {events:?}")),
        }
        self.plain.checked_step(&step).map_err(|refusal| format!("{refusal:?}"))?;
        let revision = self.revision()?.0;
        self.plain.adopt(revision);
        self.replay.take(events, &self.plain, self.began)
    }

    pub fn compare(&self, depth: Depth) -> Outcome {
        // By turns, because comparing takes most of the time.
        let face = if self.turn.is_multiple_of(2) { &self.face } else { &self.other };
        let revision = call!(face, |store| store.revision()).map_err(failed("revision"))?;
        same("the revision", &revision.0, &self.plain.revision)?;
        looks::view(face.looker(), "", &self.plain, self.began, depth, true)?;
        looks::namespaces(face, &self.plain, self.began, depth)?;
        let is_due = depth == Depth::Everything || self.turn.is_multiple_of(3);
        if let Some((held, plain)) = self.held.as_ref().filter(|_| is_due) {
            let looker = held.looker(&self.face.driver);
            let compared = looks::view(looker, "", plain, self.began, depth, true);
            compared.map_err(|complaint| format!("in the snapshot, {complaint}"))?;
        }
        Ok(())
    }
}

/// What is not known after a call was cut.
fn unknown(cut: &Option<Cut>, is_certain: bool) -> Unknown {
    match cut {
        Some(cut) if cut.polls == 0 => Unknown::Never,
        _ if is_certain => Unknown::Certain,
        _ => Unknown::Write,
    }
}

impl Plain {
    /// Gives the latest commit the revision that it has.
    fn adopt(&mut self, revision: u64) {
        let latest = self.revision + 1;
        self.rows
            .values_mut()
            .filter(|row| row.revision == latest)
            .for_each(|row: &mut Row| row.revision = revision);
        self.revision = revision;
    }

    pub fn set_quota(&mut self, namespace: &'static str, quota: larder::Quota) {
        let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
        let (max_keys, max_groups) = (limit(quota.max_keys), limit(quota.max_groups));
        let quota = larder::Quota { max_keys, max_groups, max_bytes: limit(quota.max_bytes) };
        self.quotas.insert(namespace, quota);
    }
}
