//! The queue of commits, and who leads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Thread;

use super::ticket::{Caller, Ticket};
use crate::data::locked;
use crate::engine::{Turn, Turns};

#[derive(Default)]
pub(super) struct Queue {
    /// The ticket of a caller that is alone is taken from here.
    arrived: VecDeque<Arc<Ticket>>,
    /// Those that arrived before.
    waiting: Turns<Arc<Ticket>>,
    /// Only under the lock of the queue is the lead taken and given up.
    pub lead: Lead,
    /// The thread that leads for callers that only poll. It starts with the first of them.
    pub standby: Option<Thread>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lead {
    #[default]
    Nobody,
    /// A caller leads, or was told to.
    Taken,
    /// The standby was told to lead, and has not begun.
    Called,
}

/// Who leads next.
pub(super) enum Next<'a> {
    /// The caller of this ticket, which waits.
    Caller(&'a Arc<Ticket>),
    /// The standby, since the next caller only polls.
    Standby,
    /// Nobody is there. The next caller leads.
    Nobody,
}

impl Queue {
    /// Takes the lead, if nobody has it.
    pub fn try_lead(&mut self) -> bool {
        let is_free = self.lead == Lead::Nobody;
        if is_free {
            self.lead = Lead::Taken;
        }
        is_free
    }

    pub fn push(&mut self, ticket: Arc<Ticket>) {
        self.arrived.push_back(ticket);
    }

    /// Takes out the next ticket that `decide` lets go. It is told whether other parties wait as well.
    pub fn take(&mut self, mut decide: impl FnMut(&Arc<Ticket>, bool) -> Turn) -> Option<Arc<Ticket>> {
        loop {
            let is_alone = self.waiting.is_empty() && self.arrived.len() == 1;
            let ticket = if let Some(only) = self.arrived.front().filter(|_| is_alone) {
                let is_over = only.is_taken();
                if !is_over && decide(only, false) != Turn::Take {
                    return None;
                }
                self.arrived.pop_front()
            } else {
                self.sort();
                self.waiting.take(
                    |ticket, others| {
                        if ticket.is_taken() { Turn::Take } else { decide(ticket, others) }
                    },
                )
            }?;
            // Its caller may have given up.
            if !ticket.is_taken() {
                return Some(ticket);
            }
        }
    }

    /// Who leads next: the caller whose turn it is, unless it is absent. Any caller can lead batches; only its own thread can
    /// lead a closure.
    pub fn next(&mut self) -> Next<'_> {
        self.sort();
        let mut waiting = self.waiting.iter().filter(|ticket| !ticket.is_taken());
        let mut first = waiting.next();
        if let Some(ticket) = first
            && ticket.is_closure()
        {
            return Next::Caller(ticket);
        }
        while let Some(ticket) = first {
            match locked(&ticket.slot).caller {
                Caller::Waits(_) => return Next::Caller(ticket),
                Caller::Polls(_) => return Next::Standby,
                Caller::Absent => first = waiting.next(),
            }
        }
        Next::Nobody
    }

    /// Gives each ticket that has arrived its place among the turns.
    fn sort(&mut self) {
        for ticket in self.arrived.drain(..) {
            self.waiting.push(ticket.share.party, ticket);
        }
    }
}
