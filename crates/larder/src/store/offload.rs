//! Where blocking work of an awaited store runs.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::data::{Error, Result};
use crate::engine::Task;

/// How many reads of one store go on at the same time: each has a connection of its own.
const READS_MAX: usize = 16;

/// How many transactions of one store wait or run: they run one after the other anyway, and a runtime's
/// threads for what blocks are for others, too.
const TRANSACTIONS_MAX: usize = 4;

/// Where work of a store goes that may wait for a disk or a lock: to threads that the runtime has for
/// that, so that no executor's thread is ever held up.
pub(crate) struct Offload {
    reads: Arc<Semaphore>,
    transactions: Arc<Semaphore>,
}

impl Default for Offload {
    fn default() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS_MAX)),
            transactions: Arc::new(Semaphore::new(TRANSACTIONS_MAX)),
        }
    }
}

impl Offload {
    /// Runs something that reads.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        through(&self.reads, read).await
    }

    /// Runs something that waits for its turn to write.
    pub async fn transact<T: Send + 'static>(
        &self,
        write: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        through(&self.transactions, write).await
    }
}

async fn through<T: Send + 'static>(
    gate: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Ok(permit) = Arc::clone(gate).try_acquire_owned() {
        return run(holding(permit, work)).await;
    }
    // A caller who is let in and does not look keeps it from all others; so the runtime waits for it.
    let gate = Arc::clone(gate);
    let let_in = runtime()?.spawn(async move {
        // The gate is never closed.
        let permit = gate.acquire_owned().await.map_err(|_| Error::Closed)?;
        run(holding(permit, work)).await
    });
    joined(Task(let_in).await)
}

/// The permit is given back when the work is done, also where nobody waits for that any more.
fn holding<T>(permit: OwnedSemaphorePermit, work: impl FnOnce() -> Result<T>) -> impl FnOnce() -> Result<T> {
    move || {
        let _permit = permit;
        work()
    }
}

/// Runs something that may block. Once begun it is done in full, whether or not anybody waits for it. A
/// panic in it goes on in the caller.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(runtime()?.spawn_blocking(work).await)
}

/// What became of a task of the runtime's.
pub(crate) fn joined<T>(ended: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match ended.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is shutting down.
        Err(Err(_)) => Err(Error::NoRuntime),
    }
}

pub(crate) fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| Error::NoRuntime)
}

/// Does something that may block, and that nobody waits for; for certain, also where the runtime is
/// shutting down and runs nothing any more.
pub(crate) fn see_to(work: impl FnOnce() + Send + 'static) {
    let duty = Duty(Some(work));
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(duty))),
        Err(_) => drop(duty),
    }
}

/// Something that is done at the latest when it is let go of.
struct Duty<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Duty<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}
