//! One page of a group, as a draft sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Buf;
use prost::Message;

use super::knowledge::Wanted;
use super::step::Step;
use super::{Draft, DraftContext};
use crate::data::{Entries, EntriesBuilder, Facts, Revision};
use crate::engine::etcd::layout::{Span, StoredEntry, next_key, unreadable};
use crate::engine::{Columns, Scan};
use crate::rules::is_live;

/// How many pairs the first read of the cluster brings. Each later one brings twice as many: the scan begins again
/// after each, and the cluster looks through the whole rest of the group for each.
const FIRST_PAIRS: usize = 256;

/// About how many bytes one read brings at most.
const READ_BYTES: usize = 2 << 20;

/// A [`Scan`] that owns its names.
pub struct OwnedScan {
    group: String,
    after: Option<String>,
    offset: u64,
    limit: usize,
    bytes_max: usize,
    columns: Columns,
}

impl From<&Scan<'_>> for OwnedScan {
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

/// Collects the entries of one scan from the pairs of its group, which come in order.
pub struct ScanPage<'a> {
    scan: &'a OwnedScan,
    context: &'a DraftContext,
    /// All entries of the group.
    group: Span,
    /// How many live entries to skip.
    skip: u64,
    found: EntriesBuilder,
}

impl<'a> ScanPage<'a> {
    pub fn new(scan: &'a OwnedScan, context: &'a DraftContext) -> Self {
        let group = context.layout.entries(&scan.group);
        Self { scan, context, group, skip: scan.offset, found: EntriesBuilder::default() }
    }

    /// The span in which the scan begins to read.
    pub fn span(&self) -> Span {
        let start = match &self.scan.after {
            Some(after) => next_key(&self.context.layout.entry(&self.scan.group, after)),
            None => self.group.start.clone(),
        };
        Span { start, end: self.group.end.clone() }
    }

    /// How many entries the page may still take.
    pub fn left(&self) -> usize {
        self.scan.limit - self.found.len()
    }

    /// How many live entries the page may still take or skip.
    pub fn left_to_read(&self) -> usize {
        self.left().saturating_add(usize::try_from(self.skip).unwrap_or(usize::MAX))
    }

    /// Whether the page takes no further entry. The first one is taken whatever its size.
    pub fn is_full(&self) -> bool {
        self.found.len() > 0 && (self.left() == 0 || self.found.bytes() >= self.scan.bytes_max)
    }

    /// Adds an entry, unless it has expired or is skipped. What another program has written is left out, with a
    /// warning that names it, so that one bad key does not hide all others.
    pub fn push(&mut self, path: &[u8], value: impl Buf, revision: Revision, now_ms: i64) {
        let readable =
            StoredEntry::decode(value).map_err(|error| unreadable(path, &error)).and_then(|entry| {
                let key = self.context.layout.key_in(&self.group, path);
                Ok((entry, key.ok_or_else(|| unreadable(path, &"its name is not UTF-8"))?))
            });
        let (StoredEntry { value, expires_at_ms }, key) = match readable {
            Ok(readable) => readable,
            Err(detail) => {
                self.context.left_out.fetch_add(1, Ordering::Relaxed);
                return tracing::warn!(%detail, "a key is left out");
            }
        };
        if !is_live(expires_at_ms, now_ms) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let value = if self.scan.columns == Columns::Keys { &[][..] } else { &value };
        let facts = (self.scan.columns == Columns::All).then_some(Facts { revision, expires_at_ms });
        self.found.push(key, value, facts);
    }

    pub fn finish(self) -> Entries {
        self.found.finish()
    }
}

impl Draft {
    /// One page of a group, with the draft's own writes.
    pub fn scan(&mut self, scan: &OwnedScan) -> Step<Entries> {
        // Comparing the keys of a span does not show that a key has gone from it, but the tally moves then.
        self.require_known([Wanted::Key(self.layout().group(&scan.group))])?;
        self.group_tally(&scan.group)?;
        let context = Arc::clone(&self.context);
        let mut page = ScanPage::new(scan, &context);
        let mut span = page.span();
        let (own, now_ms) = (self.own_revision.unwrap_or_default(), self.now_ms());
        let mut pairs_max = FIRST_PAIRS;
        while page.left() > 0 {
            let seen = self.read_span(&span, pairs_max)?;
            let bytes: usize = seen.pairs.iter().map(|(path, value)| path.len() + value.len()).sum();
            let pair_bytes = (bytes / seen.pairs.len().max(1)).max(1);
            pairs_max = (2 * pairs_max).min(READ_BYTES / pair_bytes).max(FIRST_PAIRS);
            for (path, value) in seen.pairs {
                let revision = self.revision_of(&path).unwrap_or(own);
                page.push(&path, value, revision, now_ms);
                if page.is_full() {
                    return Ok(page.finish());
                }
            }
            match seen.rest {
                Some(rest) => span.start = rest,
                None => break,
            }
        }
        Ok(page.finish())
    }
}
