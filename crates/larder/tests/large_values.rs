//! Large values, which a file stores once, outside the trees of entries and changes: they come back whole on every way,
//! and are gone when nothing has them any more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::collections::BTreeMap;

use common::{Engine, Rig, events_now, ms, next_event, verify};
use larder::{FindingKind, History, Pattern, Repair, Store, Value};
use outside::sqlite;
use proptest::prelude::*;

/// Sizes below, at and above the limit of 512 bytes, of a page, and of many.
const SIZES: [usize; 9] = [0, 511, 512, 513, 1000, 4096, 5000, 70_000, 1 << 20];

/// A value that no other number has.
fn value(number: usize, size: usize) -> String {
    let mut text = format!("{number}:");
    while text.len() < size {
        text.push_str(&number.to_string());
    }
    text.truncate(size);
    text
}

on_every_engine! {
    fn a_backup_has_the_last_of_several_values_that_one_commit_gives_a_key(rig: &Rig) {
        let store = rig.store();
        let sizes = [10, 600, 5000];
        let mut batch = store.batch();
        for (first, second) in sizes.iter().flat_map(|first| sizes.map(|second| (*first, second))) {
            let (set, gone, group) = (format!("{first} {second} set"), format!("{first} {second} gone"), "groups");
            batch = batch.set("keys", &set, value(1, first)).set("keys", &set, value(2, second));
            batch = batch.set("keys", &gone, value(1, first)).delete("keys", &gone);
            batch = batch.set("keys", &gone, value(2, second));
            batch = batch.set(group, &set, value(1, first));
        }
        batch = batch.delete_group("groups");
        for size in sizes {
            batch = batch.set("groups", format!("{size} 10 set"), value(2, 10)).set("kept", size.to_string(), value(3, size));
        }
        batch.commit().unwrap();

        let copy = rig.folder().join("copy.db");
        store.backup_to(&copy).unwrap();
        let backup = Store::open(&copy).unwrap();
        for group in ["keys", "groups", "kept"] {
            assert_eq!(backup.get_all(group).unwrap(), store.get_all(group).unwrap(), "{group}");
        }
        assert_eq!(backup.get_all("keys").unwrap().len(), 18);
        verify(&backup);
    }

    fn values_of_every_size_come_back_whole_on_every_way(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        for (number, size) in SIZES.into_iter().enumerate() {
            store.set("sizes", size.to_string(), value(number, size)).unwrap();
            store.set("bytes", size.to_string(), vec![0xff; size]).unwrap();
        }
        for (number, size) in SIZES.into_iter().enumerate() {
            assert_eq!(next_event(&watcher).value.unwrap(), value(number, size).as_str());
            assert_eq!(next_event(&watcher).value.unwrap(), vec![0xff; size]);
        }
        let store = rig.reopen(store);
        for (number, size) in SIZES.into_iter().enumerate() {
            let key = size.to_string();
            assert_eq!(store.get("sizes", &key).unwrap().unwrap(), value(number, size).as_str());
            assert_eq!(store.entry("bytes", &key).unwrap().unwrap().value, vec![0xff; size]);
        }
        assert_eq!(store.get_all("sizes").unwrap().len(), SIZES.len());
        let read: BTreeMap<String, Value> =
            store.entries("sizes").unwrap().map(Result::unwrap).map(|entry| (entry.key, entry.value)).collect();
        for (number, size) in SIZES.into_iter().enumerate() {
            assert_eq!(read[&size.to_string()], value(number, size).as_str());
        }
        assert_eq!(store.count("sizes").unwrap(), SIZES.len() as u64);
    }

    fn a_large_value_that_is_touched_made_lasting_or_replaced_stays_whole(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        let (first, second) = (value(1, 9000), value(2, 3000));
        store.set_with_ttl("g", "k", &first, ms(1000)).unwrap();
        assert!(store.touch("g", "k", ms(5000)).unwrap());
        rig.advance_ms(2000);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), first.as_str());
        assert!(store.persist("g", "k").unwrap());
        let snapshot = store.snapshot().unwrap();
        store.set("g", "k", &second).unwrap();
        store.set("g", "k", "small").unwrap();
        store.set("g", "k", &second).unwrap();
        assert_eq!(snapshot.get("g", "k").unwrap().unwrap(), first.as_str());
        drop(snapshot);
        assert_eq!(store.get("g", "k").unwrap().unwrap(), second.as_str());
        let seen: Vec<Value> = (0..6).map(|_| next_event(&watcher).value.unwrap()).collect();
        assert_eq!(seen, [&first, &first, &first, &second, "small", &second].map(Value::from));
        assert!(events_now(&watcher).is_empty());
        assert!(store.increment("g", "k", 1).is_err(), "no number");
        store.delete("g", "k").unwrap();
        assert_eq!(store.get("g", "k").unwrap(), None);
    }

    fn a_watcher_that_begins_in_the_past_is_told_large_values_that_are_gone_from_their_entries(rig: &Rig) {
        let store = rig.store();
        let from = store.revision().unwrap();
        for number in 0..5 {
            store.set("g", "k", value(number, 2000)).unwrap();
        }
        store.delete_group("g").unwrap();
        let watcher = store.watch_from(Pattern::all(), from).unwrap();
        for number in 0..5 {
            assert_eq!(next_event(&watcher).value.unwrap(), value(number, 2000).as_str());
        }
        assert_eq!(next_event(&watcher).value, None);
    }
}

fn count(rig: &Rig, sql: &str) -> i64 {
    sqlite(&rig.path()).query_row(sql, [], |row| row.get(0)).unwrap()
}

const STORED: &str = "SELECT count(*) FROM large_values";

#[test]
fn a_large_value_is_stored_once_for_its_entry_and_its_change() {
    let rig = Rig::new(Engine::File);
    let store = rig.store();
    store.set("g", "small", value(1, 512)).unwrap();
    assert_eq!(count(&rig, STORED), 0);
    store.set("g", "large", value(2, 513)).unwrap();
    assert_eq!(count(&rig, STORED), 1);
    let both = "SELECT count(*) FROM entries JOIN changes USING (group_name, entry_key)
                JOIN large_values ON large_value = entries.entry_value AND large_value = changes.entry_value";
    assert_eq!(count(&rig, both), 1);
    verify(&store);
}

#[test]
fn the_views_show_values_wherever_they_are_stored() {
    let rig = Rig::new(Engine::File);
    let store = rig.store();
    store.set("g", "large", value(7, 3000)).unwrap();
    store.set("g", "small", "few").unwrap();
    let shell = sqlite(&rig.path());
    for view in ["readable_entries", "readable_changes"] {
        let sql = format!("SELECT entry_value FROM {view} WHERE group_name = 'g' ORDER BY entry_key");
        let mut statement = shell.prepare(&sql).unwrap();
        let values: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(values, [value(7, 3000).as_str(), "few"], "{view}");
    }
    assert_eq!(store.check().unwrap(), [], "larder's own views are no finding");
    shell.execute_batch("DROP VIEW readable_entries; CREATE VIEW readable_changes2 AS SELECT 1").unwrap();
    assert_eq!(store.get("g", "large").unwrap().unwrap(), value(7, 3000).as_str());
    store.set("g", "large", value(8, 3000)).unwrap();
    verify_but_for_foreign(&store);
}

fn verify_but_for_foreign(store: &Store) {
    let found = store.check().unwrap();
    assert!(found.iter().all(|finding| finding.kind == FindingKind::ForeignTable), "{found:?}");
}

#[test]
fn a_value_stays_with_its_change_when_a_history_is_removed_that_has_lost_later_changes() {
    for group in ["g", "one:b"] {
        let rig = Rig::new(Engine::File);
        let store = rig.store();
        store.set_history("one:a", History::NONE).unwrap();
        store.set(group, "k", value(1, 3000)).unwrap();
        store.set("one:a", "k", value(2, 3000)).unwrap();
        store.remove_history("one:a").unwrap();
        store.delete(group, "k").unwrap();
        verify(&store);
        store.close().unwrap();
    }
}

#[test]
fn a_value_goes_with_the_last_of_its_entry_and_its_change() {
    let rig = Rig::new(Engine::File);
    let store = rig.open_with(|options| options.history(2, u64::MAX));
    store.set("g", "k", value(1, 2000)).unwrap();
    // The change is pruned, the entry stays.
    for number in 0..5 {
        store.set("other", "k", number.to_string()).unwrap();
    }
    let logged = "SELECT count(*) FROM changes WHERE typeof(entry_value) = 'integer'";
    assert_eq!((count(&rig, STORED), count(&rig, logged)), (1, 0));
    store.delete("g", "k").unwrap();
    assert_eq!(count(&rig, STORED), 0);
    // The entry goes first, then the change.
    store.set("g", "k", value(2, 2000)).unwrap();
    store.set("g", "k", "small").unwrap();
    assert_eq!((count(&rig, STORED), count(&rig, logged)), (1, 1));
    for number in 0..5 {
        store.set("other", "k", number.to_string()).unwrap();
    }
    assert_eq!((count(&rig, STORED), count(&rig, logged)), (0, 0));
    verify(&store);
}

/// A store with a large value in an entry and its change, in another entry alone, and in a change alone.
fn furnished(rig: &Rig) -> Store {
    let store = rig.store();
    store.set_history("pruned", History::NONE).unwrap();
    store.set("pruned", "of an entry", value(1, 2000)).unwrap();
    store.set("g", "of both", value(2, 2000)).unwrap();
    store.set("g", "of a change", value(3, 2000)).unwrap();
    store.set("g", "of a change", "small").unwrap();
    store
}

#[test]
fn check_finds_a_value_that_is_missing_shared_or_unused_and_repair_removes_the_unused() {
    use FindingKind as K;
    for (damage, kind, words) in [
        (
            "DELETE FROM large_values WHERE large_value = 1",
            K::MissingValue,
            r#""pruned" "of an entry" has the value 1, which is missing"#,
        ),
        (
            "DELETE FROM large_values WHERE large_value = 3",
            K::MissingValue,
            r#""g" "of a change" has the value 3, which is missing"#,
        ),
        ("UPDATE large_values SET content = 5 WHERE large_value = 1", K::MissingValue, "no value"),
        ("UPDATE entries SET entry_value = 2 WHERE group_name = 'pruned'", K::MissingValue, "another's too"),
        ("UPDATE entries SET entry_value = 3 WHERE group_name = 'pruned'", K::MissingValue, "another's too"),
        (
            "INSERT INTO large_values VALUES (9, 'nobody''s')",
            K::UnusedValue,
            "1 large value that nothing uses: the value 9 of 8 bytes",
        ),
    ] {
        let rig = Rig::new(Engine::File);
        let store = furnished(&rig);
        verify(&store);
        sqlite(&rig.path()).execute_batch(damage).unwrap();
        let findings = store.check().unwrap();
        let finding = findings.iter().find(|finding| finding.kind == kind);
        let finding = finding.unwrap_or_else(|| panic!("{damage}: {findings:?}"));
        assert!(finding.to_string().contains(words), "{damage}: {finding}");
        assert_eq!(finding.is_repairable(), kind == K::UnusedValue);
        if kind == K::UnusedValue {
            let done = store.repair(Repair::default()).unwrap();
            assert_eq!((done.repaired.len(), done.left.len()), (1, 0));
            verify(&store);
        }
    }
}

#[test]
fn an_entry_whose_value_is_missing_is_damage_to_read_and_can_be_set_or_deleted() {
    let rig = Rig::new(Engine::Uncached);
    let store = furnished(&rig);
    sqlite(&rig.path()).execute_batch("DELETE FROM large_values").unwrap();
    let error = store.get("g", "of both").unwrap_err();
    assert!(matches!(error, larder::Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("a value is missing"), "{error}");
    assert!(store.get_all("g").is_err());
    store.set("g", "of both", value(4, 4000)).unwrap();
    assert_eq!(store.get("g", "of both").unwrap().unwrap(), value(4, 4000).as_str());
    assert!(store.delete("pruned", "of an entry").unwrap());
    assert_eq!(store.get("pruned", "of an entry").unwrap(), None);
    // The check says it of the changes that are left.
    let kinds: Vec<_> = store.check().unwrap().iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::MissingValue), "{kinds:?}");
}

#[test]
fn a_backup_a_copy_and_a_smaller_file_have_the_large_values() {
    let rig = Rig::new(Engine::File);
    let store = furnished(&rig);
    store.compact().unwrap();
    verify(&store);
    let (backup, memory) = (rig.folder().join("backup.db"), rig.folder().join("memory.db"));
    store.backup(&backup).run().unwrap();
    let in_memory = Rig::new(Engine::Memory);
    let other = furnished(&in_memory);
    other.backup(&memory).run().unwrap();
    for path in [&backup, &memory] {
        let restored = Store::options().clock(rig.clock.clone()).expiry_timer(false).open(path).unwrap();
        assert_eq!(restored.get("g", "of both").unwrap().unwrap(), value(2, 2000).as_str());
        assert_eq!(restored.get("pruned", "of an entry").unwrap().unwrap(), value(1, 2000).as_str());
        verify(&restored);
        let stored: i64 = sqlite(path).query_row(STORED, [], |row| row.get(0)).unwrap();
        assert_eq!(stored, 3, "each once: {}", path.display());
        restored.delete_group("g").unwrap();
        restored.delete_prefix("").unwrap();
        restored.set_history("", History { changes: 1, ..History::default() }).unwrap();
        restored.set("end", "k", "v").unwrap();
        restored.set("end", "k", "w").unwrap();
        verify(&restored);
        restored.close().unwrap();
    }
}

/// What may happen to large values.
#[derive(Clone, Debug)]
enum Step {
    Set { group: usize, key: usize, size: usize, ttl: Option<u64> },
    Touch { group: usize, key: usize, ttl: Option<u64> },
    Delete { group: usize, key: usize },
    DeleteGroup { group: usize },
    DeletePrefix { namespace: usize },
    Batch { group: usize, sizes: Vec<usize> },
    GivenUp { group: usize, size: usize },
    Wait { ms: u64 },
    Purge,
    SetHistory { prefix: usize, changes: u64 },
    RemoveHistory { prefix: usize },
}

const GROUPS: [&str; 4] = ["one:a", "one:b", "two:a", "c"];
const PREFIXES: [&str; 4] = ["", "one:", "one:b", "two:"];

fn step() -> impl Strategy<Value = Step> {
    let (group, key) = (0..GROUPS.len(), 0..3_usize);
    let size = || prop_oneof![Just(5_usize), Just(512), Just(513), Just(3000), Just(9000)];
    let ttl = proptest::option::weighted(0.3, 1..50_u64);
    let prefix = 0..PREFIXES.len();
    prop_oneof![
        8 => (group.clone(), key.clone(), size(), ttl.clone())
            .prop_map(|(group, key, size, ttl)| Step::Set { group, key, size, ttl }),
        3 => (group.clone(), key.clone(), ttl).prop_map(|(group, key, ttl)| Step::Touch { group, key, ttl }),
        2 => (group.clone(), key).prop_map(|(group, key)| Step::Delete { group, key }),
        1 => group.clone().prop_map(|group| Step::DeleteGroup { group }),
        1 => (0..2_usize).prop_map(|namespace| Step::DeletePrefix { namespace }),
        2 => (group.clone(), proptest::collection::vec(size(), 1..5))
            .prop_map(|(group, sizes)| Step::Batch { group, sizes }),
        1 => (group, size()).prop_map(|(group, size)| Step::GivenUp { group, size }),
        2 => (1..60_u64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Purge),
        2 => (prefix.clone(), 0..6_u64).prop_map(|(prefix, changes)| Step::SetHistory { prefix, changes }),
        1 => prefix.prop_map(|prefix| Step::RemoveHistory { prefix }),
    ]
}

/// What the store is to hold: the values, and when each expires.
#[derive(Default)]
struct Model {
    entries: BTreeMap<(usize, usize), (String, Option<u64>)>,
    now: u64,
    numbers: usize,
}

impl Model {
    fn is_live(&self, expires: Option<u64>) -> bool {
        expires.is_none_or(|at| at > self.now)
    }

    fn fresh(&mut self, size: usize) -> String {
        self.numbers += 1;
        value(self.numbers, size)
    }

    fn take(&mut self, rig: &Rig, store: &Store, step: &Step) {
        let key_name = |key: usize| format!("key {key}");
        match step {
            Step::Set { group, key, size, ttl } => {
                let value = self.fresh(*size);
                match ttl {
                    Some(ttl) => {
                        store.set_with_ttl(GROUPS[*group], key_name(*key), &value, ms(*ttl)).unwrap()
                    }
                    None => store.set(GROUPS[*group], key_name(*key), &value).unwrap(),
                };
                self.entries.insert((*group, *key), (value, ttl.map(|ttl| self.now + ttl)));
            }
            Step::Touch { group, key, ttl } => {
                let done = match ttl {
                    Some(ttl) => store.touch(GROUPS[*group], key_name(*key), ms(*ttl)).unwrap(),
                    None => store.persist(GROUPS[*group], key_name(*key)).unwrap(),
                };
                let (now, is_live) =
                    (self.now, self.entries.get(&(*group, *key)).map(|entry| self.is_live(entry.1)));
                assert_eq!(done, is_live == Some(true));
                if let Some(entry) = self.entries.get_mut(&(*group, *key)).filter(|_| done) {
                    entry.1 = ttl.map(|ttl| now + ttl);
                }
            }
            Step::Delete { group, key } => {
                store.delete(GROUPS[*group], key_name(*key)).unwrap();
                self.entries.remove(&(*group, *key));
            }
            Step::DeleteGroup { group } => {
                store.delete_group(GROUPS[*group]).unwrap();
                self.entries.retain(|(of, _), _| of != group);
            }
            Step::DeletePrefix { namespace } => {
                let prefix = ["one:", "two:"][*namespace];
                store.delete_prefix(prefix).unwrap();
                self.entries.retain(|(group, _), _| !GROUPS[*group].starts_with(prefix));
            }
            Step::Batch { group, sizes } => {
                let mut batch = store.batch();
                for (place, size) in sizes.iter().enumerate() {
                    // Some of them the same key twice.
                    let (key, value) = (place % 3, self.fresh(*size));
                    batch = batch.set(GROUPS[*group], key_name(key), &value);
                    self.entries.insert((*group, key), (value, None));
                }
                batch.commit().unwrap();
            }
            Step::GivenUp { group, size } => {
                let value = self.fresh(*size);
                let given_up: larder::Result<()> = store.transaction(|inside| {
                    inside.set(GROUPS[*group], "key 0", &value)?;
                    inside.delete_group(GROUPS[0])?;
                    Err(larder::Error::Closed)
                });
                assert!(given_up.is_err());
            }
            Step::Wait { ms } => {
                rig.advance_ms(*ms);
                self.now += ms;
            }
            Step::Purge => drop(store.purge_expired().unwrap()),
            Step::SetHistory { prefix, changes } => {
                let history = match changes {
                    0 => History::NONE,
                    changes => History { changes: *changes, ..History::default() },
                };
                store.set_history(PREFIXES[*prefix], history).unwrap();
            }
            Step::RemoveHistory { prefix } => {
                if *prefix > 0 {
                    store.remove_history(PREFIXES[*prefix]).unwrap();
                }
            }
        }
    }

    fn judge(&self, store: &Store) {
        assert_eq!(store.check().unwrap(), []);
        for (group, name) in GROUPS.iter().enumerate() {
            let found: BTreeMap<String, Value> = store
                .entries(name)
                .unwrap()
                .map(Result::unwrap)
                .map(|entry| (entry.key, entry.value))
                .collect();
            let expected: BTreeMap<String, Value> = self
                .entries
                .iter()
                .filter(|((of, _), entry)| *of == group && self.is_live(entry.1))
                .map(|((_, key), (value, _))| (format!("key {key}"), Value::from(value.as_str())))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_writes_expiries_and_histories_loses_or_leaks_a_value(
        steps in proptest::collection::vec(step(), 1..150),
        is_cached in any::<bool>(),
    ) {
        let rig = Rig::new(if is_cached { Engine::File } else { Engine::Uncached });
        let store = rig.open_with(|options| options.durability(larder::Durability::Relaxed));
        let mut model = Model::default();
        for step in &steps {
            model.take(&rig, &store, step);
            model.judge(&store);
        }
        // At last nothing is left of any value.
        store.delete_prefix("").unwrap();
        rig.advance_ms(1000);
        store.purge_expired().unwrap();
        for prefix in PREFIXES {
            store.set_history(prefix, History::NONE).unwrap();
        }
        verify(&store);
        prop_assert_eq!(count(&rig, STORED), 0);
    }
}
