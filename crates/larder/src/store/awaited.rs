//! Writes that are awaited.

use std::sync::Arc;

use super::batch::Batch;
use super::in_flight::InFlight;
use super::offload;
use super::request::Request;
use super::scope::Scope;
use super::shared::Shared;
use crate::data::{Result, Revision};
use crate::engine::Committed;

impl InFlight<'_> {
    /// Waits for the commit without blocking this thread. If there are callbacks, a task of the runtime
    /// finishes the commit and runs them on a blocking thread, even if this future is dropped.
    pub async fn finish(self) -> Result<Committed> {
        let Self { shared, answer, depth } = self;
        if shared.registry.callbacks.is_empty() {
            return answer.await;
        }
        let runtime = offload::runtime()?;
        let shared = Arc::clone(shared);
        let finishing = async move {
            let committed = answer.await?;
            offload::run(move || {
                shared.registry.call_back(&committed.events, depth);
                Ok(committed)
            })
            .await
        };
        offload::joined(runtime.spawn(finishing).await)
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
