//! Runs a sequence on a store and on the model, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use larder::{
    Clock, Durability, Error, Event, EventKind, History, HistoryInfo, Pattern, Revision, Store, Value,
};

use crate::common::{Rig, events_now, ms, verify};
use crate::operation::{CURSORS, GROUPS, KEYS, Operation, PREFIXES, Settings, Wanted};
use crate::plain::{Plain, PlainCursor};
use crate::reader::{Reader, Source};

/// More watchers would take longer, and find no more.
const WATCHERS_MAX: usize = 3;

/// A store and its model.
struct Pair<'a> {
    rig: &'a Rig,
    settings: Settings,
    store: Store,
    /// A second handle of the same data, as another process has it, if the engine can share.
    other: Store,
    plain: Plain,
    began: SystemTime,
    watchers: Vec<Reader>,
    cursors: BTreeMap<&'static str, Reader>,
    /// How many operations have run.
    turn: usize,
    /// Makes each value another.
    number: u64,
    has_foreign_writes: bool,
}

/// Runs a sequence and compares everything after each operation.
pub fn run(rig: &Rig, settings: Settings, operations: &[Operation]) {
    let store = open(rig, settings);
    let other = if rig.promises.can_be_opened_again { open(rig, settings) } else { store.clone() };
    let default = History { changes: settings.changes, bytes: 1 << 20, age: None };
    let mut pair = Pair {
        rig,
        settings,
        store,
        other,
        plain: Plain::new(default, settings.cursor_bytes_max),
        began: rig.clock.now(),
        watchers: Vec::new(),
        cursors: BTreeMap::new(),
        turn: 0,
        number: 0,
        has_foreign_writes: false,
    };
    for operation in operations {
        pair.operate(operation);
        pair.turn += 1;
        pair.compare();
    }
    pair.receive();
    verify(&pair.store);
}

fn open(rig: &Rig, settings: Settings) -> Store {
    rig.open_with(|options| {
        let options = options.durability(Durability::Relaxed).history(settings.changes, 1 << 20);
        options.cursor_bytes_max(settings.cursor_bytes_max)
    })
}

impl Pair<'_> {
    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Set { foreign, group, key, bytes } => self.set(*foreign, group, key, *bytes),
            Operation::Burst { foreign, group, count } => {
                (0..*count).for_each(|number| self.set(*foreign, group, KEYS[number % 2], number));
            }
            Operation::Delete { group, key } => {
                let is_there = self.plain.entries.contains_key(&((*group).to_owned(), (*key).to_owned()));
                assert_eq!(self.store.delete(group, *key).unwrap(), is_there);
                if is_there {
                    self.committed(vec![self.event(EventKind::Delete, group, Some(key), None)]);
                }
            }
            Operation::DeleteGroup { group } => {
                let count = self.plain.entries.keys().filter(|(name, _)| name == group).count() as u64;
                assert_eq!(self.store.delete_group(group).unwrap(), count);
                if count > 0 {
                    self.committed(vec![self.event(EventKind::DeleteGroup, group, None, None)]);
                }
            }
            Operation::Batch { groups } => {
                let mut batch = self.store.batch();
                let mut events = Vec::new();
                for (number, (group, bytes)) in groups.iter().enumerate() {
                    let (key, value) = (KEYS[number % 2], self.value(*bytes));
                    batch = batch.set(*group, key, value.clone());
                    events.push(self.event(EventKind::Set, group, Some(key), Some(value)));
                }
                batch.commit().unwrap();
                self.committed(events);
            }
            Operation::SetHistory { foreign, prefix, history } => {
                self.writer(*foreign).set_history(prefix, *history).unwrap();
                self.plain.set_history(prefix, *history);
            }
            Operation::RemoveHistory { foreign, prefix } => {
                let answer = self.writer(*foreign).remove_history(prefix).unwrap();
                assert_eq!(answer, self.plain.remove_history(prefix));
            }
            Operation::Cursor { name, wanted } => self.open_cursor(name, *wanted),
            Operation::Acknowledge { name, back } => self.acknowledge(name, *back),
            Operation::DeleteCursor { name } => {
                self.cursors.remove(name);
                let is_there = self.plain.cursors.remove(name).is_some();
                assert_eq!(self.store.delete_cursor(name).unwrap(), is_there);
                self.plain.settle();
            }
            Operation::Watch { wanted } => {
                let watcher = self.store.watch(*wanted).unwrap();
                let position = (self.plain.revision, u64::MAX);
                self.watchers.truncate(WATCHERS_MAX - 1);
                self.watchers.insert(0, Reader::new(Source::Watcher(watcher), *wanted, position));
            }
            Operation::Receive => self.receive(),
            Operation::Advance { ms } => {
                self.rig.advance_ms(*ms);
                self.plain.now += ms;
                self.plain.settle();
            }
            Operation::Purge => {
                assert_eq!(self.store.purge_expired().unwrap(), 0);
                self.plain.prefixes().into_iter().for_each(|prefix| self.compare_bounds(prefix));
            }
            Operation::Reopen if self.rig.promises.can_be_opened_again => self.reopen(),
            Operation::Reopen => {}
        }
    }

    /// The handle that writes.
    fn writer(&mut self, foreign: bool) -> &Store {
        if !(foreign && self.rig.promises.can_be_opened_again) {
            return &self.store;
        }
        self.has_foreign_writes = true;
        &self.other
    }

    fn value(&mut self, bytes: usize) -> Value {
        self.number += 1;
        format!("{}{}", self.number, "x".repeat(bytes)).into()
    }

    fn event(&self, kind: EventKind, group: &str, key: Option<&str>, value: Option<Value>) -> Event {
        Event {
            revision: Revision(self.plain.revision + 1),
            kind,
            group: group.to_owned(),
            key: key.map(str::to_owned),
            value,
            expires_at: None,
            at: self.began + ms(self.plain.now),
        }
    }

    fn set(&mut self, foreign: bool, group: &str, key: &str, bytes: usize) {
        let value = self.value(bytes);
        let event = self.event(EventKind::Set, group, Some(key), Some(value.clone()));
        let revision = self.writer(foreign).set(group, key, value).unwrap();
        assert_eq!(revision, event.revision);
        self.committed(vec![event]);
    }

    fn committed(&mut self, events: Vec<Event>) {
        let groups: BTreeSet<_> = events.iter().map(|event| event.group.clone()).collect();
        self.plain.commit(events);
        if self.has_foreign_writes {
            self.watchers
                .iter_mut()
                .chain(self.cursors.values_mut())
                .for_each(|reader| reader.is_live = false);
        }
        groups.iter().for_each(|group| self.compare_bounds(self.plain.history_of(group)));
    }

    fn open_cursor(&mut self, name: &'static str, wanted: Wanted) {
        let cursor = self.store.cursor_on(name, wanted).unwrap();
        let latest = (self.plain.revision, u64::MAX);
        let plain = self.plain.cursors.entry(name).or_insert(PlainCursor { position: latest, wanted });
        plain.wanted = wanted;
        let reader = Reader::new(Source::Cursor(cursor), wanted, plain.position);
        self.cursors.insert(name, reader);
        self.plain.settle();
    }

    fn acknowledge(&mut self, name: &'static str, back: usize) {
        let Some(reader) = self.cursors.get_mut(name) else { return };
        reader.receive_all(&self.plain);
        let Some(index) = reader.received.len().checked_sub(back + 1) else { return };
        let Source::Cursor(cursor) = &reader.source else { return };
        cursor.ack(&reader.received[index].event).unwrap();
        let place = reader.received[index].place;
        reader.received.drain(..=index);
        self.plain.cursors.get_mut(name).unwrap().position = place;
        self.plain.settle();
    }

    fn receive(&mut self) {
        for reader in self.watchers.iter_mut().chain(self.cursors.values_mut()) {
            reader.receive_all(&self.plain);
        }
    }

    fn reopen(&mut self) {
        self.watchers.clear();
        self.cursors.clear();
        self.store.close().unwrap();
        self.store = std::mem::replace(&mut self.other, open(self.rig, self.settings));
        for (name, PlainCursor { wanted, .. }) in self.plain.cursors.clone() {
            self.open_cursor(name, wanted);
        }
    }

    fn compare(&mut self) {
        let handle = if self.turn.is_multiple_of(2) { &self.store } else { &self.other };
        assert_eq!(handle.revision().unwrap().0, self.plain.revision);
        for group in GROUPS {
            let read = handle.get_all(group).unwrap();
            let expected = self.plain.entries.iter().filter(|((name, _), _)| name == group);
            let expected: BTreeMap<_, _> =
                expected.map(|((_, key), value)| (key.as_str(), value.clone())).collect();
            assert!(read.iter().eq(expected.clone()), "{group:?}: {read:?}, expected {expected:?}");
            for key in KEYS {
                assert_eq!(self.other.get(group, key).unwrap(), expected.get(key).cloned());
            }
            self.compare_history(handle, group, KEYS[self.turn % 2]);
        }
        self.compare_sizes(handle);
        self.probe(handle);
        let cursors = handle.cursors().unwrap();
        assert!(cursors.iter().map(|cursor| cursor.name.as_str()).eq({
            let mut names: Vec<_> =
                CURSORS.into_iter().filter(|name| self.plain.cursors.contains_key(name)).collect();
            names.sort_unstable();
            names
        }));
        for cursor in cursors {
            let plain = self.plain.cursors[cursor.name.as_str()];
            assert_eq!(cursor.pattern, Pattern::from(plain.wanted));
            let lost = self.plain.lost_for(plain.wanted);
            assert!(!cursor.compacted || lost >= plain.position.0, "{cursor:?}, and only {lost} may be lost");
        }
        if self.turn.is_multiple_of(4) {
            assert_eq!(handle.check().unwrap(), []);
        }
    }

    /// The log of one key has what it must, in order, and nothing else.
    fn compare_history(&self, handle: &Store, group: &str, key: &str) {
        let read = handle.history(group, key).unwrap();
        let of_key = Wanted::Group(GROUPS.into_iter().find(|name| *name == group).unwrap());
        let own = self.plain.log.iter().filter(|change| {
            let event = &change.event;
            of_key.matches(&event.group, None) && event.key.as_deref().is_none_or(|other| other == key)
        });
        let mut read = read.iter().peekable();
        for change in own {
            let is_there = read.next_if(|event| **event == change.event).is_some();
            assert!(is_there || !change.is_required, "{change:?} is missing");
            assert!(!is_there || !change.is_gone, "{change:?} is still there");
        }
        assert_eq!(read.next(), None, "never happened");
    }

    fn compare_sizes(&self, handle: &Store) {
        let histories = handle.histories().unwrap();
        let prefixes: Vec<_> = histories.iter().map(|history| history.prefix.as_str()).collect();
        assert_eq!(prefixes, self.plain.prefixes());
        for HistoryInfo { prefix, bounds, changes, bytes, from, .. } in &histories {
            assert_eq!(*bounds, self.plain.bounds(prefix));
            let required = self.plain.required(prefix);
            assert!(
                *changes >= required.0 && *bytes >= required.1,
                "{prefix:?}: {changes}, {bytes}; {required:?}"
            );
            let lost = self.plain.lost_max(prefix);
            assert!(from.0 <= lost, "{prefix:?} begins after {from}, and only {lost} may be lost");
        }
        let stats = handle.stats().unwrap();
        assert_eq!(stats.history_changes, histories.iter().map(|history| history.changes).sum::<u64>());
        assert_eq!(stats.history_bytes, histories.iter().map(|history| history.bytes).sum::<u64>());
    }

    /// A history that was pruned just now keeps no more than its bounds, the latest commit and what cursors hold.
    fn compare_bounds(&self, prefix: &str) {
        let histories = self.store.histories().unwrap();
        let info = histories.iter().find(|history| history.prefix == prefix).unwrap();
        let (latest, held) = self.plain.may_exceed(prefix);
        let held = if self.settings.cursor_bytes_max == 0 { 0 } else { held };
        let bounds = self.plain.bounds(prefix);
        // Bounds of 64 and more have some slack.
        let changes = bounds.changes + bounds.changes / 64;
        assert!(info.changes <= changes.max(latest).max(held), "{info:?}; {latest} latest, {held} held");
        let bytes = bounds.bytes + bounds.bytes / 64;
        let is_more = info.changes > latest.max(held) && info.bytes > bytes;
        assert!(!is_more, "{info:?}; {latest} latest, {held} held");
        if let (Some(age), 0) = (bounds.age, held) {
            let age = age.as_millis() as u64;
            let young = self.plain.log.iter().filter(|change| {
                let at = change.event.at.duration_since(self.began).unwrap().as_millis() as u64;
                self.plain.now - at < age && self.plain.history_of(&change.event.group) == prefix
            });
            let young = young.count() as u64;
            assert!(info.changes <= young.max(latest), "{info:?}; {young} are young enough");
        }
    }

    /// Watches from some revision: every change since then is there, or it is refused with the reason.
    fn probe(&self, handle: &Store) {
        for group in GROUPS {
            let last = self.plain.log.iter().rfind(|change| change.event.group == group);
            if let Some(last) = last {
                self.probe_from(handle, Wanted::Group(group), last.place.0 - 1);
            }
        }
        for shift in 0..3 {
            let turn = self.turn * 3 + shift;
            let wanted = match turn % 4 {
                0 => Wanted::All,
                1 => Wanted::Group(GROUPS[turn / 4 % GROUPS.len()]),
                2 => Wanted::Groups(PREFIXES[turn / 4 % PREFIXES.len()]),
                _ => Wanted::Key(GROUPS[turn / 4 % GROUPS.len()], KEYS[turn / 8 % 2]),
            };
            let lost = self.plain.lost_for(wanted);
            let from = match turn / 2 % 3 {
                0 => 0,
                1 => (turn as u64 * 7919) % (self.plain.revision + 1),
                _ => lost.saturating_sub(turn as u64 / 6 % 3),
            };
            self.probe_from(handle, wanted, from);
        }
    }

    fn probe_from(&self, handle: &Store, wanted: Wanted, from: u64) {
        let since = match handle.watch_from(wanted, from) {
            Ok(watcher) => return self.assert_complete(&events_now(&watcher), wanted, from),
            Err(Error::Compacted { oldest }) => oldest.0,
            Err(error) => panic!("{error:?}"),
        };
        let lost = self.plain.lost_for(wanted);
        assert!(
            since > from && since <= lost,
            "{wanted:?} from {from}: {since}, and only {lost} may be lost"
        );
        let watcher = handle.watch_from(wanted, since).unwrap();
        self.assert_complete(&events_now(&watcher), wanted, since);
    }

    fn assert_complete(&self, events: &[Event], wanted: Wanted, from: u64) {
        let expected = self.plain.log.iter().filter(|change| {
            change.place.0 > from && wanted.matches(&change.event.group, change.event.key.as_deref())
        });
        let expected: Vec<_> = expected.map(|change| &change.event).collect();
        assert!(
            events.iter().eq(expected.iter().copied()),
            "{wanted:?} from {from}: {events:#?}, expected {expected:#?}"
        );
    }
}
