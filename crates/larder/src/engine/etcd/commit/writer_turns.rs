//! Who uses the process's one writer next: cohorts of batches and closures by turns, and the closures by the turns of their
//! parties.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::data::{Error, Result, locked};
use crate::engine::{Party, Turn, Turns};

/// The turns at the process's one writer. A closure waits for one cohort of batches and one closure of each other party,
/// however many closures another party has waiting.
#[derive(Default)]
pub struct WriterTurns(Mutex<State>);

#[derive(Default)]
struct State {
    is_taken: bool,
    /// Whether the last turn was a closure's.
    was_closure: bool,
    batches: Option<oneshot::Sender<WriterTurn>>,
    closures: Turns<oneshot::Sender<WriterTurn>>,
}

/// A turn, which ends when it is dropped.
pub struct WriterTurn(Option<Arc<WriterTurns>>);

impl WriterTurns {
    /// Waits for the turn of the next cohort of batches. One task asks for it.
    pub fn for_batches(self: &Arc<Self>) -> impl Future<Output = Result<WriterTurn>> + Send + use<> {
        let (waiter, turn) = oneshot::channel();
        locked(&self.0).batches = Some(waiter);
        self.begin_next();
        async { turn.await.map_err(|_| Error::Closed) }
    }

    /// Waits for the turn of a closure.
    pub fn for_closure(
        self: &Arc<Self>,
        party: Party,
    ) -> impl Future<Output = Result<WriterTurn>> + Send + use<> {
        let (waiter, turn) = oneshot::channel();
        locked(&self.0).closures.push(party, waiter);
        self.begin_next();
        async { turn.await.map_err(|_| Error::Closed) }
    }

    /// Lets the next have its turn, if nobody has.
    fn begin_next(self: &Arc<Self>) {
        loop {
            let waiter = {
                let mut state = locked(&self.0);
                if state.is_taken {
                    return;
                }
                let Some(waiter) = state.next() else { return };
                state.is_taken = true;
                waiter
            };
            let Err(mut turn) = waiter.send(WriterTurn(Some(Arc::clone(self)))) else { return };
            // Its caller has given up. Dropping the turn must not come back here.
            turn.0 = None;
            locked(&self.0).is_taken = false;
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<WriterTurn>> {
        let batches = if self.was_closure { self.batches.take() } else { None };
        let closure = if batches.is_none() { self.closures.take(|_, _| Turn::Take) } else { None };
        self.was_closure = closure.is_some();
        batches.or(closure).or_else(|| self.batches.take())
    }
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            locked(&turns.0).is_taken = false;
            turns.begin_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Result<WriterTurn>> + Send>>;

    const HOSTILE: Party = Party::Namespace(1);
    const QUIET: Party = Party::Namespace(2);

    fn poll(waiting: &mut Waiting) -> Option<WriterTurn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    /// The names of those who wait, in the order of their turns.
    fn order(turns: &Arc<WriterTurns>, mut waiting: VecDeque<(&'static str, Waiting)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut ready = waiting
                .iter_mut()
                .enumerate()
                .filter_map(|(place, (_, waiting))| Some((place, poll(waiting)?)));
            let (place, turn) = ready.next().expect("somebody has a turn");
            assert!(ready.next().is_none(), "nobody else has one");
            order.push(waiting.remove(place).unwrap().0);
            if order.last() == Some(&"batches") && order.len() < 6 {
                waiting.push_back(("batches", Box::pin(turns.for_batches())));
            }
            drop(turn);
        }
        order
    }

    #[test]
    fn a_closure_waits_for_no_backlog_of_another_party_and_cohorts_of_batches_for_none_at_all() {
        let turns = Arc::new(WriterTurns::default());
        let mut first: Waiting = Box::pin(turns.for_closure(HOSTILE));
        let first = poll(&mut first).unwrap();
        let mut waiting: VecDeque<(&'static str, Waiting)> = VecDeque::new();
        for _ in 0..5 {
            waiting.push_back(("hostile", Box::pin(turns.for_closure(HOSTILE))));
        }
        waiting.push_back(("batches", Box::pin(turns.for_batches())));
        for _ in 0..2 {
            waiting.push_back(("quiet", Box::pin(turns.for_closure(QUIET))));
        }
        drop(first);
        let expected = [
            "batches", "hostile", "batches", "quiet", "batches", "hostile", "batches", "quiet", "hostile",
            "hostile", "hostile",
        ];
        assert_eq!(order(&turns, waiting), expected);
    }

    #[test]
    fn who_gives_up_waiting_holds_nobody_up() {
        let turns = Arc::new(WriterTurns::default());
        let mut first: Waiting = Box::pin(turns.for_batches());
        let first = poll(&mut first).unwrap();
        let given_up: Vec<Waiting> =
            (0..3).map(|_| Box::pin(turns.for_closure(HOSTILE)) as Waiting).collect();
        let told_and_given_up: Waiting = Box::pin(turns.for_closure(QUIET));
        let mut last: Waiting = Box::pin(turns.for_closure(QUIET));
        drop(given_up);
        drop(first);
        assert!(poll(&mut last).is_none());
        drop(told_and_given_up);
        assert!(poll(&mut last).is_some());
    }
}
