//! Concurrency: with many threads and several handles, all results add up exactly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use common::{Rig, events_now};
use larder::{Condition, Error, Pattern, Quota, Revision, Store};

/// Runs a closure on many threads at once, each with its number.
fn at_once(threads: usize, act: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for number in 0..threads {
            let (barrier, act) = (&barrier, &act);
            scope.spawn(move || {
                barrier.wait();
                act(number);
            });
        }
    });
}

/// Two handles of one store, separate like those of two processes if the engine allows.
fn handles(rig: &Rig) -> [Store; 2] {
    let store = rig.store();
    [rig.second_handle(&store), store]
}

on_every_engine! {
    fn a_long_lone_writer_notices_another_writers_changes(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        let length = AtomicU64::new(0);
        let many = |more: Option<&str>| {
            // A different length each time, so that the tallies change.
            let value = "v".repeat(length.fetch_add(1, Ordering::Relaxed) as usize % 7);
            let batch =
                (0..30).fold(store.batch(), |batch, key| batch.set("t:g", key.to_string(), value.as_str()));
            more.into_iter().fold(batch, |batch, key| batch.set("t:g", key, "v")).commit()
        };
        let alone = || (0..6).for_each(|_| assert!(many(None).is_ok()));
        for round in 0..6 {
            store.set_with_ttl("t:g", "brief", "v", Duration::from_millis(10)).unwrap();
            store.touch("t:g", "brief", Duration::from_millis(100)).unwrap();
            alone();
            other.set("t:g", "of the other", "v").unwrap();
            many(None).unwrap();
            assert_eq!(store.count("t:g").unwrap(), 32);

            alone();
            other.set_quota("t", Quota { max_keys: Some(32), ..Quota::default() }).unwrap();
            let refused = many(Some("one more"));
            assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
            other.set_quota("t", Quota::default()).unwrap();

            alone();
            // Nothing has expired, but the purge updates the time of the next expiry.
            rig.advance_ms(20);
            assert_eq!(other.purge_expired().unwrap(), 0);
            many(None).unwrap();
            rig.advance_ms(100);
            assert_eq!(other.purge_expired().unwrap(), 1, "round {round}");

            alone();
            assert_eq!(other.delete_group("t:g").unwrap(), 31);
            many(None).unwrap();
            assert_eq!(store.count("t:g").unwrap(), 30);
        }
    }

    fn a_lone_writer_never_takes_another_writers_commit_for_its_own(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        let many = |round: i32| {
            (0..20).fold(store.batch(), |batch, key| batch.set("many", key.to_string(), round.to_string()))
        };
        for round in 0..6 {
            let (key, session) = (format!("own-{round}"), format!("session-{round}"));
            store.set_with_ttl("g", &key, "v", Duration::from_millis(10)).unwrap();
            store.touch("g", &key, Duration::from_secs(3600)).unwrap();
            (0..6).for_each(|round| assert!(many(round).commit().is_ok()));
            rig.advance_ms(20);
            assert_eq!(store.purge_expired().unwrap(), 0, "nothing has expired, but the purge updates the time of the next expiry");
            other.set("g", &session, "v").unwrap();
            let own = format!("more-{round}");
            many(round).set("g", own, "v").commit().unwrap();
            assert_eq!(store.count("g").unwrap(), 3 * (round as u64 + 1), "round {round}");
            assert_eq!(store.check().unwrap(), []);
        }
    }

    fn a_condition_that_failed_repeatedly_is_checked_afresh(rig: &Rig) {
        let store = rig.store();
        let other = rig.second_handle(&store);
        for round in 0..6 {
            other.set("locks", "one", "held").unwrap();
            for _ in 0..6 {
                let refused = store.set_if("locks", "one", Condition::Absent, "mine");
                assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
            }
            assert!(other.delete("locks", "one").unwrap());
            let batch = store.batch().require("locks", "one", Condition::Absent);
            let batch = (0..20).fold(batch, |batch, key| batch.set("g", key.to_string(), "v"));
            batch.set("locks", "one", format!("round {round}")).commit().unwrap();
        }
    }

    fn increments_from_many_threads_add_up(rig: &Rig) {
        let stores = handles(rig);
        let answers = Mutex::new(Vec::new());
        at_once(16, |thread| {
            for _ in 0..25 {
                let sum = stores[thread % 2].increment("stats", "visits", 1).unwrap();
                answers.lock().unwrap().push(sum);
            }
        });
        let mut answers = answers.into_inner().unwrap();
        answers.sort_unstable();
        assert_eq!(answers, (1..=400).collect::<Vec<_>>(), "a sum was returned twice or not at all");
        assert_eq!(stores[0].get("stats", "visits").unwrap().unwrap(), "400");
        let commits = rig.number_of(stores[0].revision().unwrap());
        // A thread that waits for each write never shares a commit with itself.
        assert!(commits == 400 || rig.promises.concurrent_writes_share_commits && (25..400).contains(&commits), "{commits}");
    }

    fn no_two_writes_of_one_entry_return_the_same_revision(rig: &Rig) {
        let stores = handles(rig);
        let written = Mutex::new(Vec::new());
        at_once(8, |thread| {
            for number in 0..25 {
                let value = format!("{thread} {number}");
                let revision = stores[thread % 2].set("one", "entry", &*value).unwrap();
                written.lock().unwrap().push((revision, value));
            }
        });
        let mut written = written.into_inner().unwrap();
        written.sort();
        let same = written.windows(2).find(|pair| pair[0].0 == pair[1].0);
        assert_eq!(same, None, "two values with one revision cannot be told apart by a condition");
        let last = stores[0].entry("one", "entry").unwrap().unwrap();
        assert_eq!(Some((last.revision, last.value.as_str().unwrap().to_owned())), written.pop());
    }

    fn every_revision_is_used_once_and_none_is_skipped(rig: &Rig) {
        let stores = handles(rig);
        let given = Mutex::new(Vec::new());
        at_once(8, |thread| {
            let mut last = Revision(0);
            for number in 0..30 {
                let revision = stores[thread % 2].set(format!("g{thread}"), number.to_string(), "v").unwrap();
                assert!(revision > last, "a thread's own writes are out of order");
                last = revision;
                given.lock().unwrap().push((revision, thread, number));
            }
        });
        let mut given = given.into_inner().unwrap();
        given.sort_unstable();
        let numbers = |revisions: Vec<Revision>| {
            let mut numbers: Vec<u64> = revisions.into_iter().map(|revision| rig.number_of(revision)).collect();
            // Writes of one commit share its revision.
            if rig.promises.concurrent_writes_share_commits {
                numbers.dedup();
            }
            numbers
        };
        let last = rig.number_of(stores[0].revision().unwrap());
        assert!(last == 240 || rig.promises.concurrent_writes_share_commits && (30..240).contains(&last), "{last}");
        assert_eq!(numbers(given.iter().map(|(revision, ..)| *revision).collect()), (1..=last).collect::<Vec<_>>());
        for (revision, thread, number) in given {
            let entry = stores[0].entry(format!("g{thread}"), number.to_string()).unwrap().unwrap();
            assert_eq!(entry.revision, revision, "an acknowledged write is missing");
        }
        let log = events_now(&stores[0].watch_from(Pattern::all(), 0).unwrap());
        assert_eq!(log.len(), 240);
        assert_eq!(numbers(log.iter().map(|event| event.revision).collect()), (1..=last).collect::<Vec<_>>());
    }

    fn of_many_callers_exactly_one_acquires_a_lock(rig: &Rig) {
        let stores = handles(rig);
        let inside = AtomicU64::new(0);
        let taken = AtomicU64::new(0);
        at_once(8, |thread| {
            let store = &stores[thread % 2];
            let mut done = 0;
            while done < 6 {
                match store.set_if("lock", "job", Condition::Absent, thread.to_string()) {
                    Ok(revision) => {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two callers hold the lock");
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        assert!(store.delete_if("lock", "job", Condition::Revision(revision)).unwrap());
                        done += 1;
                    }
                    Err(Error::Conflict { actual: Some(_), .. }) => thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        assert_eq!(taken.into_inner(), 48);
        assert!(!stores[0].exists("lock", "job").unwrap());
    }

    fn compare_and_set_writers_never_overwrite_each_other(rig: &Rig) {
        let stores = handles(rig);
        stores[0].set("account", "balance", "0").unwrap();
        at_once(6, |thread| {
            let store = &stores[thread % 2];
            for _ in 0..15 {
                loop {
                    let entry = store.entry("account", "balance").unwrap().unwrap();
                    let sum = entry.value.parse::<u64>().unwrap() + 1;
                    let condition = Condition::Revision(entry.revision);
                    match store.set_if("account", "balance", condition, sum.to_string()) {
                        Ok(_) => break,
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        });
        assert_eq!(stores[0].get("account", "balance").unwrap().unwrap(), "90");
        let commits = rig.number_of(stores[0].revision().unwrap());
        assert_eq!(commits, 91, "a refused write took a revision, or two conflicting ones succeeded");
    }

    fn transactions_of_many_threads_are_serialized(rig: &Rig) {
        let stores = handles(rig);
        for account in 0..4 {
            stores[0].set("accounts", account.to_string(), "100").unwrap();
        }
        at_once(8, |thread| {
            for round in 0..20 {
                let (from, to) = ((thread + round) % 4, (thread * 3 + round * 7 + 1) % 4);
                let moved = stores[thread % 2].transaction(|tx| {
                    let sum: i64 = tx.get_all("accounts")?.iter().map(|(_, value)| value.parse::<i64>().unwrap()).sum();
                    assert_eq!(sum, 400, "a transaction saw a transfer half done");
                    if tx.increment("accounts", from.to_string(), -30)? < 0 {
                        return Err(Error::other("insufficient balance"));
                    }
                    tx.increment("accounts", to.to_string(), 30)?;
                    tx.increment("moves", "count", 1)
                });
                assert!(moved.is_ok() || moved.unwrap_err().to_string() == "insufficient balance");
            }
        });
        let store = &stores[0];
        let balances: Vec<i64> =
            store.get_all("accounts").unwrap().iter().map(|(_, value)| value.parse().unwrap()).collect();
        assert!(balances.iter().sum::<i64>() == 400 && balances.iter().all(|balance| *balance >= 0));
        let moves = store.get("moves", "count").unwrap().map_or(0, |value| value.parse::<u64>().unwrap());
        assert_eq!(store.revision().unwrap(), rig.revision(4 + moves), "a rolled back transaction took a revision");
    }

    fn a_quota_is_exact_with_any_number_of_writers(rig: &Rig) {
        let stores = handles(rig);
        let limit = 50;
        let quota = Quota { max_keys: Some(limit), max_groups: Some(3), max_bytes: None };
        stores[0].set_quota("tenant-42", quota).unwrap();
        let accepted = AtomicU64::new(0);
        at_once(8, |thread| {
            let tenant = stores[thread % 2].scoped("tenant-42").unwrap();
            for number in 0..20 {
                let group = format!("g{}", number % 4);
                match tenant.set(group, format!("{thread} {number}"), "v") {
                    Ok(_) => drop(accepted.fetch_add(1, Ordering::SeqCst)),
                    Err(Error::QuotaExceeded { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let usage = stores[0].scoped("tenant-42").unwrap().usage().unwrap();
        assert_eq!((usage.keys, usage.groups), (limit, 3), "the quota is not exact");
        assert_eq!(accepted.into_inner(), limit);
    }

    fn a_byte_quota_is_exact_while_others_delete(rig: &Rig) {
        let stores = handles(rig);
        let quota = Quota { max_bytes: Some(1000), ..Quota::default() };
        stores[0].set_quota("t", quota).unwrap();
        at_once(6, |thread| {
            let tenant = stores[thread % 2].scoped("t").unwrap();
            for number in 0..30 {
                let key = format!("{thread}-{}", number % 3);
                match number % 5 {
                    4 => drop(tenant.delete("g", key).unwrap()),
                    _ => match tenant.set("g", key, vec![b'x'; 37 * (number % 5 + 1)]) {
                        Ok(_) | Err(Error::QuotaExceeded { limit: 1000, .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    },
                }
                assert!(tenant.usage().unwrap().bytes <= 1000);
            }
        });
    }

    fn concurrent_writes_of_every_kind_leave_tallies_that_equal_a_recount(rig: &Rig) {
        // The rig compares the tallies with a recount after the test.
        let stores = handles(rig);
        at_once(8, |thread| {
            let store = &stores[thread % 2];
            for number in 0..25 {
                let group = format!("tenant-{}:g{}", number % 3, thread % 3);
                let key = format!("k{}", number % 5);
                match (thread + number) % 8 {
                    0 => drop(store.delete(&group, key).unwrap()),
                    1 => drop(store.delete_group(&group).unwrap()),
                    2 => drop(store.set_with_ttl(&group, key, "short", Duration::from_millis(1)).unwrap()),
                    3 => drop(store.batch().set(&group, &key, "a").delete(&group, key).set(&group, "b", "c").commit().unwrap()),
                    4 => {
                        rig.advance_ms(1);
                        store.purge_expired().unwrap();
                    }
                    5 => drop(store.transaction(|tx| tx.delete_prefix(&group)).unwrap()),
                    _ => drop(store.set(&group, key, vec![b'x'; number * 10]).unwrap()),
                }
            }
        });
        common::verify(&stores[0]);
        common::verify(&stores[1]);
    }

    fn readers_never_see_half_a_batch_and_never_wait_for_writers(rig: &Rig) {
        let stores = handles(rig);
        let batch = |number: u64| {
            let text = number.to_string();
            stores[1].batch().set("g", "a", text.as_str()).set("g", "b", text.as_str()).commit().unwrap()
        };
        batch(0);
        thread::scope(|scope| {
            scope.spawn(|| for number in 1..=150 {
                batch(number);
            });
            for reader in 0..4 {
                let store = &stores[reader % 2];
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 150 {
                        let all = store.get_all("g").unwrap();
                        assert_eq!(all.get("a"), all.get("b"));
                        let now: u64 = all.get("a").unwrap().parse().unwrap();
                        assert!(now >= last, "a read is older than an earlier one");
                        last = now;
                    }
                });
            }
        });
    }

    fn an_acknowledged_write_is_visible_to_every_thread_at_once(rig: &Rig) {
        let [reader, writer] = handles(rig);
        for number in 0..200 {
            writer.set("g", "k", number.to_string()).unwrap();
            assert_eq!(reader.get("g", "k").unwrap().unwrap(), number.to_string());
        }
    }

    fn closing_a_store_answers_every_waiting_writer(rig: &Rig) {
        let store = rig.store();
        let done = AtomicU64::new(0);
        thread::scope(|scope| {
            for writer in 0..6 {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    for number in 0.. {
                        match store.set(format!("g{writer}"), number.to_string(), "v") {
                            Ok(_) => drop(done.fetch_add(1, Ordering::SeqCst)),
                            Err(Error::Closed) => return,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
            common::eventually("some writes are done", || done.load(Ordering::SeqCst) > 50);
            store.close().unwrap();
        });
        if rig.promises.can_be_opened_again {
            let store = rig.store();
            assert_eq!(store.count_all("").unwrap(), done.into_inner(), "the entries are not exactly the acknowledged ones");
        }
    }

    fn a_slow_transaction_keeps_other_writers_waiting(rig: &Rig) {
        let store = rig.store();
        let (enter, entered) = std::sync::mpsc::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            let own = store.clone();
            let slow = scope.spawn(move || {
                own.transaction(|tx| {
                    tx.set("g", "k", "1")?;
                    enter.send(()).unwrap();
                    left.recv().unwrap();
                    tx.increment("g", "k", 1)
                })
            });
            entered.recv().unwrap();
            let others: Vec<_> = (0..4).map(|_| scope.spawn(|| store.increment("g", "k", 10).unwrap())).collect();
            leave.send(()).unwrap();
            assert_eq!(slow.join().unwrap().unwrap(), 2);
            let mut sums: Vec<i64> = others.into_iter().map(|other| other.join().unwrap()).collect();
            sums.sort_unstable();
            assert_eq!(sums, [12, 22, 32, 42]);
        });
    }
}
