//! Groups: reading, counting, listing, paging and deleting them, by name and by prefix.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeMap;

use common::{Rig, STRANGE_NAMES, events_now, ms};
use larder::{Error, EventKind, GroupInfo, Page, Store, Value, View};

fn fill(store: &Store, group: &str, keys: &[&str]) {
    for key in keys {
        store.set(group, *key, format!("{key}!")).unwrap();
    }
}

fn names(view: &View, prefix: &str) -> Vec<String> {
    view.groups(prefix).unwrap().into_iter().map(|group| group.name).collect()
}

fn keys(view: &View, group: &str) -> Vec<String> {
    view.keys(group).unwrap().map(Result::unwrap).collect()
}

fn keys_of(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

fn info(name: &str, keys: u64, bytes: u64) -> GroupInfo {
    GroupInfo { name: name.to_owned(), keys, bytes }
}

/// Writes a group with a key for each strange name, and returns the names sorted.
fn strange(store: &Store) -> Vec<&'static str> {
    let batch = STRANGE_NAMES.iter().rev().fold(store.batch(), |batch, name| batch.set("g", *name, *name));
    batch.commit().unwrap();
    let mut sorted = STRANGE_NAMES.to_vec();
    sorted.sort();
    sorted
}

on_every_engine! {
    fn every_read_of_a_group_is_sorted_by_the_bytes_of_its_keys(rig: &Rig) {
        let store = rig.store();
        let sorted = strange(&store);
        fill(&store, "g2", &["other"]);
        fill(&store, "", &["other"]);
        assert_eq!(store.get_all("g").unwrap().keys().collect::<Vec<_>>(), sorted);
        assert_eq!(keys(&store, "g"), sorted);
        let entries: Vec<_> = store.entries("g").unwrap().map(Result::unwrap).collect();
        assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), sorted);
        assert!(entries.iter().all(|entry| entry.value == entry.key && entry.revision == rig.revision(1)));
        assert_eq!(store.page("g", None, 1000).unwrap(), Page { entries: entries.clone(), next: None });
        assert_eq!(store.get_page("g", 0, 1000).unwrap(), entries);
        assert_eq!(store.count("g").unwrap(), sorted.len() as u64);
    }

    fn an_absent_group_is_empty(rig: &Rig) {
        let store = rig.store();
        fill(&store, "group", &["k"]);
        for group in ["", "grou", "group2", "Group", "group\0", "%", "*"] {
            assert!(store.get_all(group).unwrap().is_empty());
            assert_eq!(store.entries(group).unwrap().count(), 0);
            assert_eq!(store.keys(group).unwrap().count(), 0);
            assert_eq!(store.page(group, None, 10).unwrap(), Page { entries: vec![], next: None });
            assert_eq!(store.get_page(group, 0, 10).unwrap(), []);
            assert_eq!(store.count(group).unwrap(), 0);
            assert!(!store.group_exists(group).unwrap());
            assert_eq!(store.delete_group(group).unwrap(), 0);
        }
        assert_eq!(store.revision().unwrap(), rig.revision(1));
    }

    fn a_whole_group_can_be_read_as_entries_or_as_a_map(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["b", "a", ""]);
        let all = store.get_all("g").unwrap();
        assert_eq!((all.len(), all.get("a").unwrap(), all.get("c")), (3, Value::from("a!"), None));
        let pairs: Vec<(&str, Value)> = all.iter().collect();
        assert_eq!(pairs, [("", "!".into()), ("a", "a!".into()), ("b", "b!".into())]);
        let map: BTreeMap<String, Value> = all.clone().into();
        assert_eq!(map, all.into_iter().collect());
    }

    fn pages_of_any_size_add_up_to_the_whole_group(rig: &Rig) {
        let store = rig.store();
        let sorted = strange(&store);
        for limit in [1, 2, 3, 7, sorted.len() - 1, sorted.len(), sorted.len() + 1, usize::MAX] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let page = store.page("g", after.as_deref(), limit).unwrap();
                seen.extend(page.entries.iter().map(|entry| entry.key.clone()));
                assert!(page.entries.len() == limit || page.next.is_none());
                assert!(!page.entries.is_empty(), "a page with a next page is empty");
                let Some(next) = page.next else { break };
                assert_eq!(seen.last(), Some(&next));
                after = Some(next);
            }
            assert_eq!(seen, sorted);
        }
    }

    fn a_page_begins_after_its_key_whether_or_not_the_key_exists(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["", "b", "d"]);
        for (after, found) in [
            (None, vec!["", "b", "d"]),
            (Some(""), vec!["b", "d"]),
            (Some("a"), vec!["b", "d"]),
            (Some("b"), vec!["d"]),
            (Some("b\0"), vec!["d"]),
            (Some("d"), vec![]),
            (Some("z"), vec![]),
        ] {
            let page = store.page("g", after, 10).unwrap();
            assert_eq!((keys_of(&page), page.next.as_deref()), (found, None), "after {after:?}");
        }
        let first = store.page("g", None, 1).unwrap();
        assert_eq!((keys_of(&first), first.next.as_deref()), (vec![""], Some("")));
    }

    fn paging_continues_correctly_while_earlier_keys_change(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["b", "d", "f"]);
        let first = store.page("g", None, 2).unwrap();
        assert_eq!(first.next.as_deref(), Some("d"));
        store.delete("g", "b").unwrap();
        store.delete("g", "d").unwrap();
        fill(&store, "g", &["a", "c"]);
        assert_eq!(keys_of(&store.page("g", Some("d"), 2).unwrap()), ["f"]);
    }

    fn get_page_returns_the_range_given_by_offset_and_limit(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["a", "b", "c", "d"]);
        for (offset, limit, found) in [
            (0, 2, vec!["a", "b"]),
            (1, 2, vec!["b", "c"]),
            (3, 2, vec!["d"]),
            (4, 2, vec![]),
            (0, 0, vec![]),
            (2, usize::MAX, vec!["c", "d"]),
            (u64::MAX, 2, vec![]),
            (u64::MAX, usize::MAX, vec![]),
        ] {
            let entries = store.get_page("g", offset, limit).unwrap();
            let found_keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
            assert_eq!(found_keys, found, "{offset}, {limit}");
        }
    }

    fn a_page_with_a_limit_of_zero_is_empty_everywhere(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["a", "b"]);
        let is_empty = |view: &View| {
            for offset in [0, 1, 2] {
                assert_eq!(view.get_page("g", offset, 0).unwrap(), []);
            }
            let page = view.page("g", Some("a"), 0).unwrap();
            assert_eq!((keys_of(&page), page.next.as_deref()), (vec![], Some("a")));
        };
        is_empty(&store);
        is_empty(&store.snapshot().unwrap());
        store
            .transaction(|tx| {
                is_empty(tx);
                tx.set("g", "c", "c")?;
                is_empty(tx);
                Ok(())
            })
            .unwrap();
    }

    fn a_stream_shows_one_snapshot_whatever_is_written_meanwhile(rig: &Rig) {
        let store = rig.store();
        // More than one page by number, more than one by size, and one exactly full page.
        for (group, count, size) in [("many", 700, 1), ("large", 9, 60_000), ("one page", 256, 1)] {
            let expected: Vec<String> = (0..count).map(|number| format!("{number:04}")).collect();
            let old = "o".repeat(size);
            let fill = |value: &str| {
                expected
                    .iter()
                    .fold(store.batch(), |batch, key| batch.set(group, key, value))
                    .commit()
                    .unwrap()
            };
            let revision = fill(&old);
            let mut entries = store.entries(group).unwrap();
            let mut keys = store.keys(group).unwrap();
            let mut seen = Vec::new();
            let mut seen_keys = Vec::new();
            for entry in entries.by_ref() {
                let entry = entry.unwrap();
                assert_eq!((entry.revision, entry.value.as_str()), (revision, Some(old.as_str())));
                seen.push(entry.key);
                seen_keys.extend(keys.next().map(Result::unwrap));
                match seen.len() {
                    1 => drop(fill("new")),
                    3 => assert!(store.delete(group, expected.last().unwrap()).unwrap()),
                    5 => assert_eq!(store.delete_group(group).unwrap(), count - 1),
                    7 => drop(store.set(group, "9999", "late").unwrap()),
                    _ => {}
                }
            }
            assert_eq!(seen, expected);
            assert_eq!(seen_keys, expected);
            assert!(keys.next().is_none() && entries.next().is_none());
            assert_eq!(crate::keys(&store, group), ["9999"]);
        }
    }

    fn a_stream_outlives_the_handle_that_created_it(rig: &Rig) {
        let store = rig.store();
        let batch = (0..600).fold(store.batch(), |batch, key| batch.set("g", format!("{key:03}"), "v"));
        batch.commit().unwrap();
        let entries = store.clone().entries("g").unwrap();
        assert_eq!(entries.map(Result::unwrap).count(), 600);
    }

    fn a_stream_fails_once_the_store_is_closed(rig: &Rig) {
        let store = rig.store();
        let batch = (0..600).fold(store.batch(), |batch, key| batch.set("g", format!("{key:03}"), "v"));
        batch.commit().unwrap();
        let mut entries = store.entries("g").unwrap();
        entries.next().unwrap().unwrap();
        store.close().unwrap();
        let rest: Vec<_> = entries.collect();
        assert!(rest.len() < 600);
        assert!(matches!(rest.last(), Some(Err(Error::Closed))));
        assert_eq!(rest.iter().filter(|entry| entry.is_err()).count(), 1);
    }

    fn a_group_exists_while_it_has_a_live_key(rig: &Rig) {
        let store = rig.store();
        assert!(!store.group_exists("g").unwrap());
        fill(&store, "g", &["a", "b"]);
        assert!(store.group_exists("g").unwrap());
        store.delete("g", "a").unwrap();
        assert_eq!((store.group_exists("g").unwrap(), names(&store, "")), (true, vec!["g".to_owned()]));
        store.touch("g", "b", ms(5)).unwrap();
        rig.advance_ms(4);
        assert!(store.group_exists("g").unwrap());
        rig.advance_ms(1);
        assert_eq!((store.group_exists("g").unwrap(), names(&store, "")), (false, vec![]));
        assert_eq!(store.purge_expired().unwrap(), 1);
        assert!(!store.group_exists("g").unwrap());
        store.set("g", "b", "again").unwrap();
        assert!(store.group_exists("g").unwrap());
    }

    fn groups_are_listed_sorted_with_their_keys_and_bytes(rig: &Rig) {
        let store = rig.store();
        store.set("b", "é", "日本").unwrap();
        store.set("b", "", "").unwrap();
        store.set("a", "key", vec![0xff, 0, 1]).unwrap();
        store.set("", "k", "a\0b").unwrap();
        let expected = [info("", 1, 4), info("a", 1, 6), info("b", 2, 8)];
        assert_eq!(store.groups("").unwrap(), expected);
        store.set("b", "é", "x").unwrap();
        store.delete("a", "key").unwrap();
        assert_eq!(store.groups("").unwrap(), [info("", 1, 4), info("b", 2, 3)]);
        assert_eq!(store.groups("b").unwrap(), [info("b", 2, 3)]);
        assert_eq!(store.groups("c").unwrap(), []);
    }

    fn counting_listing_and_deleting_take_a_prefix_literally(rig: &Rig) {
        let groups = [
            "",
            "%",
            "%a",
            "_",
            "__",
            "^",
            "a",
            "a%",
            "a%b",
            "a*",
            "a_",
            "a_b",
            "aXb",
            "ab",
            "a\0",
            "a\0b",
            "A",
            "a\u{d7ff}",
            "a\u{d7ff}b",
            "a\u{e000}",
            "a\u{10ffff}",
            "a\u{10ffff}\u{10ffff}",
            "b",
            "é",
            "e\u{301}",
            "\u{10ffff}",
            "\u{10ffff}a",
            "tenant-4:x",
            "tenant-42:x",
            "tenant-42:y",
        ];
        let prefixes =
            groups.into_iter().chain(["tenant-4", "tenant-42:", "\u{10ffff}\u{10ffff}", "*", "a?", "[a]"]);
        let store = rig.store();
        for prefix in prefixes {
            let batch = groups
                .into_iter()
                .fold(store.batch(), |batch, name| batch.set(name, "1", "v").set(name, "2", "v"));
            batch.commit().unwrap();
            let mut within: Vec<_> = groups.into_iter().filter(|name| name.starts_with(prefix)).collect();
            within.sort();
            assert_eq!(names(&store, prefix), within, "{prefix:?}");
            assert_eq!(store.count_all(prefix).unwrap(), within.len() as u64 * 2, "{prefix:?}");
            assert_eq!(store.delete_prefix(prefix).unwrap(), within.len() as u64 * 2, "{prefix:?}");
            let mut without: Vec<_> = groups.into_iter().filter(|name| !name.starts_with(prefix)).collect();
            without.sort();
            assert_eq!(names(&store, ""), without, "{prefix:?}");
        }
    }

    fn delete_group_returns_its_number_of_keys_and_sends_one_event(rig: &Rig) {
        let store = rig.store();
        fill(&store, "g", &["a", "b", "c"]);
        fill(&store, "g2", &["a"]);
        let watcher = store.watch(("*", "*")).unwrap();
        assert_eq!(store.delete_group("g").unwrap(), 3);
        assert_eq!(store.delete_group("g").unwrap(), 0);
        assert_eq!(names(&store, ""), ["g2"]);
        let events = events_now(&watcher);
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].kind, events[0].group.as_str(), &events[0].key),
            (EventKind::DeleteGroup, "g", &None)
        );
        assert_eq!((events[0].revision, &events[0].value), (store.revision().unwrap(), &None));
    }

    fn delete_prefix_is_one_commit_with_one_event_per_group(rig: &Rig) {
        let store = rig.store();
        fill(&store, "t:b", &["1", "2"]);
        fill(&store, "t:a", &["1"]);
        fill(&store, "u", &["1"]);
        let before = store.revision().unwrap();
        let watcher = store.watch(("*", "*")).unwrap();
        assert_eq!(store.delete_prefix("t:").unwrap(), 3);
        assert_eq!(store.delete_prefix("t:").unwrap(), 0);
        let events = events_now(&watcher);
        assert!(
            events
                .iter()
                .all(|event| event.kind == EventKind::DeleteGroup && event.revision == rig.after(before))
        );
        assert_eq!(events.iter().map(|event| event.group.as_str()).collect::<Vec<_>>(), ["t:a", "t:b"]);
        assert_eq!(store.revision().unwrap(), rig.after(before));
        assert_eq!(store.delete_prefix("").unwrap(), 1);
        assert_eq!(store.count_all("").unwrap(), 0);
    }

    fn split_splits_a_value_at_a_separator(rig: &Rig) {
        let store = rig.store();
        for (value, separator, parts) in [
            ("a,b", ",", vec!["a", "b"]),
            (",a,,b,", ",", vec!["", "a", "", "b", ""]),
            ("a, b", ", ", vec!["a", "b"]),
            ("a,b", ";", vec!["a,b"]),
            ("", ",", vec![""]),
            ("é日", "", vec!["é", "日"]),
            ("", "", vec![]),
            ("a.b*c", "*", vec!["a.b", "c"]),
            ("aéb", "é", vec!["a", "b"]),
        ] {
            store.set("g", "k", value).unwrap();
            let parts: Vec<String> = parts.into_iter().map(str::to_owned).collect();
            assert_eq!(store.split("g", "k", separator).unwrap(), Some(parts), "{value:?} at {separator:?}");
        }
        assert_eq!(store.split("g", "absent", ",").unwrap(), None);
        store.set("g", "k", vec![0xff]).unwrap();
        assert!(matches!(store.split("g", "k", ","), Err(Error::Unreadable { .. })));
    }

    fn fields_splits_a_value_at_white_space(rig: &Rig) {
        let store = rig.store();
        for (value, words) in [
            ("a b", vec!["a", "b"]),
            ("  a\t\r\nb\u{a0}c\u{3000}d  ", vec!["a", "b", "c", "d"]),
            ("a,b", vec!["a,b"]),
            ("", vec![]),
            (" \n", vec![]),
        ] {
            store.set("g", "k", value).unwrap();
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert_eq!(store.fields("g", "k").unwrap(), Some(words), "{value:?}");
        }
        assert_eq!(store.fields("g", "absent").unwrap(), None);
        store.set("g", "k", vec![0xff]).unwrap();
        assert!(matches!(store.fields("g", "k"), Err(Error::Unreadable { .. })));
    }
}
