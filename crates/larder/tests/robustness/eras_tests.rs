//! The checks know which writes a restore has undone, and that everybody was told of it.

use std::collections::BTreeMap;

use super::cursors::CursorCheck;
use super::eras::{Eras, Restore, Save};
use super::feed::Feed;
use super::history::{History, check_order};
use super::listeners::{Listener, leave_out_what_may_be_of_either_era, listeners_of, violations_of};
use super::past::Past;
use super::record::{Action, Outcome, ReceivedEvent, Record, Scope};
use super::targets::REGISTERS;

/// A save at 100 to 110, after revision 30, and a restore at 200 to 210.
fn eras() -> Eras {
    let save = Save { era: 0, begin: 30, at_ns: (100, 110) };
    Eras { restores: vec![Restore { save, at_ns: (200, 210) }], ..Eras::default() }
}

fn event(revision: u64, value: &str) -> ReceivedEvent {
    let (group, kind) = (REGISTERS.to_owned(), "set".to_owned());
    let (key, value) = (Some("0".to_owned()), Some(value.to_owned()));
    ReceivedEvent { revision, kind, group, key, value, expires_ms: None, at_ms: 0 }
}

fn received(listener: &str, revision: u64, value: &str) -> Record {
    Record::Received { listener: listener.into(), event: event(revision, value) }
}

fn began(listener: &str, after: Option<u64>, at_ns: u64) -> Record {
    Record::ListenerBegan { listener: listener.into(), pattern: Scope::All, after, at_ns }
}

fn restored(listener: &str, latest: u64, at_ns: u64) -> Record {
    Record::Restored { listener: listener.into(), latest, at_ns }
}

fn reached_end(listener: &str) -> Record {
    Record::ReachedEnd { listener: listener.into() }
}

/// What the observers of both eras receive: 10, 20 and 30 are kept, 40 and 50 undone, and then 40 and 60 are new.
fn observers() -> Vec<Listener> {
    let first = [(10, "1"), (20, "2"), (30, "3"), (40, "4"), (50, "5"), (51, "6")];
    let mut old = vec![began("watcher-0", Some(0), 1)];
    old.extend(first.map(|(revision, value)| received("watcher-0", revision, value)));
    let mut new = vec![began("watcher-0", Some(30), 220)];
    new.extend([(40, "7"), (60, "8")].map(|(revision, value)| received("watcher-0", revision, value)));
    new.push(reached_end("watcher-0"));
    [listeners_of(0, 0, &old, &eras()), listeners_of(0, 1, &new, &eras())].into_iter().flatten().collect()
}

fn feeds() -> (Feed, Feed) {
    let (old, wrong) = Feed::new(&observers(), 0, false, None);
    assert_eq!(wrong, Vec::<String>::new());
    let (new, wrong) = Feed::new(&observers(), 1, true, Some((&old, 30)));
    assert_eq!(wrong, Vec::<String>::new());
    (old, new)
}

/// What is wrong about the records of a client.
fn wrong_of(records: &[Record]) -> Vec<String> {
    let (old, new) = feeds();
    let mut wrong = Vec::new();
    for listener in listeners_of(1, 0, records, &eras()) {
        wrong.extend(listener.wrong.clone());
        wrong.extend(listener.check(0, &old, &[]));
        wrong.extend(listener.check_end_of(0, &old, &new));
        wrong.extend(listener.check(1, &new, &[]));
    }
    wrong
}

#[test]
fn an_era_begins_with_what_was_saved_and_goes_on_otherwise() {
    let (old, new) = feeds();
    let revisions = |feed: &Feed| feed.events().map(|event| event.revision).collect::<Vec<_>>();
    assert_eq!(revisions(&old), [10, 20, 30, 40, 50]);
    assert_eq!(revisions(&new), [10, 20, 30, 40, 60]);
    assert!(old.is_whole() && new.is_whole());
    assert_eq!((new.fork(), new.entry_at_fork(REGISTERS, "0")), (30, Some((3, 30))));
}

#[test]
fn a_watcher_is_told_of_a_restore_once_before_it_receives_what_came_after() {
    let before =
        [began("w", Some(10), 1), received("w", 20, "2"), received("w", 30, "3"), received("w", 40, "4")];
    let with = |after: &[Record]| wrong_of(&[&before[..], after].concat());
    let end = [received("w", 60, "8"), reached_end("w")];
    let told = [&[restored("w", 40, 230)][..], &end].concat();
    assert_eq!(with(&told), Vec::<String>::new());
    assert_eq!(
        with(&[&[restored("w", 30, 230), received("w", 40, "7")][..], &end].concat()),
        Vec::<String>::new()
    );
    assert!(!with(&end).is_empty(), "deaf, and then silently in the new history");
    assert!(!with(&[&[received("w", 40, "7")][..], &end].concat()).is_empty(), "not told at all");
    assert!(!with(&[&[restored("w", 30, 230)][..], &end].concat()).is_empty(), "an event is missing");
    assert!(
        !with(&[&[restored("w", 40, 230), restored("w", 40, 240)][..], &end].concat()).is_empty(),
        "twice"
    );
    assert!(!with(&[&[restored("w", 40, 150)][..], &end].concat()).is_empty(), "before it happened");
}

#[test]
fn a_watcher_that_lost_nothing_may_receive_what_is_new_before_it_is_told() {
    let with = |events: &[(u64, &str)]| {
        let mut records = vec![began("w", Some(10), 1)];
        records.extend(events.iter().map(|(revision, value)| received("w", *revision, value)));
        records.extend([restored("w", 60, 230), reached_end("w")]);
        let mut all =
            [observers(), listeners_of(1, 0, &records, &eras())].into_iter().flatten().collect::<Vec<_>>();
        leave_out_what_may_be_of_either_era(&mut all, &eras());
        let (old, mut wrong) = Feed::new(&all, 0, false, None);
        let (new, differences) = Feed::new(&all, 1, true, Some((&old, 30)));
        wrong.extend(differences);
        assert!(old.covers(30) && new.is_whole());
        for listener in &all {
            wrong.extend(listener.check(0, &old, &[]));
            wrong.extend(listener.check_end_of(0, &old, &new));
            wrong.extend(listener.check(1, &new, &[]));
        }
        wrong
    };
    assert_eq!(with(&[(20, "2"), (30, "3"), (40, "7"), (60, "8")]), Vec::<String>::new());
    assert!(
        !with(&[(20, "2"), (30, "3"), (40, "4"), (60, "8")]).is_empty(),
        "it has received what is undone"
    );
    assert!(!with(&[(30, "3"), (40, "7")]).is_empty(), "an event is missing");
}

#[test]
fn a_revision_is_of_the_future_only_if_a_restore_took_it_back() {
    let violations = |asked: u64, latest: u64, (since_ns, at_ns): (u64, u64)| {
        let listener = "watcher-0".to_owned();
        let record = Record::FutureRevision { listener, asked, latest, since_ns, at_ns };
        violations_of(1, 0, &[record], &eras()).len()
    };
    assert_eq!(violations(50, 30, (150, 230)), 0, "found out before the restore");
    assert_eq!(
        violations(50, 40, (205, 230)),
        0,
        "found out during the restore, and others have written since"
    );
    assert_eq!(violations(50, 30, (150, 190)), 1, "before the restore");
    assert_eq!(violations(50, 30, (215, 230)), 1, "found out after the restore");
    assert_eq!(violations(30, 20, (150, 230)), 1, "the restore has kept it");
    assert_eq!(violations(50, 50, (150, 230)), 1, "the store has it");
    assert_eq!(violations_of(1, 0, &[Record::Violation("w".into())], &eras()), ["1.0: w"]);
}

#[test]
fn a_cursor_continues_where_the_restored_store_remembers_it() {
    let name = "cursor-1";
    let acknowledged = |began_ns: u64, at_ns: u64| {
        let listener = || name.to_owned();
        [
            Record::AcknowledgeBegan { listener: listener(), at_ns: began_ns },
            Record::Acknowledged { listener: listener(), at_ns },
        ]
    };
    let first = [began(name, None, 1), received(name, 10, "1"), received(name, 20, "2")];
    let records = |acknowledged_at: u64, after: &[(u64, &str)]| {
        let mut records = first.to_vec();
        records.extend(acknowledged(acknowledged_at, acknowledged_at + 1));
        records.push(received(name, 30, "3"));
        records.push(restored(name, 40, 230));
        records.extend(after.iter().map(|(revision, value)| received(name, *revision, value)));
        records.push(reached_end(name));
        records
    };
    let is_right = |records: &[Record]| {
        let (old, new) = feeds();
        let lives = listeners_of(1, 0, records, &eras());
        let lives: Vec<&Listener> = lives.iter().collect();
        let mut cursor = CursorCheck::default();
        let wrong = [cursor.check(0, &lives, &old, &eras()), cursor.check(1, &lives, &new, &eras())].concat();
        wrong.is_empty() && wrong_of(records).is_empty()
    };
    let (all, third) = ([(10, "1"), (20, "2"), (30, "3"), (40, "7"), (60, "8")], 2);
    assert!(is_right(&records(50, &all[third..])), "acknowledged before the save");
    assert!(!is_right(&records(50, &all)), "an acknowledged event came again");
    assert!(is_right(&records(150, &all)), "acknowledged after the save");
    assert!(!is_right(&records(150, &all[third..])), "the restored store cannot know of it");
    assert!(
        is_right(&records(105, &all)) && is_right(&records(105, &all[third..])),
        "acknowledged meanwhile"
    );
    assert!(!is_right(&records(50, &all[third + 1..])), "events of the restored history are missing");
}

/// Whether a call of one client fits both eras.
fn fits(begin_ns: u64, end_ns: u64, action: Action, outcome: Outcome) -> bool {
    let (group, key) = (REGISTERS.to_owned(), "0".to_owned());
    let call = Record::Call { id: 1, at_ns: begin_ns, group, key, action };
    let mut history = History::default();
    history.add(1, 0, u64::MAX, &[call, Record::Return { id: 1, at_ns: end_ns, outcome }]);
    let (old, new) = feeds();
    let mut pasts: Vec<Past> = Vec::new();
    let mut wrong = Vec::new();
    for (era, feed) in [&old, &new].into_iter().enumerate() {
        let past = Past::of(era, &history, &eras(), &pasts, feed);
        for ((group, key), calls) in &past.all {
            wrong.extend(feed.check_calls(group, key, calls));
        }
        wrong.extend(check_order(&past.own, feed));
        pasts.push(past);
    }
    wrong.is_empty()
}

#[test]
fn a_write_before_the_save_is_kept_and_one_after_it_undone() {
    let set = |begin, end, value, revision| fits(begin, end, Action::Set(value), Outcome::Written(revision));
    assert!(set(50, 60, 3, 30), "kept");
    assert!(!set(50, 60, 4, 40), "acknowledged before the save, but gone");
    assert!(set(150, 160, 4, 40), "undone");
    assert!(!set(150, 160, 7, 40), "undone, but there");
    assert!(!set(150, 160, 9, 45), "acknowledged, but never there");
    assert!(set(220, 230, 7, 40), "of the new era");
    assert!(!set(220, 230, 5, 50), "acknowledged in the new era, but of the old one");
    assert!(set(190, 230, 7, 40) && set(190, 230, 4, 40), "during the restore");
    assert!(!fits(190, 230, Action::Set(7), Outcome::Failed("unreachable".into())), "failed, but there");
}

#[test]
fn nothing_that_a_restore_has_undone_is_read_after_it() {
    let read = |begin, found: (i64, u64)| {
        fits(begin, begin + 5, Action::Read, Outcome::Found(Some((found.0, Some(found.1)))))
    };
    assert!(read(220, (3, 30)), "what was saved");
    assert!(!read(220, (5, 50)), "what is gone");
    assert!(read(195, (5, 50)), "read during the restore");
}

#[test]
fn compactions_of_what_is_gone_explain_no_gap() {
    let mut eras = eras();
    eras.compactions = vec![(10, 50), (40, 150), (60, 250)];
    assert_eq!(eras.compactions_of(0), [(10, 50), (40, 150)]);
    let kept: BTreeMap<u64, u64> = eras.compactions_of(1).into_iter().collect();
    assert_eq!(kept, [(10, 50), (60, 250)].into());
}
