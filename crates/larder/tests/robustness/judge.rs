//! Checks all journals against each other and the store, era by era.

use std::collections::BTreeMap;
use std::path::Path;

use larder::Store;

use super::crew::Crew;
use super::cursors::CursorCheck;
use super::eras::Eras;
use super::feed::Feed;
use super::history::{History, check_order};
use super::listeners::{Listener, leave_out_what_may_be_of_either_era, listeners_of, violations_of};
use super::past::Past;
use super::record::{Outcome, read};
use super::replay;
use super::traffic::{RESTORED, UNAUTHORIZED};

/// How many inconsistencies are shown.
const SHOWN_MAX: usize = 12;

/// What the journals have.
pub struct Judge<'a> {
    eras: &'a Eras,
    history: History,
    listeners: Vec<Listener>,
    wrong: Vec<String>,
}

impl<'a> Judge<'a> {
    /// Reads the journals. `ends` says when lives ended.
    pub fn new(folder: &Path, eras: &'a Eras, ends: &BTreeMap<(u64, u64), u64>) -> Self {
        let (mut history, mut listeners, mut wrong) = (History::default(), Vec::new(), Vec::new());
        for (client, life, path) in Crew::journals(folder) {
            let records = read(&path);
            history.add(client, life, ends.get(&(client, life)).copied().unwrap_or(u64::MAX), &records);
            listeners.extend(listeners_of(client, life, &records, eras));
            wrong.extend(violations_of(client, life, &records, eras));
        }
        leave_out_what_may_be_of_either_era(&mut listeners, eras);
        Self { eras, history, listeners, wrong }
    }

    /// Checks everything, up to the last revision. Returns how many calls were answered.
    pub fn check(mut self, store: &Store, end: u64) -> u64 {
        let (mut feeds, mut pasts): (Vec<Feed>, Vec<Past>) = Default::default();
        let mut cursors: BTreeMap<String, CursorCheck> = BTreeMap::new();
        self.wrong.extend(self.listeners.iter().flat_map(|listener| &listener.wrong).cloned());
        self.check_failures();
        for era in 0..self.eras.count() {
            let is_last = era + 1 == self.eras.count();
            let continued =
                self.eras.beginning(era).map(|restore| (&feeds[restore.save.era], restore.save.begin));
            let (feed, differences) = Feed::new(&self.listeners, era, is_last, continued);
            self.wrong.extend(differences);
            self.check_listeners(era, &feed, feeds.last(), &mut cursors);
            self.check_crossing(era, &feed, feeds.last());
            let past = Past::of(era, &self.history, self.eras, &pasts, &feed);
            for ((group, key), calls) in &past.all {
                let wrong = feed.check_calls(group, key, calls).into_iter();
                self.wrong.extend(wrong.map(|what| format!("{group} {key}, era {era}: {what}")));
            }
            self.wrong
                .extend(check_order(&past.own, &feed).into_iter().map(|what| format!("era {era}: {what}")));
            let (_, misfits) = replay::check(&feed, is_last.then_some(store));
            self.wrong.extend(misfits.into_iter().map(|what| format!("era {era}: {what}")));
            if !feed.is_whole() {
                // Events that no listener received cannot be checked.
                self.wrong.push(format!("era {era} has gaps: only {:?} was received", feed.covered()));
            }
            self.tell(era, &feed, &past);
            feeds.push(feed);
            pasts.push(past);
        }
        let feed = feeds.pop().unwrap();
        if !feed.covers(end) {
            self.wrong.push(format!("the last revision, {end}, was not received"));
        }
        self.summarize(&feed);
        self.history.returned
    }

    /// Checks that a call failed by a restore or a refusal only if there had been one.
    fn check_failures(&mut self) {
        let first = |spans: &mut dyn Iterator<Item = u64>| spans.min().unwrap_or(u64::MAX);
        let restored_ns = first(&mut self.eras.restores.iter().map(|restore| restore.at_ns.0));
        let refused_ns = first(&mut self.eras.refusals.iter().map(|(from_ns, _)| *from_ns));
        for call in self.history.calls.values().flatten() {
            let Outcome::Failed(reason) = &call.outcome else { continue };
            if (reason == RESTORED && call.over_ns < restored_ns)
                || (reason == UNAUTHORIZED && call.over_ns < refused_ns)
            {
                self.wrong.push(format!("{call:?}, before anything of the kind had happened"));
            }
        }
    }

    fn check_listeners(
        &mut self,
        era: usize,
        feed: &Feed,
        before: Option<&Feed>,
        cursors: &mut BTreeMap<String, CursorCheck>,
    ) {
        let compactions = self.eras.compactions_of(era);
        for listener in &self.listeners {
            self.wrong.extend(listener.check(era, feed, &compactions));
            if let Some(before) = before {
                self.wrong.extend(listener.check_end_of(era - 1, before, feed));
            }
        }
        let mut lives: BTreeMap<&String, Vec<&Listener>> = BTreeMap::new();
        for listener in &self.listeners {
            if let Some(name) = &listener.cursor {
                lives.entry(name).or_default().push(listener);
            }
        }
        for (name, lives) in lives {
            let cursor = cursors.entry(name.clone()).or_default();
            self.wrong.extend(cursor.check(era, &lives, feed, self.eras));
        }
    }

    /// Checks that what was acknowledged during a restore is there after it, or was there before.
    fn check_crossing(&mut self, era: usize, feed: &Feed, before: Option<&Feed>) {
        let Some(before) = before else { return };
        for ((group, key), calls) in &self.history.calls {
            for call in calls {
                let (Outcome::Written(revision), Some(value)) = (&call.outcome, call.action.unique_value())
                else {
                    continue;
                };
                if self.eras.crosses_beginning(era, (call.begin_ns, call.over_ns))
                    && !feed.may_have_written(group, key, &value, *revision)
                    && !before.may_have_written(group, key, &value, *revision)
                {
                    self.wrong
                        .push(format!("{group} {key}: {call:?} is in neither of the eras {era} and before"));
                }
            }
        }
    }

    fn tell(&self, era: usize, feed: &Feed, past: &Past) {
        let Some(restore) = self.eras.beginning(era) else { return };
        let undone =
            past.all.values().flatten().filter(|call| call.outcome == Outcome::Failed("undone".into()));
        eprintln!(
            "era {era} continues era {} from revision {}, up to which they are the same from {}: {} calls are undone",
            restore.save.era,
            restore.save.begin,
            feed.fork(),
            undone.filter(|call| call.end_ns.is_some()).count()
        );
    }

    fn summarize(&self, feed: &Feed) {
        let segments = self.listeners.iter().flat_map(|listener| &listener.segments);
        let received: usize = segments.map(|part| part.events.len()).sum();
        let gaps: usize = self.listeners.iter().map(|listener| listener.gaps.len()).sum();
        let failures: u64 = self.listeners.iter().map(|listener| listener.failures).sum();
        let reached = self.listeners.iter().filter(|listener| listener.reached_end).count();
        let told = self.listeners.iter().flat_map(|listener| &listener.segments);
        let told = told.filter(|segment| segment.resumes).count() - self.listeners.len();
        let history = &self.history;
        let outcomes = history.calls.values().flatten().map(|call| &call.outcome);
        let acknowledged = outcomes.filter(|outcome| {
            matches!(outcome, Outcome::Written(_) | Outcome::Done | Outcome::Sum(_) | Outcome::Deleted(_))
        });
        eprintln!(
            "calls: {} answered, of which {} acknowledged writes, and {:?} failed; {} unknown, {} interrupted by a kill",
            history.returned,
            acknowledged.count(),
            history.failed,
            history.unknown,
            history.cut_short
        );
        eprintln!(
            "feed: {} commits of {} events at the end; {} listeners received {received} events, with {gaps} gaps, {told} times told of a restore and {failures} failures, {reached} up to the end",
            feed.commits(),
            feed.events().count(),
            self.listeners.len(),
        );
        let shown: Vec<_> = self
            .wrong
            .iter()
            .take(SHOWN_MAX)
            .map(|what| what.chars().take(4000).collect::<String>())
            .collect();
        assert!(
            shown.is_empty(),
            "{} inconsistencies, among them:\n{}",
            self.wrong.len(),
            shown.join("\n\n")
        );
    }
}
