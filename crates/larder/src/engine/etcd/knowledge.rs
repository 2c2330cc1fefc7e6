//! What is known of the cluster's keys. It may be out of date: whoever decides anything by it has the cluster
//! compare, in the transaction that follows from the decision, that it is not.

use bytes::Bytes;
use hashbrown::HashMap;

use super::layout::Span;
use crate::data::Revision;

/// Beyond so many bytes all is forgotten, and asked for again as it is wanted.
const BYTES_MAX: usize = 16 << 20;

/// What a key of the map takes up besides itself.
const KEY_BYTES: usize = 96;

/// What lies under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// At which revision it was last modified; 0 where nothing is there.
    pub revision: i64,
    pub value: Option<Bytes>,
}

impl Kept {
    pub const NOTHING: Self = Self { revision: 0, value: None };
}

/// What is known of one key.
struct Known {
    kept: Kept,
    /// A revision of the cluster at which it was so.
    as_of: i64,
}

/// What lies in a span, from its start on.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// The revision at which it was read.
    pub revision: i64,
    pub rows: Vec<(Bytes, Kept)>,
    /// Whether these are all.
    pub all: bool,
}

/// Something to ask the cluster for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    Key(Bytes),
    /// The first so many keys of a span.
    Span(Span, usize),
}

/// How many bytes a key of so many takes, with what lies under it.
fn taken(key: usize, kept: &Kept) -> usize {
    KEY_BYTES + key + kept.value.as_ref().map_or(0, Bytes::len)
}

/// After how many commits in a row with none of others in between this writer takes itself to be alone.
const ALONE_AFTER: u32 = 3;

#[derive(Default)]
pub(super) struct Knowledge {
    keys: HashMap<Bytes, Known>,
    /// Only of the moment: what comes into a span is not heard of.
    spans: HashMap<(Span, usize), Rows>,
    bytes: usize,
    /// The last commit of this writer; or the last that it has seen, where it has made none since.
    latest: Revision,
    /// Nobody else has committed after this revision, as far as is known.
    alone_since: i64,
    /// How many commits of this writer came right after one another.
    in_a_row: u32,
    /// The latest revision of the cluster that anything is known of. A member that answers with an earlier one
    /// is behind.
    newest: i64,
}

impl Knowledge {
    /// What lies under a key, so far as is known. While this writer is alone, only what still does unless
    /// somebody else has committed.
    pub fn key(&self, key: &[u8]) -> Option<&Kept> {
        let known = self.keys.get(key)?;
        (!self.is_alone() || known.as_of >= self.alone_since).then_some(&known.kept)
    }

    /// Whether nobody else seems to write. Then all that is known is true for as long as neither the commit
    /// record nor the quotas' mark has moved.
    pub fn is_alone(&self) -> bool {
        self.in_a_row >= ALONE_AFTER
    }

    /// The latest revision of the cluster that anything is known of.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// The latest commit is found to be this one. Where this writer thought that it was another, somebody else
    /// has committed since.
    pub fn latest_is(&mut self, revision: Revision) {
        if revision != self.latest {
            self.interrupted_at(revision);
            self.latest = revision;
        }
    }

    /// This writer has committed at a revision, the store's latest commit before it being `before`, where that
    /// is known. Where nothing `has_changed`, the latest commit is still that.
    pub fn has_committed(&mut self, before: Option<Revision>, revision: Revision, has_changed: bool) {
        if before == Some(self.latest) {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.interrupted_at(before.unwrap_or(revision));
        }
        self.latest = before.filter(|_| !has_changed).unwrap_or(revision);
    }

    /// Somebody else has written at a revision, or before.
    pub fn interrupted_at(&mut self, revision: Revision) {
        if revision < self.latest {
            // The cluster was set back to an earlier state: nothing that was known need be so.
            *self = Self::default();
        }
        self.in_a_row = 0;
        self.not_before(revision);
    }

    /// What was known before a revision does not count for who is alone.
    pub fn not_before(&mut self, revision: Revision) {
        self.alone_since = self.alone_since.max(revision.0.cast_signed());
    }

    pub fn span(&self, span: &Span, limit: usize) -> Option<&Rows> {
        self.spans.get(&(span.clone(), limit))
    }

    pub fn has(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Key(key) => self.key(key).is_some(),
            Wanted::Span(span, limit) => self.span(span, *limit).is_some(),
        }
    }

    /// Something lay under a key at a revision of the cluster.
    pub fn learn(&mut self, key: Bytes, kept: Kept, as_of: i64) {
        let length = key.len();
        self.bytes += taken(length, &kept);
        self.newest = self.newest.max(as_of);
        if let Some(before) = self.keys.insert(key, Known { kept, as_of }) {
            self.bytes -= taken(length, &before.kept);
        }
    }

    pub fn learn_span(&mut self, span: Span, limit: usize, rows: Rows) {
        self.spans.insert((span, limit), rows);
    }

    /// Nothing lies in a span any more.
    pub fn empty(&mut self, span: &Span) {
        let bytes = &mut self.bytes;
        self.keys.retain(|key, known| {
            let stays = !span.contains(key);
            if !stays {
                *bytes -= taken(key.len(), &known.kept);
            }
            stays
        });
    }

    /// Forgets what is true for a moment only.
    pub fn forget_spans(&mut self) {
        self.spans.clear();
    }

    /// Forgets that, and everything where it has become too much.
    pub fn settle(&mut self) {
        self.forget_spans();
        if self.bytes > BYTES_MAX {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: &'static str) -> Kept {
        Kept { revision: 7, value: Some(value.into()) }
    }

    #[test]
    fn what_is_learned_again_is_counted_once_and_what_is_emptied_not_at_all() {
        let mut knowledge = Knowledge::default();
        for _ in 0..3 {
            knowledge.learn("a".into(), kept("long value"), 7);
            knowledge.learn("b".into(), kept("value"), 7);
        }
        knowledge.learn("a".into(), Kept::NOTHING, 8);
        assert_eq!(knowledge.bytes, 2 * (KEY_BYTES + 1) + 5);
        knowledge.empty(&Span { start: "b".into(), end: "c".into() });
        assert_eq!(knowledge.bytes, KEY_BYTES + 1);
    }

    #[test]
    fn who_is_alone_does_not_go_by_what_was_known_before_others_wrote() {
        let mut knowledge = Knowledge::default();
        let commit = |knowledge: &mut Knowledge, before: u64, revision: u64| {
            knowledge.has_committed(Some(Revision(before)), Revision(revision), true);
        };
        knowledge.learn("old".into(), kept("value"), 5);
        commit(&mut knowledge, 8, 10);
        knowledge.learn("new".into(), kept("value"), 9);
        assert!(!knowledge.is_alone() && knowledge.key(b"old").is_some(), "it will be compared");
        for revision in 11..=13 {
            commit(&mut knowledge, revision - 1, revision);
        }
        assert!(knowledge.is_alone() && knowledge.key(b"old").is_none() && knowledge.key(b"new").is_some());

        // Something that is not in the change log, a cursor's place for instance.
        knowledge.has_committed(Some(Revision(13)), Revision(14), false);
        commit(&mut knowledge, 13, 15);
        assert!(knowledge.is_alone() && knowledge.key(b"new").is_some());

        commit(&mut knowledge, 16, 17);
        assert!(!knowledge.is_alone());
        for revision in 18..=20 {
            commit(&mut knowledge, revision - 1, revision);
        }
        assert!(knowledge.is_alone() && knowledge.key(b"new").is_none());

        // Somebody else's commit that was only read is one, too.
        knowledge.learn("new".into(), kept("value"), 20);
        assert!(knowledge.key(b"new").is_some());
        knowledge.latest_is(Revision(20));
        assert!(knowledge.is_alone(), "it is this writer's own");
        knowledge.latest_is(Revision(25));
        assert!(!knowledge.is_alone());
        commit(&mut knowledge, 25, 26);
        commit(&mut knowledge, 26, 27);
        commit(&mut knowledge, 27, 28);
        assert!(knowledge.is_alone() && knowledge.key(b"new").is_none(), "it was known of before");

        // An answer that was lost does not say what came before.
        knowledge.has_committed(None, Revision(29), true);
        assert!(!knowledge.is_alone());

        // The cluster was restored.
        knowledge.learn("new".into(), kept("value"), 29);
        knowledge.has_committed(Some(Revision(11)), Revision(12), true);
        assert!(knowledge.key(b"new").is_none());
    }
}
