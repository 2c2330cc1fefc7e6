//! A reader of the change log, which reads on from a revision.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::assembler::{Assembler, WatchedRevision};
use super::failover_watch::{FailoverWatch, WatchError, WatchMessage};
use crate::engine::etcd::client::Cluster;
use crate::engine::etcd::layout::Layout;

/// A watch from a revision on, and the commits that it has brought and that may be asked for again.
pub struct LogReader {
    cluster: Arc<Cluster>,
    layout: Layout,
    /// Every commit from this revision on is in `commits`, or will come.
    from: i64,
    commits: VecDeque<WatchedRevision>,
    watch: FailoverWatch,
    assembler: Assembler,
}

impl LogReader {
    pub fn new(cluster: Arc<Cluster>, layout: Layout, from: i64) -> Self {
        let watch = FailoverWatch::new(Arc::clone(&cluster), layout.feed());
        let assembler = Assembler::new(layout.clone());
        Self { cluster, layout, from, commits: VecDeque::new(), watch, assembler }
    }

    /// The commit with this index, if it was read.
    pub fn commit(&self, index: usize) -> Option<&WatchedRevision> {
        self.commits.get(index)
    }

    /// The revision from which on nothing was read.
    fn unread(&self) -> i64 {
        self.commits.back().map_or(self.from, |commit| commit.revision.0.cast_signed() + 1)
    }

    /// Whether the reader has every commit from a revision on, or will read it.
    pub fn covers(&self, start: i64) -> bool {
        self.from <= start && start <= self.unread()
    }

    /// Drops the commits before a revision that the reader covers.
    pub fn drop_before(&mut self, start: i64) {
        self.commits.retain(|commit| commit.revision.0.cast_signed() >= start);
        self.from = start;
    }

    /// Waits until the watch brings more.
    pub async fn read_more(&mut self) -> Result<(), WatchError> {
        let WatchMessage { response, is_reopened } = self.watch.next(self.unread()).await?;
        if is_reopened {
            // The fragments of an incomplete revision come again.
            self.assembler = Assembler::new(self.layout.clone());
        }
        let revisions = self.assembler.add(&response);
        let revisions = revisions.map_err(|detail| WatchError::Failed(self.cluster.damaged(detail)))?;
        let commits = revisions.into_iter().filter(|revision| revision.events.is_some());
        self.commits.extend(commits.map(|commit| WatchedRevision {
            entries: HashMap::new(),
            record: None,
            ..commit
        }));
        Ok(())
    }
}
