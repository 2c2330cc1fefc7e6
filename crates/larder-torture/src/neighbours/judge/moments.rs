//! What was there when a call began, and what was not when it had ended.

use std::collections::BTreeMap;

use super::{Places, found};
use crate::neighbours::history::{Asked, Look, Record, Told};

/// Revisions by the moments of the calls.
pub struct Moments {
    /// Moments at which calls returned, each with the latest revision that was proven by then.
    proven: Vec<(u64, u64)>,
    /// Moments at which writes were asked for, each with the earliest revision of those asked for from then on.
    asked: Vec<(u64, u64)>,
}

impl Moments {
    pub fn new(records: &[Record], places: &Places, claimed: &BTreeMap<u64, &Record>) -> Self {
        let mut proven: Vec<(u64, u64)> = records
            .iter()
            .filter(|record| matches!(record.told, Told::Done(_)))
            .map(|record| (record.returned, shown(record, places)))
            .filter(|(_, revision)| *revision > 0)
            .collect();
        proven.sort_unstable();
        let mut latest = 0;
        for (_, revision) in &mut proven {
            latest = latest.max(*revision);
            *revision = latest;
        }
        let mut asked: Vec<(u64, u64)> =
            claimed.iter().map(|(revision, record)| (record.invoked, *revision)).collect();
        asked.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, revision) in asked.iter_mut().rev() {
            earliest = earliest.min(*revision);
            *revision = earliest;
        }
        Self { proven, asked }
    }

    /// The latest revision that was there at a moment for certain.
    pub fn proven_before(&self, moment: u64) -> u64 {
        let later = self.proven.partition_point(|(returned, _)| *returned < moment);
        later.checked_sub(1).and_then(|last| self.proven.get(last)).map_or(0, |(_, revision)| *revision)
    }

    /// The last revision that can have been there at a moment: whatever was asked for later was not.
    pub fn last_before(&self, moment: u64) -> u64 {
        let later = self.asked.partition_point(|(invoked, _)| *invoked <= moment);
        self.asked.get(later).map_or(u64::MAX, |(_, revision)| revision.saturating_sub(1))
    }
}

/// The latest revision that a call proves was there when it returned.
fn shown(record: &Record, places: &Places) -> u64 {
    let looks = match &record.asked {
        Asked::Write { effects, .. } => {
            let Told::Done(revision) = record.told else { return 0 };
            return revision.or_else(|| found(effects, places).into_iter().max()).unwrap_or_default();
        }
        Asked::Read(looks) => looks,
        Asked::Copy { revision, .. } => return *revision,
        Asked::NoRoom { .. } | Asked::SetQuota(_) | Asked::Quota(_) => return 0,
    };
    let of_look = |look: &Look| match look {
        Look::Entry { found: Some((revision, _)), .. } => *revision,
        Look::Value { group, key, found: Some(value) } => {
            let place = places.get(&(group.as_str(), key.as_str(), value.as_str()));
            place.and_then(|place| place.first().copied()).unwrap_or_default()
        }
        Look::Group { group, found, .. } => {
            let place = |(key, value): &(String, String)| {
                places.get(&(group.as_str(), key.as_str(), value.as_str()))?.first().copied()
            };
            found.iter().filter_map(place).max().unwrap_or_default()
        }
        _ => 0,
    };
    looks.iter().map(of_look).max().unwrap_or_default()
}
