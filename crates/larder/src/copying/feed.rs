//! Applies the changes of the source: those since an interruption, and those that a copy follows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::note::Note;
use super::retry_budget::STALL_MAX;
use super::writing::{Chunk, CommitWriter, Output, check};
use super::{Copying, Stage, is_passing};
use crate::data::clock::expiry_at_ms;
use crate::data::{Error, Event, EventKind, LogPosition, Pattern, Result, Revision};
use crate::engine::{Commit, LogRead, Mutation};
use crate::store::Snapshot;
use crate::watch::Watcher;

/// How many changes are read from the log at once.
const LOG_PAGE: usize = 512;

/// How long to wait for a change before asking whether to cut over.
const TICK: Duration = Duration::from_millis(100);

/// Changes that are applied together.
struct ChangeBatch {
    chunk: Chunk,
    events: u64,
    /// The position in the log up to which everything is applied with it.
    after: LogPosition,
}

impl ChangeBatch {
    fn after(position: LogPosition) -> Self {
        Self { chunk: Chunk::default(), events: 0, after: position }
    }
}

/// Receives the changes of the source.
struct ChangeFeed {
    watcher: Watcher,
    /// A change that did not fit into the last batch.
    held: Option<(Event, LogPosition)>,
    /// An error that came after the changes of the last batch. The watcher reports it once and continues after it.
    trouble: Option<Error>,
}

impl ChangeFeed {
    fn next(&mut self, deadline: Option<Instant>) -> Result<Option<(Event, LogPosition)>> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        match self.held.take() {
            Some(held) => Ok(Some(held)),
            None => self.watcher.next_with_position(deadline),
        }
    }
}

impl<S, T> Copying<'_, S, T> {
    /// Deletes from the target what the source has deleted since a position in its log, unless the snapshot has it
    /// again. Sets what expires: it could expire before it is copied, and the target would keep the former value.
    pub(super) fn catch_up(&mut self, from: LogPosition, snapshot: &Snapshot) -> Result<()> {
        let end = LogPosition::after(snapshot.revision()?);
        if from > end {
            // The source was restored from a backup; its log lacks what it did since.
            return Err(Error::CopyTooOld { left: from.revision, oldest: end.revision });
        }
        let mut deleted_groups = BTreeSet::new();
        let mut after = from;
        while after < end {
            let (events, next) = self.read_log(after, end).map_err(|error| match error {
                Error::Compacted { oldest } => Error::CopyTooOld { left: from.revision, oldest },
                error => error,
            })?;
            if next == after {
                break;
            }
            after = next;
            self.stay_alive()?;
            let mut last = BTreeMap::new();
            for event in events {
                match event.key.clone() {
                    Some(key) => drop(last.insert((event.group.clone(), key), event)),
                    None => drop(deleted_groups.insert(event.group)),
                }
            }
            self.apply_endings(last, snapshot)?;
        }
        self.empty_groups(deleted_groups, snapshot)
    }

    /// Deletes the entries whose last change deleted them, and sets those that expire.
    fn apply_endings(&mut self, last: BTreeMap<(String, String), Event>, snapshot: &Snapshot) -> Result<()> {
        let mut output = Output::Commits(CommitWriter::new(self.target));
        for ((group, key), event) in last {
            self.stay_alive()?;
            if self.is_intruder(&group) || event.kind == EventKind::Set && event.expires_at.is_none() {
                continue;
            }
            let entry = snapshot.entry(&group, &key)?.filter(|entry| !self.is_gone(entry));
            self.progress.written += match entry {
                Some(entry) if entry.expires_at.is_some() => output.set(&group, entry)?,
                Some(_) => 0,
                None => output.delete(&group, key)?,
            };
        }
        self.progress.written += output.flush()?;
        self.tell();
        Ok(())
    }

    /// Deletes from groups that were deleted what they do not have again since.
    fn empty_groups(&mut self, mut groups: BTreeSet<String>, snapshot: &Snapshot) -> Result<()> {
        groups.retain(|group| !self.is_intruder(group));
        if groups.is_empty() {
            return Ok(());
        }
        let target = self.target;
        let mut output = Output::Commits(CommitWriter::new(target));
        self.delete_extras(snapshot, target, &mut output, Self::stay_alive, |group| groups.contains(group))
    }

    /// Applies changes until it is time to cut over, and returns the position up to which everything is applied.
    pub(super) fn follow(&mut self, note: &Note, from: LogPosition) -> Result<LogPosition> {
        self.progress.stage = Stage::Following;
        let watcher = self.source.watcher_after(Pattern::all(), from)?;
        let mut feed = ChangeFeed { watcher, held: None, trouble: None };
        let mut position = from;
        while !self.is_time_to_cut_over() {
            self.check_wanted()?;
            let heard =
                self.source.revision().and_then(|latest| Ok((latest, self.gather(&mut feed, position)?)));
            match heard {
                Ok((latest, Some(batch))) => {
                    self.budget.refill(Instant::now());
                    self.progress.latest = latest.max(batch.after.revision);
                    self.apply_with_retries(note, &batch)?;
                    position = batch.after;
                    self.progress.revision = position.revision;
                }
                Ok((latest, None)) => {
                    // There was nothing more up to `latest`.
                    self.budget.refill(Instant::now());
                    self.progress.latest = self.progress.latest.max(latest);
                    self.progress.revision = self.progress.latest;
                }
                Err(error) if is_passing(&error) => self.rest(&error),
                Err(error) => {
                    if matches!(error, Error::ClusterRestored { .. }) && self.exact {
                        // The next attempt compares everything, and its note names the source as it is now.
                        note.remove()?;
                    }
                    return Err(self.too_old(position, error));
                }
            }
            self.tell();
        }
        Ok(position)
    }

    /// Applies the rest of the changes up to a revision of the source.
    pub(super) fn drain(&mut self, note: &Note, from: LogPosition, to: Revision) -> Result<()> {
        let end = LogPosition::after(to);
        let mut position = from;
        while position < end {
            let (events, next) =
                self.read_log(position, end).map_err(|error| self.too_old(position, error))?;
            if next == position {
                break;
            }
            let mut batch = ChangeBatch::after(position);
            for event in events {
                if !self.add(&mut batch, &event)? {
                    // Only the end of the page is a known position: if this batch is the last, it comes again.
                    self.apply(note, &batch)?;
                    batch = ChangeBatch::after(position);
                    self.add(&mut batch, &event)?;
                }
            }
            batch.after = next;
            self.apply(note, &batch)?;
            position = next;
            self.progress.revision = position.revision;
            self.tell();
        }
        Ok(())
    }

    /// The error of a log that does not reach back to a position. An exact copy finds what is lost by comparing.
    fn too_old(&self, position: LogPosition, error: Error) -> Error {
        match error {
            Error::Compacted { oldest } if !self.exact => {
                Error::CopyTooOld { left: position.revision, oldest }
            }
            // The target may have what the source does not have any more.
            Error::ClusterRestored { latest } if !self.exact => {
                Error::CopyTooOld { left: position.revision, oldest: latest }
            }
            error => error,
        }
    }

    fn is_time_to_cut_over(&mut self) -> bool {
        self.follow_until.as_mut().is_none_or(|cut_over| cut_over())
    }

    /// Takes the next changes, as many as there are and fit; `None` if none comes.
    fn gather(&self, feed: &mut ChangeFeed, position: LogPosition) -> Result<Option<ChangeBatch>> {
        let Some((event, after)) = feed.next(Instant::now().checked_add(TICK))? else { return Ok(None) };
        let mut batch = ChangeBatch::after(position);
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
                // The changes before it are applied all the same.
                Err(error) => {
                    feed.trouble = Some(error);
                    break;
                }
            }
        }
        Ok(Some(batch))
    }

    /// Adds a change, unless the batch is full.
    fn add(&self, batch: &mut ChangeBatch, event: &Event) -> Result<bool> {
        if self.is_intruder(&event.group) {
            // Nothing to delete: a copy is not made of such a group.
            let sets = event.value.is_some();
            return if sets { self.refuse_intruder(&event.group).map(|()| true) } else { Ok(true) };
        }
        let change = self.change(event);
        if !batch.chunk.has_room_for(&change) {
            return Ok(false);
        }
        check(self.target, &change)?;
        batch.chunk.push(change);
        batch.events += 1;
        Ok(true)
    }

    /// The mutation of the target for a change of the source.
    fn change(&self, event: &Event) -> Mutation {
        let group = self.target.scope().group(&event.group).into_owned();
        match (&event.key, &event.value) {
            (None, _) => Mutation::DeleteGroup { group },
            (Some(key), Some(value)) if !self.has_ended(event) => Mutation::Set {
                group,
                key: key.clone(),
                value: value.clone(),
                expires_at_ms: event.expires_at.and_then(expiry_at_ms),
            },
            (Some(key), _) => Mutation::Delete { group, key: key.clone() },
        }
    }

    fn has_ended(&self, event: &Event) -> bool {
        event.expires_at.is_some_and(|at| self.has_passed(at))
    }

    /// Applies a batch, and updates the note in the same commit.
    fn apply(&mut self, note: &Note, batch: &ChangeBatch) -> Result<()> {
        let mut mutations = batch.chunk.mutations.clone();
        mutations.push(note.mutation(batch.after));
        self.target.shared().commit(Commit::from(mutations))?;
        self.progress.applied += batch.events;
        Ok(())
    }

    /// Applies a batch, and retries while the error may pass: no batch may be skipped.
    fn apply_with_retries(&mut self, note: &Note, batch: &ChangeBatch) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.apply(note, batch) {
                Err(error) if is_passing(&error) && began.elapsed() < STALL_MAX => self.rest(&error),
                applied => return applied,
            }
        }
    }

    /// Reads a page of the source's log, without what is not copied, and the position after it.
    fn read_log(&self, after: LogPosition, end: LogPosition) -> Result<(Vec<Event>, LogPosition)> {
        let scope = self.source.scope();
        let pattern = scope.pattern(Pattern::all());
        let wanted = LogRead::after(after, LOG_PAGE, &pattern);
        let changes = self.source.shared().engine()?.changes(wanted).wait()?;
        let is_beyond = changes.next > end;
        let events = changes
            .logged
            .into_iter()
            .map(|logged| logged.event)
            .filter(|event| event.revision <= end.revision && pattern.matches(event))
            .map(|event| scope.event(event));
        Ok((events.collect(), if is_beyond { end } else { changes.next }))
    }
}
