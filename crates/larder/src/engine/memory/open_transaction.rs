//! A transaction in progress, as its closure sees it.

use std::sync::{Arc, Mutex};

use super::draft::Draft;
use crate::data::{
    Clock, Entries, Error, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage, clock, locked,
};
use crate::engine::{Answer, Extent, Mutation, Outcome, Process, Read, Requirement, Scan, Transact};

/// Lets a closure read and write a draft. Others read what is committed meanwhile.
pub(super) struct OpenTransaction {
    /// One thread runs the closure, but it may share the transaction with threads of its own. `None` once the closure
    /// has returned.
    draft: Mutex<Option<Draft>>,
    clock: Arc<dyn Clock>,
    process: Process,
}

impl OpenTransaction {
    pub fn new(draft: Draft, clock: Arc<dyn Clock>, process: Process) -> Self {
        Self { draft: Mutex::new(Some(draft)), clock, process }
    }

    /// Takes the draft back.
    pub fn finish(&self) -> Option<Draft> {
        locked(&self.draft).take()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Draft) -> Result<T>) -> Result<T> {
        // Before the lock: the closure may have forked while another of its threads held it.
        if !self.process.is_current() {
            return Err(Error::ForkedProcess);
        }
        let mut draft = locked(&self.draft);
        let draft = draft.as_mut().ok_or(Error::TransactionOver)?;
        draft.now_ms = clock::try_now_ms(&*self.clock)?;
        act(draft)
    }
}

impl Read for OpenTransaction {
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.with(|draft| Ok(draft.reading().get(group, key)))
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.with(|draft| Ok(draft.reading().scan(scan))).into()
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.with(|draft| Ok(draft.reading().usage(extent))).into()
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.with(|draft| Ok(draft.reading().groups(prefix))).into()
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.with(|draft| Ok(draft.reading().namespaces(only))).into()
    }

    fn revision(&self) -> Answer<Revision> {
        self.with(|draft| Ok(draft.reading().revision())).into()
    }
}

impl Transact for OpenTransaction {
    fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        self.with(|draft| draft.apply(mutation))
    }

    fn require(&self, requirement: &Requirement) -> Result<()> {
        self.with(|draft| draft.require(requirement))
    }
}
