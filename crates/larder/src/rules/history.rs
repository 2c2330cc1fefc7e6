//! Which history keeps a change, and what a reader of the log may have lost.
//!
//! A store has several histories, each for the groups of one prefix, and each loses its own oldest changes. So the
//! log has no single old end. A reader that wants the groups of a pattern, and has read up to a position, has lost
//! something if, and only if, a history that may hold such a group has lost a change after that position.

use crate::data::{LogPosition, NamePattern, Revision};

/// A history, as the rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// What the names of its groups start with. No two histories of a store have the same, and one has the empty
    /// one.
    pub prefix: &'a str,
    /// The last change that it has lost, or a position before its first change.
    pub lost: LogPosition,
}

/// Returns which history keeps the changes of a group: the one with the longest prefix.
pub(crate) fn history_of<'a>(group: &str, prefixes: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let matching = prefixes.into_iter().enumerate().filter(|(_, prefix)| group.starts_with(prefix));
    matching.max_by_key(|(_, prefix)| prefix.len()).map(|(index, _)| index)
}

/// Returns which histories may hold changes of the groups that a pattern selects.
pub(crate) fn histories_for(groups: &NamePattern, histories: &[Kept<'_>]) -> Vec<usize> {
    let of_text = history_of(groups.text(), histories.iter().map(|history| history.prefix));
    let is_wanted = |&index: &usize| match groups {
        NamePattern::Exact(_) => Some(index) == of_text,
        // A group may be called as the prefix of a history is, so each history below the pattern counts.
        NamePattern::Prefix(prefix) => {
            Some(index) == of_text || histories[index].prefix.starts_with(prefix.as_str())
        }
    };
    (0..histories.len()).filter(is_wanted).collect()
}

/// What a reader reads of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Which history.
    pub history: usize,
    /// A commit that has lost changes already. What is left of it is left out, because nobody receives half a commit
    /// without being told.
    pub without: Option<Revision>,
}

/// What a reader reads that has read up to `after`, was told that changes up to `told` may be missing, and has every
/// change after `at_hand_after`.
///
/// # Errors
/// The revision up to which changes may be missing now, if the reader was not told of that.
pub(crate) fn readings(
    groups: &NamePattern,
    histories: &[Kept<'_>],
    after: LogPosition,
    told: LogPosition,
    at_hand_after: LogPosition,
) -> Result<Vec<Reading>, Revision> {
    let wanted = histories_for(groups, histories);
    let lost = wanted.iter().map(|&history| histories[history].lost.min(at_hand_after)).max();
    if let Some(lost) = lost.filter(|lost| *lost > after.max(told)) {
        return Err(lost.revision);
    }
    let reading = |history: usize| {
        let lost = histories[history].lost;
        let is_half_lost = lost > after && lost != LogPosition::after(lost.revision);
        Reading { history, without: is_half_lost.then_some(lost.revision) }
    };
    Ok(wanted.into_iter().map(reading).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(revision: u64, step: u64) -> LogPosition {
        LogPosition { revision: Revision(revision), step }
    }

    fn after(revision: u64) -> LogPosition {
        LogPosition::after(Revision(revision))
    }

    fn whole(history: usize) -> Reading {
        Reading { history, without: None }
    }

    const NEVER: LogPosition = LogPosition { revision: Revision(0), step: 0 };

    fn shop(sessions_lost: LogPosition) -> [Kept<'static>; 3] {
        [
            Kept { prefix: "", lost: NEVER },
            Kept { prefix: "session:", lost: sessions_lost },
            Kept { prefix: "session:admin", lost: NEVER },
        ]
    }

    #[test]
    fn the_longest_prefix_decides() {
        let prefixes = ["", "session:", "session:admin"];
        for (group, history) in [
            ("", 0),
            ("orders", 0),
            ("session", 0),
            ("session:", 1),
            ("session:7", 1),
            ("session:admin-2", 2),
        ] {
            assert_eq!(history_of(group, prefixes), Some(history), "{group}");
        }
        assert_eq!(history_of("orders", ["session:"]), None);
    }

    #[test]
    fn a_reader_of_orders_does_not_care_what_sessions_have_lost() {
        let shop = shop(at(900, 0));
        let orders = NamePattern::Exact("orders".into());
        assert_eq!(readings(&orders, &shop, after(1), NEVER, LogPosition::MAX), Ok(vec![whole(0)]));
        let admins = NamePattern::Prefix("session:admin".into());
        assert_eq!(readings(&admins, &shop, after(1), NEVER, LogPosition::MAX), Ok(vec![whole(2)]));
    }

    #[test]
    fn a_reader_of_everything_is_told_once_and_then_reads_the_rest_of_each_history() {
        let shop = shop(at(900, 4));
        let all = NamePattern::Prefix(String::new());
        assert_eq!(readings(&all, &shop, after(1), NEVER, LogPosition::MAX), Err(Revision(900)));
        let rest = vec![whole(0), Reading { history: 1, without: Some(Revision(900)) }, whole(2)];
        assert_eq!(readings(&all, &shop, after(1), after(900), LogPosition::MAX), Ok(rest));
        // One that has read further has lost nothing.
        let everything = vec![whole(0), whole(1), whole(2)];
        assert_eq!(readings(&all, &shop, at(900, 4), NEVER, LogPosition::MAX), Ok(everything));
    }

    fn name() -> impl Strategy<Value = String> {
        "[ab]{0,4}"
    }

    fn pattern() -> impl Strategy<Value = NamePattern> {
        prop_oneof![name().prop_map(NamePattern::Prefix), name().prop_map(NamePattern::Exact)]
    }

    proptest! {
        /// Names of up to six letters tell every case apart, since prefixes and patterns have up to four.
        #[test]
        fn a_history_counts_if_and_only_if_a_group_of_the_pattern_can_be_in_it(
            mut prefixes in prop::collection::btree_set(name(), 0..5),
            groups in pattern(),
        ) {
            prefixes.insert(String::new());
            let histories: Vec<_> = prefixes.iter().map(|prefix| Kept { prefix, lost: NEVER }).collect();
            let names = (0..=6).flat_map(|length: u32| (0..1_u32 << length).map(move |bits| {
                (0..length).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            }));
            let of = |name: String| history_of(&name, prefixes.iter().map(String::as_str));
            let expected: std::collections::BTreeSet<_> =
                names.filter(|name| groups.matches(name)).filter_map(of).collect();
            let found = histories_for(&groups, &histories);
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }

        /// The log as it would be with every change in it, beside what the histories still hold.
        #[test]
        fn a_reader_that_is_told_nothing_gets_every_change_of_its_groups(
            changes in prop::collection::vec((name(), 1..3_u64), 1..30),
            mut prefixes in prop::collection::btree_set(name(), 0..4),
            cuts in prop::collection::vec(0..30_usize, 5),
            groups in pattern(),
            from in 0..40_u64,
            told in 0..40_u64,
        ) {
            prefixes.insert(String::new());
            let prefixes: Vec<_> = prefixes.into_iter().collect();
            let of = |group: &str| history_of(group, prefixes.iter().map(String::as_str)).unwrap();
            let mut log = Vec::new();
            for (revision, (group, steps)) in (1..).zip(changes) {
                log.extend((0..steps).map(|step| (at(revision, step), group.clone())));
            }
            let lost: Vec<_> = (0..prefixes.len()).map(|index| {
                let own = log.iter().filter(|(_, group)| of(group) == index);
                own.take(cuts[index]).last().map_or(NEVER, |(place, _)| *place)
            }).collect();
            let histories: Vec<_> =
                prefixes.iter().zip(&lost).map(|(prefix, lost)| Kept { prefix, lost: *lost }).collect();
            let (from, told) = (after(from), after(told));
            let wanted = |(place, group): &&(LogPosition, String)| *place > from && groups.matches(group);
            let is_lost = |(place, group): &(LogPosition, String)| *place <= lost[of(group)];
            match readings(&groups, &histories, from, told, LogPosition::MAX) {
                Err(revision) => {
                    let told_of = log.iter().any(|(place, group)| {
                        *place > from && is_lost(&(*place, group.clone())) && place.revision == revision
                    });
                    prop_assert!(told_of, "it is told of a change that is really gone");
                    prop_assert!(after(revision.0) > told);
                }
                Ok(readings) => {
                    let received: Vec<_> = log.iter().filter(wanted).filter(|(place, group)| {
                        let reads = |reading: &Reading| {
                            reading.history == of(group) && reading.without != Some(place.revision)
                        };
                        *place > lost[of(group)] && readings.iter().any(reads)
                    }).collect();
                    for change in log.iter().filter(wanted) {
                        prop_assert!(received.contains(&change) || change.0 <= told, "{:?}", change);
                    }
                }
            }
        }
    }
}
