//! Whether watchers and the named cursor received every change, once and in order.

use super::held::Held;
use crate::simulator::history::{Change, Consumed, Watched};

/// All changes in order.
fn flat(held: &Held) -> Vec<(u64, &Change)> {
    held.log.iter().flat_map(|(revision, rows)| rows.iter().map(|row| (*revision, &row.change))).collect()
}

/// What is wrong with what a watcher has received.
pub fn watched(watched: &Watched, held: &Held) -> Option<String> {
    let Watched { client, after, changes, must_reach, .. } = watched;
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

/// What is known of something that may be so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// It may be so.
    pub perhaps: bool,
    /// It is so.
    pub surely: bool,
}

/// Where the named cursor is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    exists: Known,
    /// Whether it has to say that the store was restored.
    is_untold: Known,
    /// How many changes are acknowledged: at least, and at most.
    known: usize,
    perhaps: usize,
}

impl Standing {
    /// Where it is in a backup that holds so many changes. At the beginning of the backup it was at `self`, and at its end
    /// at `end`.
    pub fn in_backup(self, end: Self, changes: usize) -> Self {
        let exists = Known { perhaps: end.exists.perhaps, surely: self.exists.surely };
        Self { exists, is_untold: exists, known: self.known.min(changes), perhaps: end.perhaps.min(changes) }
    }
}

/// What is wrong with what the consumers of the named cursor have received; and where it is afterwards.
pub fn consumed<'a>(
    steps: impl Iterator<Item = &'a Consumed>,
    begun: Standing,
    held: &Held,
) -> Result<Standing, String> {
    let all = flat(held);
    let mut now = begun;
    // Which change was received last. Equal changes in one commit may make it several.
    let mut at: Option<Vec<usize>> = None;
    let mut has_told = false;
    for step in steps {
        match step {
            Consumed::Opens => {
                now.exists.perhaps = true;
                (at, has_told) = (None, false);
            }
            Consumed::Opened => now.exists.surely = true,
            Consumed::Restored => {
                if has_told || !now.is_untold.perhaps {
                    return Err("the cursor says that its store was restored".into());
                }
                (has_told, now.is_untold.surely) = (true, true);
            }
            Consumed::Received(revision, change) => {
                if now.is_untold.surely && !has_told {
                    return Err("the cursor does not say that its store was restored".into());
                }
                let fits = |place: &usize| all.get(*place).is_some_and(|next| *next == (*revision, change));
                let places: Vec<_> = match &at {
                    None => (now.known..=now.perhaps).filter(fits).collect(),
                    Some(places) => places.iter().map(|place| place + 1).filter(fits).collect(),
                };
                let (Some(first), Some(last)) = (places.first(), places.last()) else {
                    return Err(format!(
                        "the cursor, acknowledged up to {} or {}, delivered {change:?} at {revision} after change \
                         {at:?}",
                        now.known, now.perhaps
                    ));
                };
                if at.is_none() {
                    (now.known, now.perhaps) = (*first, *last);
                }
                at = Some(places);
            }
            Consumed::Acknowledges => {
                now.perhaps = at.iter().flatten().max().map_or(now.perhaps, |at| at + 1);
                now.is_untold.surely = false;
            }
            Consumed::Acknowledged => {
                // Of equal changes in one commit, only the first that was not acknowledged before is.
                let first = |at: &usize| (now.known..*at).find(|place| all.get(*place) == all.get(*at));
                let known = at.iter().flatten().map(|at| first(at).unwrap_or(*at) + 1).min();
                let Some(known) = known else { continue };
                now.known = known;
                now.is_untold = Known::default();
            }
        }
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::judge::held::Row;
    use Consumed::{Acknowledged, Acknowledges, Opened, Opens, Received, Restored};

    fn change(key: &str) -> Change {
        Change { kind: "set".into(), group: "g".into(), key: Some(key.into()), value: Some("v".into()) }
    }

    fn held() -> Held {
        let row = |key| vec![Row { change: change(key), expires_at: None, at: 0 }];
        Held { log: [(1, row("1")), (2, row("2")), (3, row("3"))].into(), ..Held::default() }
    }

    fn received(revision: u64) -> Consumed {
        Received(revision, change(&revision.to_string()))
    }

    fn is_right(begun: Standing, steps: &[Consumed]) -> bool {
        consumed(steps.iter(), begun, &held()).is_ok()
    }

    #[test]
    fn a_cursor_may_have_stopped_at_any_of_equal_changes_of_one_commit_and_goes_on_after_it() {
        let row = |key| Row { change: change(key), expires_at: None, at: 0 };
        let commit = vec![row("1"), row("twice"), row("2"), row("twice")];
        let held = Held { log: [(1, commit), (2, vec![row("3")])].into(), ..Held::default() };
        let at_1 = |key| Received(1, change(key));
        // It was killed while it acknowledged the third change.
        let first =
            [Opens, Opened, at_1("1"), at_1("twice"), at_1("2"), Acknowledges, Opens, Opened, at_1("twice")];
        let judged = |then: Consumed| {
            let steps: Vec<_> = first.iter().chain([&then]).collect();
            consumed(steps.into_iter(), Standing::default(), &held).is_ok()
        };
        assert!(judged(at_1("2")), "the second change again");
        assert!(judged(Received(2, change("3"))), "the fourth change");
        assert!(!judged(at_1("1")));
        assert!(!judged(at_1("twice")));
    }

    #[test]
    fn a_cursor_of_a_backup_goes_on_where_it_was_when_that_was_made_and_says_so_until_it_is_moved() {
        let steps = [Opens, Opened, received(1), Acknowledges, Acknowledged, received(2), Acknowledges];
        let until = |end: usize| consumed(steps[..end].iter(), Standing::default(), &held()).unwrap();
        let begun = until(5).in_backup(until(7), 3);
        for after in [2, 3] {
            assert!(is_right(begun, &[Opens, Opened, Restored, received(after)]), "{after}");
        }
        assert!(!is_right(begun, &[Opens, Opened, Restored, received(1)]));
        assert!(!is_right(begun, &[Opens, Opened, received(2)]), "it does not say so");
        assert!(!is_right(begun, &[Opens, Opened, Restored, Restored]));
        let twice =
            [Opens, Opened, Restored, Opens, Opened, Restored, received(2), Acknowledges, Acknowledged];
        assert!(is_right(begun, &twice));
        let once_moved = [&twice[..], &[Opens, Opened, Restored]].concat();
        assert!(!is_right(begun, &once_moved));
        // One that the backup does not know begins at the beginning.
        let unknown = until(0).in_backup(until(0), 3);
        assert!(is_right(unknown, &[Opens, Opened, received(1)]));
        assert!(!is_right(unknown, &[Opens, Opened, Restored]));
    }
}
