//! Facts about the cluster's keys. A fact may be out of date, so a transaction that was decided by it compares
//! that it still holds.

use bytes::Bytes;
use hashbrown::HashMap;

use crate::data::Revision;
use crate::engine::etcd::client::KeyState;
use crate::engine::etcd::layout::Span;

/// Beyond this many bytes all facts are dropped, and fetched again as they are needed.
const BYTES_MAX: usize = 16 << 20;

/// What a key of the map takes besides its own bytes.
const KEY_BYTES: usize = 96;

/// After how many commits in a row, with none of another writer in between, a writer counts as alone.
const LONE_AFTER: u32 = 3;

/// A fact about one key.
struct Fact {
    state: KeyState,
    /// A revision of the cluster at which it was true.
    as_of: i64,
}

/// The pairs of a span, from its start on.
#[derive(Clone, Debug)]
pub struct SpanState {
    /// The revision at which it was read.
    pub revision: i64,
    pub pairs: Vec<(Bytes, KeyState)>,
    /// Whether these are all pairs of the span.
    pub is_whole: bool,
}

/// A fact to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    Key(Bytes),
    /// The first so many pairs of a span.
    Span(Span, usize),
}

/// What one writer knows of the cluster, and whether it is the only writer.
#[derive(Default)]
pub struct Knowledge {
    keys: HashMap<Bytes, Fact>,
    /// These are true of one revision only: nothing tells the writer of keys that appear in a span.
    spans: HashMap<(Span, usize), SpanState>,
    bytes: usize,
    /// The last commit of this writer; or the last that it has seen, if it has made none since.
    latest: Revision,
    /// No other writer is known to have committed after this revision.
    lone_since: i64,
    /// How many commits of this writer directly followed one another.
    in_a_row: u32,
    /// The latest revision of the cluster that any fact is of. A member that answers with an earlier one lags.
    newest: i64,
}

impl Knowledge {
    /// The state of a key, if it is known. A lone writer ignores facts that are older than the last commit of
    /// another writer.
    pub fn key(&self, key: &[u8]) -> Option<&KeyState> {
        let fact = self.keys.get(key)?;
        (!self.is_lone_writer() || fact.as_of >= self.lone_since).then_some(&fact.state)
    }

    /// Whether no other writer seems to commit. If so, all facts hold while neither the commit record nor the
    /// quotas' mark moves.
    pub fn is_lone_writer(&self) -> bool {
        self.in_a_row >= LONE_AFTER
    }

    /// The latest revision of the cluster that any fact is of.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// Notes which commit is the store's latest. If this writer expected another one, another writer has
    /// committed.
    pub fn note_latest(&mut self, revision: Revision) {
        if revision != self.latest {
            self.note_foreign_write(revision);
            self.latest = revision;
        }
    }

    /// Notes a transaction of this writer. `before` is the store's latest commit before it, if that is known.
    /// A transaction that has not `changed` anything is no commit.
    pub fn note_own_write(&mut self, before: Option<Revision>, revision: Revision, changed: bool) {
        if before == Some(self.latest) {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.note_foreign_write(before.unwrap_or(revision));
        }
        self.latest = before.filter(|_| !changed).unwrap_or(revision);
    }

    /// Notes that another writer has written at or before a revision.
    pub fn note_foreign_write(&mut self, revision: Revision) {
        if revision < self.latest {
            // The cluster was restored from an older backup, so no fact need be true.
            *self = Self::default();
        }
        self.in_a_row = 0;
        self.distrust_before(revision);
    }

    /// Makes a lone writer ignore facts that are older than a revision.
    pub fn distrust_before(&mut self, revision: Revision) {
        self.lone_since = self.lone_since.max(revision.0.cast_signed());
    }

    pub fn span(&self, span: &Span, limit: usize) -> Option<&SpanState> {
        self.spans.get(&(span.clone(), limit))
    }

    pub fn has(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Key(key) => self.key(key).is_some(),
            Wanted::Span(span, limit) => self.span(span, *limit).is_some(),
        }
    }

    /// Learns the state of a key at the cluster's revision `as_of`.
    pub fn learn(&mut self, key: Bytes, state: KeyState, as_of: i64) {
        let length = key.len();
        self.bytes += fact_bytes(length, &state);
        self.newest = self.newest.max(as_of);
        if let Some(before) = self.keys.insert(key, Fact { state, as_of }) {
            self.bytes -= fact_bytes(length, &before.state);
        }
    }

    pub fn learn_span(&mut self, span: Span, limit: usize, state: SpanState) {
        self.spans.insert((span, limit), state);
    }

    /// Learns that a span was emptied.
    pub fn learn_emptied(&mut self, span: &Span) {
        let bytes = &mut self.bytes;
        self.keys.retain(|key, fact| {
            let stays = !span.contains(key);
            if !stays {
                *bytes -= fact_bytes(key.len(), &fact.state);
            }
            stays
        });
    }

    /// Drops the facts that are true of one revision only.
    pub fn forget_spans(&mut self) {
        self.spans.clear();
    }

    /// Drops everything once it takes too many bytes.
    pub fn trim(&mut self) {
        if self.bytes > BYTES_MAX {
            *self = Self::default();
        }
    }
}

/// How many bytes a fact about a key takes in memory.
fn fact_bytes(key: usize, state: &KeyState) -> usize {
    KEY_BYTES + key + state.value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: &'static str) -> KeyState {
        KeyState { revision: 7, value: Some(value.into()) }
    }

    #[test]
    fn a_key_counts_its_bytes_once_and_an_emptied_key_counts_none() {
        let mut knowledge = Knowledge::default();
        for _ in 0..3 {
            knowledge.learn("a".into(), state("long value"), 7);
            knowledge.learn("b".into(), state("value"), 7);
        }
        knowledge.learn("a".into(), KeyState::ABSENT, 8);
        assert_eq!(knowledge.bytes, 2 * (KEY_BYTES + 1) + 5);
        knowledge.learn_emptied(&Span { start: "b".into(), end: "c".into() });
        assert_eq!(knowledge.bytes, KEY_BYTES + 1);
    }

    #[test]
    fn a_lone_writer_ignores_facts_older_than_the_last_commit_of_another_writer() {
        let mut knowledge = Knowledge::default();
        let commit = |knowledge: &mut Knowledge, before: u64, revision: u64| {
            knowledge.note_own_write(Some(Revision(before)), Revision(revision), true);
        };
        knowledge.learn("old".into(), state("value"), 5);
        commit(&mut knowledge, 8, 10);
        knowledge.learn("new".into(), state("value"), 9);
        assert!(!knowledge.is_lone_writer() && knowledge.key(b"old").is_some(), "it will be compared");
        for revision in 11..=13 {
            commit(&mut knowledge, revision - 1, revision);
        }
        assert!(
            knowledge.is_lone_writer() && knowledge.key(b"old").is_none() && knowledge.key(b"new").is_some()
        );

        // A write without a commit record, such as the move of a cursor.
        knowledge.note_own_write(Some(Revision(13)), Revision(14), false);
        commit(&mut knowledge, 13, 15);
        assert!(knowledge.is_lone_writer() && knowledge.key(b"new").is_some());

        commit(&mut knowledge, 16, 17);
        assert!(!knowledge.is_lone_writer());
        for revision in 18..=20 {
            commit(&mut knowledge, revision - 1, revision);
        }
        assert!(knowledge.is_lone_writer() && knowledge.key(b"new").is_none());

        // A foreign commit that was only read counts as well.
        knowledge.learn("new".into(), state("value"), 20);
        assert!(knowledge.key(b"new").is_some());
        knowledge.note_latest(Revision(20));
        assert!(knowledge.is_lone_writer(), "it is this writer's own");
        knowledge.note_latest(Revision(25));
        assert!(!knowledge.is_lone_writer());
        commit(&mut knowledge, 25, 26);
        commit(&mut knowledge, 26, 27);
        commit(&mut knowledge, 27, 28);
        assert!(knowledge.is_lone_writer() && knowledge.key(b"new").is_none(), "the fact is older");

        // After a lost answer it is unknown which commit came before.
        knowledge.note_own_write(None, Revision(29), true);
        assert!(!knowledge.is_lone_writer());

        // The cluster was restored from a backup.
        knowledge.learn("new".into(), state("value"), 29);
        knowledge.note_own_write(Some(Revision(11)), Revision(12), true);
        assert!(knowledge.key(b"new").is_none());
    }
}
