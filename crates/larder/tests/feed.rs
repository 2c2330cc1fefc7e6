//! The change feed: a watcher that starts at a revision, or lags, reads the change log and misses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use common::{Rig, WAIT_MAX, events_now, next_event};
use larder::{Durability, Error, Event, EventKind, Pattern, Revision, Store};

/// Sets `count` entries, one commit each.
fn write(store: &Store, count: u64) {
    for number in 0..count {
        store.set("bulk", number.to_string(), "x").unwrap();
    }
}

/// Makes more bytes of changes than a client of a cluster keeps of what its feed has brought, if `count` is 70 or more.
fn write_large(store: &Store, count: u64) {
    for number in 0..count {
        store.set("bulk", number.to_string(), vec![b'x'; 64 << 10]).unwrap();
    }
}

/// Sets `count` entries in one commit.
fn write_batch(store: &Store, count: usize) -> Revision {
    (0..count).fold(store.batch(), |batch, n| batch.set("batch", format!("{n:05}"), "x")).commit().unwrap()
}

/// Checks that the events are those of one commit, complete and in order.
#[track_caller]
fn assert_whole_batch(events: &[Event], count: usize, revision: Revision) {
    assert_eq!(events.len(), count);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.revision, revision);
        assert_eq!(event.key.as_deref(), Some(format!("{number:05}").as_str()));
    }
}

on_every_engine! {
    fn a_watch_from_the_beginning_receives_the_whole_log_and_then_live_events(rig: &Rig) {
        let store = rig.store();
        write(&store, 20);
        let watcher = store.watch_from(Pattern::all(), 0).unwrap();
        store.set("live", "one", "x").unwrap();
        assert_eq!(rig.numbers_of(&events_now(&watcher)), (1..=21).collect::<Vec<_>>());
        store.set("live", "two", "x").unwrap();
        assert_eq!(rig.numbers_of(&events_now(&watcher)), [22]);
    }

    fn a_watch_from_a_revision_receives_exactly_the_later_changes(rig: &Rig) {
        let store = rig.store();
        store.batch().set("a", "1", "x").set("a", "2", "x").commit().unwrap();
        store.set("b", "1", "x").unwrap();
        store.delete_group("a").unwrap();
        store.batch().set("a", "3", "x").set("b", "2", "x").commit().unwrap();
        let all = events_now(&store.watch_from(Pattern::all(), 0).unwrap());
        assert_eq!(rig.numbers_of(&all), [1, 1, 2, 3, 4, 4]);
        for after in 0..=4 {
            let rest = |wanted: &dyn Fn(&Event) -> bool| {
                let events = all.iter().filter(|event| rig.number_of(event.revision) > after && wanted(event));
                events.cloned().collect::<Vec<_>>()
            };
            let received = |pattern: Pattern| events_now(&store.watch_from(pattern, rig.revision(after)).unwrap());
            assert_eq!(received(Pattern::all()), rest(&|_| true));
            assert_eq!(received(Pattern::group("a")), rest(&|event| event.group == "a"));
            let of_key = |event: &Event| event.group == "a" && event.key.as_deref().is_none_or(|key| key == "2");
            assert_eq!(received(Pattern::key("a", "2")), rest(&of_key));
        }
    }

    fn the_log_and_the_live_feed_deliver_the_same_events(rig: &Rig) {
        let store = rig.store();
        let live = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&live), []);
        store.set("g", "bytes", vec![0xff, 0]).unwrap();
        store.set_with_ttl("g", "ttl", "", Duration::from_millis(10)).unwrap();
        store.touch("g", "ttl", Duration::from_millis(20)).unwrap();
        rig.advance_ms(20);
        store.purge_expired().unwrap();
        store.delete("g", "bytes").unwrap();
        store.set("", "", "").unwrap();
        store.delete_group("").unwrap();
        let received = events_now(&live);
        assert_eq!(received.len(), 7);
        assert_eq!(events_now(&store.watch_from(Pattern::all(), 0).unwrap()), received);
        let store = rig.reopen(store);
        assert_eq!(events_now(&store.watch_from(Pattern::all(), 0).unwrap()), received);
    }

    fn a_watch_from_the_future_is_refused(rig: &Rig) {
        let store = rig.store();
        write(&store, 3);
        assert_eq!(events_now(&store.watch_from(Pattern::all(), rig.revision(3)).unwrap()), []);
        let error = store.watch_from(Pattern::all(), rig.revision(4)).map(drop).unwrap_err();
        let (asked, latest) = (rig.revision(4), rig.revision(3));
        assert!(matches!(error, Error::FutureRevision { asked: a, latest: l } if a == asked && l == latest));
        let words = format!("revision {asked} is in the future: the store is at {latest}");
        assert!(error.to_string().contains(&words), "{error}");
        assert!(store.watch_from(Pattern::all(), u64::MAX).is_err());
    }

    fn the_history_of_a_key_is_its_events_oldest_first(rig: &Rig) {
        let store = rig.store();
        store.set("config", "colour", "blue").unwrap();
        store.set("config", "other", "x").unwrap();
        store.set_with_ttl("config", "colour", "green", Duration::from_millis(5)).unwrap();
        rig.advance_ms(5);
        store.purge_expired().unwrap();
        store.set("config", "colour", "red").unwrap();
        store.delete("config", "colour").unwrap();
        store.delete_group("config").unwrap();
        store.set("elsewhere", "colour", "x").unwrap();
        let history = store.history("config", "colour").unwrap();
        let kinds: Vec<(u64, EventKind)> = history.iter().map(|event| (rig.number_of(event.revision), event.kind)).collect();
        assert_eq!(kinds, [
            (1, EventKind::Set),
            (3, EventKind::Set),
            (4, EventKind::Expire),
            (5, EventKind::Set),
            (6, EventKind::Delete),
            (7, EventKind::DeleteGroup),
        ]);
        assert_eq!(history[1].value.as_ref().unwrap(), &"green");
        assert_eq!(history, events_now(&store.watch_from(("config", "colour"), 0).unwrap()));
        assert_eq!(store.history("config", "never").unwrap().len(), 1, "only the deletion of its group");
        assert_eq!(store.history("none", "none").unwrap(), []);
    }

    fn a_watcher_that_fell_behind_misses_nothing(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let watcher = store.watch(Pattern::all()).unwrap();
        let of_key = store.watch(("bulk", "7")).unwrap();
        assert_eq!((events_now(&watcher), events_now(&of_key)), (vec![], vec![]));
        // More events than a mailbox holds, some of them in batches.
        let each = rig.writes(1500, 600);
        write(&store, each);
        write_batch(&store, 700);
        write(&store, each);
        let received = events_now(&watcher);
        assert_eq!(received.len() as u64, 2 * each + 700);
        assert!(received.is_sorted_by_key(|event| event.revision));
        assert_eq!(rig.numbers_of(&received).into_iter().collect::<BTreeSet<_>>(), (1..=2 * each + 1).collect());
        assert_eq!(rig.numbers_of(&events_now(&of_key)), [8, each + 9]);
        store.set("bulk", "7", "live again").unwrap();
        assert_eq!(rig.numbers_of(&events_now(&watcher)), [2 * each + 2]);
        assert_eq!(rig.numbers_of(&events_now(&of_key)), [2 * each + 2]);
    }

    fn a_watcher_that_reads_in_small_steps_misses_nothing(rig: &Rig) {
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        let watcher = store.watch(Pattern::all()).unwrap();
        let mut received = Vec::new();
        for round in 0..40 {
            write(&store, rig.writes(100, 30));
            for _ in 0..(round * 7) % 50 {
                received.extend(watcher.try_recv().unwrap());
            }
        }
        received.extend(events_now(&watcher));
        assert_eq!(rig.numbers_of(&received), (1..=rig.writes(4000, 1200)).collect::<Vec<_>>());
    }

    fn a_huge_batch_reaches_a_live_watcher_complete(rig: &Rig) {
        let store = rig.store();
        let all = store.watch(Pattern::all()).unwrap();
        let count = rig.promises.entries_per_commit_min;
        let one = store.watch(("batch", format!("{:05}", count - 1).as_str())).unwrap();
        assert_eq!((events_now(&all), events_now(&one)), (vec![], vec![]));
        let revision = write_batch(&store, count);
        store.set("after", "it", "x").unwrap();
        let mut received = events_now(&all);
        assert_eq!(received.pop().unwrap().revision, rig.after(revision));
        assert_whole_batch(&received, count, revision);
        assert_eq!(rig.numbers_of(&events_now(&one)), [1]);
    }

    fn a_commit_larger_than_the_history_is_kept_until_the_next_commit(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| options.history(100, 1 << 20));
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        write(&store, 5);
        let revision = write_batch(&store, 2000);
        assert_whole_batch(&events_now(&store.watch_from(Pattern::all(), 5).unwrap()), 2000, revision);
        assert_whole_batch(&events_now(&watcher)[5..], 2000, revision);
        assert!(matches!(store.watch_from(Pattern::all(), 0), Err(Error::Compacted { .. })));
        // Each commit prunes a part of the large one, and the log soon has its normal length.
        write(&store, 50);
        let stats = store.stats().unwrap();
        assert!(stats.history_changes <= 120, "{stats:?}");
        assert_eq!(rig.numbers_of(&events_now(&watcher)), (7..=56).collect::<Vec<_>>());
        assert_eq!(store.revision().unwrap(), rig.revision(56));
    }

    fn a_watch_before_the_oldest_revision_is_refused_with_that_revision(rig: &Rig) {
        let rig = rig.with_own_history();
        let store = rig.open_with(|options| options.history(100, 1 << 20));
        let last = rig.writes(1000, 200);
        write(&store, last);
        rig.compact_up_to(last - 110);
        let error = store.watch_from(Pattern::all(), 0).map(drop).unwrap_err();
        let Error::Compacted { oldest } = error else { panic!("{error:?}") };
        assert!(error.to_string().contains(&format!("reaches back to revision {oldest} only")), "{error}");
        assert_eq!(store.stats().unwrap().history_from, oldest);
        let reach = rig.commits_up_to(oldest);
        if rig.promises.prunes_its_log {
            assert!((last - 120..=last - 100).contains(&reach), "{reach}");
        } else {
            assert_eq!(reach, last - 110);
        }
        let received = events_now(&store.watch_from(Pattern::all(), oldest).unwrap());
        assert_eq!(rig.numbers_of(&received), (reach + 1..=last).collect::<Vec<_>>());
        assert!(store.watch_from(Pattern::all(), oldest.previous()).is_err());
        // `history` returns what the log still has.
        assert_eq!(store.history("bulk", "5").unwrap(), []);
        assert_eq!(store.history("bulk", (last - 1).to_string()).unwrap().len(), 1);
    }

    fn the_history_is_also_limited_in_bytes(rig: &Rig) {
        if !rig.promises.prunes_its_log {
            return;
        }
        let store = rig.open_with(|options| options.history(1_000_000, 50_000));
        for number in 0..200 {
            store.set("bulk", number.to_string(), vec![b'x'; 1000]).unwrap();
        }
        let stats = store.stats().unwrap();
        assert!(stats.history_bytes <= 52_000, "{stats:?}");
        assert!((40..=50).contains(&stats.history_changes), "{stats:?}");
        let received = events_now(&store.watch_from(Pattern::all(), stats.history_from).unwrap());
        assert_eq!(received.len() as u64, stats.history_changes);
        // A single change above the limit stays while it is the latest.
        store.set("bulk", "large", vec![b'x'; 200_000]).unwrap();
        assert_eq!(events_now(&store.watch_from(Pattern::all(), 200).unwrap()).len(), 1);
    }

    fn a_history_of_zero_keeps_the_latest_commit_and_the_revision(rig: &Rig) {
        let store = rig.open_with(|options| options.history(0, 0));
        for number in 1..=20 {
            assert_eq!(store.set("a", "b", "c").unwrap(), rig.revision(number));
            assert_eq!(rig.numbers_of(&events_now(&store.watch_from(Pattern::all(), rig.revision(number - 1)).unwrap())), [number]);
        }
        let store = rig.reopen_with(store, |options| options.history(0, 0));
        if !rig.promises.prunes_its_log {
            let all = events_now(&store.watch_from(Pattern::all(), 0).unwrap());
            assert_eq!(rig.numbers_of(&all), (1..=20).collect::<Vec<_>>());
        }
        assert_eq!(store.revision().unwrap(), rig.revision(20));
        assert_eq!(store.set("a", "b", "c").unwrap(), rig.revision(21));
    }

    fn a_half_pruned_batch_can_only_be_watched_from_its_end(rig: &Rig) {
        if !rig.promises.pruning_splits_commits {
        return;
        }
        let store = rig.open_with(|options| options.history(300, 1 << 20));
        let batch = write_batch(&store, 1500);
        let mut halves = 0;
        for _ in 0..20 {
            store.set("a", "b", "c").unwrap();
            let Err(Error::Compacted { oldest }) = store.watch_from(Pattern::all(), 0) else { panic!() };
            halves += u64::from(oldest == batch);
            let received = events_now(&store.watch_from(Pattern::all(), oldest).unwrap());
            let expected: Vec<u64> = (oldest.0 + 1..=store.revision().unwrap().0).collect();
            assert_eq!(rig.numbers_of(&received), expected);
            assert_eq!(store.check().unwrap(), []);
        }
        assert!(halves > 0, "the batch was never half pruned");
    }

    fn a_compacted_watcher_gets_one_error_and_continues(rig: &Rig) {
        let rig = rig.with_own_history();
        let store = rig.open_with(|options| options.history(500, 1 << 20).durability(Durability::Relaxed));
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        // More than its mailbox holds, and more than the log keeps.
        let last = rig.writes(3000, 1500);
        write(&store, last - 200);
        write_large(&store, 200);
        rig.compact_up_to(last - 200);
        let mut received = Vec::new();
        let mut left_behind = Vec::new();
        loop {
            match watcher.try_recv() {
                Ok(Some(event)) => received.push(rig.number_of(event.revision)),
                Ok(None) => break,
                Err(Error::Compacted { oldest }) => left_behind.push(rig.commits_up_to(oldest)),
                Err(error) => panic!("{error:?}"),
            }
        }
        // First the events in its mailbox, then one error for the gap, then the rest.
        let [oldest] = left_behind[..] else { panic!("{left_behind:?}") };
        assert!(oldest == last - 200 || rig.promises.prunes_its_log, "{oldest}");
        let first_part = received.iter().position(|revision| *revision > oldest).unwrap();
        assert_eq!(received[..first_part], (1..=first_part as u64).collect::<Vec<_>>());
        assert_eq!(received[first_part..], (oldest + 1..=last).collect::<Vec<_>>());
        store.set("live", "again", "x").unwrap();
        assert_eq!(next_event(&watcher).revision, rig.revision(last + 1));
    }

    fn a_slow_watcher_receives_each_change_or_one_error_for_those_compacted(rig: &Rig) {
        let rig = rig.with_own_history();
        let last = rig.writes(4000, 600);
        let store = rig.open_with(|options| options.history(400, 1 << 20).durability(Durability::Relaxed));
        let watcher = store.watch(Pattern::all()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                if rig.promises.prunes_its_log {
                    return write(&store, last);
                }
                for written in 1..=last / 100 {
                    write(&store, 100);
                    rig.compact_up_to(written * 100 - 10);
                }
            });
            let mut next = 1;
            while next <= last {
                match watcher.recv_timeout(WAIT_MAX).transpose().unwrap() {
                    Ok(event) => {
                        assert_eq!(rig.number_of(event.revision), next, "in order, none twice, none missing");
                        next += 1;
                    }
                    Err(Error::Compacted { oldest }) => {
                        assert!(rig.commits_up_to(oldest) >= next, "an error without a gap");
                        next = rig.commits_up_to(oldest) + 1;
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        assert_eq!(events_now(&watcher), []);
    }

    fn watchers_started_during_writes_miss_nothing_and_repeat_nothing(rig: &Rig) {
        let last = rig.writes(1500, 300);
        let store = rig.open_with(|options| options.durability(Durability::Relaxed));
        thread::scope(|scope| {
            scope.spawn(|| write(&store, last));
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut seen = 0;
                    while seen < last {
                        let watcher = store.watch_from(Pattern::all(), rig.revision(seen)).unwrap();
                        for _ in 0..40 {
                            if seen < last {
                                seen += 1;
                                assert_eq!(rig.number_of(next_event(&watcher).revision), seen);
                            }
                        }
                    }
                });
            }
        });
    }

    fn a_restarted_program_resumes_where_it_stopped(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        write(&store, 10);
        let seen = (0..4).map(|_| next_event(&watcher).revision).last().unwrap();
        drop(watcher);
        let store = rig.reopen(store);
        write(&store, 3);
        let received = events_now(&store.watch_from(Pattern::all(), seen).unwrap());
        assert_eq!(rig.numbers_of(&received), (5..=13).collect::<Vec<_>>());
    }

    fn events_of_another_handle_arrive_in_commit_order(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(events_now(&watcher), []);
        store.set("mine", "1", "x").unwrap();
        other.set("others", "2", "x").unwrap();
        other.set("others", "3", "x").unwrap();
        store.set("mine", "4", "x").unwrap();
        assert_eq!(rig.numbers_of(&events_now(&watcher)), [1, 2, 3, 4]);
        // Both handles show the same log.
        let logs = [&store, &other].map(|store| events_now(&store.watch_from(Pattern::all(), 0).unwrap()));
        assert_eq!(logs[0], logs[1]);
    }
}
