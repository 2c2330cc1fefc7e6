//! Whether larder kept its promises beside its neighbours.

use std::collections::BTreeMap;

use serde::Serialize;

use super::notes::{self, Note};
use super::{BOUND, CHURN, END, TIMEOUT};
use crate::neighbours::history::{Asked, Record, Told};
use crate::neighbours::judge::{Held, judge};

/// What was done in a round, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verdict {
    pub calls: u64,
    pub revisions: u64,
    pub events: u64,
    /// By what they did.
    pub neighbours: BTreeMap<String, Count>,
    pub holds: u64,
    pub busy: u64,
    /// Writes that were refused for a quota.
    pub full: u64,
    /// How many writes had their futures dropped.
    pub dropped: u64,
    /// How many processes were killed.
    pub killed: u64,
    /// How many calls that write they had begun.
    pub killed_in_a_call: u64,
    /// How many restores were refused.
    pub not_restored: u64,
    /// How many repairs had something to do.
    pub repaired: u64,
    pub copies: u64,
    /// How many copies were interrupted, and made again.
    pub interrupted: u64,
    /// How often a quota was set.
    pub quotas: u64,
    pub longest_call_ms: u64,
    pub longest_hold_ms: u64,
    pub longest_lag_ms: u64,
    pub complaints: Vec<String>,
}

/// How often neighbours tried to do something, and how often they did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Count {
    pub tried: u64,
    pub done: u64,
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a feed noted, in order.
#[derive(Debug, Default)]
struct Feed {
    prefix: String,
    notes: Vec<Heard>,
    ended: Option<u64>,
}

#[derive(Debug)]
enum Heard {
    /// A watcher after a revision; or where the feed has kept its place.
    Begun {
        after: Option<u64>,
    },
    Told(notes::Told),
    /// It is about to keep its place.
    Keeping,
    /// Whether it has kept its place: it goes on there when it begins again.
    Kept(bool),
    Compacted,
}

/// Judges the notes of a round. `last` is when the last change was acknowledged.
pub fn verdict(notes: Vec<Note>, held: &Held, last: u64) -> Verdict {
    let mut verdict = Verdict { revisions: held.log.len() as u64, ..Verdict::default() };
    let mut records: Vec<Record> = Vec::new();
    let (mut holds, mut took) = (Vec::new(), Vec::new());
    let mut feeds: BTreeMap<String, Feed> = BTreeMap::new();
    let mut mirrored = Vec::new();
    for note in notes {
        match note {
            Note::Call(record) => {
                verdict.copies += u64::from(matches!(record.asked, Asked::Copy { .. }));
                verdict.full += u64::from(matches!(record.asked, Asked::NoRoom { .. }));
                let is_set = matches!(record.asked, Asked::SetQuota(_)) && record.told == Told::Done(None);
                verdict.quotas += u64::from(is_set);
                verdict.dropped += u64::from(matches!(record.told, Told::Dropped | Told::Unknown(_)));
                if record.told == Told::Killed {
                    verdict.killed_in_a_call += 1;
                    took.push((
                        "a write, until it was killed,".into(),
                        record.invoked,
                        record.returned,
                        None,
                    ));
                }
                records.push(record);
            }
            Note::Took { what, from, to, error } => took.push((what, from, to, error)),
            Note::Held { what, from, to, writes, done } => {
                let count = verdict.neighbours.entry(what).or_default();
                count.tried += 1;
                count.done += u64::from(done);
                holds.push((from, to, writes));
            }
            Note::Begun { feed, prefix, after } => {
                let feed = feeds.entry(feed).or_default();
                feed.prefix = prefix;
                feed.notes.push(Heard::Begun { after });
            }
            Note::Told { feed, change } => {
                feeds.entry(feed).or_default().notes.push(Heard::Told(change));
                verdict.events += 1;
            }
            Note::Marked { feed, .. } => feeds.entry(feed).or_default().notes.push(Heard::Kept(true)),
            Note::Acknowledging { feed } => feeds.entry(feed).or_default().notes.push(Heard::Keeping),
            Note::Acknowledged { feed, is_done } => {
                feeds.entry(feed).or_default().notes.push(Heard::Kept(is_done));
            }
            Note::Compacted { feed } => feeds.entry(feed).or_default().notes.push(Heard::Compacted),
            Note::Mirrored { feed, group, entries } => mirrored.push((feed, group, entries)),
            Note::Ended { feed, at } => feeds.entry(feed).or_default().ended = Some(at),
            Note::Interrupted => verdict.interrupted += 1,
            Note::NotRestored => verdict.not_restored += 1,
            Note::Repaired => verdict.repaired += 1,
            Note::Killed => verdict.killed += 1,
            // Its answer stands for it.
            Note::Asked(_) => {}
            Note::Wrong(what) => verdict.complaints.push(what),
        }
    }
    verdict.calls = took.len() as u64;
    verdict.holds = holds.len() as u64;
    let longest_hold = holds.iter().map(|(from, to, _)| to - from).max().unwrap_or_default();
    verdict.longest_hold_ms = longest_hold / 1_000_000;
    let bound = longest_hold + nanoseconds(TIMEOUT + BOUND);
    let mut writers: Vec<(u64, u64)> =
        holds.iter().filter(|(.., writes)| *writes).map(|(from, to, _)| (*from, *to)).collect();
    writers.sort_unstable();
    for (what, from, to, error) in &took {
        verdict.longest_call_ms = verdict.longest_call_ms.max((to - from) / 1_000_000);
        if to - from > bound {
            verdict.complaints.push(format!("{what} took {} ms", (to - from) / 1_000_000));
        }
        match error {
            None => {}
            Some((kind, text)) if kind == "busy" => {
                verdict.busy += 1;
                if held_between(&writers, *from, *to) < (to - from) / 2 {
                    verdict
                        .complaints
                        .push(format!("{what} failed, and hardly any neighbour wrote meanwhile: {text}"));
                }
            }
            Some((_, text)) => verdict.complaints.push(format!("{what} failed: {text}")),
        }
    }
    verdict.complaints.extend(judge(&records, held));
    for (name, feed) in &feeds {
        // A mirror has no notes but what it shows in the end.
        if !feed.notes.is_empty() {
            verdict.complaints.extend(complete(name, feed, held));
        }
        match feed.ended {
            Some(at) => {
                let lag = at.saturating_sub(last);
                verdict.longest_lag_ms = verdict.longest_lag_ms.max(lag / 1_000_000);
                if lag > nanoseconds(BOUND) {
                    verdict.complaints.push(format!("{name} was told the last change {lag} ns late"));
                }
            }
            None => verdict.complaints.push(format!("{name} was never told the last change")),
        }
    }
    for (feed, group, shown) in mirrored {
        let there = held.entries.iter().filter(|((of, _), _)| *of == group);
        if !there
            .map(|((_, key), version)| (key, &version.value))
            .eq(shown.iter().map(|(key, value)| (key, value)))
        {
            verdict.complaints.push(format!("{feed} shows {shown:?}, which {group} does not hold"));
        }
    }
    verdict
}

/// For how long, of a time, some neighbour wrote. The holds are sorted by their beginnings.
fn held_between(holds: &[(u64, u64)], from: u64, to: u64) -> u64 {
    let (mut sum, mut counted) = (0, from);
    for (begun, ended) in holds {
        let (begun, ended) = ((*begun).max(counted), (*ended).min(to));
        sum += ended.saturating_sub(begun);
        counted = counted.max(ended);
    }
    sum
}

/// Whether a feed was told every change of its pattern once and in order, from where it began to the last one.
fn complete(name: &str, feed: &Feed, held: &Held) -> Option<String> {
    let mut changes: Vec<notes::Told> = held
        .log
        .iter()
        .flat_map(|(revision, rows)| rows.iter().map(|row| (*revision, row.change.clone())))
        .filter(|(_, change)| change.group.starts_with(&feed.prefix))
        .map(|(revision, change)| notes::Told {
            revision,
            kind: change.kind,
            group: change.group,
            key: change.key,
            value: change.value,
        })
        .collect();
    // Whatever expires later, a feed need not wait for.
    let is_last = |change: &notes::Told| change.group == END.0 && change.key.as_deref() == Some(END.1);
    changes.truncate(changes.iter().position(is_last).map_or(changes.len(), |last| last + 1));
    let (mut next, mut kept, mut keeping, mut is_compacted) = (0, None, None, false);
    for heard in &feed.notes {
        match heard {
            Heard::Begun { after: None } => (next, is_compacted) = (kept.unwrap_or_default(), false),
            Heard::Begun { after: Some(after) } => {
                let begins = changes.partition_point(|change| change.revision <= *after);
                if let Some(kept) = kept.filter(|kept| begins > *kept && !is_compacted) {
                    return Some(format!("{name} went on {} changes later", begins - kept));
                }
                if is_compacted && held.log.contains_key(after) {
                    return Some(format!("{name} was told that revision {after} is gone, and it is there"));
                }
                (next, is_compacted) = (begins.max(kept.unwrap_or_default()), false);
            }
            Heard::Told(change) if change.group.starts_with(CHURN) => {}
            Heard::Told(change) => {
                // It was killed while it kept its place, and may have kept it.
                let is_other = |_: &usize| changes.get(next) != Some(change);
                if let Some(place) = keeping.take().filter(is_other) {
                    (next, kept) = (place, Some(place));
                }
                if changes.get(next) != Some(change) {
                    return Some(format!("{name} was told {change:?} instead of {:?}", changes.get(next)));
                }
                next += 1;
            }
            Heard::Keeping => keeping = Some(next),
            Heard::Kept(is_done) => {
                kept = if *is_done { Some(next) } else { kept };
                keeping = None;
            }
            // What is gone is the churn's: the watcher of everything begins again where that does.
            Heard::Compacted if feed.prefix.is_empty() => is_compacted = true,
            Heard::Compacted => return Some(format!("{name} was told that its changes are gone")),
        }
    }
    (next < changes.len()).then(|| format!("{name} was not told {:?}", changes.get(next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbours::judge::{Change, Row};

    const GROUP: &str = "plain";

    fn told(revision: u64) -> Heard {
        let (kind, group, key) = ("set".to_owned(), GROUP.to_owned(), Some("k".to_owned()));
        Heard::Told(notes::Told { revision, kind, group, key, value: Some(revision.to_string()) })
    }

    /// A log with five changes.
    fn held() -> Held {
        let row = |revision: u64| {
            let (kind, group, key) = ("set".to_owned(), GROUP.to_owned(), Some("k".to_owned()));
            let change = Change { kind, group, key, value: Some(revision.to_string()) };
            (revision, vec![Row { change, expires_at: None, at: 0 }])
        };
        Held { log: (1..=5).map(row).collect(), ..Held::default() }
    }

    fn complaint(prefix: &str, notes: Vec<Heard>) -> Option<String> {
        complete("feed", &Feed { prefix: prefix.into(), notes, ended: None }, &held())
    }

    fn all(first: u64) -> impl Iterator<Item = Heard> {
        (first..=5).map(told)
    }

    #[test]
    fn a_feed_of_a_killed_process_goes_on_where_it_kept_its_place_and_nowhere_else() {
        let begun = || Heard::Begun { after: None };
        let before = || vec![begun(), told(1), told(2), Heard::Kept(true), told(3), told(4)];
        for (goes_on, is_right) in [(2, false), (3, true), (4, false), (5, false)] {
            let notes = before().into_iter().chain([begun()]).chain(all(goes_on)).collect();
            assert_eq!(complaint(GROUP, notes).is_none(), is_right, "{goes_on}");
        }
        // Killed while it kept its place, it has kept it or not; afterwards, it has.
        let keeping = || before().into_iter().chain([Heard::Keeping, begun()]);
        for (goes_on, is_right) in [(2, false), (3, true), (4, false), (5, true)] {
            let notes = keeping().chain(all(goes_on)).collect();
            assert_eq!(complaint(GROUP, notes).is_none(), is_right, "{goes_on}");
        }
        let again = keeping().chain([begun(), told(5), begun()]);
        assert_eq!(complaint(GROUP, again.chain(all(5)).collect()), None);
        let refused = before().into_iter().chain([Heard::Keeping, Heard::Kept(false), begun()]);
        assert!(complaint(GROUP, refused.chain(all(5)).collect()).is_some());
    }

    #[test]
    fn a_watcher_begins_anew_only_if_it_kept_no_place_or_was_told_that_changes_are_gone() {
        let begun = || Heard::Begun { after: Some(0) };
        let later = || [Heard::Begun { after: Some(3) }].into_iter().chain(all(4));
        let without_third = |notes: Vec<Heard>| {
            let mut held = held();
            held.log.remove(&3);
            complete("feed", &Feed { prefix: String::new(), notes, ended: None }, &held)
        };
        assert_eq!(complaint("", [begun(), told(1)].into_iter().chain(later()).collect()), None);
        let kept = || [begun(), told(1), Heard::Kept(true)].into_iter();
        assert!(complaint("", kept().chain(later()).collect()).is_some());
        let is_told = || kept().chain([Heard::Compacted]).chain(later()).collect();
        assert_eq!(without_third(is_told()), None);
        // No other history than that of the churn is short.
        assert!(complaint("", is_told()).is_some());
        assert!(complaint(GROUP, is_told()).is_some());
    }
}
