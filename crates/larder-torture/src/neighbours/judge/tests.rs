//! Histories that a sound store cannot have, each of which the judge has to see.

use super::{Held, Row, judge};
use crate::neighbours::history::{Asked, Effect, Limit, Look, Record, Told};
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
fn tells(sound: (Vec<Record>, Held), broken: (Vec<Record>, Held), finding: &str) {
    assert_eq!(judge(&sound.0, &sound.1), Vec::<String>::new());
    let found = judge(&broken.0, &broken.1);
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
    tells((records(), sets(&["a", "b"])), (records(), sets(&["a"])), "is not at its revision");
    tells((records(), sets(&["a", "b"])), (records(), sets(&["a", "b", "c"])), "nobody wrote revision 3");
    tells((records(), sets(&["a", "b"])), (records(), sets(&["b", "a"])), "was there before this");
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
    assert!(judge(&with(value((5, 7), Some("a"))), &both()).is_empty());
    tells((with(value((7, 8), Some("b"))), both()), (with(value((7, 8), Some("a"))), both()), "no state");
    tells((with(value((3, 4), Some("a"))), both()), (with(value((3, 4), Some("b"))), both()), "no state");
}

#[test]
fn a_lost_update_is_seen() {
    let log = |numbers: &[&str]| {
        held(numbers.iter().map(|number| row("set", "g", Some("n"), Some(number), None)).collect())
    };
    let sound = (vec![increment((1, 3), 1), increment((2, 4), 2)], log(&["1", "2"]));
    let broken = (vec![increment((1, 3), 1), increment((2, 4), 1)], log(&["1", "1"]));
    tells(sound, broken, "one write is at several revisions");
}

#[test]
fn a_transaction_on_a_state_that_it_did_not_see_is_seen() {
    let records = |seen: Option<&str>| {
        let seen = vec![Look::Value { group: "g".into(), key: "k".into(), found: seen.map(str::to_owned) }];
        let asked = Asked::Write { seen, effects: vec![set("g", "k", "b")] };
        vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), record((3, 4), asked, None)]
    };
    let both = || sets(&["a", "b"]);
    tells((records(Some("a")), both()), (records(None), both()), "follows a state that did not show");
}

/// A namespace that may have so many keys.
fn limit(keys: u64) -> Limit {
    Limit { namespace: "t".into(), keys, groups: u64::MAX, bytes: u64::MAX }
}

fn set_quota(time: (u64, u64), keys: u64) -> Record {
    record(time, Asked::SetQuota(limit(keys)), None)
}

/// Sets keys of the namespace one after another, the n-th between the moments 10 n and 10 n + 1.
fn fill(keys: &[&str]) -> Vec<Record> {
    let write = |(key, number): (&&str, u64)| {
        write((number * 10, number * 10 + 1), vec![set("t:g", key, &number.to_string())], Some(number))
    };
    keys.iter().zip(1..).map(write).collect()
}

/// What these leave in a store, and the quota that is there in the end.
fn filled(keys: &[&str], quota: u64) -> Held {
    let row = |(key, number): (&&str, u64)| row("set", "t:g", Some(key), Some(&number.to_string()), None);
    let mut held = held(keys.iter().zip(1..).map(row).collect());
    held.quotas.insert("t".into(), limit(quota));
    held
}

fn no_room(time: (u64, u64), key: &str, limit: u64, wanted: u64) -> Record {
    let (namespace, resource, effects) = ("t".into(), "keys".into(), vec![set("t:g", key, "0")]);
    record(time, Asked::NoRoom { effects, namespace, resource, limit, wanted }, None)
}

#[test]
fn a_quota_that_is_exceeded_at_one_revision_is_seen() {
    let case = |second: &str| {
        let keys = ["a", second];
        ([vec![set_quota((1, 2), 1)], fill(&keys)].concat(), filled(&keys, 1))
    };
    tells(case("a"), case("b"), "exceeds the quota");
}

#[test]
fn a_quota_counts_from_its_acknowledgement_on_and_the_one_before_until_then() {
    let case = |raised: (u64, u64), keys: &[&str]| {
        let quotas = vec![set_quota((1, 2), 1), set_quota(raised, 2)];
        ([quotas, fill(keys)].concat(), filled(keys, 2))
    };
    // The third key is written at 30 and 31, between two keys that are there already.
    let keys = ["a", "a", "b", "a"];
    tells(case((25, 26), &keys), case((35, 36), &keys), "exceeds the quota");
    // While it is being raised, either may hold.
    tells(case((15, 45), &keys), case((32, 45), &keys), "exceeds the quota");
    let lowered = |time: (u64, u64)| {
        let quotas = vec![set_quota((1, 2), 2), set_quota(time, 1)];
        ([quotas, fill(&keys)].concat(), filled(&keys, 1))
    };
    tells(lowered((25, 35)), lowered((25, 26)), "exceeds the quota");
    tells(lowered((35, 36)), lowered((22, 29)), "exceeds the quota");
}

#[test]
fn a_lowered_quota_refuses_what_adds_to_it_and_nothing_else() {
    let case = |third: &str| {
        let keys = ["a", "b", third, third];
        let quotas = vec![set_quota((1, 2), 2), set_quota((22, 23), 1)];
        ([quotas, fill(&keys)].concat(), filled(&keys, 1))
    };
    tells(case("b"), case("c"), "exceeds the quota");
}

#[test]
fn a_quota_that_nobody_set_or_that_was_refused_is_seen() {
    let case = |told: Told, found: u64| {
        let asked = Asked::SetQuota(limit(2));
        let again = Record { told, ..record((12, 13), asked, None) };
        (vec![set_quota((1, 2), 1), again, record((15, 16), Asked::Quota(limit(found)), None)], {
            filled(&[], found)
        })
    };
    let [done, refused] = [Told::Done(None), Told::Refused("busy".into())];
    let unknown = || Told::Unknown("dropped".into());
    tells(case(done.clone(), 2), case(done, 1), "a read shows no state");
    tells(case(refused.clone(), 1), case(refused, 2), "nobody set last");
    tells(case(unknown(), 2), case(unknown(), 3), "nobody set last");
    assert_eq!(judge(&case(unknown(), 1).0, &case(unknown(), 1).1), Vec::<String>::new());
}

#[test]
fn a_quota_is_not_read_before_it_is_asked_for_or_after_another_was_set() {
    let case = |time: (u64, u64)| {
        let quotas = vec![set_quota((1, 2), 1), set_quota((22, 23), 2), set_quota((42, 43), 3)];
        let read = record(time, Asked::Quota(limit(2)), None);
        let keys = ["a", "a", "a", "a", "a"];
        ([quotas, fill(&keys), vec![read]].concat(), filled(&keys, 3))
    };
    tells(case((25, 26)), case((15, 16)), "a read shows no state");
    tells(case((41, 45)), case((44, 45)), "a read shows no state");
    tells(case((15, 22)), case((52, 53)), "a read shows no state");
}

#[test]
fn a_write_refused_although_there_was_room_is_seen() {
    let case = |key: &str, limit: u64, wanted: u64| {
        let records = [vec![set_quota((1, 2), 1)], fill(&["a"]), vec![no_room((13, 14), key, limit, wanted)]];
        (records.concat(), filled(&["a"], 1))
    };
    tells(case("b", 1, 2), case("a", 1, 2), "no state");
    tells(case("b", 1, 2), case("b", 2, 2), "no state");
    tells(case("b", 1, 2), case("b", 1, 3), "no state");
}

#[test]
fn a_write_refused_for_a_quota_that_did_not_hold_is_seen() {
    let case = |lowered: (u64, u64)| {
        let quotas = vec![set_quota((1, 2), 5), set_quota(lowered, 1), set_quota((52, 53), 5)];
        let keys = ["a", "a", "a", "a", "a"];
        ([quotas, fill(&keys), vec![no_room((33, 34), "b", 1, 2)]].concat(), filled(&keys, 5))
    };
    tells(case((22, 23)), case((42, 43)), "no state");
    // While it is being lowered or raised, the write may be refused.
    tells(case((22, 45)), case((35, 45)), "no state");
    let raised = |time: (u64, u64)| {
        let quotas = vec![set_quota((1, 2), 1), set_quota(time, 5)];
        let keys = ["a", "a", "a", "a", "a"];
        ([quotas, fill(&keys), vec![no_room((33, 34), "b", 1, 2)]].concat(), filled(&keys, 5))
    };
    tells(raised((22, 45)), raised((22, 23)), "no state");
}

#[test]
fn a_write_refused_where_an_entry_had_expired_is_seen() {
    // `a` is overwritten between the moments 500 and 510 of the wall clock, with room for no other key.
    let case = |expires_at: i64| {
        let expires = Some((expires_at, expires_at));
        let fleeting = Effect::Set { group: "t:g".into(), key: "a".into(), value: "1".into(), expires };
        let records = vec![
            set_quota((1, 2), 1),
            write((10, 11), vec![fleeting], Some(1)),
            no_room((13, 14), "b", 1, 2),
        ];
        let mut held = held(vec![row("set", "t:g", Some("a"), Some("1"), Some(expires_at))]);
        held.quotas.insert("t".into(), limit(1));
        (records, held)
    };
    tells(case(505), case(500), "no state");
}

#[test]
fn an_acknowledged_delete_that_the_log_lacks_is_seen() {
    let delete = Effect::Delete { group: "g".into(), key: "k".into() };
    let records =
        || vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), write((3, 4), vec![delete.clone()], None)];
    let log = || vec![row("set", "g", Some("k"), Some("a"), None), row("delete", "g", Some("k"), None, None)];
    tells((records(), held(log())), (records(), sets(&["a"])), "is not in the log");
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
    tells(case(499, None, false), case(499, Some("a"), false), "no state");
    tells(case(511, Some("a"), false), case(511, None, false), "no state");
    tells(case(505, None, true), case(511, Some("a"), true), "is in the log, and there was");
}

fn delete(time: (u64, u64)) -> Record {
    write(time, vec![Effect::Delete { group: "g".into(), key: "k".into() }], None)
}

#[test]
fn a_refused_write_that_is_there_is_seen() {
    let case = |log: &[&str]| {
        let refused = write((3, 4), vec![set("g", "k", "b")], None);
        let refused = Record { told: Told::Refused("never polled".into()), ..refused };
        (vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), refused], sets(log))
    };
    tells(case(&["a"]), case(&["a", "b"]), "a refused write is there");
}

#[test]
fn a_dropped_or_killed_write_that_is_made_after_one_asked_for_later_is_seen() {
    for told in [Told::Dropped, Told::Killed] {
        let case = |log: &[&str], revision: u64| {
            let dropped = write((3, 4), vec![set("g", "k", "b")], None);
            let dropped = Record { told: told.clone(), ..dropped };
            let first = write((1, 2), vec![set("g", "k", "a")], Some(1));
            let later = write((5, 6), vec![set("g", "k", "c")], Some(revision));
            (vec![first, dropped, later], sets(log))
        };
        tells(case(&["a", "b", "c"], 3), case(&["a", "c", "b"], 2), "after one asked for later");
        assert_eq!(judge(&case(&["a", "c"], 2).0, &sets(&["a", "c"])), Vec::<String>::new());
    }
}

#[test]
fn a_dropped_or_killed_write_takes_no_revision_from_an_acknowledged_one_and_must_not_be_made_in_half() {
    for told in [Told::Dropped, Told::Killed] {
        let dropped = |record| Record { told: told.clone(), ..record };
        let case = |first: Record, second: Record| {
            let log =
                vec![row("set", "g", Some("k"), Some("a"), None), row("delete", "g", Some("k"), None, None)];
            (vec![write((1, 2), vec![set("g", "k", "a")], Some(1)), first, second], held(log))
        };
        tells(
            case(dropped(delete((3, 5))), delete((4, 6))),
            case(delete((3, 5)), delete((4, 6))),
            "is not in the log",
        );
        tells(
            case(dropped(delete((3, 5))), dropped(delete((4, 6)))),
            case(dropped(value((3, 5), None)), dropped(value((4, 6), None))),
            "nobody wrote revision 2",
        );
        let both = vec![set("g", "k", "b"), set("g", "l", "c")];
        let halved = |both: Vec<Effect>| (vec![dropped(write((1, 2), both, None))], sets(&["b"]));
        tells(halved(vec![set("g", "k", "b")]), halved(both), "revision 1 holds");
    }
}

#[test]
fn a_dropped_or_killed_change_of_a_quota_holds_at_once_or_never() {
    for told in [Told::Dropped, Told::Killed] {
        let case = |keys: u64, time: (u64, u64)| {
            let dropped = Record { told: told.clone(), ..set_quota((22, 23), 2) };
            let quotas = vec![set_quota((1, 2), 1), dropped, set_quota((42, 43), 3)];
            let keys_set = ["a", "a", "a", "a", "a"];
            let read = record(time, Asked::Quota(limit(keys)), None);
            ([quotas, fill(&keys_set), vec![read]].concat(), filled(&keys_set, 3))
        };
        tells(case(1, (25, 26)), case(1, (52, 53)), "a read shows no state");
        tells(case(2, (25, 26)), case(2, (52, 53)), "a read shows no state");
    }
}

#[test]
fn a_copy_that_shows_another_revision_than_it_says_is_seen() {
    let case = |revision: u64, found: &str| {
        let look = Look::Value { group: "g".into(), key: "k".into(), found: Some(found.into()) };
        let copy = record((3, 7), Asked::Copy { revision, found: vec![look] }, None);
        let writes = vec![
            write((1, 2), vec![set("g", "k", "a")], Some(1)),
            write((4, 5), vec![set("g", "k", "b")], Some(2)),
            write((8, 9), vec![set("g", "k", "c")], Some(3)),
        ];
        ([writes, vec![copy]].concat(), sets(&["a", "b", "c"]))
    };
    tells(case(1, "a"), case(1, "b"), "a read shows no state");
    tells(case(2, "b"), case(2, "a"), "a read shows no state");
    tells(case(2, "b"), case(3, "c"), "a read shows no state");
}
