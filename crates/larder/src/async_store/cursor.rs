//! Watchers with a name, awaited.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::watcher::AsyncWatcher;
use crate::data::{Error, Event, Result, Since};
use crate::store::Open;
use crate::watch::awaited::{Cursor, CursorState, unless_closed};

/// Receives events, and remembers in the store which of them were acknowledged: see
/// [`AsyncStore::cursor`](crate::AsyncStore::cursor).
///
/// Several cursors with one name, even in several processes, each receive every event; an event that one of them
/// acknowledges counts for all. It is a [`Stream`], too, which yields each event as it comes and ends when the store
/// is closed.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// let mut mailer = store.cursor("mailer").await?;
/// let task = tokio::spawn(async move {
///     let order = mailer.recv().await?;
///     // … send a mail about it …
///     mailer.ack(&order).await?;
///     Ok::<_, larder::Error>(order)
/// });
/// store.set("orders", "1", "a book").await?;
/// assert_eq!(task.await.unwrap()?.key.as_deref(), Some("1"));
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncCursor {
    watcher: AsyncWatcher,
    state: Arc<CursorState>,
}

impl AsyncCursor {
    pub(super) fn new(cursor: Cursor, shared: &Arc<Open>) -> Self {
        let (watcher, state) = cursor.into_parts();
        Self { watcher: AsyncWatcher::new(watcher, shared), state: Arc::new(state) }
    }

    /// Returns the next event; waits for it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor("mailer").await?;
    /// store.set("orders", "1", "a book").await?;
    /// assert_eq!(mailer.recv().await?.key.as_deref(), Some("1"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] once the store is closed. [`Error::Compacted`] if the log no longer has the next event; the
    /// cursor returns this once, and continues with the oldest change in the log.
    ///
    /// # Cancellation
    /// If the future is dropped, no event is lost: the next call returns it.
    pub async fn recv(&mut self) -> Result<Event> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Returns the next event if there is one now; reads the change log if that is needed to know.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor("mailer").await?;
    /// assert!(mailer.try_recv().await?.is_none());
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
            self.watcher.or_none(polled)
        })
        .await
    }

    /// Moves the cursor to another position, forwards or backwards, and continues there. `0` is the beginning of
    /// the change log.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor("mailer").await?;
    /// store.set("orders", "1", "a book").await?;
    /// let order = mailer.recv().await?;
    /// mailer.ack(&order).await?;
    /// mailer.seek(0).await?;
    /// assert_eq!(mailer.recv().await?, order);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`AsyncStore::watch_from`](crate::AsyncStore::watch_from), and as any write.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the cursor is moved all the same.
    pub async fn seek(&mut self, after: impl Into<Since>) -> Result<()> {
        let store = self.state.store.upgrade().ok_or(Error::Closed)?;
        let (watcher, state) = (Arc::clone(&self.watcher.watcher), Arc::clone(&self.state));
        let after = after.into();
        self.watcher.stop_reading();
        let scope = state.scope.clone();
        store.offload.transact(&scope, move || state.seek(&watcher, after)).await
    }

    /// Acknowledges an event and all events that this cursor received before it: they do not come again. It is a
    /// write, on disk when the call returns, but makes no revision and no event. If events come fast, acknowledge
    /// every hundredth. Acknowledging an event again changes nothing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor("mailer").await?;
    /// store.set("orders", "1", "a book").await?;
    /// let order = mailer.recv().await?;
    /// mailer.ack(&order).await?;
    /// assert!(store.cursor("mailer").await?.try_recv().await?.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotReceived`] for an event that this cursor has not received, [`Error::NoCursor`] if the cursor was
    /// deleted, [`Error::ClusterRestored`] or [`Error::NotReceived`] if the cluster was restored since the event was
    /// received, [`Error::Closed`], and as any write.
    ///
    /// # Cancellation
    /// If the future is dropped, the event is acknowledged or it is not; acknowledge it again to be certain.
    pub async fn ack(&self, event: &Event) -> Result<()> {
        let begun = self.state.acknowledging(event, &self.watcher.watcher)?;
        let Some((acknowledging, request)) = begun else { return Ok(()) };
        let store = self.state.store.upgrade().ok_or(Error::Closed)?;
        store.write_later(&self.state.scope, request).await?;
        self.state.settle(acknowledging);
        Ok(())
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        self.state.tell()?;
        let received = self.watcher.poll_with_position(context);
        received.map(|received| match received {
            Ok((event, after)) => {
                self.state.hand_out(&event, after);
                Ok(event)
            }
            Err(error) => {
                self.state.hear(&error);
                Err(error)
            }
        })
    }
}

impl Stream for AsyncCursor {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        self.poll_recv(context).map(unless_closed)
    }
}
