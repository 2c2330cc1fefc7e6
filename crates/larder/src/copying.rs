//! Moving a store: copying that can be interrupted and goes on, that can follow what its source does
//! meanwhile, and that is verified in the end.
//!
//! One mechanism does most of it: source and target are walked side by side, in order, and wherever they differ
//! the target is written. Where the target is empty that is a copy; where a copy was interrupted it is the rest
//! of it; and done once more without writing it is the proof. What it cannot tell is whether something that
//! only the target has is its own, or a copy of what the source has deleted since. So a note in the target says
//! from which revision on the source's change log has to be asked for that.

mod backup;
mod compare;
mod feed;
mod lifted;
mod note;
mod once;
mod patience;
mod quotas;
mod told;
mod writing;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use self::compare::{Sides, compare};
use self::note::Note;
use self::patience::Patience;
use self::quotas::quotas;
use self::told::Findings;
pub use self::told::{Copied, Difference, Progress, Stage};
use self::writing::Writing;
use crate::data::clock::{ms, now_ms};
use crate::data::{Entry, Error, ErrorKind, LogPosition, Result, Revision};
use crate::engine::Mutation;
use crate::store::{Snapshot, Store, View};

/// How long a store is left alone that could not be reached.
const PAUSE: Duration = Duration::from_millis(250);

impl<S> Store<S> {
    /// Copies every entry, with its expiry, and the quotas, into another store of any kind and size: in many
    /// small batches, so that it can be interrupted and goes on when it is asked for again, and verified in
    /// the end. A whole store copies its quotas, too; a scoped one its namespace's entries, under the names that
    /// it knows them by.
    ///
    /// ```
    /// # use larder::Store;
    /// let (old, new) = (Store::in_memory()?, Store::in_memory()?); // e.g. a file, and a cluster
    /// old.set("config", "colour", "blue")?;
    /// let copied = old.copy_into(&new).run()?;
    /// assert!(copied.is_exact());
    /// assert_eq!((copied.entries, copied.written), (1, 1));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// What the source has overwrites what the target has under the same names; what else the target has
    /// stays, unless the copy is to be [exact](Copying::exactly). Nothing is written to the source.
    ///
    /// As long as the copy is not complete there is a note in the target, in the group `larder.copies`; and while
    /// it is made, the quotas that it will set are lifted there. A run that fails puts them back as they were.
    /// One that is killed cannot: the next run of the same copy does, whatever becomes of it. Whoever abandons a
    /// copy that was killed finds in the target what was copied, namespaces without their quotas, and in
    /// `larder.copies` one entry for each of these, whose key ends with its name and whose value says what it
    /// was. Once they are [set again](crate::ScopedStore::set_quota), that group can be deleted.
    pub fn copy_into<'a, T>(&'a self, target: &'a Store<T>) -> Copying<'a, S, T> {
        Copying {
            source: self,
            target,
            exact: false,
            follow_until: None,
            on_progress: None,
            progress: Progress {
                stage: Stage::Copying,
                entries: 0,
                entries_total: 0,
                written: 0,
                applied: 0,
                revision: Revision(0),
                latest: Revision(0),
                trouble: None,
            },
            patience: Patience::new(Instant::now()),
        }
    }
}

/// Hears how far a copy is.
type Tell<'a> = dyn FnMut(&Progress) + 'a;

/// A copy that is to be made: see [`Store::copy_into`].
#[must_use = "nothing is copied until it is run"]
pub struct Copying<'a, S, T> {
    source: &'a Store<S>,
    target: &'a Store<T>,
    exact: bool,
    follow_until: Option<Box<dyn FnMut() -> bool + 'a>>,
    on_progress: Option<Box<Tell<'a>>>,
    progress: Progress,
    patience: Patience,
}

impl<'a, S, T> Copying<'a, S, T> {
    /// Deletes from the target whatever the source does not hold.
    pub fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Once everything is copied, applies what changes in the source, in order, until `cut_over` says that it is
    /// enough: it is asked after each batch, and several times a second where nothing happens. Then
    /// everything that the source has by then is applied, and compared as it is at that moment on both sides:
    /// from [`Stage::Verifying`] on, the target may be written to.
    pub fn follow_until(mut self, cut_over: impl FnMut() -> bool + 'a) -> Self {
        self.follow_until = Some(Box::new(cut_over));
        self
    }

    /// Calls this whenever it has got on.
    pub fn on_progress(mut self, tell: impl FnMut(&Progress) + 'a) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }

    /// Copies, or goes on with a copy from this source into this target that was interrupted. Where a store
    /// cannot be reached for a while, it waits and goes on by itself.
    ///
    /// # Errors
    /// [`Error::CopyTooOld`] where it is unknown what the source has deleted since a copy was interrupted, or
    /// fell so far behind that the source's log no longer tells;
    /// [`Error::Uncopied`] for an entry that the target does not take, [`Error::QuotaExceeded`];
    /// [`Error::FollowsItself`] where source and target are one store; and as any read of the source and any write of
    /// the target. What was written stays, and the next run goes on from there. That something differs in the
    /// end is no error: see [`Copied::differences`].
    pub fn run(mut self) -> Result<Copied> {
        self.patience = Patience::new(Instant::now());
        let mut written = 0;
        loop {
            self.patience.begin(Instant::now());
            let error = match self.attempt() {
                Err(error) if self.passes(&error) => error,
                Err(error) => return Err(self.give_up(error)),
                done => return done,
            };
            if self.progress.written + self.progress.applied > written {
                written = self.progress.written + self.progress.applied;
                self.patience.get_on(Instant::now());
            }
            if self.patience.is_over(Instant::now(), !is_passing(&error)) {
                return Err(self.give_up(error));
            }
            self.rest(&error);
        }
    }

    /// Whether what went wrong may be over soon.
    fn passes(&self, error: &Error) -> bool {
        match error {
            // What was lost is found by comparing everything.
            Error::Compacted { .. } | Error::FutureRevision { .. } => {
                self.exact && self.follow_until.is_some()
            }
            error => is_passing(error) || matches!(error, Error::SnapshotLost { .. }),
        }
    }

    /// Leaves a store alone for a moment.
    fn rest(&mut self, error: &Error) {
        let stage = std::mem::replace(&mut self.progress.stage, Stage::Waiting);
        self.progress.trouble = Some(error.to_string());
        self.tell();
        self.progress.stage = stage;
        self.progress.trouble = None;
        thread::sleep(PAUSE);
    }

    fn tell(&mut self) {
        if let Some(tell) = &mut self.on_progress {
            tell(&self.progress);
        }
    }

    fn attempt(&mut self) -> Result<Copied> {
        let note = Note::between(self.source, self.target)?;
        let mut snapshot = self.source.snapshot()?;
        let mut revision = snapshot.revision()?;
        self.progress.latest = revision;
        match note.read()? {
            Some(left_at) if !self.exact => self.delete_since(left_at, &snapshot)?,
            Some(_) => {}
            None => note.write(LogPosition::after(revision))?,
        }
        if self.follow_until.is_some() {
            note.refuse_circle(self.source)?;
        }
        self.lift_quotas(&note, &snapshot)?;
        if self.exact {
            self.delete_extras(&snapshot)?;
        }
        self.set_all(&snapshot)?;
        note.write(LogPosition::after(revision))?;
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

    /// Both sides, with the target as it is whenever it is looked at.
    fn sides<'v>(&self, source: &'v View, target: &'v View) -> Sides<'v> {
        Sides {
            source,
            target,
            notes_in_source: is_whole(self.source),
            notes_in_target: is_whole(self.target),
        }
    }

    /// What has expired by the clock of either is nowhere: it may just have gone from one of them.
    fn is_gone(&self, entry: &Entry) -> bool {
        entry.expires_at.is_some_and(|at| self.has_passed(at))
    }

    fn has_passed(&self, time: SystemTime) -> bool {
        ms(time) <= now_ms(&*self.source.shared().clock).max(now_ms(&*self.target.shared().clock))
    }

    fn begin(&mut self, stage: Stage, snapshot: &Snapshot) -> Result<()> {
        self.progress.stage = stage;
        self.progress.entries = 0;
        self.progress.entries_total = snapshot.count_all("")?;
        self.tell();
        Ok(())
    }

    /// Deletes what only the target has, before anything is set that may need its room.
    fn delete_extras(&mut self, snapshot: &Snapshot) -> Result<()> {
        let target = self.target;
        let mut writing = Writing::new(target);
        let sides = self.sides(snapshot, target);
        compare(&sides, true, &mut |group, of_source, of_target| {
            self.patience.step(Instant::now());
            if let (None, Some(entry)) = (of_source, of_target) {
                let group = target.scope().group(group).into_owned();
                self.progress.written += writing.push(Mutation::Delete { group, key: entry.key })?;
            }
            Ok(())
        })?;
        self.progress.written += writing.finish()?;
        Ok(())
    }

    /// Sets what the target lacks, or has otherwise.
    fn set_all(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.begin(Stage::Copying, snapshot)?;
        let target = self.target;
        let mut writing = Writing::new(target);
        let sides = self.sides(snapshot, target);
        let compared = compare(&sides, false, &mut |group, of_source, of_target| {
            self.patience.step(Instant::now());
            let Some(entry) = of_source else { return Ok(()) };
            self.progress.entries += 1;
            let is_there = of_target.is_some_and(|there| is_same(&entry, &there));
            if !is_there && !self.is_gone(&entry) {
                let Entry { key, value, expires_at, .. } = entry;
                let group = target.scope().group(group).into_owned();
                let set = Mutation::Set { group, key, value, expires_at_ms: expires_at.map(ms) };
                self.progress.written += writing.push(set)?;
            }
            if self.progress.entries.is_multiple_of(100) {
                self.tell();
            }
            Ok(())
        });
        // What is under way is not given up for the one entry that cannot be copied.
        let finished = writing.finish();
        compared?;
        self.progress.written += finished?;
        self.tell();
        Ok(())
    }

    /// Compares everything, at one moment of both.
    fn verify(&mut self, snapshot: &Snapshot, revision: Revision) -> Result<Copied> {
        let target = self.target.snapshot()?;
        self.begin(Stage::Verifying, snapshot)?;
        let mut found = Findings::default();
        let mut entries = 0;
        let sides = self.sides(snapshot, &target);
        let exact = self.exact;
        let mut beside = compare(&sides, exact, &mut |group, of_source, of_target| {
            self.patience.step(Instant::now());
            entries += u64::from(of_source.is_some());
            let names = |key: &str| (group.to_owned(), key.to_owned());
            match (of_source, of_target) {
                (Some(entry), None) if !self.is_gone(&entry) => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Missing { group, key });
                }
                (Some(entry), Some(there)) if entry.value != there.value => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Value { group, key });
                }
                (Some(entry), Some(there)) if !is_same(&entry, &there) => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Expiry { group, key });
                }
                (None, Some(there)) if !self.is_gone(&there) => {
                    found.beside += 1;
                    if exact {
                        let (group, key) = names(&there.key);
                        found.push(Difference::Extra { group, key });
                    }
                }
                _ => {}
            }
            self.progress.entries = entries;
            if entries.is_multiple_of(1000) {
                self.tell();
            }
            Ok(())
        })?;
        beside += found.beside;
        if is_whole(self.source) && is_whole(self.target) {
            let wanted = quotas(snapshot)?;
            let there = quotas(&target)?;
            for (namespace, quota) in wanted {
                if there.get(&namespace) != Some(&quota) {
                    found.push(Difference::Quota { namespace });
                }
            }
        }
        self.tell();
        let Progress { written, applied, .. } = self.progress;
        let Findings { differing, differences, .. } = found;
        Ok(Copied { revision, entries, written, applied, beside, differing, differences })
    }
}

impl<S, T> fmt::Debug for Copying<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copying")
            .field("source", &self.source)
            .field("target", &self.target)
            .field("exact", &self.exact)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// Whether an error says that something may work a little later. A write that may have happened, or may still,
/// can be made again: it is the same as before, and what the engine sends late is never applied late.
fn is_passing(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::OutcomeUnknown
}

fn is_whole<S>(store: &Store<S>) -> bool {
    store.scope().prefix().is_empty()
}

/// Whether two entries are copies of each other: expiries are kept to the millisecond.
fn is_same(entry: &Entry, other: &Entry) -> bool {
    entry.value == other.value && entry.expires_at.map(ms) == other.expires_at.map(ms)
}
