//! What groups and namespaces hold, without what has expired and is still stored.

use std::collections::BTreeSet;

use super::Draft;
use super::knowledge::Wanted;
use super::step::{Step, StepError, decode};
use crate::data::namespace::namespace_with_prefix;
use crate::data::{GroupInfo, NamespaceInfo, Usage};
use crate::engine::Extent;
use crate::engine::etcd::layout::{GroupTally, NamespaceTally, Weight};

impl Draft {
    /// The live entries of a part of the store.
    pub fn usage(&mut self, extent: Extent<'_>) -> Step<Usage> {
        match extent {
            Extent::Group(group) => self.group_usage(group),
            Extent::Prefix(prefix) => match namespace_with_prefix(prefix) {
                Some(name) => self.namespace_usage(name),
                None => {
                    let mut sum = Usage::default();
                    for group in self.live_groups(prefix)? {
                        sum.keys += group.keys;
                        sum.groups += 1;
                        sum.bytes += group.bytes;
                    }
                    Ok(sum)
                }
            },
        }
    }

    /// Counts what has not expired for every client yet: clocks may differ, and a quota holds for all of them.
    pub(super) fn for_all_clocks<T>(&mut self, count: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        self.batch.lag_ms = self.context.grace_ms;
        let counted = count(self);
        self.batch.lag_ms = 0;
        counted
    }

    /// The time up to which entries count as expired.
    pub(super) fn expired_by_ms(&self) -> i64 {
        self.now_ms().saturating_sub(self.batch.lag_ms)
    }

    pub(super) fn group_usage(&mut self, group: &str) -> Step<Usage> {
        let expired = self.layout().expired(group, self.expired_by_ms());
        self.require_known([Wanted::Key(self.layout().group(group)), Wanted::Span(expired, usize::MAX)])?;
        let tally = self.group_tally(group)?;
        let (keys, bytes) = self.expired_in(group)?;
        let keys = tally.keys.saturating_sub(keys);
        Ok(Usage { keys, groups: keys.min(1), bytes: tally.bytes.saturating_sub(bytes) })
    }

    pub(super) fn namespace_usage(&mut self, name: &str) -> Step<Usage> {
        self.require_known([Wanted::Key(self.layout().namespace(name)), self.due()])?;
        let tally = self.namespace_tally(name)?;
        self.live_in_namespace(name, &tally)
    }

    /// What a namespace holds according to its tally, less what has expired.
    fn live_in_namespace(&mut self, name: &str, tally: &NamespaceTally) -> Step<Usage> {
        let stored = tally.usage();
        let expired = self.expired_under(&format!("{name}:"))?;
        Ok(Usage {
            keys: stored.keys.saturating_sub(expired.keys),
            groups: stored.groups.saturating_sub(expired.groups),
            bytes: stored.bytes.saturating_sub(expired.bytes),
        })
    }

    /// The fact in which groups entries have expired.
    fn due(&self) -> Wanted {
        Wanted::Span(self.layout().due_by(self.expired_by_ms()), usize::MAX)
    }

    /// Keys and bytes of a group that have expired and are still stored.
    fn expired_in(&mut self, group: &str) -> Step<(u64, u64)> {
        let expired = self.layout().expired(group, self.expired_by_ms());
        let pairs = self.read_whole_span(&expired)?;
        let keys = pairs.len() as u64;
        let mut bytes = 0;
        for (path, weight) in pairs {
            bytes += decode::<Weight>(&path, weight)?.bytes;
        }
        Ok((keys, bytes))
    }

    /// What has expired and is still stored in the groups whose names start with `prefix`. A group counts if
    /// all its entries have expired.
    fn expired_under(&mut self, prefix: &str) -> Step<Usage> {
        let groups = self.due_groups(prefix)?;
        let wanted = groups.iter().flat_map(|group| {
            let expired = self.layout().expired(group, self.expired_by_ms());
            [Wanted::Key(self.layout().group(group)), Wanted::Span(expired, usize::MAX)]
        });
        self.require_known(wanted)?;
        let mut expired = Usage::default();
        for group in &groups {
            let (keys, bytes) = self.expired_in(group)?;
            expired.keys += keys;
            expired.bytes += bytes;
            expired.groups += u64::from(keys > 0 && self.group_tally(group)?.keys == keys);
        }
        Ok(expired)
    }

    /// The groups whose names start with `prefix` and in which an entry may have expired.
    fn due_groups(&mut self, prefix: &str) -> Step<Vec<String>> {
        let span = self.layout().due_by(self.expired_by_ms());
        let due = self.read_whole_span(&span)?;
        let groups = due.iter().filter_map(|(path, _)| Some(self.layout().due_parts(path)?.1));
        let groups: BTreeSet<String> = groups.filter(|group| group.starts_with(prefix)).collect();
        Ok(groups.into_iter().collect())
    }

    /// The groups whose names start with `prefix`, sorted, with their live keys and bytes. Groups without live
    /// keys are among them.
    pub fn groups(&mut self, prefix: &str) -> Step<Vec<GroupInfo>> {
        let span = self.layout().groups(prefix);
        self.require_known([Wanted::Span(span.clone(), usize::MAX), self.due()])?;
        let expired = self.due_groups(prefix)?;
        let wanted = expired
            .iter()
            .map(|group| Wanted::Span(self.layout().expired(group, self.expired_by_ms()), usize::MAX));
        self.require_known(wanted)?;
        let tallies = self.read_whole_span(&span)?;
        let mut groups = Vec::with_capacity(tallies.len());
        for (path, tally) in tallies {
            let Some(name) = self.layout().group_name(&path) else {
                return Err(StepError::Damaged(format!("the key {path:?} names no group")));
            };
            let GroupTally { mut keys, mut bytes, .. } = decode(&path, tally)?;
            if expired.binary_search(&name).is_ok() {
                let (expired_keys, expired_bytes) = self.expired_in(&name)?;
                keys = keys.saturating_sub(expired_keys);
                bytes = bytes.saturating_sub(expired_bytes);
            }
            groups.push(GroupInfo { name, keys, bytes });
        }
        Ok(groups)
    }

    /// The groups whose names start with `prefix` and that have a live key, sorted.
    pub fn live_groups(&mut self, prefix: &str) -> Step<Vec<GroupInfo>> {
        let mut groups = self.groups(prefix)?;
        groups.retain(|group| group.keys > 0);
        self.guard_whole_store()?;
        Ok(groups)
    }

    /// The namespaces that hold a live key or have a quota, sorted; or only the one named.
    pub fn namespaces(&mut self, only: Option<&str>) -> Step<Vec<NamespaceInfo>> {
        let mut found: Vec<(String, NamespaceTally)> = Vec::new();
        match only {
            Some(name) => {
                let path = self.layout().namespace(name);
                self.require_known([Wanted::Key(path.clone()), self.due()])?;
                let tally = self.read_message(&path)?;
                found.extend(tally.map(|tally| (name.to_owned(), tally)));
            }
            None => {
                let span = self.layout().namespaces();
                self.require_known([Wanted::Span(span.clone(), usize::MAX), self.due()])?;
                for (path, tally) in self.read_whole_span(&span)? {
                    let name = self.layout().namespace_name(&path).unwrap_or_default();
                    found.push((name, decode(&path, tally)?));
                }
                self.guard_whole_store()?;
            }
        }
        let mut infos = Vec::with_capacity(found.len());
        for (name, tally) in found {
            let usage = self.live_in_namespace(&name, &tally)?;
            let info = NamespaceInfo { name, usage, quota: tally.quota() };
            if info.usage.keys > 0 || !info.quota.is_unlimited() {
                infos.push(info);
            }
        }
        Ok(infos)
    }

    /// The soonest time at which an entry may expire, or has expired and is still stored.
    pub fn next_expiry_ms(&mut self) -> Step<Option<i64>> {
        let due = self.layout().all_due();
        let pairs = self.read_span(&due, 1)?.pairs;
        Ok(pairs.first().and_then(|(path, _)| self.layout().due_parts(path)).map(|(at_ms, _)| at_ms))
    }
}
