//! What is read, of the latest moment or of that of a revision.

use std::sync::Arc;

use etcd_client::KeyValue;
use prost::Message;
use tokio::runtime::Handle;

use super::cluster::{Cluster, Trouble};
use super::draft::{Draft, Hitch, Step};
use super::fetch::{Moment, fetch, key, pairs};
use super::gets::Gets;
use super::io::answer;
use super::knowledge::Knowledge;
use super::layout::{Layout, Span, StoredEntry, next_key};
use crate::data::{
    Clock, Entries, EntriesBuilder, Error, Facts, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage,
    clock,
};
use crate::engine::{Answer, Columns, Extent, Read, Scan};

/// How many entries come in one answer, and about how many bytes of them.
const PAGE_ENTRIES: usize = 10_000;
const PAGE_BYTES: usize = 2 << 20;

/// How many the first answer has: then it is known how large they are.
const FIRST_ENTRIES: usize = 64;

/// Reads a store.
#[derive(Clone)]
pub(super) struct Reading {
    /// Single reads of the latest moment.
    pub gets: Arc<Gets>,
    pub cluster: Arc<Cluster>,
    pub layout: Layout,
    pub clock: Arc<dyn Clock>,
    pub handle: Handle,
    pub moment: Moment,
}

impl Reading {
    /// The error that a read fails with.
    pub fn error(&self, trouble: Trouble) -> Error {
        match (trouble, self.moment) {
            (Trouble::Compacted, Moment::At(revision)) => {
                Error::SnapshotLost { revision: Revision(revision.cast_unsigned()) }
            }
            (trouble, _) => self.cluster.error(trouble),
        }
    }

    /// Reads what a draft that writes nothing finds, asking for what it needs until it has it.
    pub async fn find<T>(&self, mut find: impl FnMut(&mut Draft) -> Step<T>) -> Result<T> {
        let mut draft = Draft::new(self.layout.clone(), Knowledge::default());
        draft.now_ms = clock::now_ms(&*self.clock);
        let mut moment = self.moment;
        loop {
            match find(&mut draft) {
                Ok(found) => return Ok(found),
                Err(Hitch::Needs(wanted)) => {
                    let fetched = fetch(&self.cluster, &wanted, moment, &mut draft.knowledge).await;
                    match fetched {
                        // What is found to be needed besides is of the same moment.
                        Ok(revision) => moment = Moment::At(revision),
                        // Somebody has compacted the cluster in between: it begins anew.
                        Err(Trouble::Compacted) if self.moment == Moment::Now => {
                            moment = Moment::Now;
                            draft.knowledge = Knowledge::default();
                        }
                        Err(trouble) => return Err(self.error(trouble)),
                    }
                }
                Err(hitch) => return Err(self.cluster.hitch(hitch)),
            }
        }
    }

    /// One entry, if it is live.
    fn live_entry(&self, group: &str, key: &str) -> Answer<Option<Found>> {
        let (reading, group, key) = (self.clone(), group.to_owned(), key.to_owned());
        answer(&self.handle, async move {
            let (found, _) = reading.entry(&group, &key).await?;
            Ok(found.filter(|found| found.is_live(&*reading.clock)))
        })
    }

    fn answer_found<T: Send + 'static>(
        &self,
        mut find: impl FnMut(&mut Draft) -> Step<T> + Send + 'static,
    ) -> Answer<T> {
        let reading = self.clone();
        answer(&self.handle, async move { reading.find(&mut find).await })
    }

    /// What is stored under a key, expired or not, and the revision of the cluster at which it was.
    pub async fn entry(&self, group: &str, name: &str) -> Result<(Option<Found>, Revision)> {
        let path = self.layout.entry(group, name);
        let (kept, revision) = match self.moment {
            Moment::Now => self.gets.get(path).await?,
            moment => key(&self.cluster, &path, moment).await.map_err(|trouble| self.error(trouble))?,
        };
        let revision = Revision(revision.cast_unsigned());
        let Some(value) = kept.value else { return Ok((None, revision)) };
        let StoredEntry { value, expires_at_ms } = self.decode(value)?;
        let facts = Facts { revision: Revision(kept.revision.cast_unsigned()), expires_at_ms };
        Ok((Some(Found::new(group, name, &value, facts)), revision))
    }

    /// The latest commit.
    pub async fn latest(&self) -> Result<Revision> {
        let log = key(&self.cluster, &self.layout.log(), self.moment).await;
        let (log, _) = log.map_err(|trouble| self.error(trouble))?;
        Ok(Revision(log.revision.cast_unsigned()))
    }

    fn decode<M: Message + Default>(&self, bytes: impl bytes::Buf) -> Result<M> {
        M::decode(bytes).map_err(|error| self.cluster.damaged(error.to_string()))
    }

    async fn scan_all(&self, request: Page) -> Result<Entries> {
        let entries = self.layout.entries(&request.group);
        let start = request.after.as_ref().map_or_else(
            || entries.start.clone(),
            |after| next_key(&self.layout.entry(&request.group, after)),
        );
        let mut rest = Span { start: start.clone(), end: entries.end.clone() };
        let mut found = EntriesBuilder::default();
        let mut skip = request.offset;
        let mut moment = self.moment;
        let mut most = FIRST_ENTRIES;
        while found.len() < request.limit && rest.start < rest.end {
            let left =
                (request.limit - found.len()).saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
            // A value says when it expires, too, so it has to be read even where only keys are wanted.
            let page = match pairs(&self.cluster, &rest, most.min(left), moment, false).await {
                Ok(page) => page,
                // Somebody has compacted the cluster in between: it begins anew.
                Err(Trouble::Compacted) if self.moment == Moment::Now => {
                    rest.start = start.clone();
                    (found, skip) = (EntriesBuilder::default(), request.offset);
                    (moment, most) = (self.moment, FIRST_ENTRIES);
                    continue;
                }
                Err(trouble) => return Err(self.error(trouble)),
            };
            if moment == Moment::Now {
                moment = Moment::At(page.revision);
            }
            let bytes: usize = page.pairs.iter().map(|pair| pair.key().len() + pair.value().len()).sum();
            most = (PAGE_BYTES / (bytes / page.pairs.len().max(1)).max(1)).clamp(1, PAGE_ENTRIES);
            if let Some(last) = page.pairs.last() {
                rest.start = next_key(last.key());
            }
            let now_ms = clock::now_ms(&*self.clock);
            for pair in &page.pairs {
                self.take(pair, &entries, &request, now_ms, &mut skip, &mut found)?;
                if found.len() == request.limit || found.bytes() >= request.bytes_max {
                    return Ok(found.finish());
                }
            }
            if !page.more {
                break;
            }
        }
        Ok(found.finish())
    }

    fn take(
        &self,
        pair: &KeyValue,
        entries: &Span,
        request: &Page,
        now_ms: i64,
        skip: &mut u64,
        found: &mut EntriesBuilder,
    ) -> Result<()> {
        let StoredEntry { value, expires_at_ms } = self.decode(pair.value())?;
        if expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Ok(());
        }
        if *skip > 0 {
            *skip -= 1;
            return Ok(());
        }
        let Some(key) = self.layout.key_in(entries, pair.key()) else {
            return Err(self.cluster.damaged("a key is not UTF-8"));
        };
        let facts = Facts { revision: Revision(pair.mod_revision().cast_unsigned()), expires_at_ms };
        request.push(key, &value, facts, found);
        Ok(())
    }
}

/// A [`Scan`] that can be kept.
pub(super) struct Page {
    pub group: String,
    pub after: Option<String>,
    pub offset: u64,
    pub limit: usize,
    pub bytes_max: usize,
    columns: Columns,
}

impl From<&Scan<'_>> for Page {
    fn from(scan: &Scan<'_>) -> Self {
        Self {
            group: scan.group.to_owned(),
            after: scan.after.map(str::to_owned),
            offset: scan.offset,
            limit: scan.limit,
            bytes_max: scan.bytes_max,
            columns: scan.columns,
        }
    }
}

impl Page {
    /// Adds what is wanted of an entry.
    pub fn push(&self, key: &str, value: &[u8], facts: Facts, found: &mut EntriesBuilder) {
        let value = if self.columns == Columns::Keys { &[] } else { value };
        found.push(key, value, (self.columns == Columns::All).then_some(facts));
    }
}

impl Read for Reading {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        Some(self.live_entry(group, key))
    }

    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.live_entry(group, key).wait()
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        let (reading, page) = (self.clone(), Page::from(scan));
        answer(&self.handle, async move { reading.scan_all(page).await })
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
        let reading = self.clone();
        answer(&self.handle, async move { reading.latest().await })
    }
}
