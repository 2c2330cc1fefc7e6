//! Errors: each says what was asked, what went wrong and what to do. (What a disk does wrong is in
//! `faulty_disk.rs`; what a file can be in `refused_files.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;
mod outside;

use std::error::Error as _;
use std::time::Duration;

use common::Bench;
use larder::{Condition, Error, Pattern, Quota, Resource, Store};

/// The error's message, which is one line, says all of `words`, and stays the same when it is cloned.
#[track_caller]
fn message(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
    assert_eq!(error.clone().to_string(), message);
}

on_every_engine! {
    fn closed(bench: &Bench) {
        let store = bench.store();
        store.close().unwrap();
        let error = store.get("g", "k").unwrap_err();
        assert!(matches!(error, Error::Closed));
        message(&error, &["the store is closed", "open it again"]);
    }

    fn nested(bench: &Bench) {
        let store = bench.store();
        let error = store.transaction(|_| store.get("g", "k")).unwrap_err();
        assert!(matches!(error, Error::Nested));
        message(&error, &["inside its own transaction", "use the transaction that the closure is given"]);
    }

    fn transaction_over(bench: &Bench) {
        let store = bench.store();
        let leaked = store.transaction(|tx| Ok((**tx).clone())).unwrap();
        let error = leaked.get("g", "k").unwrap_err();
        assert!(matches!(error, Error::TransactionOver));
        message(&error, &["the transaction is over", "inside its closure only"]);
    }

    fn callback_loop(bench: &Bench) {
        let store = bench.store();
        let inside = store.clone();
        let (sender, errors) = std::sync::mpsc::channel();
        let _subscription = store.on_change(move |_| {
            if let Err(error) = inside.set("g", "k", "v") {
                sender.send(error).unwrap();
            }
        });
        store.set("g", "k", "v").unwrap();
        let error = errors.try_recv().unwrap();
        assert!(matches!(error, Error::CallbackLoop { depth: 16 }));
        message(&error, &["16 times in a row", "not write what it listens to"]);
    }

    fn conflict(bench: &Bench) {
        let store = bench.store();
        let there = store.set("config", "colour", "blue").unwrap();
        assert_eq!(there, bench.nth(1));
        let stale = bench.nth(9);
        let (here, not_here) = (format!("but is there, at revision {there}"), "but is not there");
        let at_stale = format!("should be at revision {stale}");
        for (key, condition, actual, words) in [
            ("colour", Condition::Absent, Some(there), format!("should not exist, {here}")),
            ("size", Condition::Present, None, format!("should exist, {not_here}")),
            ("colour", Condition::Revision(stale), Some(there), format!("{at_stale}, {here}")),
            ("size", Condition::Revision(stale), None, format!("{at_stale}, {not_here}")),
        ] {
            for error in [
                store.set_if("config", key, condition, "x").unwrap_err(),
                store.delete_if("config", key, condition).unwrap_err(),
                store.batch().require("config", key, condition).set("a", "b", "c").commit().unwrap_err(),
                store.transaction(|tx| tx.require("config", key, condition)).unwrap_err(),
            ] {
                message(&error, &[&format!(r#""config" "{key}""#), &words, "read it again and decide anew"]);
                let Error::Conflict { group, key: named, expected, actual: found } = error else { panic!() };
                assert_eq!((group.as_str(), named.as_str(), expected, found), ("config", key, condition, actual));
            }
        }
    }

    fn quota_exceeded(bench: &Bench) {
        let store = bench.store();
        let tenant = store.scoped("tenant-42").unwrap();
        tenant.set("g", "k", "v").unwrap();
        let unlimited = Quota::default();
        for (quota, resource, wanted, word) in [
            (Quota { max_keys: Some(1), ..unlimited }, Resource::Keys, 2, "1 keys"),
            (Quota { max_groups: Some(1), ..unlimited }, Resource::Groups, 2, "1 groups"),
            (Quota { max_bytes: Some(3), ..unlimited }, Resource::Bytes, 4, "3 bytes"),
        ] {
            tenant.set_quota(quota).unwrap();
            let error = tenant.set("h", "k", "v").unwrap_err();
            message(&error, &["\"tenant-42\"", word, "delete some or raise the quota"]);
            assert!(matches!(error, Error::QuotaExceeded { resource: r, wanted: w, .. } if r == resource && w == wanted));
        }
    }

    fn invalid_namespace(bench: &Bench) {
        let store = bench.store();
        for name in ["", "a:b", "a b", "tenant_42", "é", "*", "a\0", "../a", "a\n"] {
            let error = store.scoped(name).map(drop).unwrap_err();
            assert!(matches!(&error, Error::InvalidNamespace { namespace } if namespace == name));
            message(&error, &[&format!("{name:?}"), "a-z, A-Z, 0-9 and -"]);
        }
    }

    fn invalid_ttl(bench: &Bench) {
        let store = bench.store();
        store.set("g", "k", "v").unwrap();
        for error in [
            store.set_with_ttl("g", "k", "x", Duration::ZERO).map(drop).unwrap_err(),
            store.touch("g", "k", Duration::ZERO).map(drop).unwrap_err(),
            store.batch().set_with_ttl("g", "k", "x", Duration::ZERO).commit().map(drop).unwrap_err(),
            store.transaction(|tx| tx.set_with_ttl("g", "k", "x", Duration::ZERO)).unwrap_err(),
            store.transaction(|tx| tx.touch("g", "k", Duration::ZERO)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidTtl));
            message(&error, &["longer than zero", "at least a millisecond"]);
        }
        assert_eq!(store.get("g", "k").unwrap().unwrap(), "v");
    }

    fn too_large(bench: &Bench) {
        let store = bench.open_with(|options| options.max_value_bytes(1000));
        let long = "x".repeat(65_537);
        store.set("g", "k", "x".repeat(1000)).unwrap();
        store.set("x".repeat(65_536), "x".repeat(65_536), "v").unwrap();
        for (error, named, bytes, most) in [
            (store.set(&long, "k", "v").unwrap_err(), "group", 65_537, 65_536),
            (store.set("g", long.as_str(), "v").unwrap_err(), "key", 65_537, 65_536),
            (store.set("g", "k", "x".repeat(1001)).unwrap_err(), "value", 1001, 1000),
            (store.batch().set("g", "k", "x".repeat(1001)).commit().unwrap_err(), "value", 1001, 1000),
            (store.delete(&long, "k").unwrap_err(), "group", 65_537, 65_536),
            (store.increment("g", long.as_str(), 1).unwrap_err(), "key", 65_537, 65_536),
            (store.touch("g", long.as_str(), Duration::MAX).unwrap_err(), "key", 65_537, 65_536),
            (store.delete_group(&long).unwrap_err(), "group", 65_537, 65_536),
            (store.transaction(|tx| tx.set("g", long.as_str(), "v")).unwrap_err(), "key", 65_537, 65_536),
        ] {
            assert!(
                matches!(error, Error::TooLarge { what, size, limit } if (what, size, limit) == (named, bytes, most)),
                "{error:?}"
            );
            message(&error, &[&format!("the {named} has {bytes} bytes and may have {most}"), "shorten it"]);
            assert_eq!(error.to_string().contains("raise max_value_bytes"), named == "value");
        }
        // To ask for what cannot be there is no mistake.
        assert_eq!(store.get(&long, &long).unwrap(), None);
        assert_eq!(store.count(&long).unwrap(), 0);
        assert_eq!(store.revision().unwrap(), bench.nth(2));
    }

    fn not_a_number_and_overflow(bench: &Bench) {
        let store = bench.store();
        let no_numbers = ["", "x", "1.5", "1e3", " 1", "1 ", "0x1", "9223372036854775808", "-9223372036854775809", "١"];
        for text in no_numbers {
            store.set("stats", "n", text).unwrap();
            let error = store.increment("stats", "n", 1).unwrap_err();
            assert!(matches!(error, Error::NotANumber { .. }), "{text:?}: {error:?}");
            message(&error, &[r#""stats" "n""#, "no whole number", "set it to one first"]);
            assert_eq!(store.get("stats", "n").unwrap().unwrap(), text);
        }
        store.set("stats", "n", vec![0xff]).unwrap();
        assert!(matches!(store.increment("stats", "n", 1), Err(Error::NotANumber { .. })));
        for (from, by) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
            store.set("stats", "n", from.to_string()).unwrap();
            let error = store.increment("stats", "n", by).unwrap_err();
            assert!(matches!(error, Error::Overflow { from: f, by: b, .. } if f == from && b == by));
            message(&error, &[&format!("from {from} by {by}"), "64-bit"]);
        }
    }

    fn unreadable_and_unwritable(bench: &Bench) {
        let store = bench.store();
        store.set("g", "text", "abc").unwrap();
        store.set("g", "bytes", vec![0xff]).unwrap();
        let error = store.get("g", "text").unwrap().unwrap().parse::<u16>().unwrap_err();
        assert!(matches!(error, Error::Unreadable { wanted: "u16", .. }));
        message(&error, &["cannot be read as u16", "invalid digit"]);
        for error in [
            store.get_json::<Vec<u8>>("g", "text").unwrap_err(),
            store.split("g", "bytes", ",").unwrap_err(),
            store.fields("g", "bytes").unwrap_err(),
            store.get("g", "bytes").unwrap().unwrap().parse::<String>().unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
        }
        let keys_that_are_no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = store.set_json("g", "json", &keys_that_are_no_text).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }) && error.source().is_some());
        message(&error, &["cannot be written as JSON", "key must be a string"]);
        assert!(!store.exists("g", "json").unwrap());
    }

    fn template(bench: &Bench) {
        let error = bench.store().render("one\n{{ two", "g").unwrap_err();
        assert!(matches!(error, Error::Template { line: Some(2), .. }));
        message(&error, &["the template fails at line 2: syntax error"]);
    }

    fn compacted_and_future_revision(bench: &Bench) {
        let bench = bench.with_a_history_of_its_own();
        let store = bench.open_with(|options| options.history(1, 1));
        store.set("g", "k", "1").unwrap();
        let second = store.set("g", "k", "2").unwrap();
        assert_eq!(second, bench.nth(2));
        bench.forget_up_to(1);
        let error = store.watch_from(Pattern::all(), 0).map(drop).unwrap_err();
        let Error::Compacted { oldest } = error else { panic!("{error:?}") };
        assert_eq!(bench.commits_up_to(oldest), 1);
        let reach = format!("reaches back to revision {oldest} only");
        message(&error, &[&reach, "read the store as it is", "keep more history"]);
        let ahead = bench.after(second);
        let error = store.watch_from(Pattern::all(), ahead).map(drop).unwrap_err();
        assert!(matches!(error, Error::FutureRevision { asked, latest } if (asked, latest) == (ahead, second)));
        let (ahead, second) = (format!("revision {ahead} is in the future"), format!("at {second}"));
        message(&error, &[&ahead, &second, "watch from a revision that this store gave out"]);
    }

    fn other_keeps_the_callers_own_error_as_its_source(bench: &Bench) {
        let store = bench.store();
        let cause = "x".parse::<u8>().unwrap_err();
        let error = store.transaction(|_| Err::<(), _>(Error::other(cause.clone()))).unwrap_err();
        assert_eq!(error.to_string(), cause.to_string());
        assert_eq!(error.source().unwrap().to_string(), cause.to_string());
        let Error::Other(kept) = error else { panic!("{error:?}") };
        assert_eq!(kept.downcast_ref(), Some(&cause));
    }
}

#[test]
fn read_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Store::open(&path).unwrap());
    let error = Store::options().read_only(true).open(&path).unwrap().set("g", "k", "v").unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }));
    message(&error, &[path.to_str().unwrap(), "was opened read-only", "open it without read_only to write"]);
}

#[test]
fn busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::options().timeout(Duration::from_millis(10)).open(&path).unwrap();
    let holder = outside::sqlite(&path);
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.set("g", "k", "v").unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let whose = if cfg!(target_os = "linux") { "another part of this process" } else { "another process" };
    message(&error, &[whose, path.to_str().unwrap(), "more than 10ms", "try again, or raise timeout"]);
    holder.execute_batch("ROLLBACK").unwrap();
    store.set("g", "k", "v").unwrap();
}

#[test]
fn not_found_denied_and_already_exists() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.db");
    let error = Store::options().create(false).open(&missing).unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }));
    message(&error, &["there is no store at", "missing.db", "check the path"]);
    if cfg!(target_os = "linux") {
        let error = Store::open("/proc/store.db").unwrap_err();
        assert!(matches!(error, Error::Denied { .. }));
        message(&error, &["does not let this process use /proc/store.db", "check the permissions"]);
    }
    std::fs::write(&missing, "x").unwrap();
    let error = Store::in_memory().unwrap().backup_to(&missing).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }));
    message(&error, &["missing.db exists and was left as it is", "choose another name or remove it"]);
}
