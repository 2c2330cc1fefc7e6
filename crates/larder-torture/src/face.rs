//! The two faces of a store: some clients of a trial use `AsyncStore`, and drop some of its futures.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use larder::{AsyncStore, Error, Options, Result, Store};
use tokio::runtime::{Builder, Runtime};

use crate::random::Random;

/// A store that a client has open, on one of its faces.
pub enum Face {
    Blocking(Store),
    /// The runtime has a thread of its own beside those that wait for their futures. In the simulator it and all its
    /// threads are of the world: it waits by the C library's futexes, since it waits for no files.
    Async(AsyncStore, Runtime),
}

impl Face {
    pub fn open(options: Options, path: &Path, is_async: bool) -> Result<Self> {
        if !is_async {
            return options.open(path).map(Self::Blocking);
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.map_err(Error::other)?;
        let store = runtime.block_on(AsyncStore::open_with(options, path))?;
        Ok(Self::Async(store, runtime))
    }

    /// The blocking handle of the same store.
    pub fn blocking(&self) -> &Store {
        match self {
            Self::Blocking(store) => store,
            Self::Async(store, _) => store.blocking(),
        }
    }

    pub fn close(&self) -> Result<()> {
        match self {
            Self::Blocking(store) => store.close(),
            Self::Async(store, runtime) => runtime.block_on(store.close()),
        }
    }
}

/// The future of a call was dropped, after so many polls.
#[derive(Debug)]
struct Dropped {
    polls: u64,
}

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the future was dropped")
    }
}

impl std::error::Error for Dropped {}

/// After how many polls the future of a call was dropped, if the call has failed for nothing else.
pub fn dropped_after(error: &Error) -> Option<u64> {
    let Error::Other(cause) = error else { return None };
    cause.downcast_ref::<Dropped>().map(|dropped| dropped.polls)
}

/// How long others go on between two polls of a future that is dropped.
const PAUSE: Duration = Duration::from_micros(20);

/// Makes the calls of one thread.
pub struct Caller<'a> {
    pub face: &'a Face,
    /// How often the next future is polled before it is dropped.
    polls: Cell<Option<u64>>,
    /// How long others go on between two polls.
    pause: Duration,
}

impl<'a> Caller<'a> {
    /// One whose first future may be dropped early.
    pub fn new(face: &'a Face, random: &mut Random) -> Self {
        let polls = random.one_in(6).then(|| random.below(4));
        Self { face, polls: Cell::new(polls), pause: PAUSE }
    }

    /// One that waits for every answer.
    pub fn patient(face: &'a Face) -> Self {
        Self { face, polls: Cell::new(None), pause: PAUSE }
    }

    /// One whose first future is dropped after so many polls.
    pub fn dropping(face: &'a Face, polls: u64) -> Self {
        Self { polls: Cell::new(Some(polls)), ..Self::patient(face) }
    }

    /// The same, with such pauses between the polls of a future that is dropped.
    pub fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    pub fn now<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work()
    }

    pub fn wait<T>(&self, runtime: &Runtime, future: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(polls) = self.polls.take() else { return runtime.block_on(future) };
        runtime
            .block_on(polled(future, polls, self.pause))
            .unwrap_or_else(|| Err(Error::other(Dropped { polls })))
    }
}

/// Polls a future so many times, and drops it unless it is ready.
async fn polled<T>(future: impl Future<Output = T>, polls: u64, pause: Duration) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let answer = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(answer) = answer.await {
            return Some(answer);
        }
        std::thread::sleep(pause);
    }
    None
}

/// Makes a call on whichever face it is: `call!(caller, |store| store.get("config", "colour"))`.
macro_rules! call {
    ($caller:expr, |$store:ident| $call:expr) => {{
        let caller = &$caller;
        match caller.face {
            $crate::face::Face::Blocking($store) => caller.now(|| $call),
            $crate::face::Face::Async($store, runtime) => caller.wait(runtime, async { $call.await }),
        }
    }};
}

pub(crate) use call;
