//! Applies the feed to a plain map: each event must be possible, and the final map must equal the store.

use std::collections::BTreeMap;

use larder::Store;

use super::clock::DIFFERENCE_MAX;
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
    /// The latest time by the clock of any client that has committed.
    latest_ms: u64,
}

impl Plain {
    fn apply(&mut self, event: &ReceivedEvent) -> Result<(), String> {
        self.latest_ms = self.latest_ms.max(event.at_ms);
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
    fn check(&self) -> Result<(), String> {
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
        // A client whose clock is as far behind as it may be still sees what has not expired by then.
        let certain_ms = self.latest_ms.saturating_sub(DIFFERENCE_MAX.as_millis() as u64);
        let prefix = format!("{TENANT}:");
        let live: Vec<_> = self
            .entries
            .iter()
            .filter(|((group, _), entry)| group.starts_with(&prefix) && !entry.is_expired(certain_ms))
            .collect();
        let bytes: usize = live.iter().map(|((_, key), entry)| key.len() + entry.value.len()).sum();
        let groups: std::collections::BTreeSet<_> = live.iter().map(|((group, _), _)| group).collect();
        let (keys, groups, bytes) = (live.len() as u64, groups.len() as u64, bytes as u64);
        let fits = Some(keys) <= QUOTA.max_keys
            && Some(groups) <= QUOTA.max_groups
            && Some(bytes) <= QUOTA.max_bytes;
        if !fits {
            return Err(format!("over quota: {keys} keys, {groups} groups, {bytes} bytes"));
        }
        Ok(())
    }
}

/// Returns how many entries expired, and every inconsistency. With a store, its content must be what the feed leads to.
pub fn check(feed: &Feed, store: Option<&Store>) -> (u64, Vec<String>) {
    let (mut plain, mut wrong) = (Plain::default(), Vec::new());
    if !feed.is_whole() {
        return (0, wrong);
    }
    for (commit, from) in feed.by_commit() {
        for (index, event) in commit.iter().enumerate() {
            let mut applied = plain.apply(event);
            if applied.is_ok() && is_early(event, &commit[index..]) {
                applied = Err("others could still read it".into());
            }
            if let Err(reason) = applied {
                wrong.push(format!("{event:?}: {reason}"));
            }
        }
        if let Err(reason) = plain.check() {
            wrong.push(format!("after revision {from}: {reason}"));
        }
    }
    if let Some(store) = store {
        wrong.extend(plain.differences(store));
    }
    (plain.expired, wrong)
}

/// Whether an entry expired while the clock of another client may have been before its expiry. Only a write of the same
/// entry or group may remove it then.
fn is_early(event: &ReceivedEvent, rest: &[ReceivedEvent]) -> bool {
    let Some(expires_ms) = event.expires_ms.filter(|_| event.kind == "expire") else { return false };
    let is_written = |other: &&ReceivedEvent| {
        other.group == event.group
            && (other.kind == "delete_group" || (other.kind == "set" && other.key == event.key))
    };
    event.at_ms < expires_ms + DIFFERENCE_MAX.as_millis() as u64
        && !rest.iter().any(|other| is_written(&other))
}

impl Plain {
    /// Where a store differs from this.
    fn differences(&self, store: &Store) -> Vec<String> {
        let plain = self;
        let mut wrong = Vec::new();
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
        wrong
    }
}
