//! Histories that a sound store cannot have, each of which the judge has to see.

use super::{Held, Limit, Row, judge};
use crate::neighbours::history::{Asked, Effect, Look, Record, Told};
use crate::neighbours::judge::Change;
use crate::neighbours::judge::state::Version;

fn set(group: &str, key: &str, value: &str) -> Effect {
    Effect::Set { group: group.into(), key: key.into(), value: value.into(), expires: None }
}

fn record((invoked, returned): (u64, u64), asked: Asked, revision: Option<u64>) -> Record {
    let told = Told::Done(revision);
    Record { client: "c".into(), invoked, returned, wall: (500, 510), asked, told }
}

fn write(time: (u64, u64), effects: Vec<Effect>, revision: Option<u64>) -> Record {
    record(time, Asked::Write { seen: Vec::new(), effects }, revision)
}

fn value(time: (u64, u64), found: Option<&str>) -> Record {
    let look = Look::Value { group: "g".into(), key: "k".into(), found: found.map(str::to_owned) };
    record(time, Asked::Read(vec![look]), None)
}

fn increment(time: (u64, u64), result: i64) -> Record {
    let effect = Effect::Increment { group: "g".into(), key: "n".into(), by: 1, result: Some(result) };
    write(time, vec![effect], None)
}

fn row(kind: &str, group: &str, key: Option<&str>, value: Option<&str>, expires_at: Option<i64>) -> Row {
    let [key, value] = [key, value].map(|text| text.map(str::to_owned));
    Row { change: Change { kind: kind.into(), group: group.into(), key, value }, expires_at, at: 505 }
}

/// A store with this log, and the entries that it leads to.
fn held(log: Vec<Row>) -> Held {
    let mut held = Held::default();
    for (row, revision) in log.into_iter().zip(1..) {
        let name = (row.change.group.clone(), row.change.key.clone().unwrap_or_default());
        match &row.change.value {
            Some(value) => {
                let version = Version { revision, value: value.clone(), expires_at: row.expires_at };
                held.entries.insert(name, version);
            }
            None => drop(held.entries.remove(&name)),
        }
        held.log.insert(revision, vec![row]);
    }
    held
}

fn sets(values: &[&str]) -> Held {
    held(values.iter().map(|value| row("set", "g", Some("k"), Some(value), None)).collect())
}

/// Both histories differ in one thing; the judge has to accept the first and to see the second.
fn tells(sound: (Vec<Record>, Held), broken: (Vec<Record>, Held), limits: &[Limit], finding: &str) {
    assert_eq!(judge(&sound.0, &sound.1, limits), Vec::<String>::new());
    let found = judge(&broken.0, &broken.1, limits);
    assert!(found.iter().any(|complaint| complaint.contains(finding)), "{found:?}");
}

#[test]
fn a_lost_write_a_foreign_write_and_a_write_at_another_revision_are_seen() {
    let records = || {
        vec![
            write((1, 2), vec![set("g", "k", "a")], Some(1)),
            write((3, 4), vec![set("g", "k", "b")], Some(2)),
        ]
    };
    tells((records(), sets(&["a", "b"])), (records(), sets(&["a"])), &[], "is not at its revision");
    tells(
        (records(), sets(&["a", "b"])),
        (records(), sets(&["a", "b", "c"])),
        &[],
        "nobody wrote revision 3",
    );
    tells((records(), sets(&["a", "b"])), (records(), sets(&["b", "a"])), &[], "was there before this");
}

#[test]
fn a_stale_read_and_a_read_of_the_future_are_seen() {
    let writes = || {
        vec![
            write((1, 2), vec![set("g", "k", "a")], Some(1)),
            write((5, 6), vec![set("g", "k", "b")], Some(2)),
        ]
    };
    let with = |read| [writes(), vec![read]].concat();
    let both = || sets(&["a", "b"]);
    // While the second was under way, both are right.
    assert!(judge(&with(value((5, 7), Some("a"))), &both(), &[]).is_empty());
    tells(
        (with(value((7, 8), Some("b"))), both()),
        (with(value((7, 8), Some("a"))), both()),
        &[],
        "no state",
    );
    tells(
        (with(value((3, 4), Some("a"))), both()),
        (with(value((3, 4), Some("b"))), both()),
        &[],
        "no state",
    );
}

#[test]
fn a_lost_update_is_seen() {
    let log = |numbers: &[&str]| {
        held(numbers.iter().map(|number| row("set", "g", Some("n"), Some(number), None)).collect())
    };
    let sound = (vec![increment((1, 3), 1), increment((2, 4), 2)], log(&["1", "2"]));
    let broken = (vec![increment((1, 3), 1), increment((2, 4), 1)], log(&["1", "1"]));
    tells(sound, broken, &[], "one write is at several revisions");
}

#[test]
fn a_transaction_on_a_state_that_it_did_not_see_is_seen() {
    let records = |seen: Option<&str>| {
        let seen = vec![Look::Value { group: "g".into(), key: "k".into(), found: seen.map(str::to_owned) }];
        let asked = Asked::Write { seen, effects: vec![set("g", "k", "b")] };
        vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), record((3, 4), asked, None)]
    };
    let both = || sets(&["a", "b"]);
    tells((records(Some("a")), both()), (records(None), both()), &[], "follows a state that did not show");
}

#[test]
fn a_quota_that_is_exceeded_at_one_revision_is_seen() {
    let limit = [Limit { namespace: "t".into(), keys: 1, groups: 9, bytes: 99 }];
    let records = |second: &str| {
        vec![
            write((1, 2), vec![set("t:g", "a", "1")], Some(1)),
            write((3, 4), vec![set("t:g", second, "2")], Some(2)),
        ]
    };
    let log = |second: &str| {
        held(vec![
            row("set", "t:g", Some("a"), Some("1"), None),
            row("set", "t:g", Some(second), Some("2"), None),
        ])
    };
    tells((records("a"), log("a")), (records("b"), log("b")), &limit, "exceed");
}

#[test]
fn a_write_refused_although_there_was_room_is_seen() {
    let limit = [Limit { namespace: "t".into(), keys: 1, groups: 9, bytes: 99 }];
    let case = |key: &str| {
        let look = Look::Full { namespace: "t".into(), effects: vec![set("t:g", key, "2")] };
        let records = vec![
            write((1, 2), vec![set("t:g", "a", "1")], Some(1)),
            record((3, 4), Asked::Read(vec![look]), None),
        ];
        (records, held(vec![row("set", "t:g", Some("a"), Some("1"), None)]))
    };
    tells(case("b"), case("a"), &limit, "no state");
}

#[test]
fn an_acknowledged_delete_that_the_log_lacks_is_seen() {
    let delete = Effect::Delete { group: "g".into(), key: "k".into() };
    let records =
        || vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), write((3, 4), vec![delete.clone()], None)];
    let log = || vec![row("set", "g", Some("k"), Some("a"), None), row("delete", "g", Some("k"), None, None)];
    tells((records(), held(log())), (records(), sets(&["a"])), &[], "is not in the log");
}

#[test]
fn an_entry_that_shows_after_its_time_and_one_that_goes_before_it_are_seen() {
    let expiring = |at: i64| {
        let expires = Some((at, at));
        Effect::Set { group: "g".into(), key: "k".into(), value: "a".into(), expires }
    };
    let case = |at: i64, found: Option<&str>, purged: bool| {
        let records = vec![write((1, 2), vec![expiring(at)], Some(1)), value((3, 4), found)];
        let set = row("set", "g", Some("k"), Some("a"), Some(at));
        let purge = purged.then(|| row("expire", "g", Some("k"), None, None));
        (records, held([Some(set), purge].into_iter().flatten().collect()))
    };
    // The read is between the moments 500 and 510, and the purge at 505.
    tells(case(499, None, false), case(499, Some("a"), false), &[], "no state");
    tells(case(511, Some("a"), false), case(511, None, false), &[], "no state");
    tells(case(505, None, true), case(511, Some("a"), true), &[], "is in the log, and there was");
}
