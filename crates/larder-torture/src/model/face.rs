//! The two faces of a store behind one: each call is made on the one that a sequence is run on, and answered within a
//! bound, unless its future is dropped.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use larder::{AsyncStore, AsyncView, Error, Result, Store, View, Whole};
use tokio::runtime::Handle;

use super::call::Cut;

/// How long a call may take.
pub const BOUND: Duration = Duration::from_secs(10);

/// A store, or its part of one namespace.
pub struct Face<S = Whole> {
    pub kind: Kind<S>,
    pub driver: Driver,
}

pub enum Kind<S> {
    Blocking(Store<S>),
    Async(AsyncStore<S>),
}

/// What is read from: a store, a snapshot.
#[derive(Clone, Copy)]
pub struct Looker<'a> {
    pub view: AnyView<'a>,
    pub driver: &'a Driver,
}

#[derive(Clone, Copy)]
pub enum AnyView<'a> {
    Blocking(&'a View),
    Async(&'a AsyncView),
}

/// Makes calls, and measures how long they take.
#[derive(Clone)]
pub struct Driver(Rc<State>);

struct State {
    runtime: Handle,
    /// How the next call on the asynchronous face ends early.
    cut: Cell<Option<Cut>>,
    was_cut: Cell<bool>,
    longest: Cell<Duration>,
    /// What the sequence is at, and where it was when a call took the longest.
    current: RefCell<String>,
    longest_at: RefCell<String>,
    /// The last call that took longer than the bound.
    late: RefCell<Option<String>>,
}

/// Makes a call on whichever face it is: `call!(face, |store| store.get("config", "colour"))`.
macro_rules! call {
    ($face:expr, |$store:ident| $call:expr) => {{
        let face = &$face;
        match &face.kind {
            $crate::model::face::Kind::Blocking($store) => face.driver.now(|| $call),
            $crate::model::face::Kind::Async($store) => face.driver.wait(async { $call.await }),
        }
    }};
}

/// Makes a read on whichever face it is.
macro_rules! read {
    ($looker:expr, |$view:ident| $call:expr) => {{
        let looker = &$looker;
        match looker.view {
            $crate::model::face::AnyView::Blocking($view) => looker.driver.now(|| $call),
            $crate::model::face::AnyView::Async($view) => looker.driver.wait(async { $call.await }),
        }
    }};
}

pub(super) use {call, read};

impl<S: 'static> Face<S> {
    pub fn looker(&self) -> Looker<'_> {
        let view = match &self.kind {
            Kind::Blocking(store) => AnyView::Blocking(store),
            Kind::Async(store) => AnyView::Async(store),
        };
        Looker { view, driver: &self.driver }
    }

    /// The blocking handle of the same store.
    pub fn blocking(&self) -> &Store<S> {
        match &self.kind {
            Kind::Blocking(store) => store,
            Kind::Async(store) => store.blocking(),
        }
    }
}

impl Face {
    pub fn scoped(&self, namespace: &str) -> Result<Face<larder::Tenant>> {
        let kind = match &self.kind {
            Kind::Blocking(store) => Kind::Blocking(store.scoped(namespace)?),
            Kind::Async(store) => Kind::Async(store.scoped(namespace)?),
        };
        Ok(Face { kind, driver: self.driver.clone() })
    }

    /// Another handle of the same store.
    pub fn another(&self) -> Self {
        let kind = match &self.kind {
            Kind::Blocking(store) => Kind::Blocking(store.clone()),
            Kind::Async(store) => Kind::Async(store.clone()),
        };
        Self { kind, driver: self.driver.clone() }
    }
}

impl Driver {
    pub fn new(runtime: &Handle) -> Self {
        Self(Rc::new(State {
            runtime: runtime.clone(),
            cut: Cell::default(),
            was_cut: Cell::default(),
            longest: Cell::default(),
            current: RefCell::default(),
            longest_at: RefCell::default(),
            late: RefCell::default(),
        }))
    }

    /// Lets the next call on the asynchronous face end early.
    pub fn cut_next(&self, cut: Option<Cut>) {
        self.0.cut.set(cut);
        self.0.was_cut.set(false);
    }

    /// Whether a call has ended early since then. Later calls are answered.
    pub fn was_cut(&self) -> bool {
        self.0.cut.set(None);
        self.0.was_cut.get()
    }

    /// Notes what the sequence is at.
    pub fn begin(&self, call: String) {
        *self.0.current.borrow_mut() = call;
    }

    /// How long the longest call took, and what the sequence was at.
    pub fn longest(&self) -> (Duration, String) {
        (self.0.longest.get(), self.0.longest_at.borrow().clone())
    }

    /// The last call that took longer than the bound.
    pub fn late(&self) -> Option<String> {
        self.0.late.borrow_mut().take()
    }

    pub fn now<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let answer = work();
        self.note(begun);
        answer
    }

    pub fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        if let Some(cut) = self.0.cut.take() {
            let polled = self.0.runtime.block_on(polled(future, cut));
            return polled.unwrap_or_else(|| {
                self.0.was_cut.set(true);
                Err(Error::other("the future was dropped"))
            });
        }
        let answer = self.0.runtime.block_on(async { tokio::time::timeout(BOUND, future).await });
        self.note(begun);
        answer.unwrap_or_else(|_| Err(Error::other("no answer within the bound")))
    }

    /// Waits for something that may not come; `None` if it does not within `timeout`.
    pub fn within<T>(&self, timeout: Duration, future: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        self.0.runtime.block_on(async { tokio::time::timeout(timeout, future).await }).ok().transpose()
    }

    fn note(&self, begun: Instant) {
        let took = begun.elapsed();
        if took > self.0.longest.get() {
            self.0.longest.set(took);
            self.0.longest_at.borrow_mut().clone_from(&self.0.current.borrow());
        }
        if took > BOUND {
            *self.0.late.borrow_mut() = Some(format!("a call took {took:?}"));
        }
    }
}

/// Polls a future so many times, and drops it unless it is ready.
async fn polled<T>(future: impl Future<Output = T>, cut: Cut) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..cut.polls {
        let answer = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(answer) = answer.await {
            return Some(answer);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(cut.microseconds.into()) {
            std::thread::yield_now();
        }
    }
    None
}
