//! Looking for damage: everything of one revision, held against itself.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;

use super::cluster::Trouble;
use super::fetch::{Moment, pairs};
use super::layout::{
    CursorPlace, GroupTally, Layout, Meta, NamespaceTally, Record, Span, StoredEntry, Weight, next_key,
};
use super::log::Log;
use super::reading::Reading;
use crate::data::namespace::namespace_of;
use crate::data::{Result, Revision};

/// How many keys are read at once.
const PAGE: usize = 500;

/// A line for each thing that is not as it should be.
pub(super) async fn check(reading: &Reading, log: &Log) -> Result<Vec<String>> {
    let survey = loop {
        match survey(reading).await {
            // Somebody has compacted the cluster in between: it begins anew.
            Err(Trouble::Compacted) if reading.moment == Moment::Now => {}
            surveyed => break surveyed.map_err(|trouble| reading.error(trouble))?,
        }
    };
    let latest = log.latest(Moment::Now).await.map_err(|trouble| reading.error(trouble))?;
    Ok(survey.problems(latest))
}

/// All that a store holds, in figures.
#[derive(Default)]
struct Survey {
    groups: BTreeMap<String, Counted>,
    namespaces: BTreeMap<String, NamespaceTally>,
    due: BTreeSet<(String, i64)>,
    cursors: Vec<CursorPlace>,
    /// Keys that make no sense.
    strange: Vec<String>,
}

/// What a group holds, counted in two ways.
#[derive(Default)]
struct Counted {
    entries: GroupTally,
    /// Sums that are the same where entries and expiries name the same.
    expiring: u64,
    expiries: u64,
    first_expiry_ms: Option<i64>,
    tally: GroupTally,
}

async fn survey(reading: &Reading) -> Result<Survey, Trouble> {
    let mut survey = Survey::default();
    let mut rest = reading.layout.everything();
    let mut moment = reading.moment;
    loop {
        let page = pairs(&reading.cluster, &rest, PAGE, moment, false).await?;
        if moment == Moment::Now {
            moment = Moment::At(page.revision);
        }
        for pair in &page.pairs {
            if survey.note(&reading.layout, pair.key(), pair.value()).is_none() {
                survey.strange.push(String::from_utf8_lossy(pair.key()).into_owned());
            }
        }
        let Some(last) = page.pairs.last().filter(|_| page.more) else { return Ok(survey) };
        rest = Span { start: next_key(last.key()), end: rest.end };
    }
}

impl Survey {
    /// Notes what a key holds; `None` where it makes no sense.
    fn note(&mut self, layout: &Layout, path: &[u8], value: &[u8]) -> Option<()> {
        if *path == *layout.meta() {
            Meta::decode(value).ok()?;
        } else if *path == *layout.log() {
            Record::decode(value).ok()?;
        } else if let Some((group, key)) = layout.entry_names(path) {
            let entry = StoredEntry::decode(value).ok()?;
            let bytes = (key.len() + entry.value.len()) as u64;
            let counted = self.groups.entry(group).or_default();
            counted.entries.keys += 1;
            counted.entries.bytes += bytes;
            if let Some(at_ms) = entry.expires_at_ms {
                counted.expiring = counted.expiring.wrapping_add(hash(&(at_ms, key, bytes)));
            }
        } else if let Some((group, at_ms, key)) = layout.expiry_parts(path) {
            let Weight { bytes } = Weight::decode(value).ok()?;
            let counted = self.groups.entry(group).or_default();
            counted.expiries = counted.expiries.wrapping_add(hash(&(at_ms, key, bytes)));
            counted.first_expiry_ms = Some(counted.first_expiry_ms.map_or(at_ms, |first| first.min(at_ms)));
        } else if let Some(group) = layout.group_name(path) {
            self.groups.entry(group).or_default().tally = GroupTally::decode(value).ok()?;
        } else if let Some(name) = layout.namespace_name(path) {
            self.namespaces.insert(name, NamespaceTally::decode(value).ok()?);
        } else if let Some((at_ms, group)) = layout.due_parts(path) {
            self.due.insert((group, at_ms));
        } else if layout.cursor_name(path).is_some() {
            self.cursors.push(CursorPlace::decode(value).ok()?);
        } else if !layout.knows(path) {
            return None;
        }
        Some(())
    }

    fn problems(&self, latest: Revision) -> Vec<String> {
        let strange =
            self.strange.iter().map(|key| format!("the key {key:?} holds what larder does not write"));
        let mut problems: Vec<String> = strange.collect();
        for (name, counted) in &self.groups {
            self.hold_against_itself(name, counted, &mut problems);
        }
        let mut expected: BTreeMap<&str, NamespaceTally> = BTreeMap::new();
        for (name, counted) in &self.groups {
            let Some(namespace) = namespace_of(name) else { continue };
            let tally = expected.entry(namespace).or_default();
            tally.keys += counted.entries.keys;
            tally.bytes += counted.entries.bytes;
            tally.groups += u64::from(counted.entries.keys > 0);
        }
        let told = self.namespaces.keys().map(String::as_str);
        for name in told.chain(expected.keys().copied()).collect::<BTreeSet<_>>() {
            let told = self.namespaces.get(name).copied().unwrap_or_default().usage();
            let counted = expected.get(name).copied().unwrap_or_default().usage();
            if told != counted {
                problems
                    .push(format!("the namespace {name:?} holds {counted:?}, and its tally says {told:?}"));
            }
        }
        let ahead = self.cursors.iter().filter(|place| Revision(place.revision) > latest).count();
        if ahead > 0 {
            problems.push(format!("{ahead} cursors of a later revision than the store's"));
        }
        problems
    }

    fn hold_against_itself(&self, name: &str, counted: &Counted, problems: &mut Vec<String>) {
        let GroupTally { keys, bytes, first_expiry_ms } = counted.tally;
        if (keys, bytes) != (counted.entries.keys, counted.entries.bytes) {
            problems.push(format!(
                "the group {name:?} has {} keys of {} bytes, and its tally says {keys} of {bytes}",
                counted.entries.keys, counted.entries.bytes
            ));
        }
        if counted.expiring != counted.expiries {
            problems.push(format!("what expires in the group {name:?} is not what its index says"));
        }
        let known = first_expiry_ms.filter(|at_ms| self.due.contains(&(name.to_owned(), *at_ms)));
        if counted.first_expiry_ms.is_some_and(|at_ms| known.is_none_or(|known| known > at_ms)) {
            problems.push(format!("what expires in the group {name:?} would be found too late"));
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
