//! The checks of listeners pass correct lives and fail incorrect ones.

use super::cursors::CursorCheck;
use super::eras::Eras;
use super::feed::Feed;
use super::listeners::{Acknowledgement, Gap, Listener, Segment};
use super::record::{ReceivedEvent, Scope};

fn event(revision: u64, group: &str) -> ReceivedEvent {
    let (key, value) = (Some("k".to_owned()), Some(revision.to_string()));
    let (kind, group) = ("set".to_owned(), group.to_owned());
    ReceivedEvent { revision, kind, group, key, value, expires_ms: None, at_ms: 0 }
}

fn listener(scope: Scope, segments: Vec<Segment>) -> Listener {
    let name = "listener".to_owned();
    Listener {
        name,
        scope,
        cursor: None,
        began_ns: 0,
        segments,
        gaps: Vec::new(),
        told_of: None,
        is_owed: false,
        wrong: Vec::new(),
        reached_end: true,
        failures: 0,
    }
}

fn segment(after: Option<u64>, events: Vec<ReceivedEvent>) -> Segment {
    Segment { resumes: true, after, events, closed: true, ..Segment::default() }
}

/// Ten commits of one event each, in two groups by turns.
fn events() -> Vec<ReceivedEvent> {
    (1..=10).map(|number| event(number * 3, if number % 2 == 0 { "even" } else { "odd" })).collect()
}

fn feed() -> Feed {
    let (feed, wrong) = Feed::new(&[listener(Scope::All, vec![segment(Some(0), events())])], 0, true, None);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(feed.is_whole());
    feed
}

fn acknowledged((count, is_sure): (usize, bool)) -> Acknowledgement {
    Acknowledgement { count, began_ns: 10, done_ns: is_sure.then_some(20) }
}

fn check_cursor(lives: &[&Listener], feed: &Feed) -> Vec<String> {
    CursorCheck::default().check(0, lives, feed, &Eras::default())
}

fn is_right(listener: &Listener) -> bool {
    listener.check(0, &feed(), &[]).is_empty()
}

#[test]
fn a_complete_ordered_feed_passes_and_any_other_fails() {
    let all = |events: Vec<ReceivedEvent>| listener(Scope::All, vec![segment(Some(0), events)]);
    assert!(is_right(&all(events())));
    let without = |index: usize| {
        let mut events = events();
        events.remove(index);
        all(events)
    };
    assert!((0..9).all(|index| !is_right(&without(index))), "an event is missing");
    let twice = |index: usize| {
        let mut events = events();
        events.insert(index, events[index].clone());
        all(events)
    };
    assert!((0..10).all(|index| !is_right(&twice(index))), "an event came twice");
    let mut swapped = events();
    swapped.swap(3, 4);
    assert!(!is_right(&all(swapped)));
    let mut other = events();
    other[5].value = Some("another".into());
    assert!(!is_right(&all(other)));
    assert!(
        !is_right(&listener(Scope::All, vec![segment(Some(3), events())])),
        "events from before it began"
    );
}

#[test]
fn a_watcher_of_a_group_receives_only_that_group() {
    let even: Vec<_> = events().into_iter().filter(|event| event.group == "even").collect();
    let of_even =
        |events: Vec<ReceivedEvent>| listener(Scope::Group("even".into()), vec![segment(Some(0), events)]);
    assert!(is_right(&of_even(even.clone())));
    assert!(!is_right(&of_even(even[1..].to_vec())));
    assert!(!is_right(&of_even(events())));
}

#[test]
fn watchers_that_received_different_events_fail() {
    let mut other = events();
    other[5].value = Some("another".into());
    let both = [events(), other].map(|events| listener(Scope::All, vec![segment(Some(0), events)]));
    assert_eq!(Feed::new(&both, 0, true, None).1.len(), 1);
}

#[test]
fn a_gap_passes_only_if_an_unreceived_event_was_compacted() {
    let gap = |last: u64, oldest: u64| {
        let (before, after) = events().into_iter().partition(|event| event.revision <= last);
        let after: Vec<_> =
            Vec::into_iter(after).filter(|event: &ReceivedEvent| event.revision > oldest).collect();
        let segments = vec![segment(Some(0), before), segment(Some(oldest), after)];
        let gaps = vec![Gap { era: 0, oldest, at_ns: 100, last: Some(last) }];
        Listener { gaps, ..listener(Scope::All, segments) }
    };
    let check =
        |listener: &Listener, compactions: &[(u64, u64)]| listener.check(0, &feed(), compactions).is_empty();
    assert!(check(&gap(9, 18), &[(20, 50)]));
    assert!(!check(&gap(9, 18), &[]), "nothing was compacted");
    assert!(!check(&gap(9, 18), &[(20, 150)]), "compacted later");
    assert!(!check(&gap(9, 18), &[(12, 50)]), "compacted less far");
}

#[test]
fn a_cursor_must_resume_after_its_last_acknowledged_event() {
    let life = |from: usize, to: usize, acknowledgements: Vec<(usize, bool)>| {
        let received = events()[from..to].to_vec();
        let acknowledgements = acknowledgements.into_iter().map(acknowledged).collect();
        let segments = vec![Segment { acknowledgements, ..segment(None, received) }];
        listener(Scope::All, segments)
    };
    let check = |lives: [Listener; 2]| {
        let lives: Vec<&Listener> = lives.iter().collect();
        check_cursor(&lives, &feed()).is_empty()
    };
    assert!(check([life(0, 5, vec![(3, true)]), life(3, 10, vec![])]));
    assert!(!check([life(0, 5, vec![(3, true)]), life(4, 10, vec![])]), "an event is missing");
    assert!(!check([life(0, 5, vec![(3, true)]), life(2, 10, vec![])]), "an acknowledged event came again");
    assert!(
        check([life(0, 5, vec![(3, true), (5, false)]), life(5, 10, vec![])]),
        "the last acknowledgement succeeded"
    );
    assert!(
        check([life(0, 5, vec![(3, true), (5, false)]), life(3, 10, vec![])]),
        "the last acknowledgement failed"
    );
    assert!(check([life(0, 5, vec![]), life(0, 10, vec![])]));
}

#[test]
fn a_cursor_may_resume_after_one_of_two_equal_events_of_a_commit() {
    let mut twice = events();
    twice.insert(4, twice[4].clone());
    let (feed, _) = Feed::new(&[listener(Scope::All, vec![segment(Some(0), twice.clone())])], 0, true, None);
    let life = |from: usize, to: usize, acknowledgements: Vec<(usize, bool)>| {
        let acknowledgements = acknowledgements.into_iter().map(acknowledged).collect();
        let part = Segment { acknowledgements, ..segment(None, twice[from..to].to_vec()) };
        listener(Scope::All, vec![part])
    };
    let is_right = |lives: &[Listener]| {
        lives.iter().all(|life| life.check(0, &feed, &[]).is_empty())
            && check_cursor(&lives.iter().collect::<Vec<_>>(), &feed).is_empty()
    };
    assert!(is_right(&[life(0, 6, vec![(5, true)]), life(5, 11, vec![])]), "after the first of them");
    assert!(is_right(&[life(0, 6, vec![(6, true)]), life(5, 11, vec![])]), "the second comes again");
    assert!(is_right(&[life(0, 6, vec![(6, true)]), life(6, 11, vec![])]));
    assert!(!is_right(&[life(0, 6, vec![(4, true)]), life(6, 11, vec![])]), "both are missing");
}
