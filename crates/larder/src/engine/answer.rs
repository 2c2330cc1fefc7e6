//! What an engine answers with.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::data::Result;

/// The answer of an engine: a result that is ready or pending.
///
/// A thread can wait for it, and a task can await it. So the blocking and the async face share their code, and an
/// engine needs no async runtime.
pub(crate) enum Answer<T> {
    /// The result, without an allocation. `None` once it was taken.
    Ready(Option<Result<T>>),
    /// The result will come.
    Pending(Box<dyn Pending<T>>),
}

/// Where the result of a pending [`Answer`] comes from.
///
/// If it is dropped before the result is there, the work is done as a whole or not at all, and no other caller
/// waits longer.
pub(crate) trait Pending<T>: Send {
    /// Blocks until the result is there. The engine may use the waiting thread: with SQLite it may lead a group
    /// commit.
    fn wait(self: Box<Self>) -> Result<T>;

    /// Like [`Future::poll`]: it never blocks, so the engine does the work on another thread.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>>;

    /// Gives the work up if it has not begun: then it is never done. Returns whether it was given up. An engine that
    /// does not know whether it has begun gives up nothing.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn give_up(&mut self) -> bool {
        false
    }
}

impl<T> Answer<T> {
    pub fn ready(result: Result<T>) -> Self {
        Self::Ready(Some(result))
    }

    /// Blocks until the result is there, and returns it.
    pub fn wait(self) -> Result<T> {
        match self {
            Self::Ready(Some(result)) => result,
            // Only reached by a future that is used again after it was ready.
            Self::Ready(None) => Err(crate::data::Error::Closed),
            Self::Pending(pending) => pending.wait(),
        }
    }

    /// Gives the work up if it has not begun: see [`Pending::give_up`].
    #[cfg(feature = "tokio")]
    pub fn give_up(&mut self) -> bool {
        match self {
            Self::Ready(_) => false,
            Self::Pending(pending) => pending.give_up(),
        }
    }
}

impl<T> From<Result<T>> for Answer<T> {
    fn from(result: Result<T>) -> Self {
        Self::ready(result)
    }
}

impl<T: Unpin> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut *self {
            Self::Ready(result) => Poll::Ready(result.take().unwrap_or(Err(crate::data::Error::Closed))),
            Self::Pending(pending) => pending.poll(context),
        }
    }
}
