//! Where what the cluster answers is waited for: one thread with a runtime, which is the engine's own.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::data::{Error, Result};
use crate::engine::{Answer, Pending, Task};

/// The engine's runtime.
pub(super) struct Io {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Io {
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("larder-etcd")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // Whoever drops it may be on a thread of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer that is on its way from the cluster. It is asked for on the engine's own thread, so that what is
/// held meanwhile is given back whether or not anybody polls the answer; dropped, it is asked for no more.
pub(super) fn answer<T, F>(handle: &Handle, future: F) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let task = Task(handle.spawn(future));
    let ended = async move {
        task.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime has ended.
            Err(_) => Err(Error::Closed),
        })
    };
    awaited(handle, ended)
}

/// An answer that others are busy with: the future only waits for them, and holds nothing meanwhile.
pub(super) fn awaited<T: 'static, F>(handle: &Handle, future: F) -> Answer<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    Answer::Pending(Box::new(OnItsWay { handle: handle.clone(), future: Box::pin(future) }))
}

struct OnItsWay<T> {
    handle: Handle,
    future: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
}

impl<T> Pending<T> for OnItsWay<T> {
    fn wait(self: Box<Self>) -> Result<T> {
        wait(&self.handle, self.future)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        // Whoever polls it may be on another runtime, or on none; timers are this one's.
        let _entered = self.handle.enter();
        self.future.as_mut().poll(context)
    }
}

/// Waits on the calling thread, which may belong to another runtime: Tokio's own way of waiting would panic
/// there.
pub(super) fn wait<F: Future>(handle: &Handle, future: F) -> F::Output {
    let _entered = handle.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // Returns at once where it was woken in between, and now and then for no reason.
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
