//! Applies the feed to a plain map: each event must be possible, and the final map must equal the store.

use std::collections::BTreeMap;

use larder::Store;

use super::feed::Feed;
use super::record::{ReceivedEvent, unix_ms};
use super::targets::{ACCOUNT_KEYS, ACCOUNT_START, ACCOUNTS, QUOTA, TENANT, TOGETHER};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: String,
    expires_ms: Option<u64>,
    revision: u64,
}

impl Entry {
    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }
}

#[derive(Default)]
struct Plain {
    entries: BTreeMap<(String, String), Entry>,
    pub expired: u64,
}

impl Plain {
    fn apply(&mut self, event: &ReceivedEvent) -> Result<(), String> {
        let name = |key: &str| (event.group.clone(), key.to_owned());
        match (event.kind.as_str(), &event.key, &event.value) {
            ("set", Some(key), Some(value)) => {
                let (value, revision) = (value.clone(), event.revision);
                let entry = Entry { value, expires_ms: event.expires_ms, revision };
                let before = self.entries.insert(name(key), entry);
                match before.filter(|before| before.is_expired(event.at_ms)) {
                    Some(before) => {
                        Err(format!("it replaces {before:?}, which had expired without an event"))
                    }
                    None => Ok(()),
                }
            }
            ("delete", Some(key), None) => match self.entries.remove(&name(key)) {
                None => Err("it deletes an absent entry".into()),
                Some(before) if before.is_expired(event.at_ms) => Err(format!("{before:?} had expired")),
                Some(_) => Ok(()),
            },
            ("expire", Some(key), None) => match self.entries.remove(&name(key)) {
                None => Err("it expires an absent entry".into()),
                Some(before) if before.expires_ms != event.expires_ms => {
                    Err(format!("it expires another entry, {before:?}"))
                }
                Some(before) if !before.is_expired(event.at_ms) => Err(format!("{before:?} was not due")),
                Some(_) => {
                    self.expired += 1;
                    Ok(())
                }
            },
            ("delete_group", None, None) => {
                let before = self.entries.len();
                let expired = self
                    .entries
                    .iter()
                    .filter(|((group, _), entry)| *group == event.group && entry.is_expired(event.at_ms))
                    .count();
                self.entries.retain(|(group, _), _| *group != event.group);
                match self.entries.len() {
                    after if after == before => Err("it deletes an absent group".into()),
                    _ if expired > 0 => Err(format!("{expired} entries had expired without an event")),
                    _ => Ok(()),
                }
            }
            _ => Err("an event of an unknown kind".into()),
        }
    }

    /// Checks what must hold after each commit.
    fn check(&self, at_ms: u64, is_quota_set: bool) -> Result<(), String> {
        let group = |name: &'static str| {
            self.entries.iter().filter(move |((group, _), _)| group == name).map(|(_, entry)| entry)
        };
        let sum: i64 = group(ACCOUNTS).map(|entry| entry.value.parse::<i64>().unwrap()).sum();
        if sum != ACCOUNT_KEYS as i64 * ACCOUNT_START {
            return Err(format!("the accounts hold {sum} in total"));
        }
        let together: Vec<_> = TOGETHER
            .iter()
            .map(|(group, key)| self.entries.get(&((*group).to_owned(), (*key).to_owned())))
            .collect();
        if together.iter().any(|entry| *entry != together[0]) {
            return Err(format!("half a batch: {together:?}"));
        }
        let prefix = format!("{TENANT}:");
        let live: Vec<_> = self
            .entries
            .iter()
            .filter(|((group, _), entry)| group.starts_with(&prefix) && !entry.is_expired(at_ms))
            .collect();
        let bytes: usize = live.iter().map(|((_, key), entry)| key.len() + entry.value.len()).sum();
        let groups: std::collections::BTreeSet<_> = live.iter().map(|((group, _), _)| group).collect();
        let (keys, groups, bytes) = (live.len() as u64, groups.len() as u64, bytes as u64);
        let fits = Some(keys) <= QUOTA.max_keys
            && Some(groups) <= QUOTA.max_groups
            && Some(bytes) <= QUOTA.max_bytes;
        if is_quota_set && !fits {
            return Err(format!("over quota: {keys} keys, {groups} groups, {bytes} bytes"));
        }
        Ok(())
    }
}

/// Returns how many entries expired, and every inconsistency.
pub fn check(feed: &Feed, store: &Store) -> (u64, Vec<String>) {
    let (mut plain, mut wrong) = (Plain::default(), Vec::new());
    if !feed.is_whole() {
        return (0, wrong);
    }
    let mut events = feed.events().peekable();
    while let Some(event) = events.next() {
        if let Err(reason) = plain.apply(event) {
            wrong.push(format!("{event:?}: {reason}"));
        }
        if events.peek().is_none_or(|next| next.revision != event.revision)
            && let Err(reason) = plain.check(event.at_ms, true)
        {
            wrong.push(format!("after {event:?}: {reason}"));
        }
    }
    let mut stored = BTreeMap::new();
    for group in store.groups("").unwrap() {
        for entry in store.entries(&group.name).unwrap().map(Result::unwrap) {
            let value = entry.value.as_str().unwrap().to_owned();
            let (expires_ms, revision) = (entry.expires_at.map(unix_ms), entry.revision.0);
            stored.insert((group.name.clone(), entry.key), Entry { value, expires_ms, revision });
        }
    }
    for (name, entry) in &stored {
        if plain.entries.get(name) != Some(entry) {
            wrong.push(format!(
                "{name:?} is {entry:?} in the store, but {:?} by the feed",
                plain.entries.get(name)
            ));
        }
    }
    for (name, entry) in plain.entries.iter().filter(|(name, _)| !stored.contains_key(*name)) {
        wrong.push(format!("{name:?} is absent in the store, but {entry:?} by the feed"));
    }
    (plain.expired, wrong)
}
