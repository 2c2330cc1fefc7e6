//! Which calls an era consists of: those that were kept when it began, those that were made in it, and those that
//! were undone.

use super::eras::Eras;
use super::feed::Feed;
use super::history::{Calls, History};
use super::linearizability::Call;
use super::record::Outcome;

/// The calls that concern an era.
pub struct Past {
    /// Those that the era began with, those of the era, and as failed ones those that were undone: all that its feed
    /// must agree with.
    pub all: Calls,
    /// Those that may have taken effect after the era began.
    pub own: Calls,
}

impl Past {
    /// Sorts out the calls of an era. `earlier` has those of the eras before.
    pub fn of(era: usize, history: &History, eras: &Eras, earlier: &[Self], feed: &Feed) -> Self {
        let mut past = Self { all: Calls::new(), own: Calls::new() };
        for (entry, calls) in &history.calls {
            let own: Vec<Call> = calls.iter().filter_map(|call| made_in(era, call, eras)).collect();
            past.all.entry(entry.clone()).or_default().extend(own.iter().cloned());
            past.own.entry(entry.clone()).or_default().extend(own);
        }
        let Some(restore) = eras.beginning(era) else { return past };
        let (saving_ns, saved_ns) = restore.save.at_ns;
        let parent_ns = eras.beginning(restore.save.era).map_or(0, |before| before.at_ns.0);
        let is_crossing = |call: &Call| eras.crosses_beginning(era, (call.begin_ns, call.over_ns));
        for (entry, calls) in &earlier[restore.save.era].all {
            for call in calls.iter().filter(|call| !is_crossing(call)) {
                let is_certain = call.end_ns.is_some() && call.over_ns <= saving_ns;
                let call = if is_certain || matches!(call.outcome, Outcome::Failed(_)) {
                    call.clone()
                } else if call.begin_ns <= saved_ns {
                    unanswered(call)
                } else {
                    undone(call)
                };
                let value = call.action.unique_value();
                let is_before = value.is_some_and(|value| feed.began_with(&entry.0, &entry.1, &value));
                if call.end_ns.is_none() && !is_before && call.over_ns >= parent_ns {
                    // It may still take effect: a member may have had it on its disk when that was saved.
                    past.own.entry(entry.clone()).or_default().push(call.clone());
                }
                past.all.entry(entry.clone()).or_default().push(call);
            }
        }
        // Another era may have come in between, which was undone as a whole.
        for between in &earlier[restore.save.era + 1..] {
            for (entry, calls) in &between.own {
                let gone = calls.iter().filter(|call| call.begin_ns > saved_ns && !is_crossing(call));
                past.all.entry(entry.clone()).or_default().extend(gone.map(undone));
            }
        }
        past
    }
}

/// The call as one of an era, if it may have taken effect in that.
fn made_in(era: usize, call: &Call, eras: &Eras) -> Option<Call> {
    let span = (call.begin_ns, call.over_ns);
    let is_refused = matches!(call.outcome, Outcome::Failed(_) | Outcome::Conflict(_));
    if eras.crosses_end(era, span) {
        // Its answer may be of the next era.
        return Some(unanswered(call));
    }
    if eras.crosses_beginning(era, span) {
        // What was refused in the end must not be there in the end.
        return Some(if is_refused { undone(call) } else { unanswered(call) });
    }
    (eras.at(call.begin_ns) == era).then(|| call.clone())
}

/// The call, as if its answer had been lost.
fn unanswered(call: &Call) -> Call {
    Call { end_ns: None, outcome: Outcome::Unknown, ..call.clone() }
}

/// The call, as one that must not be there.
fn undone(call: &Call) -> Call {
    Call { outcome: Outcome::Failed("undone".into()), ..call.clone() }
}
