//! What a draft sees: known facts, with its own writes on top. Everything it sees becomes a guard.

use bytes::Bytes;
use prost::Message;

use super::Draft;
use super::knowledge::Wanted;
use super::step::{Step, StepError, decode};
use crate::data::{Facts, Found, Revision};
use crate::engine::etcd::client::KeyState;
use crate::engine::etcd::layout::{Span, StoredEntry, next_key};
use crate::rules::is_live;

/// A stored entry, expired or not.
pub struct DraftEntry {
    /// `None` if the draft has written the entry itself.
    pub revision: Option<Revision>,
    pub expires_at_ms: Option<i64>,
    pub value: Bytes,
}

impl DraftEntry {
    /// The entry as a reader finds it. `own` is the revision for what the draft has written itself.
    pub fn found(&self, group: &str, key: &str, own: Revision) -> Found {
        let facts = Facts { revision: self.revision.unwrap_or(own), expires_at_ms: self.expires_at_ms };
        Found::new(group, key, &self.value, facts)
    }
}

/// The pairs of a span that a draft sees.
pub struct SeenSpan {
    /// In order. If `rest` is `Some`, there may be fewer than asked for, where the draft deletes some.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// Where further pairs begin; `None` if there are none.
    pub rest: Option<Bytes>,
}

impl Draft {
    /// Fails with all facts that are missing, so that one request can fetch them.
    pub fn require_known(&self, wanted: impl IntoIterator<Item = Wanted>) -> Step<()> {
        let missing: Vec<_> = wanted.into_iter().filter(|wanted| !self.knows(wanted)).collect();
        if missing.is_empty() { Ok(()) } else { Err(StepError::Missing(missing)) }
    }

    fn knows(&self, wanted: &Wanted) -> bool {
        let is_written = || matches!(wanted, Wanted::Key(key) if self.writes.touches(key));
        self.knowledge.has(wanted) || is_written()
    }

    /// The value of a key, and the revision of its last write, which is `None` if the draft has written it
    /// itself.
    pub(super) fn read(&mut self, key: &Bytes) -> Step<(Option<i64>, Option<Bytes>)> {
        if let Some(value) = self.writes.get(key) {
            return Ok((None, value));
        }
        let Some(KeyState { revision, value }) = self.knowledge.key(key).cloned() else {
            return Err(StepError::Missing(vec![Wanted::Key(key.clone())]));
        };
        self.guard(key, revision);
        Ok((Some(revision), value))
    }

    pub(super) fn read_message<M: Message + Default>(&mut self, key: &Bytes) -> Step<Option<M>> {
        let (_, value) = self.read(key)?;
        value.map(|value| decode(key, value)).transpose()
    }

    /// The first `limit` pairs of a span.
    pub(super) fn read_span(&mut self, span: &Span, limit: usize) -> Step<SeenSpan> {
        let Some(known) = self.knowledge.span(span, limit) else {
            return Err(StepError::Missing(vec![Wanted::Span(span.clone(), limit)]));
        };
        let rest = known.pairs.last().filter(|_| !known.is_whole).map(|(last, _)| next_key(last));
        let seen = Span { start: span.start.clone(), end: rest.clone().unwrap_or(span.end.clone()) };
        let revision = known.revision;
        let untouched = known.pairs.iter().filter(|(key, _)| !self.writes.touches(key));
        let untouched = untouched.filter_map(|(key, state)| Some((key.clone(), state.value.clone()?)));
        let own = self.writes.puts_in(&seen).map(|(key, value)| (key.clone(), value.clone()));
        let mut pairs: Vec<_> = untouched.chain(own).collect();
        pairs.sort();
        if !self.guards.has_span(&seen, revision) {
            self.guards.add_span(seen, revision);
        }
        Ok(SeenSpan { pairs, rest })
    }

    /// All pairs of a span.
    pub(super) fn read_whole_span(&mut self, span: &Span) -> Step<Vec<(Bytes, Bytes)>> {
        Ok(self.read_span(span, usize::MAX)?.pairs)
    }

    /// The revision of the last write to a key, if the draft knows it and has not written the key itself.
    pub(super) fn revision_of(&self, key: &Bytes) -> Option<Revision> {
        let state = self.knowledge.key(key).filter(|_| !self.writes.touches(key));
        state.map(|state| Revision(state.revision.cast_unsigned()))
    }

    /// An entry, expired or not.
    pub(super) fn entry_at(&mut self, path: &Bytes) -> Step<Option<DraftEntry>> {
        let (revision, value) = self.read(path)?;
        let Some(value) = value else { return Ok(None) };
        let StoredEntry { value, expires_at_ms } = decode(path, value)?;
        let revision = revision.map(|revision| Revision(revision.cast_unsigned()));
        Ok(Some(DraftEntry { revision, expires_at_ms, value }))
    }

    /// An entry that is about to be overwritten, expired or not. What another program has written under its key counts
    /// as absent, since no tally counts it.
    pub(super) fn entry_to_replace(&mut self, path: &Bytes) -> Step<Option<DraftEntry>> {
        match self.entry_at(path) {
            Err(StepError::Damaged(_)) => Ok(None),
            entry => entry,
        }
    }

    /// An entry that has not expired.
    pub fn live_entry(&mut self, group: &str, key: &str) -> Step<Option<DraftEntry>> {
        let (path, now_ms) = (self.layout().entry(group, key), self.now_ms());
        Ok(self.entry_at(&path)?.filter(|entry| is_live(entry.expires_at_ms, now_ms)))
    }

    /// The store's latest commit before the draft. If the draft has changed something, its own revision.
    pub fn latest_revision(&mut self) -> Step<Revision> {
        if !self.record.is_empty() {
            return self.own_revision.ok_or(StepError::NeedsOwnRevision);
        }
        let log = self.layout().log();
        let (revision, _) = self.read(&log)?;
        Ok(Revision(revision.unwrap_or_default().cast_unsigned()))
    }

    /// Makes the draft depend on the whole store being unchanged. Comparing the keys of a span does not show
    /// that a key has gone from it.
    pub(super) fn guard_whole_store(&mut self) -> Step<()> {
        let keys = [self.layout().log(), self.layout().quotas()];
        self.require_known(keys.clone().map(Wanted::Key))?;
        for key in keys {
            self.read(&key)?;
        }
        Ok(())
    }

    /// Makes the draft depend on no commit having been made since a span was read.
    pub(super) fn guard_commits_since(&mut self, span: &Span) {
        if let Some(known) = self.knowledge.span(span, usize::MAX) {
            let revision = known.revision;
            self.guards.add_span(Span::of_key(self.layout().log()), revision);
        }
    }
}
