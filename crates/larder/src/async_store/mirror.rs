//! The current state first, then its changes, awaited.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::stream::Steps;
use super::watcher::AsyncWatcher;
use crate::data::Result;
use crate::store::Open;
use crate::watch::Update;
use crate::watch::awaited::{InitialState, Mirror, unless_closed};

/// Receives the current state, then its changes: see [`AsyncStore::mirror`](crate::AsyncStore::mirror).
///
/// It is a [`Stream`], too, which yields each update as it comes and ends when the store is closed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # use larder::{AsyncStore, Update};
/// # let store = AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let mut mirror = store.mirror(("config", "*")).await?;
/// assert!(matches!(mirror.recv().await?, Update::Entry(_, entry) if entry.value == "blue"));
/// assert!(matches!(mirror.recv().await?, Update::Current(_)));
/// store.delete("config", "colour").await?;
/// assert!(matches!(mirror.recv().await?, Update::Change(_)));
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[must_use = "the watch ends when the mirror is dropped"]
pub struct AsyncMirror {
    /// `None` once all of it was received.
    initial: Option<Steps<InitialState>>,
    watcher: AsyncWatcher,
}

impl AsyncMirror {
    pub(super) fn new(mirror: Mirror, shared: &Arc<Open>) -> Self {
        let (initial, watcher) = mirror.into_parts();
        Self {
            initial: initial.map(|initial| Steps::over(initial, Arc::clone(shared), watcher.scope().clone())),
            watcher: AsyncWatcher::new(watcher, shared),
        }
    }

    /// Returns the next update; waits for it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Update};
    /// # let store = AsyncStore::in_memory().await?;
    /// let revision = store.set("other", "key", "does not match").await?;
    /// let mut mirror = store.mirror(("config", "*")).await?;
    /// assert_eq!(mirror.recv().await?, Update::Current(revision));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`AsyncWatcher::recv`], and as any read. If one of the entries that exist first cannot be read, every later call
    /// fails like it: make a new mirror.
    ///
    /// # Cancellation
    /// If the future is dropped, no update is lost: the next call returns it.
    pub async fn recv(&mut self) -> Result<Update> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Returns the next update if there is one now; reads from storage if that is needed to know.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Update};
    /// # let store = AsyncStore::in_memory().await?;
    /// let mut mirror = store.mirror(("config", "*")).await?;
    /// assert!(matches!(mirror.try_recv().await?, Some(Update::Current(_))));
    /// assert!(mirror.try_recv().await?.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancellation
    /// If the future is dropped, no update is lost.
    pub async fn try_recv(&mut self) -> Result<Option<Update>> {
        poll_fn(|context| match self.poll_recv(context) {
            Poll::Pending if self.initial.is_some() => Poll::Pending,
            polled => self.watcher.or_none(polled),
        })
        .await
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Update>> {
        if let Some(initial) = &mut self.initial {
            match initial.poll_step(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(update)) => {
                    // As in the blocking mirror.
                    if matches!(update, Ok(Update::Current(_))) {
                        self.initial = None;
                    }
                    return Poll::Ready(update);
                }
                Poll::Ready(None) => self.initial = None,
            }
        }
        self.watcher.poll_recv(context).map_ok(Update::Change)
    }
}

impl Stream for AsyncMirror {
    type Item = Result<Update>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Update>>> {
        self.poll_recv(context).map(unless_closed)
    }
}

impl fmt::Debug for AsyncMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMirror")
            .field("is_current", &self.initial.is_none())
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}
