//! Receiving changes, awaited.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::stream::Steps;
use crate::data::{Error, Event, LogPosition, Result, ResumeToken, Since};
use crate::store::Open;
use crate::watch::{Book, Cursor, Mirror, Next, Present, Update, Watcher};

/// Receives events: see [`Store::watch`](crate::Store::watch). Dropping it ends the subscription.
///
/// It is a [`Stream`], too, which gives each event as it comes, and ends when the store is closed. It does
/// not keep the store open.
#[must_use = "the watch ends when the watcher is dropped"]
pub struct AsyncWatcher {
    watcher: Arc<Watcher>,
    shared: std::sync::Weak<crate::store::Shared>,
    /// Reads the log, where the watcher is behind.
    reading: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
}

impl AsyncWatcher {
    pub(super) fn new(watcher: Watcher, shared: &Arc<Open>) -> Self {
        Self { watcher: Arc::new(watcher), shared: Arc::downgrade(shared), reading: None }
    }

    /// The next event. Dropping the future loses none, so that `tokio::time::timeout` around it does what
    /// [`Watcher::recv_timeout`] does.
    ///
    /// # Errors
    /// As [`Watcher::recv`].
    pub async fn recv(&mut self) -> Result<Event> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event if there is one now, after reading the change log where need be.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn try_recv(&mut self) -> Result<Option<Event>> {
        poll_fn(|context| {
            let polled = self.poll_recv(context);
            self.or_none(polled)
        })
        .await
    }

    /// What was polled for, or that there is none now: which is known only once the log was read.
    fn or_none<T>(&self, polled: Poll<Result<T>>) -> Poll<Result<Option<T>>> {
        match polled {
            Poll::Ready(received) => Poll::Ready(received.map(Some)),
            Poll::Pending if self.reading.is_some() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(None)),
        }
    }

    /// See [`Watcher::token`].
    pub fn token(&self) -> ResumeToken {
        self.watcher.token()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        self.poll_in_place(context).map_ok(|(event, _)| event)
    }

    /// The next event, and the place after it.
    fn poll_in_place(&mut self, context: &mut Context<'_>) -> Poll<Result<(Event, LogPosition)>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = reading.as_mut().poll(context) else { return Poll::Pending };
                self.reading = None;
                if let Err(error) = read {
                    return Poll::Ready(Err(error));
                }
            }
            match self.watcher.poll_next(context) {
                Next::Event(event, after) => return Poll::Ready(Ok((event, after))),
                Next::Closed => return Poll::Ready(Err(Error::Closed)),
                Next::Pending => return Poll::Pending,
                Next::Behind => {
                    let (watcher, shared) = (Arc::clone(&self.watcher), self.shared.clone());
                    self.reading = Some(Box::pin(async move {
                        let shared = shared.upgrade().ok_or(Error::Closed)?;
                        shared.offload.read(move || watcher.read_on()).await
                    }));
                }
            }
        }
    }
}

impl Stream for AsyncWatcher {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        self.poll_recv(context).map(unless_closed)
    }
}

/// Receives events, and remembers in the store which were acknowledged: see
/// [`Store::cursor`](crate::Store::cursor).
///
/// It is a [`Stream`], too, which gives each event as it comes, and ends when the store is closed.
#[derive(Debug)]
pub struct AsyncCursor {
    watcher: AsyncWatcher,
    book: Arc<Book>,
}

impl AsyncCursor {
    pub(super) fn new(cursor: Cursor, shared: &Arc<Open>) -> Self {
        let (watcher, book) = cursor.into_parts();
        Self { watcher: AsyncWatcher::new(watcher, shared), book: Arc::new(book) }
    }

    /// The next event. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Cursor::recv`].
    pub async fn recv(&mut self) -> Result<Event> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event if there is one now, after reading the change log where need be.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn try_recv(&mut self) -> Result<Option<Event>> {
        poll_fn(|context| {
            let polled = self.poll_recv(context);
            self.watcher.or_none(polled)
        })
        .await
    }

    /// See [`Cursor::seek`].
    ///
    /// # Errors
    /// As there.
    pub async fn seek(&mut self, after: impl Into<Since>) -> Result<()> {
        let shared = self.book.store.upgrade().ok_or(Error::Closed)?;
        let (watcher, book, after) =
            (Arc::clone(&self.watcher.watcher), Arc::clone(&self.book), after.into());
        self.watcher.reading = None;
        shared.offload.transact(move || book.seek(&watcher, after)).await
    }

    /// See [`Cursor::ack`].
    ///
    /// # Errors
    /// As there.
    pub async fn ack(&self, event: &Event) -> Result<()> {
        let Some((place, mutation)) = self.book.entry_for(event)? else { return Ok(()) };
        let shared = self.book.store.upgrade().ok_or(Error::Closed)?;
        shared.commit_later(mutation.into()).await.map_err(|error| self.book.scope.error(error))?;
        self.book.settle(place);
        Ok(())
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        let received = self.watcher.poll_in_place(context);
        received.map_ok(|(event, after)| {
            self.book.hand_out(&event, after);
            event
        })
    }
}

impl Stream for AsyncCursor {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        self.poll_recv(context).map(unless_closed)
    }
}

/// Receives what there is, then what changes: see
/// [`Store::mirror`](crate::Store::mirror).
///
/// It is a [`Stream`], too, which gives each update as it comes, and ends when the store is closed.
#[must_use = "the watch ends when the mirror is dropped"]
pub struct AsyncMirror {
    /// What there was, until all of it was received.
    present: Option<Steps<Present>>,
    watcher: AsyncWatcher,
}

impl AsyncMirror {
    pub(super) fn new(mirror: Mirror, shared: &Arc<Open>) -> Self {
        let (present, watcher) = mirror.into_parts();
        Self {
            present: present.map(|present| Steps::over(present, Arc::clone(shared))),
            watcher: AsyncWatcher::new(watcher, shared),
        }
    }

    /// The next update. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Mirror::recv`].
    pub async fn recv(&mut self) -> Result<Update> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next update if there is one now, after reading what need be.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn try_recv(&mut self) -> Result<Option<Update>> {
        poll_fn(|context| match self.poll_recv(context) {
            Poll::Pending if self.present.is_some() => Poll::Pending,
            polled => self.watcher.or_none(polled),
        })
        .await
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Update>> {
        if let Some(present) = &mut self.present {
            match present.poll_step(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(update)) => return Poll::Ready(update),
                Poll::Ready(None) => self.present = None,
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

/// A stream ends when the store is closed.
fn unless_closed<T>(received: Result<T>) -> Option<Result<T>> {
    match received {
        Err(Error::Closed) => None,
        received => Some(received),
    }
}

impl fmt::Debug for AsyncWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWatcher").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}

impl fmt::Debug for AsyncMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMirror")
            .field("is_current", &self.present.is_none())
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}
