//! How much there is, and whether more may be: tallies, usage and quotas.

use super::draft::{Draft, Step, decoded};
use super::knowledge::Wanted;
use super::layout::{GroupTally, NamespaceTally, Weight};
use super::mutations::Row;
use crate::data::namespace::{namespace_of, namespace_with_prefix};
use crate::data::{GroupInfo, NamespaceInfo, Usage};
use crate::engine::Extent;
use crate::rules::{Growth, admit, growth_of_set, is_live, is_within, needs_tally};

impl Draft {
    pub fn group_tally(&mut self, group: &str) -> Step<GroupTally> {
        Ok(self.message(&self.layout.group(group))?.unwrap_or_default())
    }

    /// A tally that needs no comparison of its own, since all of the store is compared.
    pub fn known_tally(&mut self, group: &str) -> Step<GroupTally> {
        let mark = self.mark();
        let tally = self.group_tally(group);
        self.forget_guards(mark);
        tally
    }

    fn namespace_tally(&mut self, name: &str) -> Step<NamespaceTally> {
        Ok(self.message(&self.layout.namespace(name))?.unwrap_or_default())
    }

    /// Counts entries that a group gained or lost, and one that expires.
    pub fn count(&mut self, group: &str, keys: i64, bytes: i64, expires_at_ms: Option<i64>) -> Step<()> {
        let path = self.layout.group(group);
        let before: GroupTally = self.message(&path)?.unwrap_or_default();
        let growth = Growth::of_group(before.keys, keys, bytes);
        let mut tally = before;
        tally.keys = tally.keys.saturating_add_signed(keys);
        tally.bytes = tally.bytes.saturating_add_signed(bytes);
        if let Some(at_ms) = expires_at_ms
            && tally.first_expiry_ms.is_none_or(|first| at_ms < first)
        {
            self.move_due(group, tally.first_expiry_ms, Some(at_ms));
            tally.first_expiry_ms = Some(at_ms);
        }
        if tally == before {
            return Ok(());
        }
        if tally.keys == 0 {
            self.move_due(group, tally.first_expiry_ms, None);
            self.delete(path);
        } else {
            self.put_message(path, &tally);
        }
        if let Some(name) = namespace_of(group) {
            self.count_in_namespace(name, growth)?;
        }
        Ok(())
    }

    /// Says when the first entry of a group expires, where that is known for certain.
    pub fn set_first_expiry(&mut self, group: &str, at_ms: Option<i64>) -> Step<()> {
        let before = self.group_tally(group)?;
        if before.first_expiry_ms != at_ms {
            self.move_due(group, before.first_expiry_ms, at_ms);
            self.put_message(self.layout.group(group), &GroupTally { first_expiry_ms: at_ms, ..before });
        }
        Ok(())
    }

    fn move_due(&mut self, group: &str, from_ms: Option<i64>, to_ms: Option<i64>) {
        if let Some(at_ms) = from_ms {
            self.delete(self.layout.due(at_ms, group));
        }
        if let Some(at_ms) = to_ms {
            self.put(self.layout.due(at_ms, group), bytes::Bytes::new());
        }
    }

    pub fn count_in_namespace(&mut self, name: &str, growth: Growth) -> Step<()> {
        let before = self.namespace_tally(name)?;
        let Usage { keys, groups, bytes } = growth.applied_to(&before.usage());
        let tally = NamespaceTally { keys, groups, bytes, ..before };
        if tally != before {
            self.put_namespace(self.layout.namespace(name), &tally);
        }
        Ok(())
    }

    pub fn put_namespace(&mut self, path: bytes::Bytes, tally: &NamespaceTally) {
        if needs_tally(tally.keys, &tally.quota()) {
            self.put_message(path, tally);
        } else {
            self.delete(path);
        }
    }

    /// Whether a value fits its namespace's quota. What has expired does not count.
    pub fn admit(&mut self, group: &str, key: &str, size: usize, old: Option<&Row>) -> Step<()> {
        let Some(name) = namespace_of(group) else { return Ok(()) };
        let namespace = self.namespace_tally(name)?;
        let quota = namespace.quota();
        // A batch is judged by what it leaves behind.
        if quota.is_unlimited() || self.before.is_some() {
            return Ok(());
        }
        let growth_by = |old: Option<usize>, keys_before: u64| {
            let (keys, bytes) = growth_of_set(key.len(), size, old);
            Growth::of_group(keys_before, keys, bytes)
        };
        // First by what is stored, expired or not: where that fits, nothing more has to be read.
        let stored = growth_by(old.map(|old| old.value.len()), self.group_tally(group)?.keys);
        if is_within(&quota, &stored.applied_to(&namespace.usage())) {
            return Ok(());
        }
        // Then exactly, by what is live.
        let before = self.usage(Extent::Prefix(&format!("{name}:")))?;
        let live = old.filter(|old| is_live(old.expires_at_ms, self.now_ms)).map(|old| old.value.len());
        let exact = growth_by(live, self.usage(Extent::Group(group))?.keys);
        Ok(admit(&quota, name, &before, &exact.applied_to(&before))?)
    }

    /// Notes what a group's namespace holds, before the open batch first writes to it.
    pub fn remember(&mut self, group: &str) -> Step<()> {
        if let Some(name) = namespace_of(group)
            && self.before.as_ref().is_some_and(|before| !before.contains_key(name))
            && !self.namespace_tally(name)?.quota().is_unlimited()
        {
            let usage = self.usage(Extent::Prefix(&format!("{name}:")))?;
            self.before.get_or_insert_default().insert(name.to_owned(), usage);
        }
        Ok(())
    }

    /// Holds the quotas of the namespaces that the open batch has written to against what they have now.
    pub fn judge(&mut self) -> Step<()> {
        let Some(before) = self.before.take() else { return Ok(()) };
        for (name, before) in before {
            let namespace = self.namespace_tally(&name)?;
            let quota = namespace.quota();
            if is_within(&quota, &namespace.usage()) {
                continue;
            }
            let after = self.usage(Extent::Prefix(&format!("{name}:")))?;
            admit(&quota, &name, &before, &after)?;
        }
        Ok(())
    }

    /// What is live.
    pub fn usage(&mut self, extent: Extent<'_>) -> Step<Usage> {
        match extent {
            Extent::Group(group) => {
                let expired = self.layout.expired(group, self.now_ms);
                self.wants([Wanted::Key(self.layout.group(group)), Wanted::Span(expired, usize::MAX)])?;
                let tally = self.group_tally(group)?;
                let (keys, bytes) = self.expired_in(group)?;
                let keys = tally.keys.saturating_sub(keys);
                Ok(Usage { keys, groups: keys.min(1), bytes: tally.bytes.saturating_sub(bytes) })
            }
            Extent::Prefix(prefix) => match namespace_with_prefix(prefix) {
                Some(name) => {
                    let due = Wanted::Span(self.layout.due_by(self.now_ms), usize::MAX);
                    self.wants([Wanted::Key(self.layout.namespace(name)), due])?;
                    let stored = self.namespace_tally(name)?.usage();
                    let gone = self.expired_under(prefix)?;
                    Ok(Usage {
                        keys: stored.keys.saturating_sub(gone.keys),
                        groups: stored.groups.saturating_sub(gone.groups),
                        bytes: stored.bytes.saturating_sub(gone.bytes),
                    })
                }
                None => {
                    let mut sum = Usage::default();
                    for group in self.groups(prefix)?.iter().filter(|group| group.keys > 0) {
                        sum.keys += group.keys;
                        sum.groups += 1;
                        sum.bytes += group.bytes;
                    }
                    self.guard_all()?;
                    Ok(sum)
                }
            },
        }
    }

    /// Keys and bytes of a group that have expired and are still stored.
    fn expired_in(&mut self, group: &str) -> Step<(u64, u64)> {
        let (rows, _) = self.rows(&self.layout.expired(group, self.now_ms), usize::MAX)?;
        let mut bytes = 0;
        for (_, weight) in &rows {
            bytes += decoded::<Weight>(weight.clone())?.bytes;
        }
        Ok((rows.len() as u64, bytes))
    }

    /// What has expired and is still stored in the groups that start so; of groups, those that have nothing
    /// else.
    fn expired_under(&mut self, prefix: &str) -> Step<Usage> {
        let groups = self.due_groups(prefix)?;
        let wanted = groups.iter().flat_map(|group| {
            let expired = self.layout.expired(group, self.now_ms);
            [Wanted::Key(self.layout.group(group)), Wanted::Span(expired, usize::MAX)]
        });
        self.wants(wanted.collect::<Vec<_>>())?;
        let mut gone = Usage::default();
        for group in &groups {
            let (keys, bytes) = self.expired_in(group)?;
            gone.keys += keys;
            gone.bytes += bytes;
            gone.groups += u64::from(keys > 0 && self.group_tally(group)?.keys == keys);
        }
        Ok(gone)
    }

    /// The groups that start so in which something may have expired.
    fn due_groups(&mut self, prefix: &str) -> Step<Vec<String>> {
        let (due, _) = self.rows(&self.layout.due_by(self.now_ms), usize::MAX)?;
        let groups = due.iter().filter_map(|(path, _)| Some(self.layout.due_parts(path)?.1));
        let groups: std::collections::BTreeSet<String> =
            groups.filter(|group| group.starts_with(prefix)).collect();
        Ok(groups.into_iter().collect())
    }

    /// The groups that start so, sorted, also those of which all has expired.
    pub fn groups(&mut self, prefix: &str) -> Step<Vec<GroupInfo>> {
        let span = self.layout.groups(prefix);
        let due = self.layout.due_by(self.now_ms);
        self.wants([Wanted::Span(span.clone(), usize::MAX), Wanted::Span(due, usize::MAX)])?;
        let expired = self.due_groups(prefix)?;
        let wanted =
            expired.iter().map(|group| Wanted::Span(self.layout.expired(group, self.now_ms), usize::MAX));
        self.wants(wanted.collect::<Vec<_>>())?;
        let (rows, _) = self.rows(&span, usize::MAX)?;
        let mut groups = Vec::with_capacity(rows.len());
        for (path, tally) in rows {
            let Some(name) = self.layout.group_name(&path) else {
                return Err(super::draft::Hitch::Damaged(format!("the key {path:?} is no group's")));
            };
            let GroupTally { mut keys, mut bytes, .. } = decoded(tally)?;
            if expired.binary_search(&name).is_ok() {
                let (gone_keys, gone_bytes) = self.expired_in(&name)?;
                keys = keys.saturating_sub(gone_keys);
                bytes = bytes.saturating_sub(gone_bytes);
            }
            groups.push(GroupInfo { name, keys, bytes });
        }
        Ok(groups)
    }

    /// The groups that start so and have a live key.
    pub fn live_groups(&mut self, prefix: &str) -> Step<Vec<GroupInfo>> {
        let mut groups = self.groups(prefix)?;
        groups.retain(|group| group.keys > 0);
        self.guard_all()?;
        Ok(groups)
    }

    /// The namespaces that hold something or have a quota; or only the one named.
    pub fn namespaces(&mut self, only: Option<&str>) -> Step<Vec<NamespaceInfo>> {
        let mut found: Vec<(String, NamespaceTally)> = Vec::new();
        match only {
            Some(name) => {
                let due = Wanted::Span(self.layout.due_by(self.now_ms), usize::MAX);
                self.wants([Wanted::Key(self.layout.namespace(name)), due])?;
                let tally = self.message(&self.layout.namespace(name))?;
                found.extend(tally.map(|tally| (name.to_owned(), tally)));
            }
            None => {
                let span = self.layout.namespaces();
                let due = self.layout.due_by(self.now_ms);
                self.wants([Wanted::Span(span.clone(), usize::MAX), Wanted::Span(due, usize::MAX)])?;
                for (path, tally) in self.rows(&span, usize::MAX)?.0 {
                    let name = self.layout.namespace_name(&path).unwrap_or_default();
                    found.push((name, decoded(tally)?));
                }
                self.guard_all()?;
            }
        }
        let mut infos = Vec::with_capacity(found.len());
        for (name, tally) in found {
            let gone = self.expired_under(&format!("{name}:"))?;
            let stored = tally.usage();
            let usage = Usage {
                keys: stored.keys.saturating_sub(gone.keys),
                groups: stored.groups.saturating_sub(gone.groups),
                bytes: stored.bytes.saturating_sub(gone.bytes),
            };
            let info = NamespaceInfo { name, usage, quota: tally.quota() };
            if info.usage.keys > 0 || !info.quota.is_unlimited() {
                infos.push(info);
            }
        }
        Ok(infos)
    }

    /// What was read may only count as long as nothing at all is committed: what is gone from a span is not
    /// seen by comparing what is in it.
    fn guard_all(&mut self) -> Step<()> {
        let paths = [self.layout.log(), self.layout.quotas()];
        self.wants(paths.clone().map(Wanted::Key))?;
        for path in paths {
            self.look(&path)?;
        }
        Ok(())
    }

    /// When the next stored entry expires, or one might.
    pub fn next_expiry_ms(&mut self) -> Step<Option<i64>> {
        let (rows, _) = self.rows(&self.layout.all_due(), 1)?;
        Ok(rows.first().and_then(|(path, _)| self.layout.due_parts(path)).map(|(at_ms, _)| at_ms))
    }
}
