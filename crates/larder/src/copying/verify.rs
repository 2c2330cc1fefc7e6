//! Comparing a copy with its source.

use super::attempt::is_same;
use super::compare::{Sides, compare};
use super::quotas::quotas;
use super::report::{Copied, Difference, Findings, Progress, Stage};
use super::{Copying, is_whole};
use crate::data::{Result, Revision};
use crate::store::Snapshot;

/// After how many entries progress is reported.
const ENTRIES_PER_REPORT: u64 = 1000;

impl<S, T> Copying<'_, S, T> {
    /// Compares everything, each side as of one moment.
    pub(super) fn verify(&mut self, snapshot: &Snapshot, revision: Revision) -> Result<Copied> {
        let target = self.target.snapshot()?;
        self.begin(Stage::Verifying, snapshot)?;
        let mut found = Findings::default();
        let mut entries = 0;
        let sides = Sides { source: snapshot, target: &target };
        let exact = self.exact;
        let mut beside = compare(&sides, exact, &mut |group, of_source, of_target| {
            self.step()?;
            entries += u64::from(of_source.is_some());
            let names = |key: &str| (group.to_owned(), key.to_owned());
            match (of_source, of_target) {
                (Some(entry), None) if !self.is_gone(&entry) => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Missing { group, key });
                }
                (Some(entry), Some(there)) if entry.value != there.value => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Value { group, key });
                }
                (Some(entry), Some(there)) if !is_same(&entry, &there) => {
                    let (group, key) = names(&entry.key);
                    found.push(Difference::Expiry { group, key });
                }
                (None, Some(there)) if !self.is_gone(&there) => {
                    found.beside += 1;
                    if exact {
                        let (group, key) = names(&there.key);
                        found.push(Difference::Extra { group, key });
                    }
                }
                _ => {}
            }
            self.progress.entries = entries;
            if entries.is_multiple_of(ENTRIES_PER_REPORT) {
                self.tell();
            }
            Ok(())
        })?;
        beside += found.beside;
        if is_whole(self.source) && is_whole(self.target) {
            let wanted = quotas(snapshot)?;
            let there = quotas(&target)?;
            for (namespace, quota) in wanted {
                if there.get(&namespace) != Some(&quota) {
                    found.push(Difference::Quota { namespace });
                }
            }
        }
        self.tell();
        let Progress { written, applied, .. } = self.progress;
        let Findings { differing, differences, .. } = found;
        Ok(Copied { revision, entries, written, applied, beside, differing, differences })
    }
}
