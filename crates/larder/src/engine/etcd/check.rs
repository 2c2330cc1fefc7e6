//! Checks a store for damage: compares its tallies and indexes with its entries, all at one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;

use super::client::{CallError, ReadAt};
use super::layout::{
    GroupTally, Layout, Meta, NamespaceTally, Record, Span, StoredCursor, StoredEntry, Weight, next_key,
};
use super::reading::ClusterReader;
use crate::data::namespace::namespace_of;
use crate::data::{Result, Revision};

/// How many keys one request reads.
const PAGE_KEYS: usize = 500;

/// Returns a line for each problem.
pub(super) async fn check(reader: &ClusterReader) -> Result<Vec<String>> {
    let survey = loop {
        match survey(reader).await {
            // The revision was compacted, so the survey begins again at a later one.
            Err(CallError::Compacted) if reader.at == ReadAt::Linearizable => {}
            surveyed => break surveyed.map_err(|error| reader.error(error))?,
        }
    };
    Ok(survey.problems(reader.latest_revision().await?))
}

/// What all keys of a store hold, in figures.
#[derive(Default)]
struct Survey {
    groups: BTreeMap<String, GroupSurvey>,
    namespaces: BTreeMap<String, NamespaceTally>,
    due: BTreeSet<(String, i64)>,
    cursors: Vec<StoredCursor>,
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
            if survey.add(layout, pair.key(), pair.value()).is_none() {
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
            self.groups.entry(group).or_default().tally = GroupTally::decode(value).ok()?;
        } else if let Some(name) = layout.namespace_name(path) {
            self.namespaces.insert(name, NamespaceTally::decode(value).ok()?);
        } else if let Some((at_ms, group)) = layout.due_parts(path) {
            self.due.insert((group, at_ms));
        } else if layout.cursor_name(path).is_some() {
            self.cursors.push(StoredCursor::decode(value).ok()?);
        } else if !layout.knows(path) {
            return None;
        }
        Some(())
    }

    fn problems(&self, latest: Revision) -> Vec<String> {
        let foreign =
            self.foreign.iter().map(|key| format!("the key {key:?} holds what larder does not write"));
        let mut problems: Vec<String> = foreign.collect();
        for (name, survey) in &self.groups {
            self.check_group(name, survey, &mut problems);
        }
        self.check_namespaces(&mut problems);
        let ahead = self.cursors.iter().filter(|cursor| Revision(cursor.revision) > latest).count();
        if ahead > 0 {
            problems.push(format!("{ahead} cursors have a later revision than the store"));
        }
        problems
    }

    fn check_group(&self, name: &str, survey: &GroupSurvey, problems: &mut Vec<String>) {
        let GroupTally { keys, bytes, first_expiry_ms } = survey.tally;
        if (keys, bytes) != (survey.entries.keys, survey.entries.bytes) {
            problems.push(format!(
                "the group {name:?} has {} keys of {} bytes, and its tally says {keys} of {bytes}",
                survey.entries.keys, survey.entries.bytes
            ));
        }
        if survey.entries_sum != survey.expiries_sum {
            problems.push(format!("the index of expiries of the group {name:?} does not match its entries"));
        }
        let due_ms = first_expiry_ms.filter(|at_ms| self.due.contains(&(name.to_owned(), *at_ms)));
        if survey.first_expiry_ms.is_some_and(|at_ms| due_ms.is_none_or(|due_ms| due_ms > at_ms)) {
            problems.push(format!("the first expiry of the group {name:?} would be noticed too late"));
        }
    }

    fn check_namespaces(&self, problems: &mut Vec<String>) {
        let mut expected: BTreeMap<&str, NamespaceTally> = BTreeMap::new();
        for (group, survey) in &self.groups {
            let Some(namespace) = namespace_of(group) else { continue };
            let tally = expected.entry(namespace).or_default();
            tally.keys += survey.entries.keys;
            tally.bytes += survey.entries.bytes;
            tally.groups += u64::from(survey.entries.keys > 0);
        }
        let names = self.namespaces.keys().map(String::as_str);
        for name in names.chain(expected.keys().copied()).collect::<BTreeSet<_>>() {
            let tally = self.namespaces.get(name).copied().unwrap_or_default().usage();
            let counted = expected.get(name).copied().unwrap_or_default().usage();
            if tally != counted {
                problems
                    .push(format!("the namespace {name:?} holds {counted:?}, and its tally says {tally:?}"));
            }
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
