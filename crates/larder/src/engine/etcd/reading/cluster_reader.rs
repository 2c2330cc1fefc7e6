//! Reads from the cluster: the latest state, or that of a snapshot.

use std::sync::Arc;

use prost::Message;
use tokio::runtime::Handle;

use super::shared_gets::SharedGets;
use crate::data::{
    Clock, Entries, Error, Facts, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage, clock,
};
use crate::engine::etcd::client::{Asked, CallError, Cluster, ReadAt, spawn_answer};
use crate::engine::etcd::draft::{
    Draft, DraftContext, Knowledge, OwnedScan, ScanPage, Step, StepError, fetch,
};
use crate::engine::etcd::layout::{Layout, StoredEntry, next_key, unreadable};
use crate::engine::{Answer, Extent, Read, Scan};

/// How many entries one answer of a scan has at most, and about how many bytes.
const PAGE_ENTRIES_MAX: usize = 10_000;
const PAGE_BYTES: usize = 2 << 20;

/// How many entries the first answer has. It shows how large they are.
const FIRST_PAGE_ENTRIES: usize = 64;

/// Reads a store.
#[derive(Clone)]
pub struct ClusterReader {
    /// Reads of single keys in their latest state.
    pub gets: Arc<SharedGets>,
    pub cluster: Arc<Cluster>,
    pub context: Arc<DraftContext>,
    pub clock: Arc<dyn Clock>,
    /// The engine's runtime.
    pub handle: Handle,
    /// `Linearizable`, or the revision of a snapshot.
    pub at: ReadAt,
    /// How many restores of the cluster were noticed before the snapshot was taken.
    pub restores: u64,
}

impl ClusterReader {
    fn layout(&self) -> &Layout {
        &self.context.layout
    }

    /// Converts the error of a read.
    pub fn error(&self, error: CallError) -> Error {
        match (error, self.at) {
            (CallError::Compacted, ReadAt::Revision(revision)) => {
                Error::SnapshotLost { revision: Revision(revision.cast_unsigned()) }
            }
            (error, _) => self.cluster.error(error),
        }
    }

    /// Returns a reader of the store as it is now.
    pub async fn snapshot(self) -> Result<Self> {
        loop {
            let restores = self.cluster.timeline.restores();
            let asked = self.cluster.timeline.ask();
            let log = self.cluster.read_key(&self.layout().log(), ReadAt::Linearizable).await;
            let (log, revision) = log.map_err(|error| self.error(error))?;
            if let Some(record) = &log.value {
                self.cluster.note_commit(asked, log.revision, record);
            }
            // The revision may be of the time before a restore that was noticed meanwhile.
            if self.cluster.timeline.restores() == restores {
                return Ok(Self { at: ReadAt::Revision(revision), restores, ..self });
            }
        }
    }

    /// Fails if this is a snapshot and the cluster was restored since: its revision is not reached yet, or means
    /// another state.
    async fn of_its_time<T>(&self, read: Result<T>) -> Result<T> {
        if self.at == ReadAt::Linearizable {
            return read;
        }
        if matches!(read, Err(Error::Unreachable { .. })) {
            // A member that does not know the revision refuses the read without saying which it knows.
            let _ = self.cluster.read_key(&self.layout().log(), ReadAt::Linearizable).await;
        }
        if self.cluster.timeline.restores() == self.restores {
            return read;
        }
        let log = self.cluster.read_key(&self.layout().log(), ReadAt::Linearizable).await;
        let (log, _) = log.map_err(|error| self.cluster.error(error))?;
        Err(Error::ClusterRestored { latest: Revision(log.revision.cast_unsigned()) })
    }

    /// Whether a read of the latest state has to begin again, since the cluster was restored while it was made. It may
    /// consist of answers from before and after.
    fn begins_again(&self, asked: Asked) -> bool {
        self.at == ReadAt::Linearizable && self.cluster.timeline.is_over(asked)
    }

    /// Returns what a step finds that writes nothing, and fetches the facts that it needs.
    pub async fn find<T>(&self, mut find: impl FnMut(&mut Draft) -> Step<T>) -> Result<T> {
        loop {
            let asked = self.cluster.timeline.ask();
            let found = self.find_now(&mut find).await;
            if !self.begins_again(asked) {
                return self.of_its_time(found).await;
            }
        }
    }

    async fn find_now<T>(&self, find: &mut impl FnMut(&mut Draft) -> Step<T>) -> Result<T> {
        let now_ms = clock::now_ms(&*self.clock);
        let mut draft = Draft::new(Arc::clone(&self.context), Knowledge::default(), now_ms);
        let mut at = self.at;
        loop {
            match find(&mut draft) {
                Ok(found) => return Ok(found),
                Err(StepError::Missing(missing)) => {
                    match fetch(&self.cluster, &missing, at, &mut draft.knowledge).await {
                        // All facts are of the revision of the first ones.
                        Ok(revision) => at = ReadAt::Revision(revision),
                        // The revision was compacted, so the read begins again at a later one.
                        Err(CallError::Compacted) if self.at == ReadAt::Linearizable => {
                            at = ReadAt::Linearizable;
                            draft.knowledge = Knowledge::default();
                        }
                        Err(error) => return Err(self.error(error)),
                    }
                }
                Err(error) => return Err(error.into_error(&self.cluster)),
            }
        }
    }

    fn answer_found<T: Send + 'static>(
        &self,
        mut find: impl FnMut(&mut Draft) -> Step<T> + Send + 'static,
    ) -> Answer<T> {
        let reader = self.clone();
        spawn_answer(&self.handle, async move { reader.find(&mut find).await })
    }

    /// Returns what is stored under a key, expired or not, and the revision of the cluster that was read.
    pub async fn entry(&self, group: &str, name: &str) -> Result<(Option<Found>, Revision)> {
        let path = self.layout().entry(group, name);
        let (state, revision) = match self.at {
            ReadAt::Linearizable => self.gets.get(path.clone()).await?,
            at => {
                let read = self.cluster.read_key(&path, at).await.map_err(|error| self.error(error));
                self.of_its_time(read).await?
            }
        };
        let revision = Revision(revision.cast_unsigned());
        let Some(value) = state.value else { return Ok((None, revision)) };
        let decoded = StoredEntry::decode(value);
        let decoded = decoded.map_err(|error| self.cluster.damaged(unreadable(&path, &error)));
        let StoredEntry { value, expires_at_ms } = decoded?;
        let facts = Facts { revision: Revision(state.revision.cast_unsigned()), expires_at_ms };
        Ok((Some(Found::new(group, name, &value, facts)), revision))
    }

    /// Returns the latest commit.
    pub async fn latest_revision(&self) -> Result<Revision> {
        let asked = self.cluster.timeline.ask();
        let log = self.cluster.read_key(&self.layout().log(), self.at).await;
        let (log, _) = self.of_its_time(log.map_err(|error| self.error(error))).await?;
        if let (ReadAt::Linearizable, Some(record)) = (self.at, &log.value) {
            self.cluster.note_commit(asked, log.revision, record);
        }
        Ok(Revision(log.revision.cast_unsigned()))
    }

    async fn scan_all(&self, scan: OwnedScan) -> Result<Entries> {
        loop {
            let asked = self.cluster.timeline.ask();
            let scanned = self.scan_now(&scan).await;
            if !self.begins_again(asked) {
                return self.of_its_time(scanned).await;
            }
        }
    }

    async fn scan_now(&self, scan: &OwnedScan) -> Result<Entries> {
        let mut page = ScanPage::new(scan, &self.context);
        let mut span = page.span();
        let mut at = self.at;
        let mut entries_max = FIRST_PAGE_ENTRIES;
        while page.left() > 0 && span.start < span.end {
            // Also a scan of keys alone reads values, since a value says when its entry expires.
            let limit = entries_max.min(page.left_to_read());
            let read = match self.cluster.read_span(&span, limit, at).await {
                Ok(read) => read,
                // The revision was compacted, so the scan begins again at a later one.
                Err(CallError::Compacted) if self.at == ReadAt::Linearizable => {
                    page = ScanPage::new(scan, &self.context);
                    span = page.span();
                    (at, entries_max) = (self.at, FIRST_PAGE_ENTRIES);
                    continue;
                }
                Err(error) => return Err(self.error(error)),
            };
            if at == ReadAt::Linearizable {
                at = ReadAt::Revision(read.revision);
            }
            let bytes: usize = read.pairs.iter().map(|pair| pair.key().len() + pair.value().len()).sum();
            let entry_bytes = (bytes / read.pairs.len().max(1)).max(1);
            entries_max = (PAGE_BYTES / entry_bytes).clamp(1, PAGE_ENTRIES_MAX);
            if let Some(last) = read.pairs.last() {
                span.start = next_key(last.key());
            }
            let now_ms = clock::now_ms(&*self.clock);
            for pair in &read.pairs {
                let revision = Revision(pair.mod_revision().cast_unsigned());
                page.push(pair.key(), pair.value(), revision, now_ms);
                if page.is_full() {
                    return Ok(page.finish());
                }
            }
            if !read.more {
                break;
            }
        }
        Ok(page.finish())
    }
}

impl ClusterReader {
    /// The live entry of a key.
    fn live_entry(&self, group: &str, key: &str) -> Answer<Option<Found>> {
        let (reader, group, key) = (self.clone(), group.to_owned(), key.to_owned());
        spawn_answer(&self.handle, async move {
            let (found, _) = reader.entry(&group, &key).await?;
            Ok(found.filter(|found| found.is_live(&*reader.clock)))
        })
    }
}

/// How many bytes a page of a stream has at most. The cluster looks through the whole rest of a group for each page, so a
/// large group is read in few.
pub(in crate::engine::etcd) const PAGE_BYTES_MAX: usize = 1 << 20;

impl Read for ClusterReader {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        Some(self.live_entry(group, key))
    }

    /// Never needed: `try_get` always answers.
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.live_entry(group, key).wait()
    }

    fn page_bytes_max(&self) -> usize {
        PAGE_BYTES_MAX
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        let (reader, scan) = (self.clone(), OwnedScan::from(scan));
        spawn_answer(&self.handle, async move { reader.scan_all(scan).await })
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        match extent {
            Extent::Group(group) => {
                let group = group.to_owned();
                self.answer_found(move |draft| draft.usage(Extent::Group(&group)))
            }
            Extent::Prefix(prefix) => {
                let prefix = prefix.to_owned();
                self.answer_found(move |draft| draft.usage(Extent::Prefix(&prefix)))
            }
        }
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        let prefix = prefix.to_owned();
        self.answer_found(move |draft| draft.live_groups(&prefix))
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        let only = only.map(str::to_owned);
        self.answer_found(move |draft| draft.namespaces(only.as_deref()))
    }

    fn revision(&self) -> Answer<Revision> {
        let reader = self.clone();
        spawn_answer(&self.handle, async move { reader.latest_revision().await })
    }
}
