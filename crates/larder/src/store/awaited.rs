//! Writes that are awaited.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use super::batch::Batch;
use super::in_flight::InFlight;
use super::offload;
use super::request::Request;
use super::scope::Scope;
use super::shared::Shared;
use crate::data::{Error, Result, Revision};
use crate::engine::{Answer, Committed};

impl InFlight<'_> {
    /// Waits for the commit without blocking this thread. If there are callbacks, they run on a blocking thread once it
    /// is made, even if this future was dropped after the commit had begun.
    pub async fn finish(self) -> Result<Committed> {
        let Self { shared, answer, depth } = self;
        if shared.registry.callbacks.is_empty() {
            return answer.await;
        }
        let runtime = offload::runtime()?;
        let committed = Calling { answer: Some(answer), shared, depth, runtime }.await?;
        call_back(Arc::clone(shared), committed, depth).await
    }
}

async fn call_back(shared: Arc<Shared>, committed: Committed, depth: usize) -> Result<Committed> {
    offload::run(move || {
        shared.registry.call_back(&committed.events, depth);
        Ok(committed)
    })
    .await
}

/// A commit that callbacks are waiting for.
struct Calling<'a> {
    /// `None` once it was made.
    answer: Option<Answer<Committed>>,
    shared: &'a Arc<Shared>,
    depth: usize,
    runtime: Handle,
}

impl Future for Calling<'_> {
    type Output = Result<Committed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(Error::Closed)) };
        let polled = Pin::new(answer).poll(context);
        if polled.is_ready() {
            self.answer = None;
        }
        polled
    }
}

impl Drop for Calling<'_> {
    /// Nobody waits for the commit any more. If it has begun, a task of the runtime does.
    fn drop(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        if answer.give_up() {
            return;
        }
        let (shared, depth) = (Arc::clone(self.shared), self.depth);
        self.runtime.spawn(async move { call_back(shared, answer.await?, depth).await });
    }
}

impl Shared {
    /// Makes the write of an async handle with this scope.
    pub async fn write_later<T>(self: &Arc<Self>, scope: &Scope, request: Request<T>) -> Result<T> {
        let committed = async { self.start(request.commit)?.finish().await };
        let committed = committed.await.map_err(|error| scope.error(error))?;
        Ok((request.answer)(&committed))
    }
}

/// Marks a [`Batch`] whose `commit` is awaited.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::{AsyncStore, Awaited, Batch};
///
/// let store = AsyncStore::in_memory().await?;
/// let batch: Batch<Awaited> = store.batch(); // the same as `AsyncBatch`
/// batch.set("config", "colour", "blue").commit().await?;
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub enum Awaited {}

impl Batch<Awaited> {
    /// Commits the batch, and returns the revision. If nothing changed (the batch is empty, or only deletes what
    /// does not exist), that is the store's latest revision.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let batch = store.batch().set("config", "colour", "blue").increment("stats", "changes", 1);
    /// let revision = batch.commit().await?;
    /// assert_eq!(store.revision().await?, revision);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if a condition does not hold, what a step was refused for, and as
    /// any write of an [`AsyncStore`](crate::AsyncStore). Then nothing was written.
    ///
    /// # Cancellation
    /// If the future is dropped, the batch takes effect in full or not at all.
    pub async fn commit(mut self) -> Result<Revision> {
        let request = self.request()?;
        self.shared.write_later(&self.scope, request).await
    }
}
