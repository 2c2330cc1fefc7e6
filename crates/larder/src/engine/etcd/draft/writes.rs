//! The writes of a draft.

use std::collections::BTreeMap;

use bytes::Bytes;
use etcd_client::{DeleteOptions, TxnOp};

use super::limits::OPERATION_BYTES;
use crate::engine::etcd::layout::{Span, next_key};

/// The keys that a draft writes and the spans that it empties.
#[derive(Default)]
pub struct Writes {
    /// `None` deletes the key.
    keys: BTreeMap<Bytes, Option<Bytes>>,
    /// These are emptied before `keys` are written.
    emptied: Vec<Span>,
    undo: Vec<Undo>,
    bytes: usize,
}

enum Undo {
    /// A key, and what the draft wrote to it before.
    Write(Bytes, Option<Option<Bytes>>),
    Empty,
}

#[derive(Clone, Copy)]
pub struct WritesSavepoint {
    undo: usize,
    bytes: usize,
}

impl Writes {
    /// The value that the draft leaves under a key, or `Some(None)` if it deletes the key; `None` if it does
    /// not touch the key.
    pub fn get(&self, key: &Bytes) -> Option<Option<Bytes>> {
        match self.keys.get(key) {
            Some(value) => Some(value.clone()),
            None => self.has_emptied(key).then_some(None),
        }
    }

    /// Whether the draft writes, deletes or empties a key.
    pub fn touches(&self, key: &Bytes) -> bool {
        self.keys.contains_key(key) || self.has_emptied(key)
    }

    fn has_emptied(&self, key: &Bytes) -> bool {
        self.emptied.iter().any(|span| span.contains(key))
    }

    /// The keys of a span that the draft puts, with their values.
    pub fn puts_in(&self, span: &Span) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let keys = self.keys.range(span.start.clone()..span.end.clone());
        keys.filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.emptied.is_empty()
    }

    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len() + OPERATION_BYTES;
        self.write(key, Some(value));
    }

    pub fn delete(&mut self, key: Bytes) {
        self.bytes += key.len() + OPERATION_BYTES;
        self.write(key, None);
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        let before = self.keys.insert(key.clone(), value);
        self.undo.push(Undo::Write(key, before));
    }

    /// Deletes all keys of a span.
    pub fn empty(&mut self, span: Span) {
        let inside: Vec<_> =
            self.keys.range(span.start.clone()..span.end.clone()).map(|(key, _)| key.clone()).collect();
        for key in inside {
            let before = self.keys.remove(&key);
            self.undo.push(Undo::Write(key, before));
        }
        self.bytes += span.start.len() + span.end.len() + OPERATION_BYTES;
        self.emptied.push(span);
        self.undo.push(Undo::Empty);
    }

    pub fn savepoint(&self) -> WritesSavepoint {
        WritesSavepoint { undo: self.undo.len(), bytes: self.bytes }
    }

    pub fn has_grown_since(&self, savepoint: WritesSavepoint) -> bool {
        self.undo.len() > savepoint.undo
    }

    pub fn roll_back(&mut self, savepoint: WritesSavepoint) {
        while self.undo.len() > savepoint.undo {
            match self.undo.pop() {
                Some(Undo::Write(key, Some(before))) => drop(self.keys.insert(key, before)),
                Some(Undo::Write(key, None)) => drop(self.keys.remove(&key)),
                Some(Undo::Empty) => drop(self.emptied.pop()),
                None => {}
            }
        }
        self.bytes = savepoint.bytes;
    }

    /// The most operations that the writes take, and about how many bytes these have.
    pub fn size_max(&self) -> (usize, usize) {
        let (operations, bytes) = (self.keys.len(), self.bytes);
        if self.emptied.is_empty() {
            return (operations, bytes);
        }
        // Each put may cut an emptied span in two, both ends of which are named by the put's key.
        let puts = self.keys.iter().filter(|(_, value)| value.is_some());
        puts.fold((operations + self.emptied.len(), bytes), |(operations, bytes), (key, _)| {
            (operations + 1, bytes + 2 * key.len() + OPERATION_BYTES)
        })
    }

    /// The operations of a transaction that makes the writes.
    pub fn operations(&self) -> Vec<TxnOp> {
        let mut operations = Vec::new();
        for span in &self.emptied {
            self.empty_around_puts(span, &mut operations);
        }
        for (key, value) in &self.keys {
            match value {
                Some(value) => operations.push(TxnOp::put(key.to_vec(), value.to_vec(), None)),
                None if self.has_emptied(key) => {}
                None => operations.push(TxnOp::delete(key.to_vec(), None)),
            }
        }
        operations
    }

    /// Empties a span except for the keys that are put afterwards: etcd refuses a transaction that puts a key
    /// and empties a span with it.
    fn empty_around_puts(&self, span: &Span, operations: &mut Vec<TxnOp>) {
        let mut start = span.start.clone();
        let mut empty = |start: &Bytes, end: &Bytes| {
            if start < end {
                let range = DeleteOptions::new().with_range(end.to_vec());
                operations.push(TxnOp::delete(start.to_vec(), Some(range)));
            }
        };
        for (key, _) in self.puts_in(span) {
            empty(&start, key);
            start = next_key(key);
        }
        empty(&start, &span.end);
    }

    /// The spans that the draft empties, and after that the state of each key that it writes.
    pub fn into_parts(self) -> (Vec<Span>, BTreeMap<Bytes, Option<Bytes>>) {
        (self.emptied, self.keys)
    }
}
