//! Walking a group, awaited.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::data::{Entry, Result};
use crate::store::{AtHand, EntryStream, KeyStream, Open};

/// The entries of a group: see [`AsyncView::entries`](crate::AsyncView::entries).
#[must_use = "a stream ends when it is dropped"]
pub struct AsyncEntryStream(pub(super) Steps<EntryStream>);

/// The keys of a group: see [`AsyncView::keys`](crate::AsyncView::keys).
#[must_use = "a stream ends when it is dropped"]
pub struct AsyncKeyStream(pub(super) Steps<KeyStream>);

impl AsyncEntryStream {
    /// The next entry, or `None` at the end. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Result<Entry>> {
        poll_fn(|context| self.0.poll_step(context)).await
    }
}

impl Stream for AsyncEntryStream {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_step(context)
    }
}

impl AsyncKeyStream {
    /// The next key, or `None` at the end. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Result<String>> {
        poll_fn(|context| self.0.poll_step(context)).await
    }
}

impl Stream for AsyncKeyStream {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_step(context)
    }
}

/// What an iterator gives, step by step: what it has in memory at once, and the rest as a thread for what
/// blocks has read it.
pub(super) struct Steps<I: Iterator> {
    shared: Arc<Open>,
    state: State<I>,
}

/// The iterator and what it gave, once a thread is done with it.
type Step<I> = dyn Future<Output = Result<(I, Option<<I as Iterator>::Item>)>> + Send;

enum State<I: Iterator> {
    Resting(I),
    Reading(Pin<Box<Step<I>>>),
    Over,
}

impl<I: Iterator> Steps<I> {
    pub fn over(iterator: I, shared: Arc<Open>) -> Self {
        Self { shared, state: State::Resting(iterator) }
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
                    let shared = Arc::clone(&self.shared);
                    self.state = State::Reading(Box::pin(async move {
                        let step = move || {
                            let item = iterator.next();
                            Ok((iterator, item))
                        };
                        shared.offload.read(step).await
                    }));
                }
                State::Reading(mut reading) => match reading.as_mut().poll(context) {
                    Poll::Pending => {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((iterator, item))) => {
                        if item.is_some() {
                            self.state = State::Resting(iterator);
                        }
                        return Poll::Ready(item);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for AsyncEntryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncEntryStream").finish_non_exhaustive()
    }
}

impl fmt::Debug for AsyncKeyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncKeyStream").finish_non_exhaustive()
    }
}
