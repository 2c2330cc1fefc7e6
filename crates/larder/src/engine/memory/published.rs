//! What is committed, as readers find it.

use super::draft::{Done, Few, Logging};
use super::index::{Hashes, Index};
use super::log::{Change, Log};
use super::pruning::Pruning;
use super::state::State;
use crate::data::{Error, Result, Revision, report};
use crate::rules::{Division, LogLimits, Occasion};

/// What is committed: always as one commit has left it.
pub(super) struct Published {
    pub state: State,
    pub index: Index,
    pub log: Log,
    pub is_closed: bool,
}

/// What a commit has left behind: it is dropped when no lock is held, because it may be large.
#[derive(Default)]
pub(super) struct Remains {
    lost: Vec<Change>,
    _state: Option<State>,
    _index: Option<Index>,
}

/// How the log is judged when a commit is published.
#[derive(Clone, Copy)]
pub(super) struct Judging {
    pub limits: LogLimits,
    /// By what time ages are judged, in Unix milliseconds; `None` if nothing counts as too old now.
    pub now_ms: Option<i64>,
}

impl Published {
    pub fn new() -> Self {
        let state = State::new();
        let log = Log::new(&state.histories);
        Self { state, index: Index::default(), log, is_closed: false }
    }

    pub fn check_open(&self) -> Result<()> {
        if self.is_closed { Err(Error::Closed) } else { Ok(()) }
    }

    /// Makes the state of a draft the committed one.
    pub fn replace(&mut self, state: State) -> Remains {
        Remains { _state: Some(std::mem::replace(&mut self.state, state)), ..Remains::default() }
    }

    /// Completes a commit whose state is in place: counts its revision, and brings index and log up to it.
    pub fn complete(&mut self, done: Done, hashes: &Hashes, by: Judging, remains: &mut Remains) {
        let Done { indexed, logging, steps, frees_log, released, .. } = done;
        if steps > 0 {
            self.state.revision = self.state.revision.next();
        }
        indexed.into_iter().for_each(|change| self.index.change(change, hashes));
        self.write_log(logging, remains);
        released.into_iter().for_each(|from| self.log.release(from));
        if steps == 0 && !frees_log {
            return;
        }
        let occasion = if frees_log { Occasion::Every } else { Occasion::Commit };
        let (latest, cursors) = (self.state.revision, &self.state.cursors);
        let pruning = Pruning { limits: by.limits, cursors, latest, now_ms: by.now_ms };
        let mut pruned = self.log.prune(pruning, occasion);
        remains.lost.append(&mut pruned.lost);
        if let Some(division) = pruned.division {
            self.divide(&division);
        }
    }

    fn write_log(&mut self, logging: Few<Logging>, remains: &mut Remains) {
        let mut step = 0;
        for change in logging {
            match change {
                Logging::Append(event) => {
                    let index = self.log.of(&event.group);
                    self.log.parts[index].append(step, &event);
                    step += 1;
                }
                Logging::SetHistory(prefix, history) => {
                    remains.lost.append(&mut self.log.set_history(&prefix, history));
                }
            }
        }
    }

    /// Gives a namespace that fills a shared history one of its own.
    fn divide(&mut self, division: &Division) {
        let Division { prefix, bounds } = division;
        match self.state.set_history(prefix, Some(*bounds)) {
            Ok(_) => drop(self.log.set_history(prefix, Some(*bounds))),
            Err(error) => {
                // Until the next look the history is pruned as a whole: it must not grow for ever.
                let index = self.log.of(prefix);
                let part = &mut self.log.parts[index];
                part.looked_at = (part.last.number, part.last.bytes);
                let error: &dyn std::error::Error = &error;
                report(|| tracing::warn!(prefix, error, "a history could not be divided"));
            }
        }
    }

    /// Lets go of everything.
    pub fn close(&mut self) -> Remains {
        self.is_closed = true;
        let closed = std::mem::replace(self, Self { is_closed: true, ..Self::new() });
        let lost = closed.log.parts.into_iter().flat_map(|part| part.changes).collect();
        Remains { lost, _state: Some(closed.state), _index: Some(closed.index) }
    }

    /// The latest commit.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }
}
