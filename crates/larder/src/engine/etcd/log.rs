//! The change log: the history of the commit records, as etcd keeps it until it is compacted.

mod pool;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{EventType, WatchResponse};
use prost::Message;

use self::pool::Pool;
use self::stream::{Brought, Ended, Stream};
use super::cluster::{Cluster, Trouble};
use super::fetch::{self, Moment};
use super::layout::{Change, Kind, Layout, Record, Span, StoredEntry, next_key};
use crate::data::{Error, Event, EventKind, LogPosition, Result, Revision, Value, clock};
use crate::engine::{Changes, Logged};

/// A revision, as the feed tells of it.
pub(super) struct Heard {
    pub revision: Revision,
    /// The commit's; `None` where it was not larder that wrote.
    pub events: Option<Vec<Arc<Event>>>,
    /// What has become of entries: their keys in the cluster, and what lies there now.
    pub entries: HashMap<Bytes, Option<Bytes>>,
}

/// Puts commits together from what a watch brings. All of a revision comes at once, or in fragments.
pub(super) struct Assembler {
    layout: Layout,
    log: Bytes,
    /// The revision of which not all may have come.
    revision: i64,
    record: Option<Bytes>,
    entries: HashMap<Bytes, Option<Bytes>>,
}

impl Assembler {
    pub fn new(layout: Layout) -> Self {
        let log = layout.log();
        Self { layout, log, revision: 0, record: None, entries: HashMap::new() }
    }

    /// The commits that are complete with a response.
    pub fn take(&mut self, response: &WatchResponse) -> Result<Vec<Heard>, String> {
        let mut heard = Vec::new();
        for event in response.events() {
            let Some(pair) = event.kv() else { continue };
            if pair.mod_revision() != self.revision {
                heard.extend(self.finish()?);
                self.revision = pair.mod_revision();
            }
            let is_there = event.event_type() != EventType::Delete;
            let value = is_there.then(|| Bytes::copy_from_slice(pair.value()));
            if pair.key() == &*self.log {
                self.record = value;
            } else {
                self.entries.insert(Bytes::copy_from_slice(pair.key()), value);
            }
        }
        if !response.0.fragment {
            heard.extend(self.finish()?);
        }
        Ok(heard)
    }

    fn finish(&mut self) -> Result<Option<Heard>, String> {
        let entries = std::mem::take(&mut self.entries);
        let revision = Revision(self.revision.cast_unsigned());
        let Some(record) = self.record.take() else {
            return Ok((!entries.is_empty()).then_some(Heard { revision, events: None, entries }));
        };
        let record = Record::decode(record).map_err(|error| error.to_string())?;
        let mut events = Vec::with_capacity(record.changes.len());
        for change in &record.changes {
            let stored = match (change.kind(), &change.key, &change.value) {
                (Kind::Set, Some(key), None) => {
                    let path = self.layout.entry(&change.group, key);
                    let Some(Some(stored)) = entries.get(&path) else {
                        return Err(format!("revision {revision} lacks what it has set"));
                    };
                    Some(StoredEntry::decode(stored.clone()).map_err(|error| error.to_string())?)
                }
                _ => None,
            };
            events.push(Arc::new(event(change, stored, revision, record.at_ms)));
        }
        Ok(Some(Heard { revision, events: Some(events), entries }))
    }
}

/// The event of a change, with the entry that it has left where the change itself does not tell.
pub(super) fn event(change: &Change, stored: Option<StoredEntry>, revision: Revision, at_ms: i64) -> Event {
    let (value, expires_at_ms) = match stored {
        Some(StoredEntry { value, expires_at_ms }) => (Some(value), expires_at_ms),
        None => (change.value.clone(), change.expires_at_ms),
    };
    let kind = match change.kind() {
        Kind::Set => EventKind::Set,
        Kind::Delete => EventKind::Delete,
        Kind::DeleteGroup => EventKind::DeleteGroup,
        Kind::Expire => EventKind::Expire,
    };
    Event {
        revision,
        kind,
        group: change.group.clone(),
        key: change.key.clone(),
        value: value.map(Value::from),
        expires_at: expires_at_ms.map(clock::time),
        at: clock::time(at_ms),
    }
}

/// How many commits are counted change by change.
const COUNTED_MAX: u64 = 10_000;

/// How many there are of something in all commits, by how many there are in some.
fn estimate(count: u64, some: u64, all: u64) -> u64 {
    let estimate = u128::from(count) * u128::from(all) / u128::from(some.max(1));
    u64::try_from(estimate).unwrap_or(u64::MAX)
}

/// Reads the log.
pub(super) struct Log {
    cluster: Arc<Cluster>,
    layout: Layout,
    /// The revision at which the store was made: no commit is earlier.
    base: i64,
    readers: Arc<Pool>,
}

/// What comes from a place in the log on, with what has come of it and may be asked for again.
struct Reader {
    /// Everything from this revision on is in `heard`, or comes.
    from: i64,
    heard: VecDeque<Heard>,
    stream: Stream,
    assembler: Assembler,
}

impl Reader {
    /// The revision from which on nothing was heard yet.
    fn next(&self) -> i64 {
        self.heard.back().map_or(self.from, |heard| heard.revision.0.cast_signed() + 1)
    }

    /// Whether it has, or will have, everything from a revision on.
    fn reaches(&self, start: i64) -> bool {
        self.from <= start && start <= self.next()
    }

    /// Forgets what was before a revision that it reaches.
    fn go_on_from(&mut self, start: i64) {
        self.heard.retain(|heard| heard.revision.0.cast_signed() >= start);
        self.from = start;
    }
}

impl Log {
    pub fn new(cluster: Arc<Cluster>, layout: Layout, base: i64) -> Self {
        Self { cluster, layout, base, readers: Arc::default() }
    }

    /// The latest commit.
    pub async fn latest(&self, moment: Moment) -> Result<Revision, Trouble> {
        let (log, _) = fetch::key(&self.cluster, &self.layout.log(), moment).await?;
        Ok(Revision(log.revision.cast_unsigned()))
    }

    /// Changes after a place, at most `max` of them.
    pub async fn changes(&self, after: LogPosition, max: usize) -> Result<Changes> {
        let latest = self.latest(Moment::Now).await.map_err(|trouble| self.cluster.error(trouble))?;
        if after >= LogPosition::after(latest) {
            return Ok(Changes { logged: Vec::new(), next: after });
        }
        let start = self.start(after);
        let kept = self.readers.take(start);
        // Whoever wants one change alone only looks whether there is any, and does not come back for more.
        let comes_back = max > 1 || kept.is_some();
        let mut reader = kept.unwrap_or_else(|| self.reader(start));
        reader.go_on_from(start);
        let mut changes = Changes { logged: Vec::new(), next: after };
        let mut index = 0;
        'full: while changes.next < LogPosition::after(latest) {
            let Some(heard) = reader.heard.get(index) else {
                match self.hear(&mut reader).await {
                    // Said in an answer of its own, after the one that the stream is there. What was read until
                    // then is whole; whether more of this store is gone is seen from behind it.
                    Err(Ended::Compacted(_)) if !changes.logged.is_empty() => return Ok(changes),
                    Err(Ended::Compacted(compacted)) => {
                        self.check_nothing_is_lost(changes.next, compacted).await?;
                        reader = self.reader(compacted);
                        index = 0;
                    }
                    Err(Ended::Failed(error)) => return Err(error),
                    Ok(()) => {}
                }
                continue;
            };
            index += 1;
            for (step, event) in (0..).zip(heard.events.iter().flatten()) {
                if (LogPosition { revision: heard.revision, step }) <= after {
                    continue;
                }
                if changes.logged.len() == max {
                    break 'full;
                }
                changes.next = LogPosition { revision: heard.revision, step };
                changes.logged.push(Logged { step, event: Arc::clone(event) });
            }
            changes.next = changes.next.max(LogPosition::after(heard.revision));
        }
        if comes_back && changes.next < LogPosition::after(latest) {
            self.readers.put(reader);
        }
        Ok(changes)
    }

    /// The revision from which on a place's successors are.
    fn start(&self, after: LogPosition) -> i64 {
        let revision = i64::try_from(after.revision.0).unwrap_or(i64::MAX);
        let start =
            if after == LogPosition::after(after.revision) { revision.saturating_add(1) } else { revision };
        start.max(self.base + 1)
    }

    fn reader(&self, from: i64) -> Reader {
        let stream = Stream::new(Arc::clone(&self.cluster), self.layout.feed());
        Reader { from, heard: VecDeque::new(), stream, assembler: Assembler::new(self.layout.clone()) }
    }

    /// What etcd has forgotten is only lost if something of this store was in it, after a place.
    async fn check_nothing_is_lost(&self, after: LogPosition, compacted: i64) -> Result<()> {
        let last = self.latest(Moment::At(compacted)).await.map_err(|trouble| match trouble {
            Trouble::Compacted => Error::Compacted { oldest: Revision(compacted.cast_unsigned()) },
            trouble => self.cluster.error(trouble),
        })?;
        if after >= LogPosition::after(last) {
            return Ok(());
        }
        let at = Revision(compacted.cast_unsigned());
        Err(Error::Compacted { oldest: if last == at { last.previous() } else { last } })
    }

    /// Waits until something more has come.
    async fn hear(&self, reader: &mut Reader) -> Result<(), Ended> {
        let Brought { response, anew } = reader.stream.next(reader.next()).await?;
        if anew {
            // What had come of a revision in parts comes again.
            reader.assembler = Assembler::new(self.layout.clone());
        }
        let heard = reader.assembler.take(&response);
        let heard = heard.map_err(|detail| Ended::Failed(self.cluster.damaged(detail)))?;
        let commits = heard.into_iter().filter(|heard| heard.events.is_some());
        reader.heard.extend(commits.map(|heard| Heard { entries: HashMap::new(), ..heard }));
        Ok(())
    }

    /// Whether the cluster still has the very state of a revision, and so all that came after it. It is asked for
    /// less than a stream is, which members look after only now and then when it begins in the past.
    async fn certainly_has_all_after(&self, revision: Revision) -> Result<bool> {
        let revision = revision.0.cast_signed();
        if revision < self.base {
            return Ok(false);
        }
        match self.latest(Moment::At(revision)).await {
            Ok(_) => Ok(true),
            Err(Trouble::Compacted) => Ok(false),
            Err(trouble) => Err(self.cluster.error(trouble)),
        }
    }

    /// The oldest place from which the log has everything.
    pub async fn oldest(&self) -> Result<Revision> {
        if self.certainly_has_all_after(Revision(self.base.unsigned_abs())).await? {
            return Ok(Revision(0));
        }
        match self.changes(LogPosition::after(Revision(0)), 1).await {
            Ok(_) => Ok(Revision(0)),
            Err(Error::Compacted { oldest }) => Ok(oldest),
            Err(error) => Err(error),
        }
    }

    /// How many changes the log has after a place, and how many bytes their records take; and whether it has
    /// lost some. Where they are of very many commits, those are counted, and what they have is estimated.
    pub async fn count_after(&self, after: LogPosition) -> Result<(u64, u64, bool)> {
        let latest = self.latest(Moment::Now).await.map_err(|trouble| self.cluster.error(trouble))?;
        if after >= LogPosition::after(latest) {
            return Ok((0, 0, false));
        }
        let (after, lost) = if self.certainly_has_all_after(after.revision).await? {
            (after, false)
        } else {
            match self.changes(after, 1).await {
                Ok(_) => (after, false),
                Err(Error::Compacted { oldest }) => (LogPosition::after(oldest), true),
                Err(error) => return Err(error),
            }
        };
        let (changes, bytes) = self.count(after, latest).await?;
        Ok((changes, bytes, lost))
    }

    async fn count(&self, after: LogPosition, latest: Revision) -> Result<(u64, u64)> {
        let (mut changes, mut bytes, mut commits) = (0, 0, 0);
        if after >= LogPosition::after(latest) {
            return Ok((changes, bytes));
        }
        let log = self.layout.log();
        let span = Span { end: next_key(&log), start: log };
        let mut stream = Stream::new(Arc::clone(&self.cluster), span);
        let mut start = self.start(after);
        loop {
            let response = match stream.next(start).await {
                Ok(brought) => brought.response,
                Err(Ended::Compacted(compacted)) => {
                    // Nothing of this store is before: that was seen above.
                    start = compacted;
                    continue;
                }
                Err(Ended::Failed(error)) => return Err(error),
            };
            for pair in response.events().iter().filter_map(|event| event.kv()) {
                let record =
                    Record::decode(pair.value()).map_err(|error| self.cluster.damaged(error.to_string()))?;
                let revision = Revision(pair.mod_revision().cast_unsigned());
                let of_it = (0..)
                    .zip(&record.changes)
                    .filter(|(step, _)| (LogPosition { revision, step: *step }) > after);
                changes += of_it.count() as u64;
                bytes += pair.value().len() as u64;
                start = pair.mod_revision() + 1;
                if revision >= latest {
                    return Ok((changes, bytes));
                }
                commits += 1;
                if commits == COUNTED_MAX {
                    let rest = self.commits().await?.saturating_sub(pair.version().unsigned_abs());
                    let all = |count| estimate(count, commits, commits.saturating_add(rest));
                    return Ok((all(changes), all(bytes)));
                }
            }
        }
    }

    /// How many commits the store has had: as often has their record been written.
    async fn commits(&self) -> Result<u64> {
        let log = self.layout.log();
        let span = Span { end: next_key(&log), start: log };
        let page = fetch::pairs(&self.cluster, &span, 1, Moment::Now, true).await;
        let pairs = page.map_err(|trouble| self.cluster.error(trouble))?.pairs;
        Ok(pairs.first().map_or(0, |pair| pair.version().unsigned_abs()))
    }
}
