//! The watchers of a soak. Each event comes once, and what is due expires.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use larder::{Cursor, Event, EventKind, Pattern, Watcher};

use super::work::{Outcome, Shift};

/// For how long a watcher may wait for the next event.
const PATIENCE: Duration = Duration::from_millis(100);

/// By how much an entry may outlive its time before it counts as left behind. All threads share the machine with others.
const LATE_MAX: Duration = Duration::from_secs(10);

/// How many events are acknowledged at once.
const AT_ONCE: u64 = 32;

/// How many events pass between two openings of the cursor.
const UNTIL_OPENED_AGAIN: u64 = 1_000;

/// The number that each writer has reached.
type Numbers = BTreeMap<String, u64>;

/// Takes an event into account. Returns a complaint unless it is the next of its writer.
fn next(numbers: &mut Numbers, event: &Event) -> Option<String> {
    let writer = event.key.clone().unwrap_or_default();
    let number = event.value.as_ref().and_then(|value| value.parse().ok()).unwrap_or_default();
    let before = numbers.insert(writer.clone(), number).unwrap_or_default();
    (number != before + 1).then(|| format!("writer {writer}: {number} came after {before}"))
}

/// Whether all that was written has come.
fn is_complete(numbers: &Numbers, last: &[u64]) -> bool {
    last.iter()
        .enumerate()
        .all(|(writer, last)| numbers.get(&writer.to_string()).copied().unwrap_or(0) >= *last)
}

/// Watches everything, until all numbers have come and all short lives have ended.
pub fn everything(shift: &Shift, watcher: &Watcher) -> Outcome<Vec<String>> {
    let mut complaints = Vec::new();
    let mut numbers = Numbers::new();
    let mut due = BTreeMap::new();
    let mut soonest = BTreeSet::new();
    loop {
        let event = watcher.recv_timeout(PATIENCE)?;
        let is_idle = event.is_none();
        if let Some(event) = event {
            shift.counts.watched.add();
            match (event.group.as_str(), event.kind) {
                ("numbers", _) => complaints.extend(next(&mut numbers, &event)),
                ("short", EventKind::Set) => {
                    let at = event.expires_at.unwrap_or_else(SystemTime::now);
                    soonest.insert((at, event.key.clone()));
                    if due.insert(event.key.clone(), at).is_some() {
                        complaints.push(format!("{:?} came twice", event.key));
                    }
                }
                ("short", EventKind::Expire) => match due.remove(&event.key) {
                    Some(at) => drop(soonest.remove(&(at, event.key))),
                    None => complaints.push(format!("{:?} expired twice", event.key)),
                },
                _ => {}
            }
        }
        let oldest = soonest.first().map(|(at, _)| *at);
        let late = oldest.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        if late > LATE_MAX {
            complaints.push(format!("{} entries are left, one due for {late:?}", due.len()));
            return Ok(complaints);
        }
        let Some(last) = shift.last().filter(|_| is_idle && due.is_empty()) else { continue };
        if !is_complete(&numbers, &last) {
            complaints.push(format!("the events end at {numbers:?}, and {last:?} were written"));
        }
        return Ok(complaints);
    }
}

pub fn cursor(shift: &Shift) -> Outcome<Cursor> {
    shift.counts.cursor_opened.add();
    Ok(shift.store.cursor_on("reader", Pattern::from(("numbers", "*")))?)
}

/// Acknowledges what a named cursor delivers, some events at once, and opens the cursor again now and then. Then what
/// was not acknowledged comes again, and nothing else.
pub fn acknowledging(shift: &Shift) -> Outcome<Vec<String>> {
    let mut complaints = Vec::new();
    let mut acknowledged = Numbers::new();
    loop {
        let cursor = cursor(shift)?;
        let mut numbers = acknowledged.clone();
        for count in 1..=UNTIL_OPENED_AGAIN {
            let Some(event) = cursor.recv_timeout(PATIENCE)? else {
                let Some(last) = shift.last() else { continue };
                if !is_complete(&numbers, &last) {
                    complaints.push(format!("the cursor ends at {numbers:?}, and {last:?} were written"));
                }
                return Ok(complaints);
            };
            complaints.extend(next(&mut numbers, &event));
            if count % AT_ONCE == 0 {
                cursor.ack(&event)?;
                shift.counts.acknowledged.add();
                acknowledged.clone_from(&numbers);
            }
        }
        cursor.close();
    }
}
