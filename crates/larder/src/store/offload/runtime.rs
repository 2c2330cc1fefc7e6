//! Runs blocking work on the threads that a Tokio runtime keeps for it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::data::{Error, Result};
use crate::engine::Task;

/// How many reads of one store run at the same time: each has a connection of its own.
const READS_MAX: usize = 16;

/// How many transactions of one store wait or run at the same time. They run one after the other anyway, and
/// the runtime's blocking threads serve others, too.
const TRANSACTIONS_MAX: usize = 4;

/// Runs a store's blocking work on the runtime's blocking threads, so that no executor thread ever waits for a
/// disk or a lock.
pub(crate) struct Offload {
    reads: Arc<Semaphore>,
    transactions: Arc<Semaphore>,
    /// Whether the store has async handles, so that a handle or watcher may be dropped on an executor thread.
    is_awaited: AtomicBool,
}

impl Default for Offload {
    fn default() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS_MAX)),
            transactions: Arc::new(Semaphore::new(TRANSACTIONS_MAX)),
            is_awaited: AtomicBool::new(false),
        }
    }
}

impl Offload {
    /// Runs a read.
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

    /// Notes that the store has async handles.
    pub fn be_awaited(&self) {
        // Relaxed: it guards no data.
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// Runs what is left to do when a handle is dropped: on this thread, or on a blocking thread if this may be
    /// an executor's. It runs for certain, even while the runtime shuts down.
    pub fn wind_up(&self, work: impl FnOnce() + Send + 'static) {
        if !self.is_awaited.load(Ordering::Relaxed) {
            return work();
        }
        let duty = Duty(Some(work));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(duty))),
            Err(_) => drop(duty),
        }
    }
}

/// Work that runs when it is dropped, if it did not before.
struct Duty<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Duty<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

async fn through<T: Send + 'static>(
    gate: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Ok(permit) = Arc::clone(gate).try_acquire_owned() {
        return run(holding(permit, work)).await;
    }
    // An unpolled future would hold its permit, so a spawned task acquires it.
    let gate = Arc::clone(gate);
    let admitted = runtime()?.spawn(async move {
        // The gate is never closed.
        let permit = gate.acquire_owned().await.map_err(|_| Error::Closed)?;
        run(holding(permit, work)).await
    });
    joined(Task(admitted).await)
}

/// Returns the permit when the work is done, even if nobody waits for it any more.
fn holding<T>(permit: OwnedSemaphorePermit, work: impl FnOnce() -> Result<T>) -> impl FnOnce() -> Result<T> {
    move || {
        let _permit = permit;
        work()
    }
}

/// Runs blocking work. Once begun it runs to its end, even if nobody waits for it. A panic in it continues in
/// the caller.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(runtime()?.spawn_blocking(work).await)
}

/// The result of a task of the runtime.
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
