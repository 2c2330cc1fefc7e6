//! Receiving changes, awaited.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::data::{Error, Event, LogPosition, Result, ResumeToken, unpoisoned};
use crate::store::{Open, Shared};
use crate::watch::Watcher;
use crate::watch::awaited::unless_closed;

/// Receives events: see [`AsyncStore::watch`](crate::AsyncStore::watch). Dropping it ends the subscription.
///
/// It does not keep the store open: once the last handle is dropped, or the store is closed,
/// [`recv`](Self::recv) fails with [`Error::Closed`]. It is a [`Stream`], too, which yields each event as it comes and
/// ends when the store is closed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// let mut changes = store.watch(("config", "*")).await?;
/// store.set("config", "colour", "blue").await?;
/// assert_eq!(changes.recv().await?.value.unwrap(), "blue");
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[must_use = "the watch ends when the watcher is dropped"]
pub struct AsyncWatcher {
    pub(super) watcher: Arc<Watcher>,
    store: Weak<Shared>,
    reading: Option<Reading>,
}

/// A read of the change log, while the watcher is behind. The mutex is never locked; it makes the future `Sync`.
type Reading = Mutex<Pin<Box<dyn Future<Output = Result<()>> + Send>>>;

impl AsyncWatcher {
    pub(super) fn new(watcher: Watcher, shared: &Arc<Open>) -> Self {
        Self { watcher: Arc::new(watcher), store: Arc::downgrade(&shared.0), reading: None }
    }

    /// Returns the next event; waits for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut changes = store.watch(("config", "*")).await?;
    /// let none = tokio::time::timeout(Duration::from_millis(1), changes.recv()).await;
    /// assert!(none.is_err(), "nothing has changed");
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(changes.recv().await?.key.as_deref(), Some("colour"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] once the store is closed. [`Error::Compacted`] if this watcher lagged so far that the log no
    /// longer has the next event; the watcher returns this once, and continues with the oldest change in the log.
    ///
    /// # Cancellation
    /// If the future is dropped, no event is lost: the next call returns it. So `tokio::time::timeout` and
    /// `tokio::select!` are safe.
    pub async fn recv(&mut self) -> Result<Event> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Returns the next event if there is one now; reads the change log if that is needed to know.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut changes = store.watch(("config", "*")).await?;
    /// assert!(changes.try_recv().await?.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancellation
    /// If the future is dropped, no event is lost.
    pub async fn try_recv(&mut self) -> Result<Option<Event>> {
        poll_fn(|context| {
            let polled = self.poll_recv(context);
            self.or_none(polled)
        })
        .await
    }

    /// Returns a token for the position after the last received event, or for the start of the watch. A later run
    /// of the program can continue there with [`watch_from`](crate::AsyncStore::watch_from).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut changes = store.watch(("config", "*")).await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("config", "size", "10").await?;
    /// changes.recv().await?;
    /// let mut resumed = store.watch_from(("config", "*"), changes.token()).await?;
    /// assert_eq!(resumed.recv().await?.key.as_deref(), Some("size"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn token(&self) -> ResumeToken {
        self.watcher.token()
    }

    /// Turns "not yet" into `None`, unless the log has to be read first to know.
    pub(super) fn or_none<T>(&self, polled: Poll<Result<T>>) -> Poll<Result<Option<T>>> {
        match polled {
            Poll::Ready(received) => Poll::Ready(received.map(Some)),
            Poll::Pending if self.reading.is_some() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(None)),
        }
    }

    pub(super) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        self.poll_with_position(context).map_ok(|(event, _)| event)
    }

    /// The next event, and the position after it.
    pub(super) fn poll_with_position(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Event, LogPosition)>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let reading = unpoisoned(reading.get_mut());
                let Poll::Ready(read) = reading.as_mut().poll(context) else { return Poll::Pending };
                self.reading = None;
                if let Err(error) = read {
                    return Poll::Ready(Err(error));
                }
            }
            let Poll::Ready(next) = self.watcher.poll_next(context) else { return Poll::Pending };
            if let Some(next) = next.transpose() {
                return Poll::Ready(next);
            }
            let (watcher, store) = (Arc::clone(&self.watcher), self.store.clone());
            self.reading = Some(Mutex::new(Box::pin(async move {
                let store = store.upgrade().ok_or(Error::Closed)?;
                let scope = watcher.scope().clone();
                store.offload.read(&scope, move || watcher.read_on()).await
            })));
        }
    }

    /// Gives up reading the log.
    pub(super) fn stop_reading(&mut self) {
        self.reading = None;
    }
}

impl Stream for AsyncWatcher {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        self.poll_recv(context).map(unless_closed)
    }
}

impl fmt::Debug for AsyncWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWatcher").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}
