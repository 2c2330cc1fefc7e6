//! Calls on the namespace that is always full.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::{Result, View};

use super::record::Action;
use super::targets::{QUOTA, TENANT};
use super::traffic::{Worker, written};

impl Worker<'_> {
    /// Writes to the namespace that is always full.
    pub fn fill(&mut self) {
        let group = ["g0", "g1", "g2"][self.random.below(3) as usize];
        let full_group = format!("{TENANT}:{group}");
        let key = self.random.below(12).to_string();
        let target = (&*full_group, &*key);
        let mark = self.mark() + &"x".repeat(self.random.below(60) as usize);
        let (action, stored) = (Action::Mark(mark.clone()), mark);
        match self.random.below(10) {
            0..4 => {
                self.call(target, action, |worker| worker.tenant.set(group, &key, &*stored), written);
            }
            4..6 => {
                let ttl = Duration::from_millis(50 + self.random.below(1500));
                let set = |worker: &Self| worker.tenant.set_with_ttl(group, &key, &*stored, ttl);
                self.call(target, action, set, written);
            }
            6..8 => {
                let others: Vec<_> = (0..3).map(|_| self.random.below(12)).collect();
                let commit = |worker: &Self| {
                    let batch = worker.tenant.batch();
                    let batch = others.iter().zip(0..).fold(batch, |batch, (other, step): (_, u64)| {
                        batch.set("g0", format!("many-{other}"), step.to_string())
                    });
                    batch.set(group, &key, &*stored).commit()
                };
                self.call(target, action, commit, written);
            }
            8 => self.check_read(|worker| worker.tenant.delete_group(group), |_| None),
            _ => self.check_read(|worker| worker.tenant.delete(group, &*key), |_| None),
        }
    }

    /// Checks that the namespace is within its quota, by the clock of this client.
    pub fn check_quota(&mut self) {
        let counted = self.random.percent(50);
        let read = |worker: &Self| {
            if counted {
                let snapshot = worker.store.snapshot()?;
                recount(&snapshot)
            } else {
                worker.usage()
            }
        };
        let fits = |(keys, groups, bytes): (u64, u64, u64)| {
            Some(keys) <= QUOTA.max_keys && Some(groups) <= QUOTA.max_groups && Some(bytes) <= QUOTA.max_bytes
        };
        self.check_read(read, |usage| {
            (!fits(usage)).then(|| format!("over quota, counted {counted}: {usage:?} (keys, groups, bytes)"))
        });
    }

    fn usage(&self) -> Result<(u64, u64, u64)> {
        let usage = self.tenant.usage()?;
        Ok((usage.keys, usage.groups, usage.bytes))
    }
}

/// Keys, groups and bytes of the full namespace, counted entry by entry.
fn recount(view: &View) -> Result<(u64, u64, u64)> {
    let mut groups: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for group in ["g0", "g1", "g2"] {
        for (key, value) in view.get_all(format!("{TENANT}:{group}"))?.iter() {
            let counted = groups.entry(group).or_default();
            counted.0 += 1;
            counted.1 += (key.len() + value.len()) as u64;
        }
    }
    let keys = groups.values().map(|(keys, _)| keys).sum();
    Ok((keys, groups.len() as u64, groups.values().map(|(_, bytes)| bytes).sum()))
}
