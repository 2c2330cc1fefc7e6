//! Transactions: they read their own writes, take effect whole or not at all, and are isolated.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use common::{Rig, events_now};
use larder::{Clock as _, Condition, Error, EventKind, Pattern, Quota, Store, Usage};

/// Everything a transaction can do, once each.
fn do_everything(tx: &larder::Transaction) -> larder::Result<()> {
    tx.set("new", "key", "value")?;
    tx.set_with_ttl("new", "ttl", "value", Duration::from_secs(1))?;
    tx.set_if("new", "if", Condition::Absent, "value")?;
    tx.increment("stats", "visits", 5)?;
    tx.touch("config", "colour", Duration::from_secs(9))?;
    tx.persist("session", "token")?;
    tx.delete("config", "language")?;
    tx.delete_if("mail", "host", Condition::Present)?;
    tx.delete_group("bulk")?;
    tx.delete_prefix("tenant-")?;
    Ok(())
}

/// A store with an example of everything.
fn furnished(rig: &Rig) -> Store {
    let store = rig.store();
    for (group, key, value) in [
        ("config", "colour", "blue"),
        ("config", "language", "en-GB"),
        ("mail", "host", "smtp"),
        ("bulk", "1", "one"),
        ("bulk", "2", "two"),
        ("tenant-1:g", "k", "v"),
        ("stats", "visits", "37"),
    ] {
        store.set(group, key, value).unwrap();
    }
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).unwrap();
    store
}

/// The whole content of a store in one line.
fn everything(store: &Store) -> String {
    let groups = store.groups("").unwrap();
    let entries: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            store.entries(&group.name).unwrap().map(|entry| (group.name.clone(), entry.unwrap()))
        })
        .collect();
    format!("{groups:?} {entries:?} {:?} {:?}", store.namespaces().unwrap(), store.revision().unwrap())
}

on_every_engine! {
    fn a_transaction_reads_its_own_writes(rig: &Rig) {
        let store = furnished(rig);
        let returned = store.transaction(|tx| {
            do_everything(tx)?;
            assert_eq!(tx.get("new", "key")?.unwrap(), "value");
            assert_eq!(tx.get("stats", "visits")?.unwrap(), "42");
            assert!(tx.entry("config", "colour")?.unwrap().expires_at.is_some());
            assert_eq!(tx.entry("session", "token")?.unwrap().expires_at, None);
            assert!(!tx.exists("config", "language")?);
            assert!(!tx.group_exists("bulk")?);
            assert_eq!(tx.count("new")?, 3);
            assert_eq!(tx.count_all("")?, 6);
            assert_eq!(tx.count_all("tenant-")?, 0);
            let names: Vec<String> = tx.groups("")?.into_iter().map(|group| group.name).collect();
            assert_eq!(names, ["config", "new", "session", "stats"]);
            assert_eq!(tx.get_all("new")?.keys().collect::<Vec<_>>(), ["if", "key", "ttl"]);
            assert_eq!(tx.keys("new")?.collect::<larder::Result<Vec<_>>>()?, ["if", "key", "ttl"]);
            assert_eq!(tx.page("new", Some("if"), 1)?.entries[0].key, "key");
            assert_eq!(tx.get_page("new", 2, 9)?[0].key, "ttl");
            assert_eq!(tx.render("{{ key }} {{ get('stats', 'visits') }}", "new")?, "value 42");
            tx.set("new", "key", "again")?;
            assert_eq!(tx.get("new", "key")?.unwrap(), "again");
            Ok("returned")
        });
        assert_eq!(returned.unwrap(), "returned");
        assert_eq!(store.revision().unwrap(), rig.revision(9), "the transaction took more than one revision");
        assert_eq!(store.entry("new", "key").unwrap().unwrap().revision, rig.revision(9));
        assert_eq!(store.get("new", "key").unwrap().unwrap(), "again");
        assert_eq!(store.count_all("").unwrap(), 6);
    }

    fn a_transaction_that_fails_leaves_no_trace(rig: &Rig) {
        let store = furnished(rig);
        let watcher = store.watch(Pattern::all()).unwrap();
        let before = everything(&store);
        let error = store.transaction(|tx| {
            do_everything(tx)?;
            Err::<(), _>(Error::other("changed my mind"))
        });
        assert_eq!(error.unwrap_err().to_string(), "changed my mind");
        assert_eq!(everything(&store), before);
        assert_eq!(events_now(&watcher), []);
        assert_eq!(store.set("a", "b", "c").unwrap(), rig.revision(9), "the failed transaction took a revision");
        assert_eq!(events_now(&watcher).len(), 1);
    }

    fn a_transaction_that_panics_leaves_no_trace_and_a_store_that_works(rig: &Rig) {
        let store = furnished(rig);
        let watcher = store.watch(Pattern::all()).unwrap();
        let before = everything(&store);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            store.transaction(|tx| {
                do_everything(tx)?;
                if tx.exists("new", "key")? {
                    panic!("in the middle");
                }
                Ok(())
            })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"in the middle"), "the panic did not reach the caller");
        assert_eq!(everything(&store), before);
        assert_eq!(events_now(&watcher), []);
        store.transaction(do_everything).unwrap();
        assert_eq!(store.revision().unwrap(), rig.revision(9));
    }

    fn a_refused_step_can_be_ignored_and_leaves_no_trace(rig: &Rig) {
        let store = furnished(rig);
        store.transaction(|tx| {
            tx.set("new", "first", "1")?;
            assert!(matches!(tx.increment("config", "colour", 1), Err(Error::NotANumber { .. })));
            assert!(matches!(
                tx.set_if("config", "colour", Condition::Absent, "red"),
                Err(Error::Conflict { .. })
            ));
            assert!(matches!(tx.set("g", "k".repeat(70_000), "v"), Err(Error::TooLarge { .. })));
            assert!(matches!(
                tx.set_with_ttl("g", "k", "v", Duration::ZERO),
                Err(Error::InvalidTtl)
            ));
            tx.set("new", "second", "2")
        }).unwrap();
        assert_eq!(store.count("new").unwrap(), 2);
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
        assert!(!store.group_exists("g").unwrap());
    }

    fn only_the_step_over_quota_is_refused(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-42").unwrap();
        store.set_quota("tenant-42", Quota { max_keys: Some(2), ..Quota::default() }).unwrap();
        tenant.transaction(|tx| {
            tx.set("g", "1", "x")?;
            tx.set("g", "2", "x")?;
            assert!(matches!(tx.set("g", "3", "x"), Err(Error::QuotaExceeded { limit: 2, wanted: 3, .. })));
            tx.delete("g", "1")?;
            tx.set("g", "3", "x")
        }).unwrap();
        assert_eq!(tenant.usage().unwrap(), Usage { keys: 2, groups: 1, bytes: 4 });
        let failed = tenant.transaction(|tx| tx.set("g", "4", "x"));
        assert!(matches!(failed, Err(Error::QuotaExceeded { .. })));
        assert_eq!(tenant.usage().unwrap().keys, 2);
    }

    fn a_transaction_that_only_reads_changes_nothing(rig: &Rig) {
        let store = furnished(rig);
        let watcher = store.watch(Pattern::all()).unwrap();
        assert_eq!(store.transaction(|tx| tx.count_all("")).unwrap(), 8);
        assert!(!store.transaction(|tx| tx.delete("not", "there")).unwrap());
        assert_eq!(store.revision().unwrap(), rig.revision(8));
        assert_eq!(events_now(&watcher), []);
    }

    fn all_changes_of_a_transaction_have_the_time_of_the_first(rig: &Rig) {
        let store = rig.store();
        let watcher = store.watch(Pattern::all()).unwrap();
        let began = rig.clock.now();
        store.transaction(|tx| {
            tx.set("a", "1", "v")?;
            rig.advance_ms(5);
            tx.set("a", "2", "v")
        }).unwrap();
        assert_eq!(events_now(&watcher).iter().map(|event| event.at).collect::<Vec<_>>(), [began, began]);
        store.set("a", "3", "v").unwrap();
        assert_eq!(events_now(&watcher)[0].at, rig.clock.now());
    }

    fn events_of_a_transaction_arrive_after_its_commit_in_order_with_one_revision(rig: &Rig) {
        let store = furnished(rig);
        let watcher = store.watch(Pattern::all()).unwrap();
        let (sender, received) = mpsc::channel();
        let subscription = store.on_change({
            let other = rig.second_handle(&store);
            move |event| {
                // The callback runs after the commit, so another handle can already read it.
                let visible = other.revision().unwrap() >= event.revision;
                sender.send((event.clone(), visible)).unwrap();
            }
        });
        assert_eq!(events_now(&watcher), []);
        store.transaction(|tx| {
            do_everything(tx)?;
            assert_eq!(watcher.try_recv()?, None, "an event was sent before the commit");
            assert!(received.try_recv().is_err());
            Ok(())
        }).unwrap();
        let events = events_now(&watcher);
        let called: Vec<_> = received.try_iter().collect();
        assert!(called.iter().all(|(_, visible)| *visible));
        assert_eq!(called.into_iter().map(|(event, _)| event).collect::<Vec<_>>(), events);
        assert!(events.iter().all(|event| event.revision == rig.revision(9)));
        let steps: Vec<(EventKind, &str, Option<&str>)> = events
            .iter()
            .map(|event| (event.kind, event.group.as_str(), event.key.as_deref()))
            .collect();
        assert_eq!(steps, [
            (EventKind::Set, "new", Some("key")),
            (EventKind::Set, "new", Some("ttl")),
            (EventKind::Set, "new", Some("if")),
            (EventKind::Set, "stats", Some("visits")),
            (EventKind::Set, "config", Some("colour")),
            (EventKind::Set, "session", Some("token")),
            (EventKind::Delete, "config", Some("language")),
            (EventKind::Delete, "mail", Some("host")),
            (EventKind::DeleteGroup, "bulk", None),
            (EventKind::DeleteGroup, "tenant-1:g", None),
        ]);
        assert_eq!(store.watch_from(Pattern::all(), rig.revision(8)).unwrap().recv().unwrap(), events[0]);
        drop(subscription);
    }

    fn calling_the_store_inside_its_own_transaction_is_an_error_and_not_a_deadlock(rig: &Rig) {
        let store = furnished(rig);
        let tenant = store.scoped("tenant-1").unwrap();
        let clone = store.clone();
        let snapshot = store.snapshot().unwrap();
        let mut entries = store.entries("bulk").unwrap();
        let calls = store.transaction(|tx| {
            tx.set("new", "key", "value")?;
            assert_eq!(snapshot.get("new", "key")?, None, "a snapshot sees the open transaction");
            assert!(snapshot.get("new", "key")?.is_none(), "a snapshot sees the open transaction");
            Ok(vec![
                ("get", store.get("a", "b").err()),
                ("count", clone.count("a").err()),
                ("groups", tenant.groups("").err()),
                ("entries", store.entries("bulk").err()),
                ("set", store.set("a", "b", "c").err()),
                ("scoped set", tenant.set("a", "b", "c").err()),
                ("delete_prefix", store.delete_prefix("").err()),
                ("purge", store.purge_expired().err()),
                ("batch", clone.batch().set("a", "b", "c").commit().err()),
                ("transaction", store.transaction(|_| Ok(())).err()),
                ("scoped transaction", tenant.transaction(|_| Ok(())).err()),
                ("snapshot", store.snapshot().err()),
                ("watch", store.watch(Pattern::all()).err()),
                ("watch_from", store.watch_from(Pattern::all(), 0).err()),
                ("history", store.history("a", "b").err()),
                ("revision", store.revision().err()),
                ("stats", store.stats().err()),
                ("check", store.check().err()),
                ("backup", store.backup_to(rig.folder().join("copy.db")).err()),
                ("copy", store.copy_to(&clone).run().err()),
                ("render", store.render("", "a").err()),
                ("namespaces", store.namespaces().err()),
                ("quota", tenant.quota().err()),
                ("set_quota", store.set_quota("tenant-1", Quota::default()).err()),
                ("close", store.close().err()),
            ])
        }).unwrap();
        for (call, error) in calls {
            assert!(matches!(error, Some(Error::Nested)), "{call}: {error:?}");
        }
        assert_eq!(store.get("new", "key").unwrap().unwrap(), "value");
        assert_eq!(store.revision().unwrap(), rig.revision(9));
        assert_eq!(entries.next().unwrap().unwrap().key, "1");
        store.set("a", "b", "v").unwrap();
    }

    fn another_store_can_be_used_inside_a_transaction(rig: &Rig) {
        let store = furnished(rig);
        let other = Store::in_memory().unwrap();
        store.transaction(|tx| {
            other.set("log", "n", tx.get("stats", "visits")?.unwrap())?;
            other.transaction(|inner| {
                assert!(matches!(store.get("a", "b"), Err(Error::Nested)), "nested two deep");
                inner.set("log", "inner", "yes")
            })?;
            assert_eq!(other.count("log")?, 2);
            tx.set("new", "key", other.get("log", "n")?.unwrap())
        }).unwrap();
        assert_eq!(store.get("new", "key").unwrap().unwrap(), "37");
    }

    fn after_a_failed_transaction_the_store_is_not_considered_nested(rig: &Rig) {
        let store = furnished(rig);
        let _ = store.transaction(|_| Err::<(), _>(Error::other("no")));
        let _ = catch_unwind(AssertUnwindSafe(|| store.transaction(|_| -> larder::Result<()> { panic!("no") })));
        store.set("a", "b", "c").unwrap();
        let nested = store.transaction(|_| store.transaction(|_| Ok(())));
        assert!(matches!(nested, Err(Error::Nested)));
        store.transaction(|tx| tx.set("a", "b", "d")).unwrap();
    }

    fn views_and_streams_that_outlive_their_transaction_are_errors(rig: &Rig) {
        let store = furnished(rig);
        for number in 0..600 {
            store.set("long", format!("{number:03}"), "x").unwrap();
        }
        let mut entries = None;
        let mut keys = None;
        let mut view = None;
        store.transaction(|tx| {
            entries = Some(tx.entries("long")?);
            keys = Some(tx.keys("long")?);
            view = Some((**tx).clone());
            Ok(())
        }).unwrap();
        let view = view.unwrap();
        assert!(matches!(view.get("a", "b"), Err(Error::TransactionOver)));
        assert!(matches!(view.count("bulk"), Err(Error::TransactionOver)));
        assert!(matches!(view.render("", "bulk"), Err(Error::TransactionOver)));
        // The stream already has its first page but cannot read the next.
        let read: Vec<larder::Result<larder::Entry>> = entries.unwrap().collect();
        let (last, before) = read.split_last().unwrap();
        assert!(matches!(last, Err(Error::TransactionOver)), "{last:?}");
        assert!(before.len() < 600 && before.iter().all(Result::is_ok));
        assert!(matches!(keys.unwrap().last(), Some(Err(Error::TransactionOver))));
        store.set("a", "b", "c").unwrap();
    }

    fn transactions_are_isolated_from_each_other(rig: &Rig) {
        let store = furnished(rig);
        let reader = rig.second_handle(&store);
        let snapshot = rig.promises.can_be_opened_again.then(|| reader.snapshot().unwrap());
        store.transaction(|tx| {
            tx.set("config", "colour", "green")?;
            if let Some(snapshot) = &snapshot {
                // The other handle reads the state before the transaction.
                assert_eq!(reader.get("config", "colour")?.unwrap(), "blue");
                assert_eq!(snapshot.get("config", "colour")?.unwrap(), "blue");
            }
            Ok(())
        }).unwrap();
        assert_eq!(reader.get("config", "colour").unwrap().unwrap(), "green");
    }

    fn a_transaction_sees_expired_entries_as_absent(rig: &Rig) {
        let store = furnished(rig);
        store.transaction(|tx| {
            tx.set_with_ttl("session", "short", "x", Duration::from_millis(10))?;
            assert_eq!(tx.count("session")?, 2);
            rig.advance_ms(10);
            assert_eq!(tx.get("session", "short")?, None);
            assert_eq!(tx.count("session")?, 1);
            assert!(!tx.delete("session", "short")?);
            assert!(!tx.touch("session", "short", Duration::from_secs(1))?);
            tx.set_if("session", "short", Condition::Absent, "anew")
        }).unwrap();
        assert_eq!(store.get("session", "short").unwrap().unwrap(), "anew");
    }

    fn a_transaction_takes_every_write_that_a_store_takes(rig: &Rig) {
        let store = furnished(rig);
        let lease = Duration::from_secs(30);
        store.transaction(|tx| {
            tx.set_json("config", "ports", &[80, 443])?;
            let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
            assert!(matches!(tx.set_json("config", "none", &unwritable), Err(Error::Unwritable { .. })));
            tx.set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", lease)?;
            let refused = tx.set_if_with_ttl("locks", "report", Condition::Absent, "worker-2", lease);
            assert!(matches!(refused, Err(Error::Conflict { .. })));
            let zero = tx.set_if_with_ttl("locks", "other", Condition::Absent, "worker-2", Duration::ZERO);
            assert!(matches!(zero, Err(Error::InvalidTtl)));
            assert_eq!(tx.get_json::<Vec<u16>>("config", "ports")?.unwrap(), [80, 443]);
            Ok(())
        }).unwrap();
        let entry = store.entry("locks", "report").unwrap().unwrap();
        assert_eq!((entry.value.as_str(), entry.expires_at), (Some("worker-1"), Some(rig.clock.now() + lease)));
        assert_eq!(store.get("config", "ports").unwrap().unwrap(), "[80,443]");
        assert_eq!((store.count("config").unwrap(), store.count("locks").unwrap()), (3, 1));
    }
}
