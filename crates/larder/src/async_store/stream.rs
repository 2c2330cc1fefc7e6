//! Walking a group, awaited.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::data::{Entry, Result, unpoisoned};
use crate::store::{GroupStream, Open, Scope};
use crate::watch::awaited::InitialState;

/// Streams the entries of a group: see [`AsyncView::entries`](crate::AsyncView::entries).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let mut entries: larder::AsyncEntryStream = store.entries("config").await?;
/// assert_eq!(entries.next().await.transpose()?.unwrap().value, "blue");
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
pub type AsyncEntryStream = AsyncGroupStream<Entry>;

/// Streams the keys of a group: see [`AsyncView::keys`](crate::AsyncView::keys).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let mut keys: larder::AsyncKeyStream = store.keys("config").await?;
/// assert_eq!(keys.next().await.transpose()?.unwrap(), "colour");
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
pub type AsyncKeyStream = AsyncGroupStream<String>;

/// Streams a group, sorted by key, as of one moment. It holds one page in memory, and a snapshot if the group has
/// more than one. It is a [`Stream`], too, for combinators such as those of the `futures` crate.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let mut entries = store.entries("config").await?;
/// while let Some(entry) = entries.next().await {
///     assert_eq!(entry?.key, "colour");
/// }
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[must_use = "a stream ends when it is dropped"]
pub struct AsyncGroupStream<T>(Steps<GroupStream<T>>);

impl<T: Send + 'static> AsyncGroupStream<T> {
    pub(super) fn new(items: GroupStream<T>, shared: Arc<Open>, scope: Scope) -> Self {
        Self(Steps::over(items, shared, scope))
    }

    /// Returns the next item, or `None` at the end.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let mut keys = store.keys("config").await?;
    /// assert_eq!(keys.next().await.transpose()?.as_deref(), Some("colour"));
    /// assert!(keys.next().await.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView). The stream ends after an error.
    ///
    /// # Cancellation
    /// If the future is dropped, no item is lost: the next call returns it.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|context| self.0.poll_step(context)).await
    }
}

impl<T: Send + 'static> Stream for AsyncGroupStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_step(context)
    }
}

/// An iterator that knows whether its next item, or its end, is in memory.
pub(super) trait AtHand {
    fn is_at_hand(&self) -> bool;
}

impl<T> AtHand for GroupStream<T> {
    fn is_at_hand(&self) -> bool {
        self.is_at_hand()
    }
}

impl AtHand for InitialState {
    fn is_at_hand(&self) -> bool {
        self.is_at_hand()
    }
}

/// Steps through a blocking iterator: takes an item that is in memory at once, and any other on a blocking thread.
pub(super) struct Steps<I: Iterator> {
    shared: Arc<Open>,
    scope: Scope,
    state: State<I>,
}

/// The iterator and its next item, as a blocking thread returns them. The mutex is never locked; it makes the future
/// `Sync`.
type Step<I> = Mutex<Pin<Box<dyn Future<Output = Result<(I, Option<<I as Iterator>::Item>)>> + Send>>>;

enum State<I: Iterator> {
    Resting(I),
    Reading(Step<I>),
    Over,
}

impl<I: Iterator> Steps<I> {
    pub fn over(iterator: I, shared: Arc<Open>, scope: Scope) -> Self {
        Self { shared, scope, state: State::Resting(iterator) }
    }
}

/// The iterator is never pinned: it moves to the thread that reads.
impl<I: Iterator> Unpin for Steps<I> {}

impl<T, I> Steps<I>
where
    T: Send + 'static,
    I: Iterator<Item = Result<T>> + AtHand + Send + 'static,
{
    pub fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Resting(mut iterator) if iterator.is_at_hand() => {
                    let item = iterator.next();
                    self.state = State::Resting(iterator);
                    return Poll::Ready(item);
                }
                State::Resting(mut iterator) => {
                    let (shared, scope) = (Arc::clone(&self.shared), self.scope.clone());
                    self.state = State::Reading(Mutex::new(Box::pin(async move {
                        let step = move || {
                            let item = iterator.next();
                            Ok((iterator, item))
                        };
                        shared.offload.read(&scope, step).await
                    })));
                }
                State::Reading(mut step) => {
                    let reading = unpoisoned(step.get_mut());
                    match reading.as_mut().poll(context) {
                        Poll::Pending => {
                            self.state = State::Reading(step);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok((iterator, item))) => {
                            if item.is_some() {
                                self.state = State::Resting(iterator);
                            }
                            return Poll::Ready(item);
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    }
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for AsyncGroupStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncGroupStream").finish_non_exhaustive()
    }
}
