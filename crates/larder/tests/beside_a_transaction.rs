//! What other threads read while a transaction is open: the store as it was before, without waiting for the closure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::sync::mpsc;
use std::thread;

use common::{Rig, WAIT_MAX, events_now, ms};
use larder::{Error, EventKind, Pattern, Quota, Store};

/// Everything that can be read, from a thread of its own.
fn seen(store: &Store) -> String {
    let store = store.clone();
    let reading = move || {
        let entries: Vec<_> = store.entries("g").unwrap().map(|entry| entry.unwrap()).collect();
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.count("g").unwrap(), entries.len() as u64);
        assert_eq!(store.check().unwrap(), []);
        let got: Vec<_> = ["a", "b", "n", "new", "short"].map(|key| store.get("g", key).unwrap()).into();
        let stats = store.stats().unwrap();
        let namespaces = store.namespaces().unwrap();
        format!(
            "{entries:?} {got:?} {:?} {:?} {namespaces:?}",
            store.groups("").unwrap(),
            (stats.keys, stats.revision)
        )
    };
    thread::spawn(reading).join().unwrap()
}

on_every_engine! {
    fn a_thread_that_a_transaction_waits_for_reads_the_store_as_it_was_before(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant").unwrap();
        store.set_quota("tenant", Quota { max_keys: Some(2), ..Quota::default() }).unwrap();
        store.batch().set("g", "a", "1").set("g", "b", "2").set("g", "n", "5").commit().unwrap();
        store.set_with_ttl("g", "short", "v", ms(100)).unwrap();
        let before = seen(&store);
        let watcher = store.watch(Pattern::all()).unwrap();
        store.transaction(|tx| {
            assert_eq!(seen(&store), before);
            tx.set("g", "new", "v")?;
            tx.increment("g", "n", 7)?;
            assert_eq!(seen(&store), before);
            assert_eq!(tx.get("g", "new")?, Some("v".into()));
            tx.delete("g", "a")?;
            tx.set("tenant:t", "1", "v")?;
            tx.set("tenant:t", "2", "v")?;
            assert!(matches!(tx.set("tenant:t", "3", "v"), Err(Error::QuotaExceeded { .. })));
            assert_eq!((seen(&store), seen(&store)), (before.clone(), before.clone()));
            tx.touch("g", "short", ms(500))?;
            tx.delete_group("other")?;
            assert_eq!(tx.increment("g", "n", 1)?, 13);
            assert_eq!(tx.count("tenant:t")?, 2);
            assert_eq!(seen(&store), before);
            Ok(())
        })
        .unwrap();
        let keys: Vec<_> = store.entries("g").unwrap().map(|entry| entry.unwrap().key).collect();
        assert_eq!(keys, ["b", "n", "new", "short"]);
        assert_eq!(store.get("g", "n").unwrap(), Some("13".into()));
        assert_eq!(tenant.usage().unwrap().keys, 2);
        let events = events_now(&watcher);
        let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.key.as_deref().unwrap())).collect();
        let set = |key| (EventKind::Set, key);
        assert_eq!(kinds, [set("new"), set("n"), (EventKind::Delete, "a"), set("1"), set("2"), set("short"), set("n")]);
        assert!(events.iter().all(|event| event.revision == events[0].revision));
    }

    fn a_transaction_that_fails_or_panics_after_others_have_read_leaves_no_trace(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "1").unwrap();
        let before = seen(&store);
        let failed = store.transaction(|tx| {
            tx.set("g", "new", "v")?;
            assert_eq!(seen(&store), before);
            Err::<(), _>(Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(seen(&store), before);
        let panicking = store.clone();
        let seen_before = before.clone();
        let panicked = thread::spawn(move || {
            panicking.transaction(|tx| {
                tx.set("g", "new", "v").unwrap();
                assert_eq!(seen(&panicking), seen_before);
                panic!("no");
                #[allow(unreachable_code)]
                Ok(())
            })
        });
        assert!(panicked.join().is_err());
        assert_eq!(seen(&store), before);
        store.transaction(|tx| tx.set("g", "new", "v")).unwrap();
        assert_eq!(store.count("g").unwrap(), 2);
    }

    fn closing_waits_for_an_open_transaction_while_others_read(rig: &Rig) {
        let store = rig.store();
        store.set("g", "a", "1").unwrap();
        let (began, has_begun) = mpsc::channel();
        let committed = thread::scope(|scope| {
            let store = &store;
            let closing = scope.spawn(move || {
                has_begun.recv_timeout(WAIT_MAX).unwrap();
                store.close().unwrap();
            });
            let committed = store.transaction(|tx| {
                tx.set("g", "b", "1")?;
                let _ = began.send(());
                let read = scope.spawn(move || store.count("g")).join().unwrap();
                assert!(matches!(read, Ok(1) | Err(Error::Closed)), "{read:?}");
                tx.set("g", "c", "1")
            });
            closing.join().unwrap();
            committed
        });
        // It was committed before the store was closed, or not at all.
        assert!(matches!(committed, Ok(_) | Err(Error::Closed)), "{committed:?}");
        if rig.promises.can_be_opened_again {
            let keys = if committed.is_ok() { 3 } else { 1 };
            assert_eq!(rig.store().count("g").unwrap(), keys);
        }
    }
}
