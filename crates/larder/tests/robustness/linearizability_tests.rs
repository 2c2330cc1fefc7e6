//! The linearizability check passes correct histories and fails incorrect ones.

use super::client::{CACHE_AGE_MAX, CACHED};
use super::history::History;
use super::linearizability::{Call, State, check};
use super::random::Random;
use super::record::{Action, Outcome, Record, Requirement};
use super::targets::REGISTERS;

fn call(begin_ns: u64, end_ns: u64, action: Action, outcome: Outcome) -> Call {
    let caller = String::new();
    Call { caller, begin_ns, asked_ns: begin_ns, end_ns: Some(end_ns), over_ns: end_ns, action, outcome }
}

fn lost(begin_ns: u64, action: Action) -> Call {
    let (caller, outcome) = (String::new(), Outcome::Unknown);
    Call { caller, begin_ns, asked_ns: begin_ns, end_ns: None, over_ns: u64::MAX, action, outcome }
}

fn set(begin_ns: u64, end_ns: u64, value: i64, revision: u64) -> Call {
    call(begin_ns, end_ns, Action::Set(value), Outcome::Written(revision))
}

fn read(begin_ns: u64, end_ns: u64, found: Option<(i64, u64)>) -> Call {
    let found = found.map(|(value, revision)| (value, Some(revision)));
    call(begin_ns, end_ns, Action::Read, Outcome::Found(found))
}

fn is_right(calls: &[Call]) -> bool {
    check(calls.to_vec()).is_ok()
}

#[test]
fn sequential_calls_pass_and_a_stale_read_fails() {
    assert!(is_right(&[]));
    assert!(is_right(&[read(0, 1, None), set(2, 3, 7, 1), read(4, 5, Some((7, 1)))]));
    assert!(!is_right(&[set(0, 1, 7, 1), read(2, 3, None)]));
    assert!(!is_right(&[set(0, 1, 7, 1), set(2, 3, 8, 2), read(4, 5, Some((7, 1)))]));
    assert!(!is_right(&[read(0, 1, Some((7, 1))), set(2, 3, 7, 1)]));
}

#[test]
fn a_read_from_memory_may_be_old_but_not_older_than_what_its_process_has_written() {
    let base_ns = 10 * CACHE_AGE_MAX.as_nanos() as u64;
    let records = |id: u64, (begin, end): (u64, u64), action: Action, outcome: Outcome| {
        let (group, key) = (REGISTERS.to_owned(), "0".to_owned());
        [
            Record::Call { id, at_ns: base_ns + begin, group, key, action },
            Record::Return { id, at_ns: base_ns + end, outcome },
        ]
    };
    let is_right = |own: Outcome| {
        let (first, second) = (Action::Set(7), Action::Set(8));
        let others =
            [records(1, (0, 1), first, Outcome::Written(1)), records(2, (2, 3), second, Outcome::Written(2))];
        let own = [
            records(3, (4, 5), Action::SetIf(Requirement::Revision(2), 9), own),
            records(4, (6, 7), Action::Read, Outcome::Found(Some((7, Some(1))))),
        ];
        let mut history = History::default();
        history.add(1, 0, u64::MAX, others.as_flattened());
        history.add(CACHED, 0, u64::MAX, own.as_flattened());
        let calls = history.calls.into_values().flatten();
        is_right(&calls.filter(|call| !matches!(call.outcome, Outcome::Failed(_))).collect::<Vec<_>>())
    };
    assert!(is_right(Outcome::Failed("unauthorized".into())));
    assert!(!is_right(Outcome::Written(3)));
}

#[test]
fn a_write_that_returns_late_is_shown_by_memory_from_when_it_took_effect() {
    let own = |begin_ns, end_ns, asked_ns, action, outcome| {
        let caller = "3.0 1".to_owned();
        Call { caller, begin_ns, asked_ns, end_ns: Some(end_ns), over_ns: end_ns, action, outcome }
    };
    // It took effect before others set and deleted the entry, and returned after that.
    let late = own(10, 100, 10, Action::Set(7), Outcome::Written(1));
    let others = [set(20, 30, 8, 2), call(40, 50, Action::Delete, Outcome::Deleted(true)), set(60, 70, 9, 4)];
    let with = |found: Option<(i64, u64)>| {
        let found = found.map(|(value, revision)| (value, Some(revision)));
        let read = own(10, 102, 101, Action::Read, Outcome::Found(found));
        is_right(&[&others[..], &[late.clone(), read]].concat())
    };
    assert!(with(Some((7, 1))) && with(Some((8, 2))) && with(None) && with(Some((9, 4))));
    let early = [set(0, 5, 6, 1), own(10, 20, 10, Action::Delete, Outcome::Deleted(true))];
    let read = own(10, 22, 21, Action::Read, Outcome::Found(Some((6, Some(1)))));
    assert!(!is_right(&[&early[..], &[read]].concat()), "its own deletion is not shown");
    let first = own(10, 20, 10, Action::Set(7), Outcome::Written(1));
    let read = own(10, 22, 21, Action::Read, Outcome::Found(None));
    assert!(!is_right(&[first, read]), "its own write is not shown");
}

#[test]
fn concurrent_calls_may_take_effect_in_any_single_order() {
    let (first, second) = (set(0, 10, 7, 1), set(0, 10, 8, 2));
    assert!(is_right(&[first.clone(), second.clone(), read(11, 12, Some((8, 2)))]));
    assert!(
        !is_right(&[first.clone(), second.clone(), read(11, 12, Some((7, 1)))]),
        "the revisions give the order"
    );
    let back_and_forth = [read(1, 2, Some((8, 2))), read(3, 4, Some((7, 1)))];
    assert!(!is_right(&[&[first, second], &back_and_forth[..]].concat()));
}

#[test]
fn an_unanswered_write_may_happen_late_or_never_but_not_early_or_twice() {
    let unknown = lost(5, Action::Set(9));
    assert!(is_right(&[set(0, 1, 7, 1), unknown.clone(), read(6, 7, Some((7, 1)))]));
    let late = [read(6, 7, Some((7, 1))), read(100, 101, Some((9, 4)))];
    assert!(is_right(&[&[set(0, 1, 7, 1), unknown.clone()], &late[..]].concat()));
    assert!(!is_right(&[set(0, 1, 7, 1), read(2, 3, Some((9, 4))), unknown.clone()]));
    let twice = [read(6, 7, Some((9, 2))), set(8, 9, 7, 3), read(10, 11, Some((9, 4)))];
    assert!(!is_right(&[&[unknown], &twice[..]].concat()));
}

#[test]
fn increments_count_once() {
    let increment = |begin_ns, sum| call(begin_ns, begin_ns + 5, Action::Increment(1), Outcome::Sum(sum));
    assert!(is_right(&[increment(0, 1), increment(1, 2), increment(2, 3)]));
    assert!(!is_right(&[increment(0, 1), increment(1, 1)]));
    assert!(!is_right(&[increment(0, 1), increment(10, 3)]));
    assert!(is_right(&[increment(0, 1), lost(7, Action::Increment(1)), increment(10, 3)]));
    assert!(!is_right(&[increment(0, 1), lost(7, Action::Increment(1)), increment(10, 4)]));
}

#[test]
fn conditions_must_match_the_value_at_that_moment() {
    let set_if =
        |begin_ns, requirement, outcome| call(begin_ns, begin_ns + 1, Action::SetIf(requirement, 5), outcome);
    let there = set(0, 1, 7, 3);
    for (requirement, met) in [
        (Requirement::Absent, false),
        (Requirement::Present, true),
        (Requirement::Revision(3), true),
        (Requirement::Revision(2), false),
    ] {
        assert_eq!(is_right(&[there.clone(), set_if(2, requirement, Outcome::Written(4))]), met);
        assert_eq!(is_right(&[there.clone(), set_if(2, requirement, Outcome::Conflict(Some(3)))]), !met);
        assert!(!is_right(&[there.clone(), set_if(2, requirement, Outcome::Conflict(Some(1)))]));
    }
    let delete = |revision, outcome| call(2, 3, Action::DeleteIf(revision), outcome);
    let gone = read(4, 5, None);
    assert!(is_right(&[there.clone(), delete(3, Outcome::Deleted(true)), gone.clone()]));
    assert!(!is_right(&[there.clone(), delete(2, Outcome::Deleted(true)), gone.clone()]));
    assert!(!is_right(&[there.clone(), call(2, 3, Action::Delete, Outcome::Deleted(false)), gone]));
}

/// The history of a correct register with concurrent callers. Some answers are lost.
fn simulated(random: &mut Random) -> Vec<Call> {
    let (mut calls, mut entry, mut revision) = (Vec::new(), None::<(i64, u64)>, 0);
    for number in 0..200_u64 {
        // The call takes effect at `at_ns`; it begins a while before and returns a while after.
        let at_ns = 1000 + 10 * number;
        let (begin_ns, end_ns) = (at_ns - 1 - random.below(25), at_ns + 1 + random.below(25));
        let value = number as i64;
        let (action, outcome) = match random.below(5) {
            0 => {
                revision += 1;
                entry = Some((value, revision));
                (Action::Set(value), Outcome::Written(revision))
            }
            1 => {
                let was_there = entry.take().is_some();
                revision += u64::from(was_there);
                (Action::Delete, Outcome::Deleted(was_there))
            }
            2 => {
                revision += 1;
                let sum = entry.map_or(0, |(value, _)| value) + 1;
                entry = Some((sum, revision));
                (Action::Increment(1), Outcome::Sum(sum))
            }
            _ => {
                let found = entry.map(|(value, revision)| (value, Some(revision)));
                (Action::Read, Outcome::Found(found))
            }
        };
        let answered = random.percent(95);
        let outcome = if answered { outcome } else { Outcome::Unknown };
        let end_ns = answered.then_some(end_ns);
        let over_ns = end_ns.unwrap_or(u64::MAX);
        calls.push(Call {
            caller: String::new(),
            begin_ns,
            asked_ns: begin_ns,
            end_ns,
            over_ns,
            action,
            outcome,
        });
    }
    calls
}

#[test]
fn histories_of_a_real_register_pass_and_altered_ones_fail() {
    for seed in 0..40 {
        let mut random = Random::of(seed, &[]);
        let mut calls = simulated(&mut random);
        check(calls.clone()).unwrap();
        // A value that was never written.
        let reads = calls.iter_mut().filter(|call| call.action == Action::Read && call.end_ns.is_some());
        let read = reads.last().unwrap();
        read.outcome = Outcome::Found(Some((-1, None)));
        assert!(check(calls).is_err(), "seed {seed}");
    }
}

#[test]
fn many_reads_that_overlap_are_decided() {
    // Each read may come before or after any other: there are more subsets of them than could be tried.
    let mut calls = vec![set(0, 1, 7, 1), set(2, 500, 8, 2)];
    calls.extend(
        (0..60).map(|number| read(2 + number, 600, Some(if number % 2 == 0 { (7, 1) } else { (8, 2) }))),
    );
    assert!(is_right(&calls));
    calls.push(read(700, 800, Some((7, 1))));
    let reason = check(calls).unwrap_err();
    assert!(reason.starts_with("there is no order"), "{reason}");
}

/// Whether any order of the calls is right, by trying all of them.
fn has_order(state: &State, answered: &[Call], lost: &[Call]) -> bool {
    if answered.is_empty() {
        return true;
    }
    let until = answered.iter().filter_map(|call| call.end_ns).min().unwrap_or(u64::MAX);
    let without = |calls: &[Call], index: usize| {
        let mut rest = calls.to_vec();
        rest.remove(index);
        rest
    };
    let may_come = |call: &Call| call.begin_ns <= until;
    let comes = |(index, call): (usize, &Call)| {
        let after = state.after(call).filter(|_| may_come(call));
        after.is_some_and(|after| has_order(&after, &without(answered, index), lost))
    };
    let happened = |(index, call): (usize, &Call)| {
        let after = state.after(call).filter(|_| may_come(call));
        after.is_some_and(|after| has_order(&after, answered, &without(lost, index)))
    };
    answered.iter().enumerate().any(comes) || lost.iter().enumerate().any(happened)
}

#[test]
fn the_search_finds_an_order_where_trying_all_of_them_does() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..4000 {
        let mut random = Random::of(seed, &[7]);
        let mut calls: Vec<Call> = simulated(&mut random);
        calls.truncate(8);
        // Values that may be right or not.
        for call in &mut calls {
            if let Outcome::Found(_) = call.outcome
                && random.percent(40)
            {
                let revision = random.percent(50).then(|| 1 + random.below(4));
                call.outcome = Outcome::Found(Some((random.below(8) as i64, revision)));
            }
        }
        let (answered, lost): (Vec<_>, Vec<_>) =
            calls.iter().cloned().partition(|call| call.end_ns.is_some());
        let expected = has_order(&State::default(), &answered, &lost);
        assert_eq!(is_right(&calls), expected, "seed {seed}: {calls:#?}");
        *(if expected { &mut right } else { &mut wrong }) += 1;
    }
    assert!(right > 500 && wrong > 500, "{right} right, {wrong} wrong");
}
