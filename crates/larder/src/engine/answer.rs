//! What an engine answers with.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::data::Result;

/// What an engine answers with: a result that is here, or on its way.
///
/// It can be waited on and awaited, so that the blocking and the async faces of larder share all
/// code and no engine is forced into a runtime that it does not need.
pub(crate) enum Answer<T> {
    /// The result is here; nothing was allocated for it. `None` once it was taken.
    Ready(Option<Result<T>>),
    /// The result is on its way.
    Pending(Box<dyn Pending<T>>),
}

/// Where the result of a pending [`Answer`] comes from.
///
/// Dropping it before the result is there leaves the work done in full or not at all, and holds
/// nobody else up.
pub(crate) trait Pending<T>: Send {
    /// Blocks until the result is there. A waiting thread may be put to work for the engine: under
    /// SQLite, to lead a group commit.
    fn wait(self: Box<Self>) -> Result<T>;

    /// As [`Future::poll`]: never blocks, so the engine has to do the work elsewhere.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>>;
}

impl<T> Answer<T> {
    pub fn ready(result: Result<T>) -> Self {
        Self::Ready(Some(result))
    }

    /// The result, blocking until it is there.
    pub fn wait(self) -> Result<T> {
        match self {
            Self::Ready(Some(result)) => result,
            // Only a future that is polled after it was ready gets here, as with any other.
            Self::Ready(None) => Err(crate::data::Error::Closed),
            Self::Pending(pending) => pending.wait(),
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
