//! The eras of a trial: each restore of the cluster ends one, and begins another from an earlier state.

/// A moment, as [`now_ns`](super::record::now_ns) gives it, or when a step began and when it was over.
pub type Span = (u64, u64);

/// The cluster's data, as it was kept for a later restore.
#[derive(Clone, Copy, Debug)]
pub struct Save {
    /// The era in which it was made.
    pub era: usize,
    /// A revision that had been reached when it was made.
    pub begin: u64,
    /// While it was made.
    pub at_ns: Span,
}

/// A restore: everything since a save is undone.
#[derive(Clone, Copy, Debug)]
pub struct Restore {
    pub save: Save,
    /// From just before the members were killed until all had begun again.
    pub at_ns: Span,
}

/// When what was done to the cluster, as the checks need it.
#[derive(Clone, Debug, Default)]
pub struct Eras {
    pub restores: Vec<Restore>,
    /// While the clients were refused.
    pub refusals: Vec<Span>,
    /// Each compaction: the revision, and when it began.
    pub compactions: Vec<(u64, u64)>,
}

impl Eras {
    /// How many eras there are.
    pub fn count(&self) -> usize {
        self.restores.len() + 1
    }

    /// The era in which a moment is. While the cluster is being restored, it is the one that begins.
    pub fn at(&self, at_ns: u64) -> usize {
        self.restores.partition_point(|restore| restore.at_ns.0 <= at_ns)
    }

    /// The restore with which an era began.
    pub fn beginning(&self, era: usize) -> Option<&Restore> {
        era.checked_sub(1).map(|before| &self.restores[before])
    }

    /// The restore that ended an era.
    pub fn end(&self, era: usize) -> Option<&Restore> {
        self.restores.get(era)
    }

    /// Whether a restore that was going on in a span may have taken back a revision, so that the store was at `latest`.
    pub fn may_have_taken_back(&self, revision: u64, latest: u64, (since_ns, at_ns): Span) -> bool {
        let took = |restore: &Restore| {
            (restore.save.begin..revision).contains(&latest)
                && since_ns <= restore.at_ns.1
                && at_ns >= restore.at_ns.0
        };
        self.restores.iter().any(took)
    }

    /// Whether something that was going on may have taken effect before an era as well as in it.
    pub fn crosses_beginning(&self, era: usize, (begin_ns, over_ns): Span) -> bool {
        self.beginning(era).is_some_and(|restore| begin_ns <= restore.at_ns.1 && over_ns >= restore.at_ns.0)
    }

    pub fn crosses_end(&self, era: usize, (begin_ns, over_ns): Span) -> bool {
        self.end(era).is_some_and(|restore| begin_ns <= restore.at_ns.1 && over_ns >= restore.at_ns.0)
    }

    /// The compactions whose effect is still there in an era.
    pub fn compactions_of(&self, era: usize) -> Vec<(u64, u64)> {
        let end_ns = self.end(era).map_or(u64::MAX, |restore| restore.at_ns.0);
        let (mut era, mut until_ns, mut all) = (era, end_ns, Vec::new());
        loop {
            let from_ns = self.beginning(era).map_or(0, |restore| restore.at_ns.0);
            all.extend(self.compactions.iter().filter(|(_, at_ns)| (from_ns..until_ns).contains(at_ns)));
            let Some(restore) = self.beginning(era) else { return all };
            (era, until_ns) = (restore.save.era, restore.save.at_ns.1);
        }
    }
}
