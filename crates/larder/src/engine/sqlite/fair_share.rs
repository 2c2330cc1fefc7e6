//! The share of one namespace in a history that several use. A namespace that fills a quarter of it gets a history of
//! its own with the same bounds, before the shared one has lost anything for its sake: so one tenant does not prune
//! what others have logged.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::log_parts::{Part, Parts};
use crate::data::History;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::rules::{DIVIDED_MAX, Division, LOOK_EVERY, SAMPLES, SHARE, may_be_divided};

/// The division that a part of the log needs now. Looks only once the part has grown by a good deal since the last
/// look.
pub(super) fn needed(
    parts: &mut Parts,
    index: usize,
    connection: &Connection,
    bounds: History,
) -> rusqlite::Result<Option<Division>> {
    let part = &parts.0[index];
    if !may_be_divided(&part.prefix, part.is_none(), &bounds) {
        return Ok(None);
    }
    let (changes, bytes) = part.size();
    let share = (bounds.changes / SHARE, bounds.bytes / SHARE);
    let (number, logged) = part.looked_at;
    let has_grown = part.last.number >= number.saturating_add(bounds.changes / LOOK_EVERY)
        || part.last.bytes >= logged.saturating_add(bounds.bytes / LOOK_EVERY);
    let may_be_due = changes >= share.0 || bytes >= share.1;
    let divided = parts.0.iter().filter(|part| namespace_of(&part.prefix).is_some()).count();
    if !has_grown || !may_be_due || divided >= DIVIDED_MAX {
        return Ok(None);
    }
    let found = match part.largest(connection, changes, share.0, |part, step| {
        Ok(part.pruned.number + 1 + changes * step / SAMPLES)
    })? {
        None => part.largest(connection, bytes, share.1, |part, step| {
            part.first_with(connection, part.pruned.bytes + 1 + bytes / SAMPLES * step, part.last.number)
        })?,
        found => found,
    };
    let part = &mut parts.0[index];
    if found.is_none() {
        part.looked_at = (part.last.number, part.last.bytes);
    }
    Ok(found.map(|namespace| Division { prefix: prefix_of(&namespace), bounds }))
}

impl Part {
    /// The namespace that has at least `share` of the `size` of this part, judged by samples.
    fn largest(
        &self,
        connection: &Connection,
        size: u64,
        share: u64,
        sample: impl Fn(&Self, u64) -> rusqlite::Result<u64>,
    ) -> rusqlite::Result<Option<String>> {
        if size < share {
            return Ok(None);
        }
        let mut counts: HashMap<String, u64> = HashMap::new();
        for step in 0..SAMPLES {
            let number = sample(self, step)?;
            let group: Option<String> = connection
                .prepare_cached("SELECT group_name FROM changes WHERE rowid = ?1")?
                .query_row([self.id(number)], |row| row.get(0))
                .optional()?;
            if let Some(namespace) = group.as_deref().and_then(namespace_of) {
                *counts.entry(namespace.to_owned()).or_default() += 1;
            }
        }
        let largest = counts.into_iter().max_by_key(|(_, count)| *count);
        Ok(largest.filter(|(_, count)| count * (size / SAMPLES) >= share).map(|(namespace, _)| namespace))
    }
}
