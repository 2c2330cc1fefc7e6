//! A panic in code that the program gives to a store (its clock, a waker, its logger) ends one call, and the store goes
//! on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::SystemTime;

use common::{Rig, WAIT_MAX, events_now, ms, next_event};
use larder::{Clock, Error, ErrorKind, EventKind, ManualClock, Pattern, Store};
use tokio::runtime::Builder;

/// Shows the rig's time, and panics when it is told to.
#[derive(Clone, Debug)]
struct Faulty {
    clock: ManualClock,
    armed: Arc<AtomicBool>,
    /// Panics only on the thread of this name.
    on: Option<&'static str>,
    /// Panics each time that this many readings were made, unless it is 0.
    every: Arc<AtomicUsize>,
    readings: Arc<AtomicUsize>,
    panics: Arc<AtomicUsize>,
}

impl Faulty {
    fn new(rig: &Rig) -> Self {
        Self {
            clock: rig.clock.clone(),
            armed: Arc::default(),
            on: None,
            every: Arc::default(),
            readings: Arc::default(),
            panics: Arc::default(),
        }
    }

    fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

impl Clock for Faulty {
    fn now(&self) -> SystemTime {
        let is_here = self.on.is_none_or(|name| thread::current().name() == Some(name));
        let every = self.every.load(Ordering::SeqCst);
        let is_due = every > 0 && self.readings.fetch_add(1, Ordering::SeqCst) % every == every - 1;
        if is_due || is_here && self.armed.swap(false, Ordering::SeqCst) {
            self.panics.fetch_add(1, Ordering::SeqCst);
            panic!("no time");
        }
        self.clock.now()
    }

    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        self.clock.on_set(tell);
    }
}

#[track_caller]
fn assert_panicked<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(error.to_string(), "the clock of the store panicked: no time");
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("no waking");
    }
}

on_every_engine! {
    fn a_clock_that_panics_ends_one_write_with_an_error_and_the_store_goes_on(rig: &Rig) {
        let clock = Faulty::new(rig);
        let store = rig.open_with(|options| options.clock(clock.clone()));
        let set = |key| store.set("g", key, "v");
        set("before").unwrap();
        clock.arm();
        assert_panicked(set("single"));
        set("after").unwrap();
        clock.arm();
        assert_panicked(store.batch().set("g", "batch", "v").increment("g", "n", 1).commit());
        clock.arm();
        assert_panicked(store.transaction(|tx| tx.set("g", "transaction", "v")));
        store.transaction(|tx| {
            clock.arm();
            assert_panicked(tx.set("g", "not this", "v"));
            tx.set("g", "but this", "v")
        })
        .unwrap();
        let keys: Vec<_> = store.entries("g").unwrap().map(|entry| entry.unwrap().key).collect();
        assert_eq!(keys, ["after", "before", "but this"]);
    }

    fn a_clock_that_panics_now_and_then_fails_as_many_writes_of_all_threads(rig: &Rig) {
        let clock = Faulty::new(rig);
        let store = rig.open_with(|options| options.clock(clock.clone()));
        clock.every.store(7, Ordering::SeqCst);
        let failed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || {
                        let set = |number| store.set("g", format!("{thread} {number}"), "v");
                        (0..20).filter(|number| set(*number).inspect_err(|error| assert!(matches!(error, Error::Panicked { .. }), "{error:?}")).is_err()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(failed, clock.panics.load(Ordering::SeqCst));
        assert!(failed > 0);
        clock.every.store(0, Ordering::SeqCst);
        assert_eq!(store.count("g").unwrap() as usize, 160 - failed);
    }

    fn a_clock_that_panics_in_a_read_panics_in_its_caller_alone(rig: &Rig) {
        let clock = Faulty::new(rig);
        let store = rig.open_with(|options| options.clock(clock.clone()));
        store.set_with_ttl("g", "k", "v", ms(1000)).unwrap();
        clock.arm();
        let reader = store.clone();
        assert!(thread::spawn(move || reader.count("g")).join().is_err());
        assert_eq!(store.count("g").unwrap(), 1);
        store.set("g", "l", "v").unwrap();
    }

    fn entries_keep_expiring_after_the_clock_has_panicked_on_the_expiry_timer(rig: &Rig) {
        let clock = Faulty { on: Some("larder-expiry"), ..Faulty::new(rig) };
        let store = rig.open_with(|options| options.clock(clock.clone()).expiry_timer(true));
        let watcher = store.watch(Pattern::all()).unwrap();
        store.set_with_ttl("g", "a", "v", ms(100)).unwrap();
        assert_eq!(next_event(&watcher).kind, EventKind::Set);
        clock.arm();
        rig.advance_ms(100);
        common::eventually("the timer reads the clock", || clock.panics.load(Ordering::SeqCst) == 1);
        assert_eq!(next_event(&watcher).kind, EventKind::Expire);
        store.set_with_ttl("g", "b", "v", ms(100)).unwrap();
        rig.advance_ms(100);
        assert_eq!([next_event(&watcher).kind, next_event(&watcher).kind], [EventKind::Set, EventKind::Expire]);
    }

    fn a_waker_that_panics_takes_no_event_and_no_answer_from_anybody(rig: &Rig) {
        let store = rig.store();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let _entered = runtime.enter();
        let awaited = store.clone().into_async();
        let mut of_panic = runtime.block_on(awaited.watch(Pattern::all())).unwrap();
        let watcher = store.watch(Pattern::all()).unwrap();
        assert!(watcher.try_recv().unwrap().is_none());
        let waker = Waker::from(Arc::new(Panicking));
        assert!(runtime.block_on(of_panic.try_recv()).unwrap().is_none());
        {
            let mut receiving = pin!(of_panic.recv());
            assert!(receiving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let mut setting = pin!(awaited.set("g", "0", "v"));
            // In memory it is done at once.
            let polled = setting.as_mut().poll(&mut Context::from_waker(&waker));
            let (sender, receiver) = mpsc::channel();
            for number in 1..5 {
                let (store, sender) = (store.clone(), sender.clone());
                thread::spawn(move || sender.send(store.set("g", number.to_string(), "v").is_ok()));
            }
            for _ in 1..5 {
                assert!(receiver.recv_timeout(WAIT_MAX).unwrap());
            }
            match polled {
                Poll::Ready(set) => set,
                Poll::Pending => runtime.block_on(setting),
            }
            .unwrap();
        }
        let mut keys: Vec<_> = std::iter::from_fn(|| watcher.recv_timeout(ms(if rig.promises.answers_locally { 0 } else { 500 })).unwrap()).map(|event| event.key.unwrap()).collect();
        keys.sort();
        assert_eq!(keys, ["0", "1", "2", "3", "4"]);
        assert!(events_now(&watcher).is_empty());
    }
}

/// Panics whenever something is logged.
struct PanickingLog;

impl tracing::Subscriber for PanickingLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("no logging");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_logger_that_panics_fails_no_write() {
    tracing::subscriber::with_default(PanickingLog, || {
        let store = Store::in_memory().unwrap();
        let _subscription = store.on_change(|_| panic!("no callback"));
        store.set("g", "k", "v").unwrap();
        assert_eq!(store.get("g", "k").unwrap(), Some("v".into()));
    });
}
