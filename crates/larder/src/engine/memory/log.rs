//! The change log: its parts, one for each history, and what is read of them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::state::Kept;
use crate::data::{
    Error, Event, History, HistoryInfo, LogPosition, NamePattern, Pattern, Result, Revision, Value,
};
use crate::engine::{Changes, LogRead, Logged};
use crate::rules::{self, Reading, histories_for, history_of};

/// About what a change takes besides its names and value, so that many small changes count.
const CHANGE_BYTES: u64 = 48;

/// How many bytes a page of the log holds at most, unless a single change is larger.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A change as the log counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number in its history, from 1.
    pub number: u64,
    /// The bytes of all changes that its history ever had, up to this one.
    pub bytes: u64,
    pub place: LogPosition,
}

/// A change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub step: u64,
    /// The bytes of all changes that its history ever had, up to this one.
    pub bytes: u64,
    pub event: Arc<Event>,
}

impl Change {
    pub fn place(&self) -> LogPosition {
        LogPosition { revision: self.event.revision, step: self.step }
    }
}

/// The changes of one history.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub prefix: Arc<str>,
    /// `None` for the store's own history where none was set: the options decide.
    pub bounds: Option<History>,
    /// The last change that was pruned. Its place is after that of changes which are still there, if a history that
    /// had lost more than this one was removed and became part of it.
    pub pruned: Mark,
    /// The last change; the last pruned one where there is no other.
    pub last: Mark,
    /// Those that are kept: numbered from the one after the last pruned one.
    pub changes: VecDeque<Change>,
    /// How many changes the open commit has added.
    pub added: u64,
    /// Cursors hold what would be pruned: not worth a look until the last change has this number.
    pub held_until: u64,
    /// Where the cursor is that holds them.
    pub holder: Option<LogPosition>,
    /// The number and the bytes of the last change when the shares of namespaces were last looked at.
    pub looked_at: (u64, u64),
}

impl Part {
    pub fn new(kept: &Kept, lost: LogPosition) -> Self {
        let nothing = Mark { number: 0, bytes: 0, place: lost };
        Self {
            prefix: Arc::clone(&kept.prefix),
            bounds: kept.bounds,
            pruned: nothing,
            last: nothing,
            changes: VecDeque::new(),
            added: 0,
            held_until: 0,
            holder: None,
            looked_at: (0, 0),
        }
    }

    /// Whether nothing is kept.
    pub fn is_none(&self) -> bool {
        self.bounds.is_some_and(|bounds| bounds.is_none())
    }

    /// How many changes can be read, and how many bytes they count.
    pub fn size(&self) -> (u64, u64) {
        (self.changes.len() as u64, self.last.bytes.saturating_sub(self.pruned.bytes))
    }

    /// The change with this number, if it is kept.
    pub fn change(&self, number: u64) -> Option<&Change> {
        let index = number.checked_sub(self.pruned.number + 1)?;
        self.changes.get(usize::try_from(index).ok()?)
    }

    /// How the log counts the change with this number.
    pub fn mark(&self, number: u64) -> Option<Mark> {
        let change = self.change(number)?;
        Some(Mark { number, bytes: change.bytes, place: change.place() })
    }

    /// The number of the last change that is kept and for which `is_before` holds, as it does for all before that one;
    /// that of the last pruned one where there is none.
    pub fn last_where(&self, is_before: impl Fn(&Change) -> bool) -> u64 {
        self.pruned.number + self.changes.partition_point(is_before) as u64
    }

    /// The number of the last change at or before a position.
    pub fn seek(&self, to: LogPosition) -> u64 {
        if self.last.place <= to { self.last.number } else { self.last_where(|change| change.place() <= to) }
    }

    /// Adds a change, which is its latest.
    pub fn append(&mut self, step: u64, event: &Arc<Event>) {
        let place = LogPosition { revision: event.revision, step };
        if self.is_none() {
            self.lose_up_to(place);
            return;
        }
        self.last.number += 1;
        self.last.bytes += bytes_of(event);
        self.last.place = self.last.place.max(place);
        self.added += 1;
        self.changes.push_back(Change { step, bytes: self.last.bytes, event: Arc::clone(event) });
    }

    /// Has lost what another history has lost.
    pub fn lose_up_to(&mut self, place: LogPosition) {
        self.pruned.place = self.pruned.place.max(place);
        self.last.place = self.last.place.max(place);
    }

    /// Loses the changes up to a number. Returns them: they may be large, and are dropped when no lock is held.
    pub fn prune_to(&mut self, number: u64) -> Vec<Change> {
        let Some(mark) = self.mark(number) else { return Vec::new() };
        let count = usize::try_from(number - self.pruned.number).unwrap_or_default();
        self.pruned = Mark { place: mark.place.max(self.pruned.place), ..mark };
        self.changes.drain(..count).collect()
    }
}

/// The bytes that a change counts.
pub(super) fn bytes_of(event: &Event) -> u64 {
    let key = event.key.as_ref().map_or(0, String::len);
    CHANGE_BYTES + (event.group.len() + key + event.value.as_ref().map_or(0, Value::len)) as u64
}

/// The log.
#[derive(Debug)]
pub(super) struct Log {
    /// Sorted by prefix. The first is that of the empty prefix.
    pub parts: Vec<Part>,
}

impl Log {
    pub fn new(histories: &[Kept]) -> Self {
        let parts = histories.iter().map(|kept| Part::new(kept, LogPosition::after(Revision(0))));
        Self { parts: parts.collect() }
    }

    /// Which part the changes of a group go to.
    pub fn of(&self, group: &str) -> usize {
        if self.parts.len() <= 1 {
            return 0;
        }
        history_of(group, self.parts.iter().map(|part| &*part.prefix)).unwrap_or_default()
    }

    /// What the rules ask for.
    pub fn kept(&self) -> Vec<rules::Kept<'_>> {
        self.parts.iter().map(|part| rules::Kept { prefix: &part.prefix, lost: part.pruned.place }).collect()
    }

    /// How many changes that a pattern's groups may be in the log has after a position.
    pub fn count_after(&self, pattern: &Pattern, place: LogPosition) -> u64 {
        let wanted = histories_for(&pattern.group, &self.kept());
        wanted
            .into_iter()
            .map(|index| &self.parts[index])
            .map(|part| part.last.number - part.seek(place))
            .sum()
    }

    /// Whether a reader of these groups at a position has lost changes.
    pub fn has_lost(&self, groups: &NamePattern, place: LogPosition) -> bool {
        rules::readings(groups, &self.kept(), place, place, LogPosition::MAX).is_err()
    }

    /// Reads a page. `latest` is the latest commit.
    pub fn read(&self, wanted: &LogRead<'_>, latest: Revision) -> Result<Changes> {
        let groups = &wanted.pattern.group;
        let kept = self.kept();
        let readings = rules::readings(groups, &kept, wanted.after, wanted.told, wanted.at_hand_after)
            .map_err(|oldest| Error::Compacted { oldest })?;
        let mut pages: Vec<_> =
            readings.into_iter().map(|reading| self.page(reading, wanted.after)).collect();
        let mut changes = Changes { logged: Vec::new(), next: wanted.after, latest };
        let mut bytes = 0;
        let first = |page: &Page<'_>| page.next.map(Change::place);
        while let Some(page) =
            pages.iter_mut().filter(|page| page.next.is_some()).min_by_key(|page| first(page))
        {
            let Some(change) = page.take() else { break };
            let event = &change.event;
            let last = changes.logged.last().map(|last| last.event.revision);
            if let Some(last) = last.filter(|last| *last < event.revision) {
                changes.next = LogPosition::after(last);
            }
            if changes.logged.len() == wanted.max || bytes >= PAGE_BYTES_MAX {
                return Ok(changes);
            }
            bytes += event.value.as_ref().map_or(0, Value::len);
            changes.next = change.place();
            changes.logged.push(Logged { step: change.step, event: Arc::clone(event) });
        }
        // That was all there is, also of what is not wanted.
        changes.next = wanted.after.max(LogPosition::after(latest));
        Ok(changes)
    }

    fn page(&self, reading: Reading, after: LogPosition) -> Page<'_> {
        let part = &self.parts[reading.history];
        let skipped = usize::try_from(part.seek(after) - part.pruned.number).unwrap_or(usize::MAX);
        let rest = part.changes.range(skipped.min(part.changes.len())..);
        let mut page = Page { rest, without: reading.without, next: None };
        page.take();
        page
    }

    /// The changes of one key that the log has, oldest first.
    pub fn history(&self, group: &str, key: &str) -> Vec<Event> {
        let changes = self.parts[self.of(group)].changes.iter().map(|change| &change.event);
        let is_wanted =
            |event: &&Arc<Event>| event.group == group && event.key.as_ref().is_none_or(|name| name == key);
        changes.filter(is_wanted).map(|event| Event::clone(event)).collect()
    }

    /// The histories whose prefixes start with `prefix`, sorted by prefix.
    pub fn list(&self, prefix: &str, default: &History) -> Vec<HistoryInfo> {
        let wanted = self.parts.iter().filter(|part| part.prefix.starts_with(prefix));
        let info = |part: &Part| {
            let (changes, bytes) = part.size();
            let bounds = if part.is_none() { History::NONE } else { part.bounds.unwrap_or(*default) };
            let prefix = part.prefix.to_string();
            HistoryInfo { prefix, bounds, changes, bytes, from: part.pruned.place.revision }
        };
        wanted.map(info).collect()
    }
}

/// The changes of one part, one ahead.
struct Page<'a> {
    rest: std::collections::vec_deque::Iter<'a, Change>,
    without: Option<Revision>,
    next: Option<&'a Change>,
}

impl<'a> Page<'a> {
    fn take(&mut self) -> Option<&'a Change> {
        let without = self.without;
        let next = self.rest.by_ref().find(|change| Some(change.event.revision) != without);
        std::mem::replace(&mut self.next, next)
    }
}
