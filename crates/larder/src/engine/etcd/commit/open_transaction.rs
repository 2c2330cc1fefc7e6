//! A transaction in progress: a draft on a snapshot, which the transaction's closure reads and writes through.

use std::sync::Mutex;

use crate::data::{Entries, Error, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage, clock, locked};
use crate::engine::etcd::client::{Asked, CallError, ReadAt, block_on};
use crate::engine::etcd::draft::{Basis, Draft, OwnedScan, Step, StepError};
use crate::engine::etcd::reading::{ClusterReader, PAGE_BYTES_MAX};
use crate::engine::{Answer, Extent, Mutation, Outcome, Read, Requirement, Scan, Transact};

/// What a transaction's closure reads and writes through.
pub struct OpenTransaction {
    reader: ClusterReader,
    /// The history of the cluster that it reads.
    history: Asked,
    /// Held during each step, which may wait for the cluster: the steps of a transaction follow one another.
    state: Mutex<State>,
}

struct State {
    /// `None` once the closure has returned.
    draft: Option<Draft>,
    /// The error after which no further step is possible.
    failed: Option<Error>,
}

impl OpenTransaction {
    /// Begins a transaction. Its first read takes the snapshot.
    pub fn new(reader: ClusterReader) -> Result<Self> {
        let draft = Draft::on_snapshot(reader.context.clone(), clock::try_now_ms(&*reader.clock)?);
        let history = reader.cluster.timeline.ask();
        Ok(Self { reader, history, state: Mutex::new(State { draft: Some(draft), failed: None }) })
    }

    /// Ends the transaction. Returns its draft, or the error after which no step was possible.
    pub fn finish(&self) -> Result<Draft> {
        let mut state = locked(&self.state);
        let draft = state.draft.take();
        match state.failed.take() {
            Some(error) => Err(error),
            None => draft.ok_or(Error::TransactionOver),
        }
    }

    /// Makes a step, and fetches the facts that it lacks.
    fn step<T>(&self, mut make: impl FnMut(&mut Draft) -> Step<T>) -> Result<T> {
        let State { draft, failed } = &mut *locked(&self.state);
        if let Some(error) = failed {
            return Err(error.clone());
        }
        let draft = draft.as_mut().ok_or(Error::TransactionOver)?;
        draft.set_now_ms(clock::try_now_ms(&*self.reader.clock)?);
        loop {
            let savepoint = draft.savepoint();
            match make(draft) {
                Ok(made) => return Ok(made),
                Err(StepError::Missing(missing)) => {
                    draft.roll_back(savepoint);
                    let fetching = draft.fetch_snapshot(&self.reader.cluster, missing);
                    let fetched = block_on(&self.reader.handle, fetching);
                    let revision =
                        if let Basis::Snapshot(Some(revision)) = draft.basis { revision } else { 0 };
                    // What was read before a restore and what is read after it are of no one moment.
                    let is_over = self.reader.cluster.timeline.is_over(self.history);
                    let error = if is_over { Some(CallError::Compacted) } else { fetched.err() };
                    if let Some(error) = error {
                        let reader = ClusterReader { at: ReadAt::Revision(revision), ..self.reader.clone() };
                        let error = reader.error(error);
                        *failed = Some(error.clone());
                        return Err(error);
                    }
                    // The transaction shows its own writes with a revision after all that it reads.
                    draft.own_revision = Some(Revision(revision.cast_unsigned()).next());
                }
                Err(error) => {
                    draft.roll_back_writes(savepoint);
                    return Err(error.into_error(&self.reader.cluster));
                }
            }
        }
    }
}

impl Transact for OpenTransaction {
    fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        self.step(|draft| {
            draft.require_known(draft.facts_for(&mutation))?;
            draft.apply(&mutation)
        })
    }

    fn require(&self, requirement: &Requirement) -> Result<()> {
        self.step(|draft| draft.require(requirement))
    }
}

impl Read for OpenTransaction {
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.step(|draft| {
            // A transaction often writes the entry that it has read, so this also fetches what the write needs.
            draft.require_known(draft.entry_facts(group, key))?;
            let own = draft.own_revision.unwrap_or_default();
            Ok(draft.live_entry(group, key)?.map(|entry| entry.found(group, key, own)))
        })
    }

    fn page_bytes_max(&self) -> usize {
        PAGE_BYTES_MAX
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.step(|draft| draft.scan(&OwnedScan::from(scan))).into()
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.step(|draft| draft.usage(extent)).into()
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.step(|draft| draft.live_groups(prefix)).into()
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.step(|draft| draft.namespaces(only)).into()
    }

    fn revision(&self) -> Answer<Revision> {
        self.step(Draft::latest_revision).into()
    }
}
