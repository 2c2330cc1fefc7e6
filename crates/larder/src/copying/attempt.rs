//! One attempt to make a copy, from its beginning to its end.

use std::time::SystemTime;

use super::Copying;
use super::compare::{Sides, compare};
use super::note::Note;
use super::report::{Copied, Stage};
use super::writing::{CommitWriter, Output};
use crate::data::clock::{ms, now_ms};
use crate::data::{Entry, LogPosition, Result};
use crate::store::{Snapshot, View};

/// After how many entries progress is reported.
const ENTRIES_PER_REPORT: u64 = 100;

impl<S, T> Copying<'_, S, T> {
    pub(super) fn attempt(&mut self) -> Result<Copied> {
        self.check_wanted()?;
        let note = Note::between(self.source, self.target);
        let mut snapshot = self.source.snapshot()?;
        self.refuse_intruders(&snapshot)?;
        let mut revision = snapshot.revision()?;
        self.progress.latest = revision;
        let left_at = note.read()?;
        if left_at.is_none() && self.is_resumable() {
            note.write(LogPosition::after(revision))?;
        }
        if self.follow_until.is_some() {
            note.refuse_circle(self.source)?;
        }
        if self.is_resumable() {
            self.lift_quotas(&note, &snapshot)?;
        }
        if let Some(left_at) = left_at.filter(|_| !self.exact) {
            self.catch_up(left_at, &snapshot)?;
        }
        self.copy_all(&snapshot)?;
        if self.is_resumable() {
            note.write(LogPosition::after(revision))?;
        }
        self.progress.revision = revision;
        if self.follow_until.is_some() {
            drop(snapshot);
            let reached = self.follow(&note, LogPosition::after(revision))?;
            snapshot = self.source.snapshot()?;
            revision = snapshot.revision()?;
            self.drain(&note, reached, revision)?;
            self.progress.revision = revision;
        }
        self.set_quotas(&note, &snapshot)?;
        let copied = self.verify(&snapshot, revision)?;
        if copied.is_exact() {
            note.remove()?;
        }
        Ok(copied)
    }

    /// Whether an interrupted run leaves something behind, from which the next run continues.
    pub(super) fn is_resumable(&self) -> bool {
        !self.in_one_transaction || self.follow_until.is_some()
    }

    fn copy_all(&mut self, snapshot: &Snapshot) -> Result<()> {
        let target = self.target;
        if !self.in_one_transaction {
            let mut output = Output::Commits(CommitWriter::new(target));
            let copied = self.write_all(snapshot, target, &mut output);
            // One entry that cannot be copied does not cancel the commits in flight.
            let flushed = output.flush();
            copied?;
            self.progress.written += flushed?;
            return Ok(());
        }
        let written = self.progress.written;
        let copied = target.transaction(|transaction| {
            self.progress.written = written;
            self.write_all(snapshot, transaction, &mut Output::Transaction(transaction))
        });
        if copied.is_err() {
            self.progress.written = written;
        }
        copied
    }

    fn write_all(&mut self, snapshot: &Snapshot, target: &View, output: &mut Output<'_, T>) -> Result<()> {
        if self.exact {
            // First: the source's entries may need the room.
            self.delete_extras(snapshot, target, output, Self::step, |_| true)?;
        }
        self.set_all(snapshot, target, output)
    }

    /// Whether an entry has expired by the clock of either side: one of them may have removed it already.
    pub(super) fn is_gone(&self, entry: &Entry) -> bool {
        entry.expires_at.is_some_and(|at| self.has_passed(at))
    }

    pub(super) fn has_passed(&self, time: SystemTime) -> bool {
        ms(time) <= now_ms(&*self.source.shared().clock).max(now_ms(&*self.target.shared().clock))
    }

    pub(super) fn begin(&mut self, stage: Stage, snapshot: &Snapshot) -> Result<()> {
        self.progress.stage = stage;
        self.progress.entries = 0;
        self.progress.entries_total = snapshot.count_all("")?;
        self.tell();
        Ok(())
    }

    /// Deletes the entries that only the target has, in the groups that `is_chosen` accepts. `advance` notes each
    /// entry that it looks at.
    pub(super) fn delete_extras(
        &mut self,
        snapshot: &Snapshot,
        target: &View,
        output: &mut Output<'_, T>,
        advance: impl Fn(&mut Self) -> Result<()>,
        is_chosen: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let sides = Sides { source: snapshot, target };
        compare(&sides, true, &mut |group, of_source, of_target| {
            advance(self)?;
            if let (None, Some(entry)) = (of_source, of_target)
                && is_chosen(group)
            {
                self.progress.written += output.delete(group, entry.key)?;
            }
            Ok(())
        })?;
        self.progress.written += output.flush()?;
        Ok(())
    }

    /// Sets the entries that the target lacks, or has with another value or expiry.
    ///
    /// An entry of the source may expire meanwhile. Then an exact copy deletes the former value that the target has.
    fn set_all(&mut self, snapshot: &Snapshot, target: &View, output: &mut Output<'_, T>) -> Result<()> {
        self.begin(Stage::Copying, snapshot)?;
        let sides = Sides { source: snapshot, target };
        compare(&sides, self.exact, &mut |group, of_source, of_target| {
            self.step()?;
            self.progress.entries += u64::from(of_source.is_some());
            self.progress.written += match (of_source, of_target) {
                (Some(entry), Some(there)) if is_same(&entry, &there) => 0,
                (Some(entry), _) if !self.is_gone(&entry) => output.set(group, entry)?,
                (_, Some(there)) if self.exact && !self.is_gone(&there) => output.delete(group, there.key)?,
                _ => 0,
            };
            if self.progress.entries.is_multiple_of(ENTRIES_PER_REPORT) {
                self.tell();
            }
            Ok(())
        })?;
        self.progress.written += output.flush()?;
        self.tell();
        Ok(())
    }
}

/// Whether two entries are copies of each other: expiries are compared to the millisecond.
pub(super) fn is_same(entry: &Entry, other: &Entry) -> bool {
    entry.value == other.value && entry.expires_at.map(ms) == other.expires_at.map(ms)
}
