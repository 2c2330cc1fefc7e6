//! Numbers at the edges of their ranges, through every public call: the result is exact, or the error is clear, and
//! nothing panics. What is beyond the largest number that a store keeps, 2^63 - 1, is kept as that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Rig, next_event};
use larder::{Condition, Error, History, ManualClock, Pattern, Quota, ResumeToken, Revision};

/// Where counts may go wrong.
const COUNTS: [u64; 10] = [
    0,
    1,
    255,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

const NUMBERS: [i64; 7] = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];

/// The largest count that a store keeps.
const KEPT_MAX: u64 = i64::MAX as u64;

fn limit(count: u64) -> Option<u64> {
    (count > 0).then_some(count.min(KEPT_MAX))
}

/// Times from before every calendar to after it.
fn times() -> Vec<SystemTime> {
    let far = |seconds| [UNIX_EPOCH.checked_add(seconds), UNIX_EPOCH.checked_sub(seconds)];
    let seconds = COUNTS.iter().flat_map(|count| far(Duration::from_secs(*count)));
    let millis = COUNTS.iter().flat_map(|count| far(Duration::from_millis(*count)));
    seconds.chain(millis).flatten().collect()
}

fn durations() -> Vec<Duration> {
    let nanos = [1, 999_999, 1_000_001].map(Duration::from_nanos);
    let counted =
        COUNTS.iter().flat_map(|count| [Duration::from_secs(*count), Duration::from_millis(*count)]);
    nanos.into_iter().chain(counted).chain([Duration::MAX]).collect()
}

on_every_engine! {
    fn increments_are_exact_or_refused_by_every_call(rig: &Rig) {
        let store = rig.store();
        for from in NUMBERS {
            store.set("g", "from", from.to_string()).unwrap();
            for by in NUMBERS {
                let exact = from.checked_add(by);
                let set = |key: &str| store.set("g", key, from.to_string()).unwrap();
                let check = |what: &str, key: &str, sum: larder::Result<i64>| match (sum, exact) {
                    (Ok(sum), Some(exact)) => {
                        assert_eq!(sum, exact, "{what}: {from} + {by}");
                        assert_eq!(store.get("g", key).unwrap().unwrap(), exact.to_string());
                    }
                    (Err(Error::Overflow { from: f, by: b, .. }), None) => {
                        assert_eq!((f, b), (from, by), "{what}");
                        assert_eq!(store.get("g", key).unwrap().unwrap(), from.to_string());
                    }
                    (sum, exact) => panic!("{what}: {from} + {by} is {exact:?}, not {sum:?}"),
                };
                set("k");
                check("a call", "k", store.increment("g", "k", by));
                set("b");
                let batch = store.batch().increment("g", "b", by).commit();
                check("a batch", "b", batch.map(|_| store.get("g", "b").unwrap().unwrap().parse().unwrap()));
                set("t");
                check("a transaction", "t", store.transaction(|tx| tx.increment("g", "t", by)));
            }
        }
    }

    fn every_lifetime_and_every_time_is_taken_or_refused(rig: &Rig) {
        let store = rig.store();
        for ttl in durations() {
            let is_refused = ttl < Duration::from_millis(1);
            for result in [
                store.set_with_ttl("g", "k", "v", ttl).map(drop),
                store.set_if_with_ttl("g", "k", Condition::Present, "v", ttl).map(drop),
                store.batch().set_with_ttl("g", "k", "v", ttl).commit().map(drop),
                store.touch("g", "k", ttl).map(drop),
            ] {
                match result {
                    Err(Error::InvalidTtl) => assert!(is_refused, "{ttl:?}"),
                    result => result.unwrap(),
                }
            }
            store.set("g", "k", "v").unwrap();
        }
        for at in times() {
            store.set_until("g", "until", "v", Some(at)).unwrap();
            let is_live = store.exists("g", "until").unwrap();
            assert_eq!(is_live, at > larder::Clock::now(&rig.clock), "{at:?}");
            assert_eq!(store.entry("g", "until").unwrap().is_some(), is_live, "{at:?}");
        }
        store.purge_expired().unwrap();
    }

    fn every_clock_can_be_read_and_written_by(rig: &Rig) {
        let clock = ManualClock::new();
        let store = rig.open_with(|options| options.clock(clock.clone()));
        for time in times() {
            clock.set(time);
            store.set_with_ttl("g", "k", "v", Duration::from_secs(1)).unwrap();
            store.set_until("g", "never", "v", None).unwrap();
            assert!(store.exists("g", "never").unwrap(), "{time:?}");
            store.purge_expired().unwrap();
            assert_eq!(store.count_all("").unwrap(), store.entries("g").unwrap().count() as u64, "{time:?}");
        }
        for by in durations() {
            clock.advance(by);
            store.set_with_ttl("g", "k", "v", by.max(Duration::from_millis(1))).unwrap();
            store.count("g").unwrap();
        }
        clock.set(UNIX_EPOCH + Duration::from_secs(1_767_225_600));
    }

    fn every_expected_revision_is_met_or_a_conflict(rig: &Rig) {
        let store = rig.store();
        let actual = store.set("g", "k", "v").unwrap();
        for count in COUNTS {
            let expected = Revision(count);
            if expected == actual {
                continue;
            }
            for (key, found) in [("k", Some(actual)), ("none", None)] {
                let refused = store.set_if("g", key, Condition::Revision(expected), "w");
                match refused {
                    Err(Error::Conflict { actual, .. }) => assert_eq!(actual, found, "{expected}"),
                    refused => panic!("{expected} of {key}: {refused:?}"),
                }
                assert!(store.delete_if("g", key, Condition::Revision(expected)).is_err());
            }
            let ahead = store.watch_from(Pattern::all(), expected);
            if expected > store.revision().unwrap() {
                assert!(matches!(ahead, Err(Error::FutureRevision { .. })), "{expected}");
                let cursor = store.cursor("c").unwrap();
                assert!(matches!(cursor.seek(expected), Err(Error::FutureRevision { .. })), "{expected}");
            }
            // A token of this store, as it may come from anywhere.
            let token = store.token().unwrap();
            for text in [format!("{}@{count}", token.store()), format!("{}@{count}.{count}", token.store())] {
                if let Ok(token) = text.parse::<ResumeToken>() {
                    assert_eq!(token.revision(), expected);
                    let _ = store.watch_from(Pattern::all(), token);
                }
            }
        }
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "v");
    }

    fn every_quota_is_kept_and_reads_back_as_it_counts(rig: &Rig) {
        let store = rig.store();
        for count in COUNTS {
            for (which, quota) in [
                Quota { max_keys: Some(count), ..Quota::default() },
                Quota { max_groups: Some(count), ..Quota::default() },
                Quota { max_bytes: Some(count), ..Quota::default() },
            ].into_iter().enumerate() {
                store.set_quota("t", quota).unwrap();
                let kept = rig.second_handle(&store).scoped("t").unwrap().quota().unwrap();
                let kept_limits = [kept.max_keys, kept.max_groups, kept.max_bytes];
                let mut expected = [None; 3];
                expected[which] = limit(count);
                assert_eq!(kept_limits, expected, "{count}");
                let result = store.scoped("t").unwrap().set("g", "key", "v");
                assert_eq!(result.is_ok(), count != 1 || which != 2, "{count}: {result:?}");
                store.delete_group("t:g").unwrap();
            }
        }
    }

    fn every_history_is_kept_and_reads_back_as_it_counts(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.store();
        for (count, age) in COUNTS.into_iter().flat_map(|count| durations().into_iter().map(move |age| (count, age))) {
            let history = History { changes: count, bytes: u64::MAX - count, age: Some(age) };
            store.set_history("h:", history).unwrap();
            let kept = store.histories().unwrap().into_iter().find(|kept| kept.prefix == "h:").unwrap().bounds;
            if history.is_none() {
                assert!(kept.is_none(), "{history:?}");
            } else {
                assert_eq!((kept.changes, kept.bytes), (count.min(KEPT_MAX), (u64::MAX - count).min(KEPT_MAX)));
                let ms = |age: Duration| age.as_millis().min(u128::from(KEPT_MAX));
                assert_eq!(kept.age.map(|age| age.as_millis()), Some(ms(age)), "{age:?}");
            }
        }
        store.set("h:g", "k", "v").unwrap();
        store.purge_expired().unwrap();
    }

    fn every_page_has_as_much_as_was_asked_for(rig: &Rig) {
        let store = rig.store();
        let keys = ["a", "b", "c"];
        for key in keys {
            store.set("g", key, "v").unwrap();
        }
        for count in COUNTS {
            let size = usize::try_from(count).unwrap_or(usize::MAX);
            let page = store.page("g", None, size).unwrap();
            assert_eq!(page.entries.len(), size.min(3), "{count}");
            assert_eq!(page.next.is_some(), size < 3 && size > 0, "{count}");
            for skipped in COUNTS {
                let found = store.get_page("g", skipped, size).unwrap();
                let left = 3_usize.saturating_sub(usize::try_from(skipped).unwrap_or(usize::MAX));
                assert_eq!(found.len(), left.min(size), "{skipped} skipped, {count} asked for");
            }
        }
    }

    fn every_size_and_time_is_an_option(rig: &Rig) {
        for count in COUNTS {
            let time = Duration::from_secs(count);
            let store = rig.open_with(|options| {
                options
                    .history(count, count)
                    .cache_bytes(count)
                    .cursor_bytes_max(count)
                    .max_value_bytes(count.max(1))
                    .timeout(time.max(Duration::from_secs(5)))
                    .cache_age_max(time)
                    .clock_difference_max(time)
            });
            let watcher = store.watch(Pattern::all()).unwrap();
            let cursor = store.cursor("c").unwrap();
            store.set("g", "k", "v").unwrap();
            assert_eq!(store.get("g", "k").unwrap().unwrap(), "v", "{count}");
            assert_eq!(next_event(&watcher).key.as_deref(), Some("k"));
            let received = cursor.recv_timeout(time.max(Duration::from_secs(5)));
            match received {
                Ok(event) => assert_eq!(event.unwrap().key.as_deref(), Some("k")),
                Err(error) => assert!(matches!(error, Error::Compacted { .. }), "{error:?}"),
            }
            let mut mirror = store.mirror(Pattern::group("g")).unwrap();
            assert!(mirror.recv_timeout(time.max(Duration::from_secs(5))).unwrap().is_some());
            assert_eq!(store.stats().unwrap().keys, 1);
            drop((watcher, cursor, mirror));
            store.close().unwrap();
        }
    }
}
