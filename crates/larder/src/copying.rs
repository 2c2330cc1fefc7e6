//! Copying a store into another: interruptible, verified, and, if asked to, following the source meanwhile.
//!
//! One mechanism does most of it: it walks source and target side by side, in order, and writes to the target
//! wherever they differ. Into an empty target that is a copy; after an interruption it is the rest of one; and
//! without writing it is the verification. It cannot tell whether an entry that only the target has is the
//! target's own, or the copy of one that the source has deleted since. So a note in the target records the position
//! in the source's change log from which to look for deletions.

mod attempt;
mod backup;
mod border;
mod changed_quotas;
mod compare;
mod feed;
mod note;
mod quotas;
mod report;
mod retry_budget;
mod unfinished;
mod verify;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use self::backup::{BackedUp, BackingUp};
pub use self::report::{Copied, Difference, Progress, Stage};
use self::retry_budget::RetryBudget;
pub use self::unfinished::UnfinishedCopy;
use crate::data::{Error, ErrorKind, Result, Revision};
use crate::store::Store;

/// How long to wait before trying again after a store could not be reached.
const PAUSE: Duration = Duration::from_millis(250);

impl<S> Store<S> {
    /// Copies every entry, with its expiry, and the quotas, into another store of any kind and size. It returns a
    /// builder; [`run`](Copying::run) makes the copy and verifies it.
    ///
    /// The source's entries overwrite those of the same names in the target. What else the target holds stays,
    /// unless the copy is [exact](Copying::exactly). Nothing is written to the source. Revisions, the change log and
    /// named cursors are not copied.
    ///
    /// A whole store copies the quotas of its namespaces, too. A scoped store copies the entries of its namespace,
    /// under the names that it uses for them, into whatever `target` is. If that is a whole store, a group such as
    /// `other:settings` would belong to the namespace `other` there, so the copy fails with
    /// [`Error::LeavesNamespace`]. Copy into a scoped store to keep such names.
    ///
    /// ```
    /// # use larder::Store;
    /// let (old, new) = (Store::in_memory()?, Store::in_memory()?); // e.g. a file, and a cluster
    /// old.set("config", "colour", "blue")?;
    /// let copied = old.copy_to(&new).run()?;
    /// assert!(copied.is_exact());
    /// assert_eq!((copied.entries, copied.written), (1, 1));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Interruptions
    /// The copy is written in many small commits, unless it is made
    /// [in one transaction](Copying::in_one_transaction). A run that was interrupted left behind what it wrote, and
    /// the next run continues from there.
    ///
    /// Until the copy is complete, the target holds a note about it, which is no entry: see
    /// [`unfinished_copies`](Store::unfinished_copies). While a run copies, the quotas that it will set are lifted in
    /// the target. A run that fails restores them. One that is killed cannot; the next run of the same copy does,
    /// whatever its result, and so does [`abandon_copies`](Store::abandon_copies).
    pub fn copy_to<'a, T>(&'a self, target: &'a Store<T>) -> Copying<'a, S, T> {
        Copying {
            source: self,
            target,
            exact: false,
            in_one_transaction: false,
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
            budget: RetryBudget::new(Instant::now()),
            abandoned: Arc::default(),
        }
    }
}

/// Receives the progress of a copy.
type OnProgress<'a> = dyn FnMut(&Progress) + 'a;

/// A copy that is about to be made: see [`Store::copy_to`].
///
/// ```
/// # use larder::Store;
/// let (old, new) = (Store::in_memory()?, Store::in_memory()?);
/// old.set("config", "colour", "blue")?;
/// new.set("config", "size", "not in the source")?;
/// let copied = old
///     .copy_to(&new)
///     .exactly()
///     .on_progress(|progress| println!("{} of {}", progress.entries, progress.entries_total))
///     .run()?;
/// assert!(copied.is_exact());
/// assert!(!new.exists("config", "size")?);
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "nothing is copied until it is run"]
pub struct Copying<'a, S, T> {
    source: &'a Store<S>,
    target: &'a Store<T>,
    exact: bool,
    in_one_transaction: bool,
    follow_until: Option<Box<dyn FnMut() -> bool + 'a>>,
    on_progress: Option<Box<OnProgress<'a>>>,
    progress: Progress,
    budget: RetryBudget,
    /// Set once nobody waits for the copy any more; then it stops.
    pub(crate) abandoned: Arc<AtomicBool>,
}

impl<'a, S, T> Copying<'a, S, T> {
    /// Makes the copy exact: it deletes from the target whatever the source does not hold.
    ///
    /// ```
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// new.set("config", "size", "not in the source")?;
    /// assert!(old.copy_to(&new).exactly().run()?.is_exact());
    /// assert_eq!(new.count_all("")?, 0);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Makes the copy in one transaction of the target: a run that fails or is killed has written nothing. Quotas
    /// of the target hold meanwhile; those of the source are set afterwards. No note is left in the target, unless
    /// the copy also [follows](Self::follow_until) the source.
    ///
    /// A cluster limits the size of a transaction to about a megabyte; a larger copy fails with
    /// [`Error::TooMuchAtOnce`]. A scoped target limits it as well: see
    /// [`Options::batch_max`](crate::Options::batch_max). No other write to the target happens during the transaction.
    ///
    /// ```
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// old.set("config", "colour", "blue")?;
    /// old.set("config", "size", "10")?;
    /// assert!(old.copy_to(&new).in_one_transaction().run()?.is_exact());
    /// assert_eq!(new.revision()?, larder::Revision(1));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn in_one_transaction(mut self) -> Self {
        self.in_one_transaction = true;
        self
    }

    /// Makes the copy follow the source: once everything is copied, it applies the source's changes, in order,
    /// until `cut_over` returns true. It calls `cut_over` after each batch, and several times a second while
    /// nothing changes.
    ///
    /// Then it applies everything that the source holds by then, and compares both sides as they are at that
    /// moment: from [`Stage::Verifying`] on, the target may be written to.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use std::thread;
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// let cut_over = AtomicBool::new(false);
    /// let copied = thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         old.set("config", "colour", "blue").unwrap(); // the service goes on writing
    ///         cut_over.store(true, Ordering::Relaxed); // then it stops
    ///     });
    ///     old.copy_to(&new).follow_until(|| cut_over.load(Ordering::Relaxed)).run()
    /// })?;
    /// assert!(copied.is_exact());
    /// assert_eq!(new.get("config", "colour")?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn follow_until(mut self, cut_over: impl FnMut() -> bool + 'a) -> Self {
        self.follow_until = Some(Box::new(cut_over));
        self
    }

    /// Calls a function whenever the copy has made progress.
    ///
    /// ```
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// let mut stages = Vec::new();
    /// let copied = old.copy_to(&new).on_progress(|progress| stages.push(progress.stage)).run()?;
    /// assert!(copied.is_exact());
    /// assert_eq!(stages.last(), Some(&larder::Stage::Verifying));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn on_progress(mut self, tell: impl FnMut(&Progress) + 'a) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }

    /// Makes the copy, or the rest of one that was interrupted, and verifies it. If a store cannot be reached for a
    /// while, it waits and continues by itself.
    ///
    /// A difference found by the verification is no error: see [`Copied::differences`].
    ///
    /// ```
    /// # use larder::Store;
    /// # let (old, new) = (Store::in_memory()?, Store::in_memory()?);
    /// let copied = old.copy_to(&new).run()?;
    /// assert!(copied.is_exact(), "{:?}", copied.differences);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::CopyTooOld`] if the source's log no longer tells what the source has deleted since the copy was
    /// interrupted or fell behind; [`Error::LeavesNamespace`] for a group that would belong to another namespace in
    /// the target; [`Error::Uncopied`] for an entry that the target does not accept;
    /// [`Error::QuotaExceeded`]; [`Error::FollowsItself`] if a copy follows a source that is its target; and as any
    /// read of the source and any write to the target. What was written stays, and the next run continues from
    /// there.
    pub fn run(mut self) -> Result<Copied> {
        // A store that is closed, or another process's, has no copies to wait for.
        self.target.shared().engine()?;
        let _running = self.target.shared().copies.begin(&self.abandoned);
        self.check_wanted()?;
        self.budget = RetryBudget::new(Instant::now());
        let mut written = 0;
        loop {
            self.budget.begin(Instant::now());
            let error = match self.attempt() {
                Err(error) if self.is_worth_another_attempt(&error) => error,
                Err(error) => return Err(self.give_up(error)),
                done => return done,
            };
            if self.progress.written + self.progress.applied > written {
                written = self.progress.written + self.progress.applied;
                self.budget.refill(Instant::now());
            }
            if self.budget.is_spent(Instant::now(), !is_passing(&error)) {
                return Err(self.give_up(error));
            }
            self.rest(&error);
        }
    }

    fn is_worth_another_attempt(&self, error: &Error) -> bool {
        match error {
            // An exact copy finds what the log has lost by comparing everything.
            Error::Compacted { .. } | Error::FutureRevision { .. } | Error::ClusterRestored { .. } => {
                self.exact && self.follow_until.is_some()
            }
            error => is_passing(error) || matches!(error, Error::SnapshotLost { .. }),
        }
    }

    /// Pauses before another attempt.
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

    /// Notes that one more entry was looked at.
    fn step(&mut self) -> Result<()> {
        self.budget.step(Instant::now());
        self.check_wanted()
    }

    /// Notes that something was read.
    fn stay_alive(&mut self) -> Result<()> {
        self.budget.stay_alive(Instant::now());
        self.check_wanted()
    }

    /// Fails once nobody waits for the copy any more.
    fn check_wanted(&self) -> Result<()> {
        // Relaxed: it guards no data.
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::other("nobody waits for the copy any more"));
        }
        Ok(())
    }
}

impl<S, T> fmt::Debug for Copying<'_, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copying")
            .field("source", &self.source)
            .field("target", &self.target)
            .field("exact", &self.exact)
            .field("in_one_transaction", &self.in_one_transaction)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// Whether an error may pass by itself. A write whose outcome is unknown can be repeated: it is the same write
/// again, and the engine makes none after it has reported the outcome as unknown.
fn is_passing(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::OutcomeUnknown
}

fn is_whole<S>(store: &Store<S>) -> bool {
    store.scope().prefix().is_empty()
}
