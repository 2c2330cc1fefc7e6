//! A transaction in progress: a draft of one moment, which its closure reads and writes through.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::draft::{Draft, Hitch, Step};
use super::fetch::Moment;
use super::io::wait;
use super::knowledge::Wanted;
use super::layout::{Span, StoredEntry, next_key};
use super::reading::{Page, Reading};
use crate::data::{
    Entries, EntriesBuilder, Error, Facts, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage, clock,
};
use crate::engine::{Answer, Extent, Mutation, Outcome, Read, Requirement, Scan, Transact};

/// How many entries of a group are read at once.
const PAGE_ENTRIES: usize = 256;

/// Lets a closure read and write.
pub(super) struct OpenTransaction {
    reading: Reading,
    inner: Mutex<Inner>,
}

struct Inner {
    /// `None` once the closure has returned.
    draft: Option<Draft>,
    /// What has failed so that nothing more is possible.
    failed: Option<Error>,
}

impl OpenTransaction {
    /// A transaction that sees the state of the moment at which it first asks for something.
    pub fn new(reading: Reading) -> Self {
        let draft = Draft::of_one_moment(reading.layout.clone());
        Self { reading, inner: Mutex::new(Inner { draft: Some(draft), failed: None }) }
    }

    /// What the transaction has become; or what has failed.
    pub fn finish(&self) -> Result<Draft> {
        let mut inner = self.lock();
        let draft = inner.draft.take();
        match inner.failed.take() {
            Some(error) => Err(error),
            None => draft.ok_or(Error::TransactionOver),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a step, asking the cluster for what it needs until it has it.
    fn step<T>(&self, mut make: impl FnMut(&mut Draft) -> Step<T>) -> Result<T> {
        let Inner { draft, failed } = &mut *self.lock();
        if let Some(error) = failed {
            return Err(error.clone());
        }
        let draft = draft.as_mut().ok_or(Error::TransactionOver)?;
        draft.now_ms = clock::now_ms(&*self.reading.clock);
        loop {
            let mark = draft.mark();
            match make(draft) {
                Ok(made) => return Ok(made),
                Err(Hitch::Needs(wanted)) => {
                    draft.forget(mark);
                    let asking = draft.ask(&self.reading.cluster, wanted);
                    if let Err(trouble) = wait(&self.reading.handle, asking) {
                        let moment = Moment::At(draft.moment.unwrap_or_default());
                        let error = Reading { moment, ..self.reading.clone() }.error(trouble);
                        *failed = Some(error.clone());
                        return Err(error);
                    }
                    // Its own writes are shown with a revision that is not before any other's.
                    let revision = draft.moment.unwrap_or_default();
                    draft.own_revision = Some(Revision(revision.cast_unsigned()).next());
                }
                Err(hitch) => {
                    draft.take_back(mark);
                    return Err(self.reading.cluster.hitch(hitch));
                }
            }
        }
    }
}

impl Transact for OpenTransaction {
    fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        self.step(|draft| {
            let foreseen = draft.foreseen(&mutation);
            draft.wants(foreseen)?;
            draft.apply(&mutation)
        })
    }

    fn require(&self, requirement: &Requirement) -> Result<()> {
        self.step(|draft| draft.require(requirement))
    }
}

impl Read for OpenTransaction {
    fn get(&self, group: &str, key: &str) -> Answer<Option<Found>> {
        let found = self.step(|draft| {
            // Who reads an entry often writes it, too.
            draft.wants(draft.around(group, key))?;
            let own = draft.own_revision.unwrap_or_default();
            Ok(draft.live(group, key)?.map(|row| row.found(group, key, own)))
        });
        found.into()
    }

    #[cfg(feature = "tokio")]
    fn get_unblocked(&self, _group: &str, _key: &str) -> Option<Answer<Option<Found>>> {
        None
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.step(|draft| draft.scan(&Page::from(scan))).into()
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
        self.step(Draft::latest).into()
    }
}

impl Draft {
    /// A page of a group, with what the draft itself has written.
    fn scan(&mut self, page: &Page) -> Step<Entries> {
        let entries = self.layout.entries(&page.group);
        // What is gone from a span is not seen by comparing what is in it; but the tally has moved.
        self.wants([Wanted::Key(self.layout.group(&page.group))])?;
        self.group_tally(&page.group)?;
        let start = match &page.after {
            Some(after) => next_key(&self.layout.entry(&page.group, after)),
            None => entries.start.clone(),
        };
        let mut rest = Span { start, end: entries.end.clone() };
        let own = self.own_revision.unwrap_or_default();
        let mut found = EntriesBuilder::default();
        let mut skip = page.offset;
        while found.len() < page.limit {
            let (rows, seen_to) = self.entry_rows(&rest, PAGE_ENTRIES)?;
            for (path, revision, value) in rows {
                let StoredEntry { value, expires_at_ms } = super::draft::decoded(value)?;
                if expires_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let Some(key) = self.layout.key_in(&entries, &path) else {
                    return Err(Hitch::Damaged("a key is not UTF-8".into()));
                };
                let facts = Facts { revision: revision.unwrap_or(own), expires_at_ms };
                page.push(key, &value, facts, &mut found);
                if found.len() >= page.limit || found.bytes() >= page.bytes_max {
                    return Ok(found.finish());
                }
            }
            match seen_to {
                Some(seen_to) => rest.start = seen_to,
                None => break,
            }
        }
        Ok(found.finish())
    }
}
