//! Callbacks: each runs once for every change made through the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::{Event, Subscription};

use super::Outcome;
use super::face::{BOUND, Face, Kind};

/// A callback, and what it was called with.
pub struct Listener {
    heard: Arc<Mutex<Vec<Event>>>,
    /// The place in the log where it began.
    from: usize,
    _subscription: Subscription,
}

impl Listener {
    pub fn new(face: &Face, from: usize) -> Self {
        let heard = Arc::<Mutex<Vec<Event>>>::default();
        let hears = Arc::clone(&heard);
        let call = move |event: &Event| {
            hears.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        };
        let _subscription = match &face.kind {
            Kind::Blocking(store) => store.on_change(call),
            Kind::Async(store) => store.on_change(call),
        };
        Self { heard, from, _subscription }
    }

    /// Compares what it was called with. A write whose future was dropped calls it some time later.
    pub fn compare(&self, log: &[Event]) -> Outcome {
        let mut expected: Vec<_> = log[self.from..].iter().map(|event| format!("{event:?}")).collect();
        expected.sort_unstable();
        let begun = Instant::now();
        loop {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut heard: Vec<_> = heard.iter().map(|event| format!("{event:?}")).collect();
            heard.sort_unstable();
            if heard == expected {
                return Ok(());
            }
            if heard.len() > expected.len() || begun.elapsed() > BOUND {
                return Err(format!("a callback was called with {heard:?}, expected {expected:?}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
