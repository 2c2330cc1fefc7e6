//! A write from its start to its end. Every commit of every handle passes through here.

use std::sync::Arc;

use super::nesting::Nesting;
use super::request::Request;
use super::scope::Scope;
use super::shared::Shared;
use crate::data::{Result, Revision};
use crate::engine::{Answer, Body, Commit, Committed, Engine, Mutation, Outcome, Party, Reply};

/// A commit that the engine has accepted. Once it is made, the callbacks run for what it changed.
///
/// A blocking handle [waits](Self::wait) for it; an async one awaits it. A copy starts several and waits for
/// them in order.
pub(crate) struct InFlight<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) answer: Answer<Committed>,
    /// How many callbacks deep the caller is.
    pub(super) depth: usize,
}

impl InFlight<'_> {
    /// Blocks until the commit is made, and runs the callbacks on this thread.
    pub fn wait(self) -> Result<Committed> {
        let committed = self.answer.wait()?;
        self.shared.registry.call_back(&committed.events, self.depth);
        Ok(committed)
    }
}

impl Shared {
    /// Starts a commit.
    pub fn start(self: &Arc<Self>, commit: Commit) -> Result<InFlight<'_>> {
        self.limits().check(&commit)?;
        self.start_with(|engine| engine.commit(commit))
    }

    fn start_with(
        self: &Arc<Self>,
        begin: impl FnOnce(&dyn Engine) -> Answer<Committed>,
    ) -> Result<InFlight<'_>> {
        // Checked first: callbacks that write without end must not write once more.
        let depth = self.registry.callback_depth()?;
        let answer = begin(self.engine()?);
        Ok(InFlight { shared: self, answer, depth })
    }

    /// Makes a commit.
    pub fn commit(self: &Arc<Self>, commit: Commit) -> Result<Committed> {
        self.start(commit)?.wait()
    }

    /// Commits one mutation, and returns what it did.
    pub fn apply(self: &Arc<Self>, mutation: Mutation) -> Result<Outcome> {
        let commit = Commit { reply: Reply::Outcomes, ..mutation.into() };
        Ok(self.commit(commit)?.outcome())
    }

    /// Makes the write of a handle with this scope.
    pub fn write<T>(self: &Arc<Self>, scope: &Scope, request: Request<T>) -> Result<T> {
        let committed = self.commit(request.commit).map_err(|error| scope.error(error))?;
        Ok((request.answer)(&committed))
    }

    /// Runs a transaction of a handle with this scope.
    pub fn transact(self: &Arc<Self>, scope: &Scope, body: &mut Body<'_>) -> Result<Revision> {
        let in_flight = self.start_with(|engine| {
            let committed = engine.transact(Party::of_handle(scope.prefix()), &mut |transaction| {
                let _nesting = Nesting::enter(self.address());
                body(transaction)?;
                // A closure may return in a process that it has forked.
                self.check_process()
            });
            committed.into()
        })?;
        Ok(in_flight.wait()?.revision)
    }
}
