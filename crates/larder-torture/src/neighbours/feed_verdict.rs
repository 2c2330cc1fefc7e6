//! Whether a feed was told every change once and in order, over all the lives of its process.

use super::judge::Held;
use super::{CHURN, END, notes};

/// What a feed noted, in order.
#[derive(Debug, Default)]
pub struct Feed {
    pub prefix: String,
    pub notes: Vec<Heard>,
    pub ended: Option<u64>,
}

/// A note of a feed.
#[derive(Debug)]
pub enum Heard {
    /// A watcher after a revision; or where the feed has kept its place.
    Begun {
        after: Option<u64>,
    },
    Told(notes::Told),
    /// A watcher has kept its place: it goes on there when it begins again.
    Marked,
    /// A cursor is about to acknowledge what it was told last.
    Acknowledging,
    /// Whether it has: then it goes on after that when it begins again.
    Acknowledged(bool),
    Compacted,
}

/// Whether a feed was told every change of its pattern once and in order, from where it began to the last one.
pub fn complete(name: &str, feed: &Feed, held: &Held) -> Option<String> {
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
    let (mut places, mut is_compacted) = (vec![Place::default()], false);
    for heard in &feed.notes {
        match heard {
            Heard::Begun { after: None } => {
                places = places.iter().flat_map(Place::begun_again).collect();
                is_compacted = false;
            }
            Heard::Begun { after: Some(after) } => {
                let begins = changes.partition_point(|change| change.revision <= *after);
                // Of a watcher only one place is possible.
                let kept = places.iter().find_map(|place| place.kept);
                if let Some(kept) = kept.filter(|kept| begins > *kept && !is_compacted) {
                    return Some(format!("{name} went on {} changes later", begins - kept));
                }
                if is_compacted && held.log.contains_key(after) {
                    return Some(format!("{name} was told that revision {after} is gone, and it is there"));
                }
                places = vec![Place { next: begins.max(kept.unwrap_or_default()), kept, asked: None }];
                is_compacted = false;
            }
            Heard::Told(change) if change.group.starts_with(CHURN) => {}
            Heard::Told(change) => {
                let expected = places.first().and_then(|place| changes.get(place.next));
                let complaint = || format!("{name} was told {change:?} instead of {expected:?}");
                places.retain(|place| changes.get(place.next) == Some(change));
                if places.is_empty() {
                    return Some(complaint());
                }
                places.iter_mut().for_each(|place| place.next += 1);
            }
            Heard::Marked => places.iter_mut().for_each(|place| place.kept = Some(place.next)),
            Heard::Acknowledging => places.iter_mut().for_each(|place| place.ask(&changes)),
            Heard::Acknowledged(is_done) => {
                for place in &mut places {
                    place.kept = place.asked.take().filter(|_| *is_done).or(place.kept);
                }
            }
            // What is gone is the churn's: the watcher of everything begins again where that does.
            Heard::Compacted if feed.prefix.is_empty() => is_compacted = true,
            Heard::Compacted => return Some(format!("{name} was told that its changes are gone")),
        }
    }
    let is_complete = places.iter().any(|place| place.next == changes.len());
    let missing = places.first().and_then(|place| changes.get(place.next));
    (!is_complete).then(|| format!("{name} was not told {missing:?}"))
}

/// Where a feed may be, as an index of the changes. Several places are possible after a kill.
#[derive(Clone, Copy, Default)]
struct Place {
    next: usize,
    /// Where it goes on when it begins again.
    kept: Option<usize>,
    /// The same, if the acknowledgement that it has asked for is made.
    asked: Option<usize>,
}

impl Place {
    /// It may have been killed while it acknowledged something, and that is made or not.
    fn begun_again(&self) -> impl Iterator<Item = Self> + use<> {
        let kept = [Some(self.kept), self.asked.map(Some)].into_iter().flatten();
        kept.map(|kept| Self { next: kept.unwrap_or_default(), kept, asked: None })
    }

    /// Acknowledges what it was told last. Of equal changes of one commit, larder takes the first.
    fn ask(&mut self, changes: &[notes::Told]) {
        let told = changes.get(self.kept.unwrap_or_default()..self.next).unwrap_or_default();
        let first = told.iter().position(|change| Some(change) == told.last());
        self.asked = first.map(|first| self.kept.unwrap_or_default() + first + 1);
    }
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
        let before = || {
            vec![begun(), told(1), told(2), Heard::Acknowledging, Heard::Acknowledged(true), told(3), told(4)]
        };
        for (goes_on, is_right) in [(2, false), (3, true), (4, false), (5, false)] {
            let notes = before().into_iter().chain([begun()]).chain(all(goes_on)).collect();
            assert_eq!(complaint(GROUP, notes).is_none(), is_right, "{goes_on}");
        }
        // Killed while it kept its place, it has kept it or not; afterwards, it has.
        let keeping = || before().into_iter().chain([Heard::Acknowledging, begun()]);
        for (goes_on, is_right) in [(2, false), (3, true), (4, false), (5, true)] {
            let notes = keeping().chain(all(goes_on)).collect();
            assert_eq!(complaint(GROUP, notes).is_none(), is_right, "{goes_on}");
        }
        let again = keeping().chain([begun(), told(5), begun()]);
        assert_eq!(complaint(GROUP, again.chain(all(5)).collect()), None);
        let refused = before().into_iter().chain([Heard::Acknowledging, Heard::Acknowledged(false), begun()]);
        assert!(complaint(GROUP, refused.chain(all(5)).collect()).is_some());
    }

    #[test]
    fn the_second_of_two_equal_changes_of_a_commit_may_come_again_although_it_was_acknowledged() {
        let begun = || Heard::Begun { after: None };
        let acknowledged = || [Heard::Acknowledging, Heard::Acknowledged(true)];
        let mut held = held();
        if let Some(rows) = held.log.get_mut(&3) {
            let again = rows[0].clone();
            rows.push(again);
        }
        let complaint =
            |notes: Vec<Heard>| complete("feed", &Feed { prefix: GROUP.into(), notes, ended: None }, &held);
        let told_both = || vec![begun(), told(1), told(2), told(3), told(3)];
        let then =
            |before: Vec<Heard>, after: Vec<Heard>| before.into_iter().chain(after).chain(all(4)).collect();
        let again = || acknowledged().into_iter().chain([begun(), told(3)]).collect();
        assert_eq!(complaint(then(told_both(), again())), None);
        // Not if the first was acknowledged by itself.
        let both = [begun(), told(1), told(2), told(3)].into_iter().chain(acknowledged()).chain([told(3)]);
        assert!(complaint(then(both.collect(), again())).is_some());
        // Killed meanwhile, it goes on at either, or where it was before.
        for repeated in [vec![told(3)], vec![told(1), told(2), told(3), told(3)]] {
            let killed = [Heard::Acknowledging, begun()].into_iter().chain(repeated).collect();
            assert_eq!(complaint(then(told_both(), killed)), None);
        }
        let skipped = [Heard::Acknowledging, begun()].into_iter().collect();
        assert!(complaint(then(told_both(), skipped)).is_some());
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
        let kept = || [begun(), told(1), Heard::Marked].into_iter();
        assert!(complaint("", kept().chain(later()).collect()).is_some());
        let is_told = || kept().chain([Heard::Compacted]).chain(later()).collect();
        assert_eq!(without_third(is_told()), None);
        // No other history than that of the churn is short.
        assert!(complaint("", is_told()).is_some());
        assert!(complaint(GROUP, is_told()).is_some());
    }
}
