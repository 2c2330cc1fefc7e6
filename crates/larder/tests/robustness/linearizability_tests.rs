//! The linearizability check passes correct histories and fails incorrect ones.

use super::linearizability::{Call, check};
use super::random::Random;
use super::record::{Action, Outcome, Requirement};

fn call(begin_ns: u64, end_ns: u64, action: Action, outcome: Outcome) -> Call {
    Call { caller: String::new(), begin_ns, end_ns: Some(end_ns), action, outcome }
}

fn lost(begin_ns: u64, action: Action) -> Call {
    Call { caller: String::new(), begin_ns, end_ns: None, action, outcome: Outcome::Unknown }
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
        calls.push(Call { caller: String::new(), begin_ns, end_ns, action, outcome });
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
