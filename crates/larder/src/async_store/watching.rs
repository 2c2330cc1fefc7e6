use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::offload;
use super::stream::Steps;
use crate::shared::Open;
use crate::watch::{Next, Present};
use crate::{Error, Event, Mirror, Result, Update, Watcher};

/// Receives events: see [`Store::watch`](crate::Store::watch). Dropping it ends the subscription.
///
/// It is a [`Stream`], too, which gives each event as it comes, and ends when the store is closed. It does
/// not keep the store open.
pub struct AsyncWatcher {
    /// Taken only when dropped.
    watcher: Option<Arc<Watcher>>,
    shared: std::sync::Weak<crate::shared::Shared>,
    /// Reads the log, where the watcher is behind.
    reading: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
}

impl AsyncWatcher {
    pub(super) fn new(watcher: Watcher, shared: &Arc<Open>) -> Self {
        Self { watcher: Some(Arc::new(watcher)), shared: Arc::downgrade(shared), reading: None }
    }

    /// The next event. Dropping the future loses none.
    ///
    /// # Errors
    /// As [`Watcher::recv`].
    pub async fn recv(&mut self) -> Result<Event> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next event if there is one now, after reading the change log where need be.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn try_recv(&mut self) -> Result<Option<Event>> {
        std::future::poll_fn(|context| match self.poll_recv(context) {
            Poll::Ready(event) => Poll::Ready(event.map(Some)),
            Poll::Pending if self.reading.is_some() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = reading.as_mut().poll(context) else { return Poll::Pending };
                self.reading = None;
                if let Err(error) = read {
                    return Poll::Ready(Err(error));
                }
            }
            let Some(watcher) = &self.watcher else { return Poll::Ready(Err(Error::Closed)) };
            match watcher.poll_next(context) {
                Next::Event(event) => return Poll::Ready(Ok(event)),
                Next::Closed => return Poll::Ready(Err(Error::Closed)),
                Next::Pending => return Poll::Pending,
                Next::Behind => {
                    let (watcher, shared) = (Arc::clone(watcher), self.shared.clone());
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

impl Drop for AsyncWatcher {
    fn drop(&mut self) {
        // The last watcher to go waits for a thread to end.
        self.reading = None;
        offload::let_go(self.watcher.take());
    }
}

/// Receives what there is, then what changes: see
/// [`Store::watch_with_snapshot`](crate::Store::watch_with_snapshot).
///
/// It is a [`Stream`], too, which gives each update as it comes, and ends when the store is closed.
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
        std::future::poll_fn(|context| self.poll_recv(context)).await
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
