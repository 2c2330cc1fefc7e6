//! Whether watchers and the named cursor received every change, once and in order.

use super::held::Held;
use crate::simulator::history::{Change, Consumed, Watched};

/// All changes in order.
fn flat(held: &Held) -> Vec<(u64, &Change)> {
    held.log.iter().flat_map(|(revision, rows)| rows.iter().map(|row| (*revision, &row.change))).collect()
}

/// What is wrong with what a watcher has received.
pub fn watched(watched: &Watched, held: &Held) -> Option<String> {
    let Watched { client, after, changes, must_reach } = watched;
    let all = flat(held);
    let mut expected = all.iter().filter(|(revision, _)| revision > after);
    for (revision, change) in changes {
        match expected.next() {
            Some((next, logged)) if next == revision && *logged == change => {}
            next => {
                return Some(format!(
                    "a watcher of {client} received {change:?} at {revision} and not {next:?}"
                ));
            }
        }
    }
    expected
        .next()
        .filter(|(revision, _)| revision <= must_reach)
        .map(|missing| format!("a watcher of {client} never received {missing:?}"))
}

/// What is wrong with what the consumers of the named cursor have received.
pub fn consumed(steps: &[Consumed], held: &Held) -> Option<String> {
    let all = flat(held);
    // From where the next consumer may begin: after what is known to be acknowledged, up to what may be.
    let (mut known, mut perhaps) = (0, 0);
    let mut at: Option<usize> = None;
    for step in steps {
        match step {
            Consumed::Opened => at = None,
            Consumed::Received(revision, change) => {
                let fits = |place: &usize| all.get(*place).is_some_and(|next| *next == (*revision, change));
                let begins = || (known..=perhaps).find(fits);
                let Some(place) = at.map_or_else(begins, |at| Some(at + 1).filter(fits)) else {
                    return Some(format!(
                        "the cursor, acknowledged up to {known} or {perhaps}, delivered {change:?} at {revision} after \
                         change {at:?}, and not {:?}",
                        all.get(at.map_or(known, |at| at + 1))
                    ));
                };
                if at.is_none() {
                    (known, perhaps) = (place, place);
                }
                at = Some(place);
            }
            Consumed::Acknowledged { is_known } => {
                let Some(at) = at else { continue };
                perhaps = at + 1;
                if *is_known {
                    // Of equal changes in one commit, only the first that was not acknowledged before is.
                    let first = (known..at).find(|place| all.get(*place) == all.get(at));
                    known = first.unwrap_or(at) + 1;
                }
            }
        }
    }
    None
}
