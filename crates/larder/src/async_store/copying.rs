//! Copying a store into another, awaited.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::handle::AsyncStore;
use crate::copying::{Copied, Progress, UnfinishedCopy};
use crate::data::Result;
use crate::store::Store;
use crate::store::offload::run;

impl<S: 'static> AsyncStore<S> {
    /// Copies every entry, with its expiry, and the quotas, into another store of any kind and size. It returns a builder;
    /// [`run`](AsyncCopying::run) makes the copy and verifies it.
    ///
    /// The source's entries overwrite those of the same names in the target. What else the target holds stays, unless the
    /// copy is [exact](AsyncCopying::exactly). Nothing is written to the source. Revisions, the change log and named
    /// cursors are not copied. [`Store::copy_to`] tells what a copy leaves in the target if it is interrupted.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let other = AsyncStore::in_memory().await?; // e.g. a cluster
    /// let copied = store.copy_to(&other).run().await?;
    /// assert!(copied.is_exact());
    /// assert_eq!(other.get("config", "colour").await?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn copy_to<T: 'static>(&self, target: &AsyncStore<T>) -> AsyncCopying<S, T> {
        AsyncCopying {
            source: self.store.clone(),
            target: target.store.clone(),
            exact: false,
            in_one_transaction: false,
            follow_until: None,
            on_progress: None,
        }
    }
}

impl AsyncStore {
    /// Returns the copies into this store that run, or were interrupted before they were complete: see
    /// [`Store::unfinished_copies`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert!(store.unfinished_copies().await?.is_empty());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn unfinished_copies(&self) -> Result<Vec<UnfinishedCopy>> {
        self.read(Store::unfinished_copies).await
    }

    /// Gives up the copies into this store that are not complete, and returns how many they were: see
    /// [`Store::abandon_copies`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.abandon_copies().await?, 0);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Store::abandon_copies`].
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the copies are given up all the same.
    pub async fn abandon_copies(&self) -> Result<u64> {
        self.exclusive(Store::abandon_copies).await
    }
}

/// A copy that is about to be made: see [`AsyncStore::copy_to`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # use larder::AsyncStore;
/// # let store = AsyncStore::in_memory().await?;
/// # let other = AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let copied = store
///     .copy_to(&other)
///     .exactly()
///     .on_progress(|progress| println!("{} of {}", progress.entries, progress.entries_total))
///     .run()
///     .await?;
/// assert_eq!((copied.entries, copied.written), (1, 1));
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[must_use = "nothing is copied until it is run"]
pub struct AsyncCopying<S, T> {
    source: Store<S>,
    target: Store<T>,
    exact: bool,
    in_one_transaction: bool,
    follow_until: Option<Box<dyn FnMut() -> bool + Send>>,
    on_progress: Option<Box<OnProgress>>,
}

/// Receives the progress of a copy.
type OnProgress = dyn FnMut(&Progress) + Send;

impl<S: 'static, T: 'static> AsyncCopying<S, T> {
    /// Makes the copy exact: it deletes from the target whatever the source does not hold.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// other.set("config", "size", "not in the source").await?;
    /// assert!(store.copy_to(&other).exactly().run().await?.is_exact());
    /// assert_eq!(other.count_all("").await?, 0);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Makes the copy in one transaction of the target: a run that fails or is killed has written nothing. Quotas of the
    /// target hold meanwhile; those of the source are set afterwards. A cluster limits the size of a transaction to about a
    /// megabyte; a larger copy fails with [`Error::TooMuchAtOnce`](crate::Error::TooMuchAtOnce). A scoped target
    /// limits it as well: see [`Options::batch_max`](crate::Options::batch_max).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("config", "size", "10").await?;
    /// assert!(store.copy_to(&other).in_one_transaction().run().await?.is_exact());
    /// assert_eq!(other.revision().await?, larder::Revision(1));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn in_one_transaction(mut self) -> Self {
        self.in_one_transaction = true;
        self
    }

    /// Makes the copy follow the source: once everything is copied, it applies the source's changes, in order, until
    /// `cut_over` returns true. It calls `cut_over` on a blocking thread, after each batch, and several times a second
    /// while nothing changes.
    ///
    /// Then it applies everything that the source holds by then, and compares both sides as they are at that moment: from
    /// [`Stage::Verifying`](crate::Stage::Verifying) on, the target may be written to.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// let cut_over = Arc::new(AtomicBool::new(false));
    /// let is_time = Arc::clone(&cut_over);
    /// let copy = tokio::spawn(store.copy_to(&other).follow_until(move || is_time.load(Ordering::Relaxed)).run());
    /// store.set("config", "colour", "blue").await?; // the service goes on writing
    /// cut_over.store(true, Ordering::Relaxed); // then it stops
    /// assert!(copy.await.unwrap()?.is_exact());
    /// assert_eq!(other.get("config", "colour").await?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn follow_until(mut self, cut_over: impl FnMut() -> bool + Send + 'static) -> Self {
        self.follow_until = Some(Box::new(cut_over));
        self
    }

    /// Calls a function whenever the copy has made progress, on a blocking thread.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// let (sender, stages) = std::sync::mpsc::channel();
    /// let copying = store.copy_to(&other).on_progress(move |progress| drop(sender.send(progress.stage)));
    /// assert!(copying.run().await?.is_exact());
    /// assert_eq!(stages.iter().last(), Some(larder::Stage::Verifying));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn on_progress(mut self, tell: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }

    /// Makes the copy, or the rest of one that was interrupted, and verifies it. It occupies one blocking thread of the
    /// runtime. If a store cannot be reached for a while, it waits and continues by itself.
    ///
    /// A difference found by the verification is no error: see [`Copied::differences`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// let copied = store.copy_to(&other).run().await?;
    /// assert!(copied.is_exact(), "{:?}", copied.differences);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::CopyTooOld`](crate::Error::CopyTooOld) if the source's log no longer tells what the source has deleted
    /// since the copy was interrupted or fell behind; [`Error::Uncopied`](crate::Error::Uncopied) for an entry that the
    /// target does not accept; [`Error::QuotaExceeded`](crate::Error::QuotaExceeded);
    /// [`Error::FollowsItself`](crate::Error::FollowsItself) if a copy follows a source that is its target; and as any read
    /// of the source and any write to the target. What was written stays, and the next run continues from there.
    ///
    /// # Cancellation
    /// If the future is dropped, the copy stops after the entry or batch that it is at, as one that failed does. The next
    /// run with this target, or a clone of it, waits for that and continues from there.
    pub async fn run(self) -> Result<Copied> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let _waits = Waits(Arc::clone(&abandoned));
        run(move || {
            let Self { source, target, exact, in_one_transaction, follow_until, on_progress } = self;
            let mut copying = source.copy_to(&target);
            copying.abandoned = abandoned;
            if exact {
                copying = copying.exactly();
            }
            if in_one_transaction {
                copying = copying.in_one_transaction();
            }
            if let Some(cut_over) = follow_until {
                copying = copying.follow_until(cut_over);
            }
            if let Some(tell) = on_progress {
                copying = copying.on_progress(tell);
            }
            copying.run()
        })
        .await
    }
}

/// Says that somebody waits for a copy, until dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        // Relaxed: it guards no data.
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<S, T> fmt::Debug for AsyncCopying<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncCopying")
            .field("source", &self.source)
            .field("target", &self.target)
            .field("exact", &self.exact)
            .field("in_one_transaction", &self.in_one_transaction)
            .finish_non_exhaustive()
    }
}
