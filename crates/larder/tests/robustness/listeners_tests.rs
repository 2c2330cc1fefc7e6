//! What is said of listeners that have heard everything, and of such as have not.

use super::feed::Feed;
use super::listeners::{Gap, Listened, Segment, check_cursor};
use super::record::{Heard, Scope};

fn event(revision: u64, group: &str) -> Heard {
    let (key, value) = (Some("k".to_owned()), Some(revision.to_string()));
    let (kind, group) = ("set".to_owned(), group.to_owned());
    Heard { revision, kind, group, key, value, expires_ms: None, at_ms: 0 }
}

fn heard(scope: Scope, segments: Vec<Segment>) -> Listened {
    let name = "somebody".to_owned();
    Listened { name, scope, cursor: None, segments, gaps: Vec::new(), reached_end: true, troubles: 0 }
}

fn segment(after: Option<u64>, heard: Vec<Heard>) -> Segment {
    Segment { after, heard, acknowledgements: Vec::new(), closed: true }
}

/// Ten commits of one event each, every second one of a group.
fn events() -> Vec<Heard> {
    (1..=10).map(|number| event(number * 3, if number % 2 == 0 { "even" } else { "odd" })).collect()
}

fn feed() -> Feed {
    let (feed, wrong) = Feed::new(&[heard(Scope::All, vec![segment(Some(0), events())])]);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(feed.is_whole());
    feed
}

fn is_right(listened: &Listened) -> bool {
    listened.check(&feed(), &[]).is_empty()
}

#[test]
fn a_complete_ordered_feed_passes_and_any_other_fails() {
    let all = |events: Vec<Heard>| heard(Scope::All, vec![segment(Some(0), events)]);
    assert!(is_right(&all(events())));
    let without = |index: usize| {
        let mut events = events();
        events.remove(index);
        all(events)
    };
    assert!((0..9).all(|index| !is_right(&without(index))), "one is missing");
    let twice = |index: usize| {
        let mut events = events();
        events.insert(index, events[index].clone());
        all(events)
    };
    assert!((0..10).all(|index| !is_right(&twice(index))), "one came twice");
    let mut swapped = events();
    swapped.swap(3, 4);
    assert!(!is_right(&all(swapped)));
    let mut other = events();
    other[5].value = Some("another".into());
    assert!(!is_right(&all(other)));
    assert!(!is_right(&heard(Scope::All, vec![segment(Some(3), events())])), "what was before its beginning");
}

#[test]
fn a_watcher_of_a_group_receives_only_that_group() {
    let even: Vec<_> = events().into_iter().filter(|event| event.group == "even").collect();
    let of_even = |events: Vec<Heard>| heard(Scope::Group("even".into()), vec![segment(Some(0), events)]);
    assert!(is_right(&of_even(even.clone())));
    assert!(!is_right(&of_even(even[1..].to_vec())));
    assert!(!is_right(&of_even(events())));
}

#[test]
fn watchers_that_received_different_events_fail() {
    let mut other = events();
    other[5].value = Some("another".into());
    let both = [events(), other].map(|events| heard(Scope::All, vec![segment(Some(0), events)]));
    assert_eq!(Feed::new(&both).1.len(), 1);
}

#[test]
fn a_gap_passes_only_if_an_unreceived_event_was_compacted() {
    let gap = |last: u64, oldest: u64| {
        let (before, behind) = events().into_iter().partition(|event| event.revision <= last);
        let behind: Vec<_> = Vec::into_iter(behind).filter(|event: &Heard| event.revision > oldest).collect();
        let segments = vec![segment(Some(0), before), segment(Some(oldest), behind)];
        let gaps = vec![Gap { oldest, at_ns: 100, last: Some(last) }];
        Listened { gaps, ..heard(Scope::All, segments) }
    };
    let check =
        |listened: &Listened, compactions: &[(u64, u64)]| listened.check(&feed(), compactions).is_empty();
    assert!(check(&gap(9, 18), &[(20, 50)]));
    assert!(!check(&gap(9, 18), &[]), "nothing was compacted");
    assert!(!check(&gap(9, 18), &[(20, 150)]), "not yet");
    assert!(!check(&gap(9, 18), &[(12, 50)]), "not so far");
}

#[test]
fn a_cursor_must_resume_after_its_last_acknowledged_event() {
    let life = |from: usize, to: usize, acknowledgements: Vec<(usize, bool)>| {
        let received_then = events()[from..to].to_vec();
        let segments = vec![Segment { acknowledgements, ..segment(None, received_then) }];
        heard(Scope::All, segments)
    };
    let check = |lives: [Listened; 2]| {
        let lives: Vec<&Listened> = lives.iter().collect();
        check_cursor(&lives, &feed()).is_empty()
    };
    assert!(check([life(0, 5, vec![(3, true)]), life(3, 10, vec![])]));
    assert!(!check([life(0, 5, vec![(3, true)]), life(4, 10, vec![])]), "one was left out");
    assert!(!check([life(0, 5, vec![(3, true)]), life(2, 10, vec![])]), "one was acknowledged");
    assert!(
        check([life(0, 5, vec![(3, true), (5, false)]), life(5, 10, vec![])]),
        "it may have been written"
    );
    assert!(check([life(0, 5, vec![(3, true), (5, false)]), life(3, 10, vec![])]), "or not");
    assert!(check([life(0, 5, vec![]), life(0, 10, vec![])]));
}

#[test]
fn a_cursor_may_resume_after_one_of_two_equal_events_of_a_commit() {
    let mut twice = events();
    twice.insert(4, twice[4].clone());
    let (feed, _) = Feed::new(&[heard(Scope::All, vec![segment(Some(0), twice.clone())])]);
    let life = |from: usize, to: usize, acknowledgements: Vec<(usize, bool)>| {
        let part = Segment { acknowledgements, ..segment(None, twice[from..to].to_vec()) };
        heard(Scope::All, vec![part])
    };
    let is_right = |lives: &[Listened]| {
        lives.iter().all(|life| life.check(&feed, &[]).is_empty())
            && check_cursor(&lives.iter().collect::<Vec<_>>(), &feed).is_empty()
    };
    assert!(is_right(&[life(0, 6, vec![(5, true)]), life(5, 11, vec![])]), "behind the first of them");
    assert!(is_right(&[life(0, 6, vec![(6, true)]), life(5, 11, vec![])]), "the second comes again");
    assert!(is_right(&[life(0, 6, vec![(6, true)]), life(6, 11, vec![])]));
    assert!(!is_right(&[life(0, 6, vec![(4, true)]), life(6, 11, vec![])]), "both were left out");
}
