//! A transaction of the cluster's, while it is put together.
//!
//! Mutations are applied in order to what is known, which the draft lays its own writes over; where something
//! is not known yet, the draft says what it needs, and the same step is made again once that is there. In the
//! end it is one transaction: it compares that everything that was looked at still is as it was, and then
//! writes. So whatever others do meanwhile, it happens as it was thought, or not at all.

mod plan;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use etcd_client::GetOptions;
use prost::Message;

pub(super) use self::plan::Plan;
use self::plan::{NESTED_CONDITIONS_MAX, NESTED_OPERATIONS_MAX};
use super::knowledge::{Kept, Knowledge, Rows, Wanted};
use super::layout::{Change, Kind, Layout, Span, next_key};
use super::make::Done;
use super::refusal::REQUEST_BYTES_MAX;
use crate::data::{Error, Revision, Usage};

/// How many operations, and how many comparisons, a transaction may have: etcd's own limit, less what is
/// added in the end.
pub(super) const OPERATIONS_MAX: usize = 128 - 4;

/// From how many comparisons on a writer who is alone compares instead that nothing at all has happened.
const AS_A_WHOLE_FROM: usize = 16;

/// How many bytes of keys and values; the rest is for what encloses them.
const BYTES_MAX: usize = REQUEST_BYTES_MAX as usize - (64 << 10);

/// What each operation and comparison takes besides its keys.
const OPERATION_BYTES: usize = 32;

/// Why a step cannot be made.
#[derive(Debug)]
pub(super) enum Hitch {
    /// What was asked cannot be done.
    Refused(Error),
    /// This has to be known first.
    Needs(Vec<Wanted>),
    /// What is in the draft has to be committed first.
    TooEarly,
    /// What lies in the cluster makes no sense.
    Damaged(String),
}

impl From<Error> for Hitch {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

pub(super) type Step<T> = Result<T, Hitch>;

pub(super) struct Draft {
    pub layout: Layout,
    pub knowledge: Knowledge,
    /// The time at which the open step is made.
    pub now_ms: i64,
    /// The time of the first change, which is that of the whole commit.
    pub at_ms: i64,
    /// For how long what has expired is left alone: [`crate::Options::clock_difference_max`].
    pub grace_ms: i64,
    /// The revision that what the draft writes is shown with; where it is not known, conditions on it have to
    /// wait.
    pub own_revision: Option<Revision>,
    /// Whether all that is known, `log` and `quotas` with it, is of one moment. Then it can be compared with
    /// these two that nothing at all has happened since, however much was looked at.
    pub of_one_moment: bool,
    /// That moment's revision of the cluster, where the draft has one of its own, once it is there.
    pub moment: Option<i64>,
    /// From how many comparisons on that is done.
    as_a_whole_from: usize,
    /// Whether it is certain to be done. Then keys need not be compared besides, but for those of cursors, which
    /// are moved without a commit.
    as_a_whole: bool,
    cursors: Span,
    /// `None` deletes.
    writes: BTreeMap<Bytes, Option<Bytes>>,
    /// Deleted before `writes`.
    emptied: Vec<Span>,
    /// The revisions that keys must still have.
    guards: hashbrown::HashMap<Bytes, i64>,
    guarded: Vec<Bytes>,
    /// Spans of which nothing may have been written after a revision.
    span_guards: Vec<(Span, i64)>,
    changes: Vec<Change>,
    undo: Vec<Undo>,
    /// The bytes of what is written and logged, and of what is compared.
    bytes: usize,
    guard_bytes: usize,
    /// The soonest expiry that was set.
    pub soonest_ms: Option<i64>,
    /// What namespaces with a quota held before the open batch; `None` where each mutation is judged by
    /// itself.
    pub before: Option<HashMap<String, Usage>>,
}

enum Undo {
    Write(Bytes, Option<Option<Bytes>>),
    Emptied,
}

/// A key, the revision at which it was written, and its value.
pub(super) type EntryRow = (Bytes, Option<Revision>, Bytes);

/// A place in the draft to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    undo: usize,
    changes: usize,
    guards: usize,
    span_guards: usize,
    bytes: usize,
    guard_bytes: usize,
    soonest_ms: Option<i64>,
}

impl Draft {
    pub fn new(layout: Layout, knowledge: Knowledge) -> Self {
        let cursors = layout.cursors("");
        Self {
            layout,
            knowledge,
            now_ms: 0,
            at_ms: 0,
            grace_ms: 0,
            own_revision: None,
            of_one_moment: false,
            moment: None,
            as_a_whole_from: OPERATIONS_MAX,
            as_a_whole: false,
            cursors,
            writes: BTreeMap::new(),
            emptied: Vec::new(),
            guards: hashbrown::HashMap::new(),
            guarded: Vec::new(),
            span_guards: Vec::new(),
            changes: Vec::new(),
            undo: Vec::new(),
            bytes: 0,
            guard_bytes: 0,
            soonest_ms: None,
            before: None,
        }
    }

    /// A draft on what lies in the cluster at one moment, which is still to come.
    pub fn of_one_moment(layout: Layout) -> Self {
        Self { of_one_moment: true, ..Self::new(layout, Knowledge::default()) }
    }

    /// Begins anew, with what is known.
    pub fn reset(&mut self, now_ms: i64) {
        let knowledge = std::mem::take(&mut self.knowledge);
        *self = Self { now_ms, grace_ms: self.grace_ms, ..Self::new(self.layout.clone(), knowledge) };
        if let Some(log) = self.knowledge.key(&self.layout.log()) {
            let latest = Revision(log.revision.cast_unsigned());
            self.knowledge.latest_is(latest);
        }
        if self.knowledge.is_alone() {
            self.of_one_moment = true;
            self.as_a_whole_from = AS_A_WHOLE_FROM;
            // A quota may have been changed without a commit.
            if let Some(quotas) = self.knowledge.key(&self.layout.quotas()) {
                let changed_at = Revision(quotas.revision.cast_unsigned());
                self.knowledge.not_before(changed_at);
            }
        }
    }

    pub fn mark(&self) -> Mark {
        Mark {
            undo: self.undo.len(),
            changes: self.changes.len(),
            guards: self.guarded.len(),
            span_guards: self.span_guards.len(),
            bytes: self.bytes,
            guard_bytes: self.guard_bytes,
            soonest_ms: self.soonest_ms,
        }
    }

    /// Whether anything was written since.
    pub fn has_written_since(&self, mark: Mark) -> bool {
        self.undo.len() > mark.undo
    }

    /// Takes back what was written since; what it was decided by stays guarded.
    pub fn take_back(&mut self, mark: Mark) {
        while self.undo.len() > mark.undo {
            match self.undo.pop() {
                Some(Undo::Write(key, Some(before))) => drop(self.writes.insert(key, before)),
                Some(Undo::Write(key, None)) => drop(self.writes.remove(&key)),
                Some(Undo::Emptied) => drop(self.emptied.pop()),
                None => {}
            }
        }
        self.changes.truncate(mark.changes);
        self.bytes = mark.bytes;
        self.soonest_ms = mark.soonest_ms;
        self.before = None;
    }

    /// Takes back everything since, as though it had never been looked at.
    pub fn forget(&mut self, mark: Mark) {
        self.take_back(mark);
        self.forget_guards(mark);
        self.span_guards.truncate(mark.span_guards);
    }

    /// Lifts the comparisons of keys that were added since.
    pub fn forget_guards(&mut self, mark: Mark) {
        for key in self.guarded.drain(mark.guards..) {
            self.guards.remove(&key);
        }
        self.guard_bytes = mark.guard_bytes;
    }

    /// Which limit of a transaction the draft breaks, if it breaks one: what, how much it is, how much it may be.
    pub fn excess(&self) -> Option<(&'static str, u64, u64)> {
        let most = if self.of_one_moment { NESTED_OPERATIONS_MAX } else { OPERATIONS_MAX };
        let (compared, compared_max, guard_bytes) = if self.is_compared_as_a_whole() {
            let cursors = self.guarded.iter().filter(|key| self.cursors.contains(key));
            (cursors.count(), NESTED_CONDITIONS_MAX, 0)
        } else {
            (self.guards.len() + self.span_guards.len(), OPERATIONS_MAX, self.guard_bytes)
        };
        let (pieces, piece_bytes) = self.pieces();
        let found = [
            ("operations", self.writes.len() + pieces, most),
            ("conditions", compared, compared_max),
            ("bytes", self.bytes + guard_bytes + piece_bytes, BYTES_MAX),
        ];
        found
            .into_iter()
            .find(|(_, wanted, limit)| wanted > limit)
            .map(|(what, wanted, limit)| (what, wanted as u64, limit as u64))
    }

    /// Into how many pieces the emptied spans are cut by what is put into them afterwards, at the most, and how
    /// many bytes that takes.
    fn pieces(&self) -> (usize, usize) {
        if self.emptied.is_empty() {
            return (0, 0);
        }
        let puts = self.writes.iter().filter(|(_, value)| value.is_some());
        puts.fold((self.emptied.len(), 0), |(pieces, bytes), (key, _)| {
            (pieces + 1, bytes + 2 * key.len() + OPERATION_BYTES)
        })
    }

    /// Whether something was changed that has events.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The store's latest commit at the moment that the draft is of.
    pub fn begun_after(&self) -> Revision {
        let log = self.knowledge.key(&self.layout.log());
        Revision(log.map_or(0, |kept| kept.revision.cast_unsigned()))
    }

    pub fn wants(&self, wanted: impl IntoIterator<Item = Wanted>) -> Step<()> {
        let needs: Vec<_> = wanted.into_iter().filter(|wanted| !self.has(wanted)).collect();
        if needs.is_empty() { Ok(()) } else { Err(Hitch::Needs(needs)) }
    }

    fn has(&self, wanted: &Wanted) -> bool {
        let is_own =
            |key: &Bytes| self.writes.contains_key(key) || self.emptied.iter().any(|span| span.contains(key));
        self.knowledge.has(wanted) || matches!(wanted, Wanted::Key(key) if is_own(key))
    }

    /// What lies under a key; `None` for the revision where the draft has written it itself.
    pub fn look(&mut self, key: &Bytes) -> Step<(Option<i64>, Option<Bytes>)> {
        if let Some(value) = self.writes.get(key) {
            return Ok((None, value.clone()));
        }
        if self.emptied.iter().any(|span| span.contains(key)) {
            return Ok((None, None));
        }
        let Some(Kept { revision, value }) = self.knowledge.key(key).cloned() else {
            return Err(Hitch::Needs(vec![Wanted::Key(key.clone())]));
        };
        self.guard(key, revision);
        Ok((Some(revision), value))
    }

    pub fn guard(&mut self, key: &Bytes, revision: i64) {
        if self.as_a_whole && !self.cursors.contains(key) {
            return;
        }
        if self.guards.insert(key.clone(), revision).is_none() {
            self.guarded.push(key.clone());
            self.guard_bytes += 2 * (key.len() + OPERATION_BYTES);
            self.as_a_whole |= self.is_compared_as_a_whole();
        }
    }

    pub fn message<M: Message + Default>(&mut self, key: &Bytes) -> Step<Option<M>> {
        let (_, value) = self.look(key)?;
        value.map(|value| decoded(value)).transpose()
    }

    /// The first so many keys of a span that have something, and whether these are all. Where the draft itself
    /// deletes some of them they may be fewer.
    pub fn rows(&mut self, span: &Span, limit: usize) -> Step<(Vec<(Bytes, Bytes)>, bool)> {
        let Some(known) = self.knowledge.span(span, limit) else {
            return Err(Hitch::Needs(vec![Wanted::Span(span.clone(), limit)]));
        };
        let seen = match known.rows.last() {
            Some((last, _)) if !known.all => Span { start: span.start.clone(), end: next_key(last) },
            _ => span.clone(),
        };
        let (all, revision) = (known.all, known.revision);
        let is_own =
            |key: &Bytes| self.writes.contains_key(key) || self.emptied.iter().any(|span| span.contains(key));
        let kept = known.rows.iter().filter(|(key, _)| !is_own(key));
        let kept = kept.filter_map(|(key, kept)| Some((key.clone(), kept.value.clone()?)));
        let own = self.writes.range(seen.start.clone()..seen.end.clone());
        let own = own.filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        let mut rows: Vec<_> = kept.chain(own).collect();
        rows.sort();
        if !self.span_guards.iter().any(|(guarded, at)| *guarded == seen && *at == revision) {
            self.guard_bytes += 2 * (seen.start.len() + OPERATION_BYTES);
            self.span_guards.push((seen, revision));
        }
        Ok((rows, all))
    }

    /// Nothing may have been committed since a span was read.
    pub fn guard_commits_since(&mut self, span: &Span) {
        if let Some(Rows { revision, .. }) = self.knowledge.span(span, usize::MAX) {
            let log = self.layout.log();
            let whole = Span { end: next_key(&log), start: log };
            self.guard_bytes += 2 * (whole.start.len() + OPERATION_BYTES);
            self.span_guards.push((whole, *revision));
        }
    }

    /// As [`rows`](Self::rows), with the revision of each, or `None` for those of the draft itself; and from
    /// where on to read what is left, if not all is.
    pub fn entry_rows(&mut self, span: &Span, limit: usize) -> Step<(Vec<EntryRow>, Option<Bytes>)> {
        let (rows, all) = self.rows(span, limit)?;
        let known = self.knowledge.span(span, limit);
        let seen_to =
            known.filter(|_| !all).and_then(|known| known.rows.last()).map(|(last, _)| next_key(last));
        let rows = rows.into_iter().map(|(key, value)| {
            let own = self.writes.contains_key(&key);
            let kept = self.knowledge.key(&key).filter(|_| !own);
            let revision = kept.map(|kept| Revision(kept.revision.cast_unsigned()));
            (key, revision, value)
        });
        Ok((rows.collect(), seen_to))
    }

    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len() + OPERATION_BYTES;
        self.write(key, Some(value));
    }

    pub fn put_message(&mut self, key: Bytes, message: &impl Message) {
        self.put(key, message.encode_to_vec().into());
    }

    pub fn delete(&mut self, key: Bytes) {
        self.bytes += key.len() + OPERATION_BYTES;
        self.write(key, None);
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        let before = self.writes.insert(key.clone(), value);
        self.undo.push(Undo::Write(key, before));
    }

    /// Deletes everything in a span.
    pub fn empty(&mut self, span: Span) {
        let inside: Vec<_> =
            self.writes.range(span.start.clone()..span.end.clone()).map(|(key, _)| key.clone()).collect();
        for key in inside {
            let before = self.writes.remove(&key);
            self.undo.push(Undo::Write(key, before));
        }
        self.bytes += span.start.len() + span.end.len() + OPERATION_BYTES;
        self.emptied.push(span);
        self.undo.push(Undo::Emptied);
    }

    pub fn log(
        &mut self,
        kind: Kind,
        group: String,
        key: Option<String>,
        value: Option<Bytes>,
        expires_at_ms: Option<i64>,
    ) {
        if let (Kind::Set, Some(at_ms)) = (kind, expires_at_ms) {
            self.soonest_ms = Some(self.soonest_ms.map_or(at_ms, |soonest| soonest.min(at_ms)));
        }
        if self.changes.is_empty() {
            self.at_ms = self.now_ms;
        }
        self.bytes += group.len() + key.as_ref().map_or(0, String::len) + OPERATION_BYTES;
        self.changes.push(Change { kind: kind.into(), group, key, value, expires_at_ms });
    }

    /// Whether nothing was written.
    pub fn is_unwritten(&self) -> bool {
        self.writes.is_empty() && self.emptied.is_empty()
    }

    /// Takes over into what is known what was done.
    pub fn settle(&mut self, done: &Done) {
        let mut knowledge = std::mem::take(&mut self.knowledge);
        self.settle_in(&mut knowledge, done);
        self.knowledge = knowledge;
    }

    /// The same, into what somebody else knows.
    pub fn settle_in(&mut self, knowledge: &mut Knowledge, done: &Done) {
        let revision = done.revision;
        for span in std::mem::take(&mut self.emptied) {
            knowledge.empty(&span);
        }
        for (key, value) in std::mem::take(&mut self.writes) {
            let kept = if value.is_some() { Kept { revision, value } } else { Kept::NOTHING };
            knowledge.learn(key, kept, revision);
        }
        let has_changed = self.has_changes();
        knowledge.has_committed(done.before, Revision(revision.cast_unsigned()), has_changed);
        if has_changed {
            knowledge.learn(self.layout.log(), Kept { revision, value: None }, revision);
        }
        knowledge.settle();
    }
}

pub(super) fn decoded<M: Message + Default>(bytes: Bytes) -> Step<M> {
    M::decode(bytes).map_err(|error| Hitch::Damaged(error.to_string()))
}

/// The options to get the first so many keys of a span.
pub(super) fn span_options(span: &Span, limit: usize) -> GetOptions {
    let limit = i64::try_from(limit).unwrap_or(0);
    GetOptions::new().with_range(span.end.to_vec()).with_limit(limit)
}
