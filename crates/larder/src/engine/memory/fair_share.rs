//! The share of one namespace in a history that several use. A namespace that fills a quarter of it gets a history of
//! its own with the same bounds, before the shared one has lost anything for its sake: so one tenant does not prune
//! what others have logged.

use std::collections::HashMap;

use super::log::Part;
use crate::data::History;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::rules::{DIVIDED_MAX, Division, LOOK_EVERY, SAMPLES, SHARE, may_be_divided};

/// The division that a part of the log needs now. Looks only once the part has grown by a good deal since the last
/// look.
pub(super) fn needed(parts: &mut [Part], index: usize, bounds: History) -> Option<Division> {
    let part = &parts[index];
    if !may_be_divided(&part.prefix, part.is_none(), &bounds) {
        return None;
    }
    let (changes, bytes) = part.size();
    let share = (bounds.changes / SHARE, bounds.bytes / SHARE);
    let (number, logged) = part.looked_at;
    let has_grown = part.last.number >= number.saturating_add(bounds.changes / LOOK_EVERY)
        || part.last.bytes >= logged.saturating_add(bounds.bytes / LOOK_EVERY);
    let may_be_due = changes >= share.0 || bytes >= share.1;
    if !has_grown || !may_be_due {
        return None;
    }
    if parts.iter().filter(|part| namespace_of(&part.prefix).is_some()).count() >= DIVIDED_MAX {
        return None;
    }
    let by_number = |step| part.pruned.number + 1 + changes * step / SAMPLES;
    let by_bytes = |step| part.first_with(part.pruned.bytes + 1 + bytes / SAMPLES * step, part.last.number);
    let found = part.largest(changes, share.0, by_number).or_else(|| part.largest(bytes, share.1, by_bytes));
    if found.is_none() {
        let part = &mut parts[index];
        part.looked_at = (part.last.number, part.last.bytes);
    }
    found.map(|namespace| Division { prefix: prefix_of(&namespace), bounds })
}

impl Part {
    /// The namespace that has at least `share` of the `size` of this part, judged by samples.
    fn largest(&self, size: u64, share: u64, sample: impl Fn(u64) -> u64) -> Option<String> {
        if size < share {
            return None;
        }
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for step in 0..SAMPLES {
            let group = self.change(sample(step)).map(|change| &*change.event.group);
            if let Some(namespace) = group.and_then(namespace_of) {
                *counts.entry(namespace).or_default() += 1;
            }
        }
        let largest = counts.into_iter().max_by_key(|(_, count)| *count);
        let (namespace, _) = largest.filter(|(_, count)| count * (size / SAMPLES) >= share)?;
        Some(namespace.to_owned())
    }
}
