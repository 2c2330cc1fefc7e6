//! Names and values: any text is a valid name, and any bytes are a valid value, up to a size.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use common::{Rig, STRANGE_NAMES, ms};
use larder::{Condition, Error, Value};

on_every_engine! {
    fn every_strange_name_is_a_distinct_group_and_key(rig: &Rig) {
        let store = rig.store();
        let mut batch = store.batch();
        for group in STRANGE_NAMES {
            for key in STRANGE_NAMES {
                batch = batch.set(group, *key, format!("{group}|{key}"));
            }
        }
        batch.commit().unwrap();
        let store = rig.reopen(store);
        let mut sorted = STRANGE_NAMES.to_vec();
        sorted.sort();
        for group in STRANGE_NAMES {
            assert_eq!(store.count(group).unwrap(), STRANGE_NAMES.len() as u64);
            assert_eq!(store.get_all(group).unwrap().keys().collect::<Vec<_>>(), sorted);
            for key in STRANGE_NAMES {
                let entry = store.entry(group, key).unwrap().unwrap();
                assert_eq!(
                    (entry.key.as_str(), entry.value.to_string_lossy().as_ref()),
                    (*key, &*format!("{group}|{key}"))
                );
            }
        }
        let names: Vec<_> = store.groups("").unwrap().into_iter().map(|group| group.name).collect();
        assert_eq!(names, sorted);
        for (index, group) in STRANGE_NAMES.iter().enumerate() {
            assert!(store.delete(group, *group).unwrap());
            assert_eq!(store.count_all("").unwrap(), (STRANGE_NAMES.len().pow(2) - index - 1) as u64);
        }
    }

    fn a_value_may_be_any_bytes(rig: &Rig) {
        let store = rig.store();
        let all: Vec<u8> = (0..=255).collect();
        let values: [&[u8]; 10] = [
            b"",
            b"\0",
            b"a\0b",
            &all,
            b"\xff\xfe",
            b"\xc3\x28",
            b"\xed\xa0\x80",
            "é日本العربية🗝".as_bytes(),
            b"NULL",
            b"'; DROP TABLE entries; --",
        ];
        for (number, value) in values.iter().enumerate() {
            store.set("g", number.to_string(), *value).unwrap();
        }
        let store = rig.reopen(store);
        let read = store.get_all("g").unwrap();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(store.get("g", number.to_string()).unwrap().unwrap().as_bytes(), *value);
            assert_eq!(read.get(&number.to_string()).unwrap().as_bytes(), *value);
        }
        let bytes = values.iter().map(|value| value.len() as u64 + 1).sum::<u64>();
        assert_eq!(store.groups("").unwrap()[0].bytes, bytes);
    }

    fn long_names_are_not_truncated(rig: &Rig) {
        let store = rig.store();
        for character in ["k", "é", "鍵"] {
            let long = character.repeat(10_000);
            let longer = format!("{long}x");
            store.set(&long, long.as_str(), long.as_str()).unwrap();
            store.set(&long, longer.as_str(), "longer").unwrap();
            assert_eq!(store.get(&long, &long).unwrap().unwrap(), long);
            assert_eq!(store.get(&long, &longer).unwrap().unwrap(), "longer");
            assert_eq!(store.get(&longer, &long).unwrap(), None);
            assert_eq!(store.keys(&long).unwrap().map(Result::unwrap).collect::<Vec<_>>(), [long, longer]);
        }
    }

    fn names_may_have_64_kib_and_not_a_byte_more(rig: &Rig) {
        let store = rig.store();
        let most = "n".repeat(64 << 10);
        let over = format!("{most}n");
        store.set(&most, most.as_str(), "v").unwrap();
        assert_eq!(store.get(&most, &most).unwrap().unwrap(), "v");
        let writes = |group: &str, key: &str| {
            [
                store.set(group, key, "v").map(drop),
                store.set_with_ttl(group, key, "v", ms(1)).map(drop),
                store.set_if(group, key, Condition::Absent, "v").map(drop),
                store.increment(group, key, 1).map(drop),
                store.batch().set("g", "k", "v").set(group, key, "v").commit().map(drop),
                store.transaction(|tx| tx.set("g", "k", "v").and_then(|()| tx.set(group, key, "v"))),
            ]
        };
        for (what, group, key) in [("group", over.as_str(), "k"), ("key", "g", over.as_str())] {
            for result in writes(group, key) {
                match result.unwrap_err() {
                    Error::TooLarge { what: found, size, limit, .. } => {
                        assert_eq!((found, size, limit), (what, 65_537, 65_536));
                    }
                    other => panic!("{other}"),
                }
            }
            assert_eq!(store.get(group, key).unwrap(), None);
        }
        assert_eq!(store.revision().unwrap(), rig.revision(1));
        assert_eq!(store.count_all("").unwrap(), 1);
    }

    fn values_may_have_64_mib_unless_an_option_or_the_engine_says_otherwise(rig: &Rig) {
        let limit = rig.promises.value_bytes_max;
        let store = rig.store();
        let largest = Value::from(vec![0xfe; limit]);
        store.set("g", "k", &largest).unwrap();
        assert!(store.get("g", "k").unwrap().unwrap() == largest);
        let over = Value::from(vec![0; limit + 1]);
        for result in [
            store.set("g", "k", &over).map(drop),
            store.batch().delete("g", "k").set("g", "k", &over).commit().map(drop),
            store.transaction(|tx| tx.set("g", "k", &over)),
        ] {
            assert!(
                matches!(result, Err(Error::TooLarge { what: "value", size, limit: l, .. }) if (size, l) == (limit as u64 + 1, limit as u64))
            );
        }
        assert_eq!(store.revision().unwrap(), rig.revision(1));
        store.delete("g", "k").unwrap();
        if rig.promises.larger_values_can_be_allowed {
        // In memory only: writing it to a disk takes long and would show nothing else.
        if !rig.promises.is_a_file {
        let raised = rig.open_with(|options| options.max_value_bytes(limit as u64 + 1));
        raised.set("g", "k", over).unwrap();
        }
        } else {
        let raised = rig.open_with(|options| options.max_value_bytes(limit as u64 + 1));
        let refused = raised.set("g", "k", over);
            assert!(
                matches!(refused, Err(Error::TooLarge { what: "value", size, limit: l, .. }) if (size, l) == (limit as u64 + 1, limit as u64)),
                "{refused:?}"
            );
        }
        let small = rig.open_with(|options| options.max_value_bytes(3));
        small.set("g", "k", "abc").unwrap();
        assert!(matches!(
            small.set("g", "k", "abcd"),
            Err(Error::TooLarge { what: "value", size: 4, limit: 3, option: Some("max_value_bytes") })
        ));
        assert_eq!(small.get("g", "k").unwrap().unwrap(), "abc");
    }

    fn json_values_round_trip(rig: &Rig) {
        let store = rig.store();
        let hosts = vec!["a".to_owned(), "é".to_owned()];
        store.set_json("g", "hosts", &hosts).unwrap();
        assert_eq!(store.get("g", "hosts").unwrap().unwrap(), "[\"a\",\"é\"]");
        assert_eq!(store.get_json::<Vec<String>>("g", "hosts").unwrap(), Some(hosts));
        assert_eq!(store.get_json::<Vec<String>>("g", "absent").unwrap(), None);
        assert!(matches!(store.get_json::<u8>("g", "hosts"), Err(Error::Unreadable { .. })));
    }
}
