//! Whether larder kept its promises beside its neighbours.

use std::collections::BTreeMap;

use serde::Serialize;

use super::feed_verdict::{Feed, Heard, complete};
use super::notes::Note;
use super::{BOUND, TIMEOUT};
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
            Note::Marked { feed, .. } => feeds.entry(feed).or_default().notes.push(Heard::Marked),
            Note::Acknowledging { feed } => {
                feeds.entry(feed).or_default().notes.push(Heard::Acknowledging);
            }
            Note::Acknowledged { feed, is_done } => {
                feeds.entry(feed).or_default().notes.push(Heard::Acknowledged(is_done));
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
