//! Figures about a store, and looking for damage.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fetch::{Moment, pairs};
use super::layout::{
    CursorPlace, GroupTally, Layout, Meta, NamespaceTally, Record, Span, StoredEntry, Weight, next_key,
};
use super::log::Log;
use super::reading::Reading;
use crate::engine::{Extent, LogPosition};
use crate::scoped::namespace_of;
use crate::{Result, Revision, Stats};

/// How many keys are read at once.
const PAGE: usize = 500;

pub(super) async fn stats(reading: &Reading, log: &Log, identity: &str) -> Result<Stats> {
    let (usage, namespaces) =
        reading.find(|draft| Ok((draft.usage(Extent::Prefix(""))?, draft.namespaces(None)?))).await?;
    let oldest = log.oldest().await?;
    let (history_changes, history_bytes, _) = log.count_after(LogPosition::after(oldest)).await?;
    let cursors = super::cursors::list(&reading.cluster, &reading.layout, log, "").await?;
    let revision = log.latest(Moment::Now).await.map_err(|trouble| reading.error(trouble))?;
    let file_bytes = reading.cluster.database_bytes().await.map_err(|trouble| reading.error(trouble))?;
    Ok(Stats {
        identity: identity.to_owned(),
        revision,
        keys: usage.keys,
        groups: usage.groups,
        namespaces: namespaces.len() as u64,
        bytes: usage.bytes,
        file_bytes,
        wal_bytes: 0,
        history_from: oldest,
        history_changes,
        history_bytes,
        cursors,
    })
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

/// Reads everything of one revision and holds it against itself.
pub(super) async fn check(reading: &Reading, log: &Log) -> Result<Vec<String>> {
    let layout = &reading.layout;
    let mut groups: BTreeMap<String, Counted> = BTreeMap::new();
    let mut namespaces: BTreeMap<String, NamespaceTally> = BTreeMap::new();
    let mut due: BTreeSet<(String, i64)> = BTreeSet::new();
    let mut cursors = Vec::new();
    let mut problems = Vec::new();
    let mut rest = layout.everything();
    let mut moment = reading.moment;
    loop {
        let page = pairs(&reading.cluster, &rest, PAGE, moment, false).await;
        let page = page.map_err(|trouble| reading.error(trouble))?;
        if moment == Moment::Now {
            moment = Moment::At(page.revision);
        }
        for pair in &page.pairs {
            let sound =
                note(layout, pair.key(), pair.value(), &mut groups, &mut namespaces, &mut due, &mut cursors);
            if sound.is_none() {
                problems.push(format!(
                    "the key {:?} holds what larder does not write",
                    String::from_utf8_lossy(pair.key())
                ));
            }
        }
        let Some(last) = page.pairs.last().filter(|_| page.more) else { break };
        rest = Span { start: next_key(last.key()), end: rest.end };
    }
    let mut expected: BTreeMap<String, NamespaceTally> = BTreeMap::new();
    for (name, counted) in &groups {
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
        let known = first_expiry_ms.filter(|at_ms| due.contains(&(name.clone(), *at_ms)));
        if counted.first_expiry_ms.is_some_and(|at_ms| known.is_none_or(|known| known > at_ms)) {
            problems.push(format!("what expires in the group {name:?} would be found too late"));
        }
        if let Some(namespace) = namespace_of(name) {
            let tally = expected.entry(namespace.to_owned()).or_default();
            tally.keys += counted.entries.keys;
            tally.bytes += counted.entries.bytes;
            tally.groups += u64::from(counted.entries.keys > 0);
        }
    }
    for name in namespaces.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let told = namespaces.get(name).copied().unwrap_or_default().usage();
        let counted = expected.get(name).copied().unwrap_or_default().usage();
        if told != counted {
            problems.push(format!("the namespace {name:?} holds {counted:?}, and its tally says {told:?}"));
        }
    }
    let latest = log.latest(Moment::Now).await.map_err(|trouble| reading.error(trouble))?;
    let ahead = cursors.iter().filter(|place: &&CursorPlace| Revision(place.revision) > latest).count();
    if ahead > 0 {
        problems.push(format!("{ahead} cursors of a later revision than the store's"));
    }
    Ok(problems)
}

/// Notes what a key holds; `None` where it makes no sense.
fn note(
    layout: &Layout,
    path: &[u8],
    value: &[u8],
    groups: &mut BTreeMap<String, Counted>,
    namespaces: &mut BTreeMap<String, NamespaceTally>,
    due: &mut BTreeSet<(String, i64)>,
    cursors: &mut Vec<CursorPlace>,
) -> Option<()> {
    use prost::Message;
    if *path == *layout.meta() {
        Meta::decode(value).ok()?;
    } else if *path == *layout.log() {
        Record::decode(value).ok()?;
    } else if let Some((group, key)) = layout.entry_names(path) {
        let entry = StoredEntry::decode(value).ok()?;
        let bytes = (key.len() + entry.value.len()) as u64;
        let counted = groups.entry(group).or_default();
        counted.entries.keys += 1;
        counted.entries.bytes += bytes;
        if let Some(at_ms) = entry.expires_at_ms {
            counted.expiring = counted.expiring.wrapping_add(hash(&(at_ms, key, bytes)));
        }
    } else if let Some((group, at_ms, key)) = layout.expiry_parts(path) {
        let Weight { bytes } = Weight::decode(value).ok()?;
        let counted = groups.entry(group).or_default();
        counted.expiries = counted.expiries.wrapping_add(hash(&(at_ms, key, bytes)));
        counted.first_expiry_ms = Some(counted.first_expiry_ms.map_or(at_ms, |first| first.min(at_ms)));
    } else if let Some(group) = layout.group_name(path) {
        groups.entry(group).or_default().tally = GroupTally::decode(value).ok()?;
    } else if let Some(name) = layout.namespace_name(path) {
        namespaces.insert(name, NamespaceTally::decode(value).ok()?);
    } else if let Some((at_ms, group)) = layout.due_parts(path) {
        due.insert((group, at_ms));
    } else if layout.cursor_name(path).is_some() {
        cursors.push(CursorPlace::decode(value).ok()?);
    } else if !layout.knows(path) {
        return None;
    }
    Some(())
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
