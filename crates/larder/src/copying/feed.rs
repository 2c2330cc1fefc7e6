//! What the source does while, and after, it is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::compare::compare;
use super::note::{NOTES, Note};
use super::patience::PATIENCE;
use super::writing::{Load, Writing, check};
use super::{Copying, Stage, is_passing, is_whole};
use crate::data::clock::ms;
use crate::data::{Error, Event, EventKind, LogPosition, Pattern, Result, Revision};
use crate::engine::{Commit, Mutation};
use crate::store::Snapshot;
use crate::watch::Watcher;

/// How many changes are read from the log at once.
const LOG_PAGE: usize = 512;

/// How long to wait for a change before looking whether it is enough.
const TICK: Duration = Duration::from_millis(100);

/// Changes that are applied together.
struct Batch {
    load: Load,
    events: u64,
    /// The place in the log up to which all is applied with it.
    after: LogPosition,
}

/// Where the changes come from, and what came after those of the last batch: one that did not fit into it, or an
/// error. A watcher says once that the log has lost something, and goes on behind it.
struct Feed {
    watcher: Watcher,
    held: Option<(Event, LogPosition)>,
    trouble: Option<Error>,
}

impl Feed {
    fn next(&mut self, deadline: Option<Instant>) -> Result<Option<(Event, LogPosition)>> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        match self.held.take() {
            Some(held) => Ok(Some(held)),
            None => self.watcher.next_in_place(deadline),
        }
    }
}

impl<S, T> Copying<'_, S, T> {
    /// Deletes from the target what the source has deleted since a place in its log and does not have in the
    /// snapshot. What it has will be set.
    pub(super) fn delete_since(&mut self, place: LogPosition, snapshot: &Snapshot) -> Result<()> {
        let end = LogPosition::after(snapshot.revision()?);
        if place > end {
            // The source is an older one, put back: what it did meanwhile is not in this log.
            return Err(Error::CopyTooOld { left: place.revision, oldest: end.revision });
        }
        let mut deleted_groups = BTreeSet::new();
        let mut after = place;
        while after < end {
            let (events, next) = self.read_log(after, end).map_err(|error| match error {
                Error::Compacted { oldest } => Error::CopyTooOld { left: place.revision, oldest },
                error => error,
            })?;
            if next == after {
                break;
            }
            after = next;
            self.patience.is_alive(Instant::now());
            let mut last = BTreeMap::new();
            for event in events {
                match event.key.clone() {
                    Some(key) => drop(last.insert((event.group.clone(), key), event)),
                    None => drop(deleted_groups.insert(event.group)),
                }
            }
            self.delete_ended(last, snapshot)?;
        }
        self.empty_groups(deleted_groups, snapshot)
    }

    /// Deletes those entries that have ended by their last change.
    fn delete_ended(&mut self, last: BTreeMap<(String, String), Event>, snapshot: &Snapshot) -> Result<()> {
        let target = self.target;
        let mut writing = Writing::new(target);
        for ((group, key), event) in last {
            self.patience.is_alive(Instant::now());
            let lives_on = event.kind == EventKind::Set && !self.has_ended(&event);
            if !lives_on && !snapshot.exists(&group, &key)? {
                let group = target.scope().group(&group).into_owned();
                self.progress.written += writing.push(Mutation::Delete { group, key })?;
            }
        }
        self.progress.written += writing.finish()?;
        self.tell();
        Ok(())
    }

    /// Deletes from groups that were deleted what they have not got again since.
    fn empty_groups(&mut self, groups: BTreeSet<String>, snapshot: &Snapshot) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let target = self.target;
        let mut writing = Writing::new(target);
        let sides = self.sides(snapshot, target);
        compare(&sides, true, &mut |group, of_source, of_target| {
            self.patience.is_alive(Instant::now());
            if let (None, Some(entry)) = (of_source, of_target)
                && groups.contains(group)
            {
                let group = target.scope().group(group).into_owned();
                self.progress.written += writing.push(Mutation::Delete { group, key: entry.key })?;
            }
            Ok(())
        })?;
        self.progress.written += writing.finish()?;
        Ok(())
    }

    /// Applies what changes until it is enough; the place up to which all is applied then.
    pub(super) fn follow(&mut self, note: &Note, from: LogPosition) -> Result<LogPosition> {
        self.progress.stage = Stage::Following;
        let watcher = self.source.watcher_after(Pattern::all(), from)?;
        let mut feed = Feed { watcher, held: None, trouble: None };
        let mut place = from;
        while !self.is_enough() {
            let heard =
                self.source.revision().and_then(|latest| Ok((latest, self.gather(&mut feed, place)?)));
            match heard {
                Ok((latest, Some(batch))) => {
                    self.patience.get_on(Instant::now());
                    self.progress.latest = latest.max(batch.after.revision);
                    self.apply_patiently(note, &batch)?;
                    place = batch.after;
                    self.progress.revision = place.revision;
                }
                Ok((latest, None)) => {
                    // Nothing more has come up to then.
                    self.patience.get_on(Instant::now());
                    self.progress.latest = self.progress.latest.max(latest);
                    self.progress.revision = self.progress.latest;
                }
                Err(error) if is_passing(&error) => self.rest(&error),
                Err(error) => return Err(self.too_old(place, error)),
            }
            self.tell();
        }
        Ok(place)
    }

    /// Applies what the source has at a revision and was not applied yet.
    pub(super) fn drain(&mut self, note: &Note, from: LogPosition, to: Revision) -> Result<()> {
        let end = LogPosition::after(to);
        let mut place = from;
        while place < end {
            let (events, next) = self.read_log(place, end).map_err(|error| self.too_old(place, error))?;
            if next == place {
                break;
            }
            let mut batch = Batch { load: Load::default(), events: 0, after: place };
            for event in events {
                if !self.add(&mut batch, &event)? {
                    // Of the page only its end is a place: should this be the last batch, it comes again.
                    self.apply(note, &batch)?;
                    batch = Batch { load: Load::default(), events: 0, after: place };
                    self.add(&mut batch, &event)?;
                }
            }
            batch.after = next;
            self.apply(note, &batch)?;
            place = next;
            self.progress.revision = place.revision;
            self.tell();
        }
        Ok(())
    }

    /// What it means that the log does not reach back to a place: an exact copy finds by comparing what is lost.
    fn too_old(&self, place: LogPosition, error: Error) -> Error {
        match error {
            Error::Compacted { oldest } if !self.exact => Error::CopyTooOld { left: place.revision, oldest },
            error => error,
        }
    }

    fn is_enough(&mut self) -> bool {
        self.follow_until.as_mut().is_none_or(|cut_over| cut_over())
    }

    /// The next changes, as many as are there and fit; none where none comes.
    fn gather(&self, feed: &mut Feed, place: LogPosition) -> Result<Option<Batch>> {
        let Some((event, after)) = feed.next(Instant::now().checked_add(TICK))? else { return Ok(None) };
        let mut batch = Batch { load: Load::default(), events: 0, after: place };
        self.add(&mut batch, &event)?;
        batch.after = after;
        loop {
            match feed.next(Some(Instant::now())) {
                Ok(Some((event, after))) => {
                    if !self.add(&mut batch, &event)? {
                        feed.held = Some((event, after));
                        break;
                    }
                    batch.after = after;
                }
                Ok(None) => break,
                // What came before it is applied all the same.
                Err(error) => {
                    feed.trouble = Some(error);
                    break;
                }
            }
        }
        Ok(Some(batch))
    }

    /// Adds a change, unless the batch is full.
    fn add(&self, batch: &mut Batch, event: &Event) -> Result<bool> {
        if is_whole(self.source) && event.group == NOTES {
            return Ok(true);
        }
        let change = self.change(event);
        if !batch.load.has_room_for(&change) {
            return Ok(false);
        }
        check(self.target, &change)?;
        batch.load.push(change);
        batch.events += 1;
        Ok(true)
    }

    /// What a change of the source is in the target.
    fn change(&self, event: &Event) -> Mutation {
        let group = self.target.scope().group(&event.group).into_owned();
        match (&event.key, &event.value) {
            (None, _) => Mutation::DeleteGroup { group },
            (Some(key), Some(value)) if !self.has_ended(event) => Mutation::Set {
                group,
                key: key.clone(),
                value: value.clone(),
                expires_at_ms: event.expires_at.map(ms),
            },
            (Some(key), _) => Mutation::Delete { group, key: key.clone() },
        }
    }

    fn has_ended(&self, event: &Event) -> bool {
        event.expires_at.is_some_and(|at| self.has_passed(at))
    }

    /// Applies a batch, and notes in the same commit that it was.
    fn apply(&mut self, note: &Note, batch: &Batch) -> Result<()> {
        let mut mutations = batch.load.mutations.clone();
        mutations.push(note.mutation(batch.after));
        self.target.shared().commit(Commit::from(mutations))?;
        self.progress.applied += batch.events;
        Ok(())
    }

    /// The same, again and again where that helps: others may be served meanwhile, and it must not be left out.
    fn apply_patiently(&mut self, note: &Note, batch: &Batch) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.apply(note, batch) {
                Err(error) if is_passing(&error) && began.elapsed() < PATIENCE => self.rest(&error),
                applied => return applied,
            }
        }
    }

    /// A page of the source's log, without what is not copied, and the place after it.
    fn read_log(&self, after: LogPosition, end: LogPosition) -> Result<(Vec<Event>, LogPosition)> {
        let changes = self.source.shared().engine()?.changes(after, LOG_PAGE).wait()?;
        let scope = self.source.scope();
        let pattern = scope.pattern(Pattern::all());
        let is_beyond = changes.next > end;
        let events = changes
            .logged
            .into_iter()
            .map(|logged| logged.event)
            .filter(|event| event.revision <= end.revision && pattern.matches(event))
            .map(|event| scope.event(event))
            .filter(|event| !is_whole(self.source) || event.group != NOTES);
        Ok((events.collect(), if is_beyond { end } else { changes.next }))
    }
}
