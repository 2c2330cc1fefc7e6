//! Runs blocking work on the threads that a Tokio runtime keeps for it.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::gate::{Gate, Pass};
use crate::data::{Error, Result};
use crate::engine::{Process, Task};
use crate::store::scope::Scope;

/// How many reads of one store run at the same time: each has a connection of its own.
const READS_MAX: usize = 16;

/// How many transactions of one store wait or run at the same time. They run one after the other anyway, and
/// the runtime's blocking threads serve others, too.
const TRANSACTIONS_MAX: usize = 4;

/// How many templates of one store are rendered at the same time. Rendering is computing, so more would only
/// take the processors from others, and each may hold as much memory as a template is allowed.
#[cfg(feature = "templates")]
const RENDERINGS_MAX: usize = 2;

/// Runs a store's blocking work on the runtime's blocking threads, so that no executor thread ever waits for a
/// disk or a lock.
pub(crate) struct Offload {
    reads: Arc<Gate>,
    transactions: Arc<Gate>,
    #[cfg(feature = "templates")]
    renderings: Arc<Gate>,
    /// Whether the store has async handles, so that a handle or watcher may be dropped on an executor thread.
    is_awaited: AtomicBool,
    /// The process whose runtime has the threads.
    process: Process,
}

impl Default for Offload {
    fn default() -> Self {
        Self {
            reads: Gate::new(READS_MAX),
            transactions: Gate::new(TRANSACTIONS_MAX),
            #[cfg(feature = "templates")]
            renderings: Gate::new(RENDERINGS_MAX),
            is_awaited: AtomicBool::new(false),
            process: Process::current(),
        }
    }
}

impl Offload {
    /// Runs a read of a handle with this scope.
    pub async fn read<T: Send + 'static>(
        &self,
        scope: &Scope,
        read: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        through(&self.reads, scope, read).await
    }

    /// Renders a template. It waits for other templates, and never in the way of a read.
    #[cfg(feature = "templates")]
    pub async fn render<T: Send + 'static>(
        &self,
        scope: &Scope,
        render: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        through(&self.renderings, scope, render).await
    }

    /// Runs something that waits for its turn to write.
    pub async fn transact<T: Send + 'static>(
        &self,
        scope: &Scope,
        write: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check_process()?;
        through(&self.transactions, scope, write).await
    }

    /// Fails in a forked process, whose runtime has no threads: a future would wait for ever.
    fn check_process(&self) -> Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(Error::ForkedProcess) }
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
    gate: &Arc<Gate>,
    scope: &Scope,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Some(pass) = gate.try_enter(scope) {
        return run(holding(pass, work)).await;
    }
    // An unpolled future would hold its pass, so a spawned task waits for it.
    let (gate, scope) = (Arc::clone(gate), scope.clone());
    let admitted = runtime()?.spawn(async move {
        let pass = gate.enter(&scope).await?;
        run(holding(pass, work)).await
    });
    joined(Task(admitted).await)
}

/// Gives back the pass when the work is done, even if nobody waits for it any more.
fn holding<T>(pass: Pass, work: impl FnOnce() -> Result<T>) -> impl FnOnce() -> Result<T> {
    move || {
        let _pass = pass;
        work()
    }
}

/// Runs blocking work. Once begun it runs to its end, even if nobody waits for it. A panic in it continues in
/// the caller.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(runtime()?.spawn_blocking(work).await)
}

/// The result of a task of the runtime.
fn joined<T>(ended: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
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
