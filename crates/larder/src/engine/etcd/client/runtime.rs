//! The engine's own Tokio runtime, and how its callers wait for what runs there.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::data::{Error, Result};
use crate::engine::{Answer, Duty, Pending, Task};

/// A runtime with one thread. Dropping it ends its tasks.
pub struct EngineRuntime {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl EngineRuntime {
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("larder-etcd")
            .on_thread_start(|| std::mem::forget(Duty::begin()))
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for EngineRuntime {
    fn drop(&mut self) {
        // The dropping thread may belong to another runtime, where Tokio panics if it blocks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Spawns a request on the engine's runtime and returns its answer. The request makes progress, and releases
/// what it holds, whether or not the answer is polled. Dropping the answer ends the request.
pub fn spawn_answer<T, F>(handle: &Handle, future: F) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let task = Task(handle.spawn(future));
    let ended = async move {
        task.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime has shut down.
            Err(_) => Err(Error::Closed),
        })
    };
    pending_answer(handle, ended)
}

/// Wraps a future as an answer. The future must only wait for other tasks and hold nothing that they need,
/// since it makes no progress between polls.
pub fn pending_answer<T: 'static, F>(handle: &Handle, future: F) -> Answer<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    Answer::Pending(Box::new(PendingAnswer { handle: handle.clone(), future: Box::pin(future) }))
}

struct PendingAnswer<T> {
    handle: Handle,
    future: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
}

impl<T> Pending<T> for PendingAnswer<T> {
    fn wait(self: Box<Self>) -> Result<T> {
        block_on(&self.handle, self.future)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        // The caller may be on another runtime, or on none; the future's timers need this one.
        let _entered = self.handle.enter();
        self.future.as_mut().poll(context)
    }
}

/// Blocks the calling thread until the future is ready. Tokio's own `block_on` would panic on a thread of
/// another runtime.
pub fn block_on<F: Future>(handle: &Handle, future: F) -> F::Output {
    // A destructor of a thread-local may run after Tokio's own is gone, and Tokio panics then. What is waited for there
    // is another task, which needs no context.
    let is_gone = Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed());
    let _entered = (!is_gone).then(|| handle.enter());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // Returns at once if the waker was called since the poll. It may also return for no reason.
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
