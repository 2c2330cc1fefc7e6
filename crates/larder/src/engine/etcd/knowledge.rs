//! What is known of the cluster's keys. It may be out of date: whoever decides anything by it has the cluster
//! compare, in the transaction that follows from the decision, that it is not.

use bytes::Bytes;
use hashbrown::HashMap;

use super::layout::Span;

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

#[derive(Default)]
pub(super) struct Knowledge {
    keys: HashMap<Bytes, Kept>,
    /// Only of the moment: what comes into a span is not heard of.
    spans: HashMap<(Span, usize), Rows>,
    bytes: usize,
}

impl Knowledge {
    pub fn key(&self, key: &[u8]) -> Option<&Kept> {
        self.keys.get(key)
    }

    pub fn span(&self, span: &Span, limit: usize) -> Option<&Rows> {
        self.spans.get(&(span.clone(), limit))
    }

    pub fn has(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Key(key) => self.keys.contains_key(key),
            Wanted::Span(span, limit) => self.span(span, *limit).is_some(),
        }
    }

    pub fn learn(&mut self, key: Bytes, kept: Kept) {
        let length = key.len();
        self.bytes += taken(length, &kept);
        if let Some(before) = self.keys.insert(key, kept) {
            self.bytes -= taken(length, &before);
        }
    }

    pub fn learn_span(&mut self, span: Span, limit: usize, rows: Rows) {
        self.spans.insert((span, limit), rows);
    }

    /// Nothing lies in a span any more.
    pub fn empty(&mut self, span: &Span) {
        let bytes = &mut self.bytes;
        self.keys.retain(|key, kept| {
            let stays = !span.contains(key);
            if !stays {
                *bytes -= taken(key.len(), kept);
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
            knowledge.learn("a".into(), kept("long value"));
            knowledge.learn("b".into(), kept("value"));
        }
        knowledge.learn("a".into(), Kept::NOTHING);
        assert_eq!(knowledge.bytes, 2 * (KEY_BYTES + 1) + 5);
        knowledge.empty(&Span { start: "b".into(), end: "c".into() });
        assert_eq!(knowledge.bytes, KEY_BYTES + 1);
    }
}
