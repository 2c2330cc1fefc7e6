//! Checks a store for damage: compares its tallies and indexes with its entries, all at one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;

use super::client::{CallError, ReadAt};
use super::layout::{
    GroupTally, Layout, Meta, NamespaceTally, Record, Span, StoredCursor, StoredEntry, StoredNote, Weight,
    next_key,
};
use super::reading::ClusterReader;
use crate::data::namespace::namespace_of;
use crate::data::{Finding, FindingKind, Result, Revision, counted};

/// How many keys one request reads.
const PAGE_KEYS: usize = 500;

/// Returns what is wrong.
pub(super) async fn check(reader: &ClusterReader) -> Result<Vec<Finding>> {
    let survey = surveyed(reader).await?;
    Ok(survey.problems(reader.latest_revision().await?))
}

/// Reads the whole store, of one revision.
pub(super) async fn surveyed(reader: &ClusterReader) -> Result<Survey> {
    loop {
        match survey(reader).await {
            // The revision was compacted, so the survey begins again at a later one.
            Err(CallError::Compacted) if reader.at == ReadAt::Linearizable => {}
            surveyed => return surveyed.map_err(|error| reader.error(error)),
        }
    }
}

/// What all keys of a store hold, in figures.
#[derive(Default)]
pub(super) struct Survey {
    groups: BTreeMap<String, GroupSurvey>,
    namespaces: BTreeMap<String, NamespaceTally>,
    due: BTreeSet<(String, i64)>,
    cursors: Vec<(String, StoredCursor)>,
    /// The keys of entries that cannot be decoded, in order.
    unreadable: Vec<Vec<u8>>,
    /// Keys that larder does not write.
    foreign: Vec<String>,
}

/// What a group holds, counted in two ways.
#[derive(Default)]
struct GroupSurvey {
    /// What its entries add up to.
    entries: GroupTally,
    /// Sums over hashes, by the entries and by their expiries. They are equal if both agree.
    entries_sum: u64,
    expiries_sum: u64,
    first_expiry_ms: Option<i64>,
    /// What its tally says.
    tally: GroupTally,
    /// Whether its tally is there and cannot be decoded.
    has_spoilt_tally: bool,
}

async fn survey(reader: &ClusterReader) -> Result<Survey, CallError> {
    let layout = &reader.context.layout;
    let mut survey = Survey::default();
    let mut span = layout.everything();
    let mut at = reader.at;
    loop {
        let page = reader.cluster.read_span(&span, PAGE_KEYS, at).await?;
        if at == ReadAt::Linearizable {
            at = ReadAt::Revision(page.revision);
        }
        for pair in &page.pairs {
            if survey.add(layout, pair.key(), pair.value()).is_some() {
                continue;
            }
            if layout.is_in_entries(pair.key()) {
                survey.unreadable.push(pair.key().to_vec());
            } else {
                survey.foreign.push(String::from_utf8_lossy(pair.key()).into_owned());
            }
        }
        let Some(last) = page.pairs.last().filter(|_| page.more) else { return Ok(survey) };
        span = Span { start: next_key(last.key()), end: span.end };
    }
}

impl Survey {
    /// Adds a key. Returns `None` if larder does not write such a key or such a value.
    fn add(&mut self, layout: &Layout, path: &[u8], value: &[u8]) -> Option<()> {
        if *path == *layout.meta() {
            Meta::decode(value).ok()?;
        } else if *path == *layout.log() {
            Record::decode(value).ok()?;
        } else if let Some((group, key)) = layout.entry_names(path) {
            let entry = StoredEntry::decode(value).ok()?;
            let bytes = (key.len() + entry.value.len()) as u64;
            let survey = self.groups.entry(group).or_default();
            survey.entries.keys += 1;
            survey.entries.bytes += bytes;
            if let Some(at_ms) = entry.expires_at_ms {
                survey.entries_sum = survey.entries_sum.wrapping_add(hash(&(at_ms, key, bytes)));
            }
        } else if let Some((group, at_ms, key)) = layout.expiry_parts(path) {
            let Weight { bytes } = Weight::decode(value).ok()?;
            let survey = self.groups.entry(group).or_default();
            survey.expiries_sum = survey.expiries_sum.wrapping_add(hash(&(at_ms, key, bytes)));
            survey.first_expiry_ms = Some(survey.first_expiry_ms.map_or(at_ms, |first| first.min(at_ms)));
        } else if let Some(group) = layout.group_name(path) {
            let survey = self.groups.entry(group).or_default();
            match GroupTally::decode(value) {
                Ok(tally) => survey.tally = tally,
                // It can be counted again.
                Err(_) => survey.has_spoilt_tally = true,
            }
        } else if let Some(name) = layout.namespace_name(path) {
            self.namespaces.insert(name, NamespaceTally::decode(value).ok()?);
        } else if let Some((at_ms, group)) = layout.due_parts(path) {
            self.due.insert((group, at_ms));
        } else if let Some(name) = layout.cursor_name(path) {
            self.cursors.push((name, StoredCursor::decode(value).ok()?));
        } else if layout.note_name(path).is_some() {
            StoredNote::decode(value).ok()?;
        } else if !layout.knows(path) {
            return None;
        }
        Some(())
    }

    /// The groups whose tally or expiries are wrong.
    pub fn faulty_groups(&self) -> impl Iterator<Item = &str> {
        let is_faulty = |(name, survey): &(&String, &GroupSurvey)| {
            self.tally_fault(name, survey).is_some() || self.expiry_fault(name, survey).is_some()
        };
        self.groups.iter().filter(is_faulty).map(|(name, _)| name.as_str())
    }

    /// The namespaces whose tally is wrong.
    pub fn faulty_namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespace_faults().into_iter().map(|(name, _)| name)
    }

    /// The keys of entries that hold what larder does not write.
    pub fn unreadable(&self) -> impl Iterator<Item = &[u8]> {
        self.unreadable.iter().map(Vec::as_slice)
    }

    pub fn problems(&self, latest: Revision) -> Vec<Finding> {
        let ahead = self.cursors.iter().filter(|(_, cursor)| Revision(cursor.revision) > latest);
        let ahead = ahead.map(|(name, cursor)| format!("{name:?} is at {}", cursor.revision));
        let groups = || self.groups.iter();
        let unreadable = self.unreadable().map(|key| format!("{:?}", String::from_utf8_lossy(key)));
        [
            Finding::of(FindingKind::ForeignEntry, unreadable),
            Finding::of(FindingKind::ForeignKey, self.foreign.iter().map(|key| format!("{key:?}"))),
            Finding::of(
                FindingKind::GroupTally,
                groups().filter_map(|(name, survey)| self.tally_fault(name, survey)),
            ),
            Finding::of(
                FindingKind::NamespaceTally,
                self.namespace_faults().into_iter().map(|(_, fault)| fault),
            ),
            Finding::of(
                FindingKind::ExpiryIndex,
                groups().filter_map(|(name, survey)| self.expiry_fault(name, survey)),
            ),
            Finding::of(FindingKind::CursorAhead, ahead),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn tally_fault(&self, name: &str, survey: &GroupSurvey) -> Option<String> {
        let (stored, counted) = (&survey.tally, &survey.entries);
        if survey.has_spoilt_tally {
            return Some(format!("{name:?} has a tally that cannot be read"));
        }
        let differs = (stored.keys, stored.bytes) != (counted.keys, counted.bytes);
        differs.then(|| {
            format!(
                "{name:?} has {} of {} bytes, and its tally says {} of {}",
                self::counted(counted.keys, "key"),
                counted.bytes,
                stored.keys,
                stored.bytes
            )
        })
    }

    fn expiry_fault(&self, name: &str, survey: &GroupSurvey) -> Option<String> {
        if survey.entries_sum != survey.expiries_sum {
            return Some(format!("the index of the group {name:?} does not match its entries"));
        }
        let due_ms = survey.tally.first_expiry_ms;
        let due_ms = due_ms.filter(|at_ms| self.due.contains(&(name.to_owned(), *at_ms)));
        let is_late = survey.first_expiry_ms.is_some_and(|at_ms| due_ms.is_none_or(|due_ms| due_ms > at_ms));
        is_late.then(|| format!("the first expiry of the group {name:?} would be noticed too late"))
    }

    /// The namespaces whose tally is wrong, and what is wrong with each.
    fn namespace_faults(&self) -> Vec<(&str, String)> {
        let mut expected: BTreeMap<&str, NamespaceTally> = BTreeMap::new();
        for (group, survey) in &self.groups {
            let Some(namespace) = namespace_of(group) else { continue };
            let tally = expected.entry(namespace).or_default();
            tally.keys += survey.entries.keys;
            tally.bytes += survey.entries.bytes;
            tally.groups += u64::from(survey.entries.keys > 0);
        }
        let names = self.namespaces.keys().map(String::as_str);
        let names = names.chain(expected.keys().copied()).collect::<BTreeSet<_>>();
        let fault = |name| {
            let tally = self.namespaces.get(name).copied().unwrap_or_default().usage();
            let counted = expected.get(name).copied().unwrap_or_default().usage();
            (tally != counted).then(|| {
                let fault = format!(
                    "{name:?} has {} in {} of {} bytes, and its tally says {} in {} of {}",
                    self::counted(counted.keys, "key"),
                    self::counted(counted.groups, "group"),
                    counted.bytes,
                    tally.keys,
                    tally.groups,
                    tally.bytes
                );
                (name, fault)
            })
        };
        names.into_iter().filter_map(fault).collect()
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
